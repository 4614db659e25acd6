"""What does int8 cost, and what does it bring? ``zsad export`` with and without ``--int8``, on labelled images.

    taskset -c 0 python -m benchmarks.int8 clip-ac --data mvtec:DATA/mvtec mvtec:DATA/mtd --max-images 40

Each class is exported twice; its images go through both files in turns. Metrics in percent, of pixels at 256×256 px;
milliseconds of an image in the graph alone, as CPU time of the process (median), so that others that compute here
count little: bound to one core, ONNX Runtime does not wait actively for its other threads. ``loss`` is what the export
measured by itself, on drawn images.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

import zsad
from zsad import export
from zsad.data.decode import decode
from zsad.data.layouts._base import Sample
from zsad.data.masks.ground_truth import read_mask, resize_mask
from zsad.data.resizing import to_array
from zsad.data.sampling import subset
from zsad.data.specification import data_set, samples_of
from zsad.export.enlarging import resized
from zsad.export.sessions import Session, load_onnx
from zsad.metrics import PixelMetrics, auroc
from zsad.predictor import Detector

SIZE = (256, 256)
"""Of maps and masks for metrics of pixels."""
UNTIMED = 2
"""Images at first."""


class Measured:
    """What one file gives on the images of a class."""

    def __init__(self, path: Path) -> None:
        self.megabytes = path.stat().st_size / 1e6
        self.session: Session = load_onnx(path, "cpu")[1]
        self.scores: list[float] = []
        self.milliseconds: list[float] = []
        self.pixels = PixelMetrics()

    def add(self, image: np.ndarray, mask: np.ndarray) -> None:
        """Score an image."""
        start = time.process_time()
        maps, scores = self.session(image)
        self.milliseconds.append(1000 * (time.process_time() - start))
        self.scores.append(float(scores[0]))
        self.pixels.update([resized(maps[0], SIZE)], [mask])

    def row(self, labels: Sequence[int]) -> str:
        """AUROC of images and pixels, time and size."""
        pixel = self.pixels.compute()["auroc"]
        found = [auroc(self.scores, labels), pixel if isinstance(pixel, float) else float("nan")]
        cells = [f"{100 * value:.2f}" for value in found]
        return " | ".join([*cells, f"{median(self.milliseconds[UNTIMED:]):.0f}", f"{self.megabytes:.1f}"])


def main() -> None:
    """Print a table of two rows for each class."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("detector", help="name or folder")
    parser.add_argument("--data", nargs="+", required=True, metavar="LAYOUT:PATH")
    parser.add_argument("--max-images", type=int, metavar="N", help="of each class and state, drawn with seed 0")
    parser.add_argument("--backbone")
    parser.add_argument("--weights")
    parser.add_argument("--image-size", type=int)
    options = parser.parse_args()
    detector = zsad.load(
        options.detector,
        backbone=options.backbone,
        weights=options.weights,
        image_size=options.image_size,
        device="cpu",
    )
    print("| class | images | file | image AUROC | pixel AUROC | ms | MB |\n|---|---|---|---|---|---|---|")
    for specification in options.data:
        classes = defaultdict(list)
        for sample in subset(samples_of(data_set(specification), "test"), options.max_images):
            classes[sample.class_name].append(sample)
        for name, samples in classes.items():
            print("\n".join(rows(detector, name, samples)), flush=True)


def rows(detector: Detector, name: str, samples: Sequence[Sample]) -> list[str]:
    """The two rows of a class, and the loss that the file states."""
    with TemporaryDirectory() as folder:
        paths = {kind: Path(folder, f"{kind}.onnx") for kind in ("fp32", "int8")}
        export.export(detector, paths["fp32"], name)
        card = export.export(detector, paths["int8"], name, int8=True)
        files = {kind: Measured(path) for kind, path in paths.items()}
    side, labels = detector.image_size, [int(sample.label or 0) for sample in samples]
    for sample in samples:
        image = decode(sample.image)
        pixels = to_array([image], (side, side), (0, 0, 0), (1, 1, 1))
        mask = np.zeros(SIZE, bool)
        if sample.mask:
            mask = resize_mask(read_mask(sample.masks, image.size, sample.image), SIZE)
        for file in files.values():
            file.add(pixels, mask)
    images = f"{labels.count(0)} + {labels.count(1)}"
    assert card.loss is not None
    table = [f"| {name} | {images} | {kind} | {file.row(labels)} |" for kind, file in files.items()]
    return [*table, f"loss: {card.loss.summary}"]


if __name__ == "__main__":
    main()
