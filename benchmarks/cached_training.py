"""What frozen work done once is worth: 20 epochs from cached observations over one epoch that runs the tower.

Bar: at most 3. Images are drawn, the backbone has random weights, and both runs take the same steps.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from zsad.data.specification import samples_of
from zsad.data.synthetic import draw_defect, surface
from zsad.runtime import RuntimeConfig
from zsad.trainer.recipe import Recipe
from zsad.trainer.training import prepare_run

EPOCHS, BAR = 20, 3.0


def main() -> None:
    """Print seconds and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", default="wmoe-clip")
    parser.add_argument("--backbone", default="ViT-L-14-336")
    parser.add_argument("--image-size", type=int, default=518)
    parser.add_argument("--images", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder / "data", options.images, options.image_size)
        cached = seconds(options, folder, folder / "cache", EPOCHS)
        uncached = seconds(options, folder, None, 1)
    ratio = cached / uncached
    print(f"{options.method} on {options.backbone} at {options.image_size} px, {options.images} images, fp32")
    print(f"{EPOCHS} epochs, observing included: {cached:.1f} s; one epoch through the tower: {uncached:.1f} s")
    print(f"ratio {ratio:.2f}, bar {BAR:.0f}; {torch.get_num_threads()} threads")


def seconds(options: argparse.Namespace, folder: Path, cache: Path | None, epochs: int) -> float:
    """Of training, from the first look at an image to the last checkpoint."""
    recipe = Recipe(
        options.method,
        backbone=options.backbone,
        weights="random",
        image_size=options.image_size,
        training={"epochs": epochs, "batch_size": min(8, options.images)},
    )
    samples = samples_of([f"mvtec:{folder / 'data'}"], "test")
    run = prepare_run(recipe, samples, folder / f"run-{epochs}", runtime=RuntimeConfig("cpu", cache=cache))
    began = time.perf_counter()
    list(run.extract_features())
    list(run.epochs())
    return time.perf_counter() - began


def draw(folder: Path, count: int, side: int) -> None:
    """Surfaces, half of them with a defect and its mask."""
    rng = np.random.default_rng(0)
    for number in range(count):
        image, _ = surface(rng, (side, side))
        kind, mask = "good", None
        if number % 2:
            defect = draw_defect(rng, image, None)
            kind, image, mask = "defect", defect.image, defect.mask
        for part, content in (("test", image), ("ground_truth", mask)):
            if content is not None:
                path = folder / "surface" / part / kind / f"{number}{'_mask' if part != 'test' else ''}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(content).save(path)


if __name__ == "__main__":
    main()
