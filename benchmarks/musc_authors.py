"""``musc`` beside its authors' program, on one ViT of 24 blocks with random weights and the same images.

    python -m benchmarks.musc_authors PATH

``PATH`` is a checkout of https://github.com/xrli-U/MuSc (MIT) at b76b93d, whose ``MuSc.make_category_data`` is run:
its data sets are replaced by images in memory, its weights by random ones, its metrics by what takes the scores, and
packages that it imports beyond PyTorch by nothing. Exit status 1 where maps or scores differ by more than 1e-4.
"""

import argparse
import contextlib
import io
import sys
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import torch
from torch import Tensor, nn

from zsad.backbones.clip import Clip
from zsad.backbones.state_dicts import to_our_names
from zsad.methods.musc import MuSc, MuScConfig
from zsad.scoring import anomaly_maps
from zsad.testing._clip import CONFIG, tokenizer

SIDE, PATCH, WIDTH, DEPTH, HEADS, EMBED = 112, 14, 64, 24, 4, 32
LIMIT = 1e-4
PACKAGES = ("models", "models.backbone", "models.modules", "authors_clip")
FOLDERS = ("models", "models/backbone", "models/modules", "models/backbone/open_clip")
ABSENT = (
    *("torchvision", "torchvision.ops", "torchvision.ops.misc", "cv2", "openpyxl", "datasets", "datasets.mvtec"),
    *("datasets.visa", "datasets.btad", "utils", "utils.metrics", "models.backbone._backbones"),
    "models.backbone.open_clip",
)
"""Modules that the part of the program that is run does not need."""


@dataclass(frozen=True)
class Case:
    """A folder, and the settings that the program derives from the name of a data set."""

    images: int
    groups: int
    data_set: str
    neighbours: tuple[int, ...]


CASES = (
    Case(11, 1, "mvtec_ad", (1, 2, 3)),
    Case(12, 1, "visa", (1, 8, 9)),
    Case(22, 2, "mvtec_ad", (1, 2, 3)),
    Case(33, 3, "btad", (1, 2, 3)),
)


class QuickGelu(nn.Module):
    """Activation of OpenAI's weights."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


def authors_modules(path: Path) -> tuple[Any, Any]:
    """Their program, and their vision transformer."""
    sys.modules.update({name: MagicMock() for name in ABSENT})
    for name, folder in zip(PACKAGES, FOLDERS, strict=True):
        package = types.ModuleType(name)
        package.__path__ = [str(path / folder)]
        sys.modules[name] = package
    import authors_clip.transformer
    import models.musc

    return models.musc, authors_clip.transformer.VisionTransformer


def random_towers(vision_transformer: Any) -> tuple[nn.Module, Clip]:
    """One set of random weights in both implementations."""
    torch.manual_seed(0)
    theirs = vision_transformer(SIDE, PATCH, WIDTH, DEPTH, HEADS, 4.0, output_dim=EMBED, act_layer=QuickGelu).eval()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            parameter.mul_(4 if name == "positional_embedding" else 1)
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    vision = replace(CONFIG.vision, width=WIDTH, depth=DEPTH, heads=HEADS, image_size=SIDE, patch=PATCH)
    ours = Clip("random", replace(CONFIG, embed=EMBED, vision=vision), tokenizer())
    state = to_our_names({f"visual.{name}": tensor for name, tensor in theirs.state_dict().items()})
    missing, unexpected = ours.load_state_dict(state, strict=False)
    assert not unexpected
    assert not [name for name in missing if name.startswith("vision")]
    return theirs, ours.freeze("random", "random")


def folder(count: int) -> Tensor:
    """Images of one kind; every third has a patch of its own."""
    generator = torch.Generator().manual_seed(count)
    base = nn.functional.interpolate(torch.randn(1, 3, 14, 14, generator=generator), SIDE, mode="bilinear")
    images = base + 0.3 * torch.randn(count, 3, SIDE, SIDE, generator=generator)
    for number in range(0, count, 3):
        images[number, :, 20:50, 30 + number : 60 + number] = 2 * torch.randn(3, 1, 1, generator=generator)
    return images


def authors_answer(program: Any, vit: nn.Module, images: Tensor, case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Maps and scores of their program."""
    run, order, answer = program.MuSc.__new__(program.MuSc), list[int](), dict[str, np.ndarray]()

    def load_datasets(category: str, divide_num: int = 1, divide_iter: int = 0) -> list[dict[str, Any]]:
        group = range(divide_iter, len(images), divide_num)
        order.extend(group)
        return [
            {"image": images[i], "image_path": str(i), "mask": torch.zeros(1, 2, 2), "is_anomaly": 0} for i in group
        ]

    def compute_metrics(_: Any, scores: np.ndarray, __: Any, maps: np.ndarray) -> tuple[tuple[int, ...], ...]:
        answer.update(maps=maps[:, 0], scores=scores)
        return (0,) * 3, (0,) * 4

    vars(run).update(
        cfg={}, seed=0, device=torch.device("cpu"), dataset=case.data_set, model_name="ViT-L-14-336", image_size=SIDE
    )
    vars(run).update(batch_size=4, features_list=[6, 12, 18, 24], divide_num=case.groups, r_list=[1, 3, 5], vis=False)
    run.clip_model = types.SimpleNamespace(encode_image=vit)
    run.load_datasets, program.compute_metrics = load_datasets, compute_metrics
    with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        run.make_category_data("object")
    back = np.argsort(order)
    return answer["maps"][back], answer["scores"][back]


@torch.inference_mode()
def our_answer(clip: Clip, images: Tensor, case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Maps, in the scale of theirs, and scores."""
    others = max(len(range(first, case.images, case.groups)) for first in range(case.groups)) - 1
    share = int(0.3 * others) / others  # they round the number of images down, zsad rounds it up
    together = -(-case.images // case.groups)
    config = MuScConfig(share=share, neighbours=case.neighbours, images_together=together)

    def load(indices: Sequence[int]) -> Iterator[tuple[list[int], Tensor]]:
        for first in range(0, len(indices), 5):
            batch = list(indices[first : first + 5])
            yield batch, images[batch]

    found = MuSc(clip, config).score_folder(load, len(images), "object")
    back = np.argsort(found.indices)
    maps = 2 * anomaly_maps(found.evidence, (SIDE, SIDE), config).numpy()
    return maps[back], found.evidence.score.numpy()[back]


def main() -> int:
    """Print the largest differences of each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, metavar="PATH", help="checkout of the authors' code")
    program, vision_transformer = authors_modules(parser.parse_args().path)
    vit, clip = random_towers(vision_transformer)
    worst = 0.0
    for case in CASES:
        images = folder(case.images)
        their_maps, their_scores = authors_answer(program, vit, images, case)
        maps, scores = our_answer(clip, images, case)
        differences = float(abs(maps - their_maps).max()), float(abs(scores - their_scores).max())
        worst = max(worst, *differences)
        print(
            f"{case.images} images in {case.groups} groups, neighbours {case.neighbours}: "
            f"maps {their_maps.min():.2f} to {their_maps.max():.2f}, differ by at most {differences[0]:.1e}; "
            f"scores {their_scores.min():.2f} to {their_scores.max():.2f}, by {differences[1]:.1e}",
            flush=True,
        )
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
