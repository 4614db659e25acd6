"""Do exported detectors give the answers of their detectors? ``python -m benchmarks.export``

Every method, on ``tiny``: few-shot ones with three normal images, those of which no trained detector is at hand with
new weights. Of three PNG files of 256×256 px, noise, waves and a 16-bit surface with a spot:

    evaluate            difference of maps and scores between what ``zsad evaluate`` measures and what ``predict`` gives
    onnx openvino pt2   between the exported file and ``predict``; the bar is 1e-4. Of ``pt2`` as measured at its export
    batch               "any", or 1 where the graph takes one image at a time
"""

import sys
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

import zsad
from zsad import checkpoint, export, methods
from zsad.backbones import weights
from zsad.errors import ConfigError, ZsadError
from zsad.export import writing
from zsad.predictor import Detector
from zsad.runtime import RuntimeConfig
from zsad.side_by_side import stream
from zsad.types import Failure, Prediction

CLASS_NAME = "bolt"
SIDE = 256
BAR = 1e-4


def main() -> int:
    """Print a row a method; the exit status is 1 where one is above the bar."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", default=methods.built_in(), metavar="METHOD")
    parser.add_argument("--image-size", type=int, default=112, metavar="PX")
    parser.add_argument("--formats", nargs="+", default=list(export.SUFFIXES), choices=list(export.SUFFIXES))
    options = parser.parse_args()
    columns = "".join(f"{name:>10}" for name in ["evaluate", *options.formats])
    print(f"{'method':<12}{'weights':<9}{'batch':>6}{columns}", flush=True)
    worst = 0.0
    for name in options.methods:
        begun = time.perf_counter()
        with TemporaryDirectory() as folder:
            try:
                detector, made = detector_of(name, options.image_size)
                batch, found = measured(detector, Path(folder), options.formats)
            except ZsadError as error:
                print(f"{name:<12}not exported: {error.rule}; got {error.value}", flush=True)
                continue
        worst = max(worst, *found)
        cells = "".join(f"{difference:>10.1e}" for difference in found)
        print(f"{name:<12}{made:<9}{batch:>6}{cells}  {time.perf_counter() - begun:.0f} s", flush=True)
    print(f"largest difference {worst:.1e}, bar {BAR:g}")
    return int(worst > BAR)


def detector_of(name: str, side: int) -> tuple[Detector, str]:
    """A detector of the method, and whether its weights are trained, new, or of a backbone alone."""
    try:
        detector = zsad.load(name, image_size=side, device="cpu")
        made = "trained" if checkpoint.trained_state(detector.method) else "frozen"
    except ConfigError:  # no trained detector is at hand
        torch.manual_seed(0)
        method = methods.get(name)(weights.load("tiny"), methods.get(name).config_type())
        card = checkpoint.Card(name, image_size=side)
        detector, made = Detector(card, method, RuntimeConfig("cpu")), "new"
    if isinstance(detector.method, methods.FewShot):
        generator = np.random.default_rng(1)
        detector.fit_normal([generator.integers(0, 256, (90, 120, 3), np.uint8) for _ in range(3)], CLASS_NAME)
        made += "+3"
    return detector, made


def pictures(folder: Path) -> list[Path]:
    """Three files of noise, waves, and a surface with a spot."""
    rows, cols = np.mgrid[:SIDE, :SIDE]
    surface = np.full((SIDE, SIDE), 40_000, np.uint16)
    surface[100:130, 60:80] = 9_000
    arrays = (
        np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8),
        (127 + 60 * np.sin(rows / 7) + 60 * np.cos(cols / 11)).astype(np.uint8),
        surface,
    )
    paths = [folder / f"{number}.png" for number in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        Image.fromarray(array).save(path)
    return paths


def measured(detector: Detector, folder: Path, formats: Sequence[str]) -> tuple[str, list[float]]:
    """How many images the graph takes at once, and the differences in the order of the table."""
    paths = pictures(folder)
    predicted = detector.predict([*paths], CLASS_NAME)
    evaluated = [answer for (answer,) in stream([detector], paths, CLASS_NAME, (SIDE, SIDE))]
    found = [apart(predicted, [answer[1] for answer in evaluated if not isinstance(answer, Failure)])]
    writing._check_exportable(detector)
    graph = writing.traced(detector.method, detector.image_size, CLASS_NAME)
    for name in formats:
        path = folder / f"detector{export.SUFFIXES[name]}"
        card = writing.WRITERS[path.suffix](graph, writing.card(detector, CLASS_NAME, graph.batch), detector, path)
        if name == "pt2":
            found.append(card.difference)
        else:
            found.append(apart(predicted, export.load(path).predict([*paths])))
    return "any" if graph.batch is None else str(graph.batch), found


def apart(ours: Sequence[Prediction], theirs: Sequence[Prediction]) -> float:
    """The largest difference of maps and scores."""
    pairs = list(zip(ours, theirs, strict=True))
    maps = max(float(np.abs(a.anomaly_map - b.anomaly_map).max()) for a, b in pairs)
    return max(maps, *(abs(a.score - b.score) for a, b in pairs))


if __name__ == "__main__":
    sys.exit(main())
