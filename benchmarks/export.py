"""Do exported detectors give the answers of their detectors? ``python -m benchmarks.export``

Every method, on ``tiny``: few-shot ones with three normal images, those of which no trained detector is at hand with
new weights. Of three PNG files of 256×256 px, noise, waves and a 16-bit surface with a spot, the largest absolute
difference of maps and scores; the bar is 1e-4:

    evaluate            between what ``zsad evaluate`` measures and what ``predict`` gives
    tiled               the three side by side as one image, in tiles of 256 px without overlap: between its map and
                        the three maps, its score and the highest of theirs
    onnx openvino pt2   between the exported file and ``predict``. Of ``pt2`` as measured at its export
    batch               "any", or 1 where the graph takes one image at a time

The table is printed as Markdown; what is not possible is a dash, with the reason below.
"""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
from zsad.tiling import Tiling
from zsad.types import Failure, Prediction

CLASS_NAME = "bolt"
SIDE = 256
BAR = 1e-4


@dataclass
class Row:
    """What was measured of a method.

    Attributes:
        name, weights: of the detector.
        batch: how many images its graph takes at once.
        found: the differences by column; a method that refuses a column has none there.
        reasons: why, by column.
    """

    name: str
    weights: str
    batch: str = "–"
    found: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def measure(self, column: str, measured: Callable[[], float]) -> None:
        """Fill a column, with a number or with the reason why there is none."""
        try:
            self.found[column] = measured()
        except ZsadError as error:
            self.reasons[column] = f"{error.rule}; got {error.value}"

    def text(self, columns: Sequence[str]) -> str:
        """As a row of Markdown."""
        cells = [f"{self.found[column]:.1e}" if column in self.found else "–" for column in columns]
        return "| " + " | ".join([f"`{self.name}`", self.weights, self.batch, *cells]) + " |"


def main() -> int:
    """Print a row a method; the exit status is 1 where one is above the bar."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", default=methods.built_in(), metavar="METHOD")
    parser.add_argument("--image-size", type=int, default=112, metavar="PX")
    parser.add_argument("--formats", nargs="*", default=list(export.SUFFIXES), choices=list(export.SUFFIXES))
    options = parser.parse_args()
    columns = ["evaluate", "tiled", *options.formats]
    print("| " + " | ".join(["method", "weights", "batch", *columns]) + " |\n" + "|---" * (3 + len(columns)) + "|")
    rows = []
    for name in options.methods:
        with TemporaryDirectory() as folder:
            rows.append(measured(name, options.image_size, Path(folder), options.formats))
        print(rows[-1].text(columns), flush=True)
    for row in rows:
        for reason in dict.fromkeys(row.reasons.values()):
            print(f"{row.name}: {', '.join(key for key, value in row.reasons.items() if value == reason)}: {reason}")
    worst = max(difference for row in rows for difference in row.found.values())
    print(f"largest difference {worst:.1e}, bar {BAR:g}")
    return int(not worst <= BAR)


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


def arrays() -> list[np.ndarray]:
    """Noise, waves, and a surface with a spot in 16 bits."""
    rows, cols = np.mgrid[:SIDE, :SIDE]
    surface = np.full((SIDE, SIDE), 40_000, np.uint16)
    surface[100:130, 60:80] = 9_000
    return [
        np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8),
        (127 + 60 * np.sin(rows / 7) + 60 * np.cos(cols / 11)).astype(np.uint8),
        surface,
    ]


def pictures(folder: Path) -> list[Path]:
    """Them as files."""
    paths = [folder / f"{number}.png" for number in range(len(arrays()))]
    for path, array in zip(paths, arrays(), strict=True):
        Image.fromarray(array).save(path)
    return paths


def measured(name: str, side: int, folder: Path, formats: Sequence[str]) -> Row:
    """All columns of a method."""
    detector, weights_of = detector_of(name, side)
    row, paths = Row(name, weights_of), pictures(folder)
    predicted = detector.predict([*paths], CLASS_NAME)
    row.measure("evaluate", lambda: evaluated(detector, paths, predicted))
    row.measure("tiled", lambda: tiled(detector))
    try:
        writing._check_exportable(detector)
        graph = writing.traced(detector.method, side, CLASS_NAME)
    except ZsadError as error:
        row.reasons |= dict.fromkeys(formats, f"{error.rule}; got {error.value}")
        return row
    row.batch = "any" if graph.batch is None else str(graph.batch)
    for suffix in formats:
        path = folder / f"detector{export.SUFFIXES[suffix]}"
        row.measure(suffix, lambda path=path: exported(detector, graph, path, paths, predicted))  # type: ignore[misc]
    return row


def evaluated(detector: Detector, paths: Sequence[Path], predicted: Sequence[Prediction]) -> float:
    """The difference between what an evaluation measures and predictions."""
    answers = [answer for (answer,) in stream([detector], paths, CLASS_NAME, (SIDE, SIDE))]
    return apart(predicted, [answer[1] for answer in answers if not isinstance(answer, Failure)])


def tiled(detector: Detector) -> float:
    """The difference between the tiles of an image and the same as images."""
    alone = [drawn if drawn.ndim == 3 else np.stack([drawn] * 3, 2) for drawn in arrays()]
    images = [(image >> 8 if image.dtype == np.uint16 else image).astype(np.uint8) for image in alone]
    predicted = detector.predict([*images], CLASS_NAME)
    detector.tiling = Tiling.of(SIDE, 0)
    try:
        whole = detector.predict(np.concatenate(images, 1), CLASS_NAME)
    finally:
        detector.tiling = None
    maps = np.concatenate([one.anomaly_map for one in predicted], 1)
    score = max(one.score for one in predicted)
    return max(float(np.abs(whole.anomaly_map - maps).max()), abs(whole.score - score))


def exported(
    detector: Detector, graph: writing.Graph, path: Path, paths: Sequence[Path], predicted: Sequence[Prediction]
) -> float:
    """The difference between an exported file and predictions."""
    card = writing.WRITERS[path.suffix](graph, writing.card(detector, CLASS_NAME, graph.batch), detector, path)
    if path.suffix == export.SUFFIXES["pt2"]:
        return card.difference
    return apart(predicted, export.load(path).predict([*paths]))


def apart(ours: Sequence[Prediction], theirs: Sequence[Prediction]) -> float:
    """The largest difference of maps and scores."""
    pairs = list(zip(ours, theirs, strict=True))
    maps = max(float(np.abs(a.anomaly_map - b.anomaly_map).max()) for a, b in pairs)
    return max(maps, *(abs(a.score - b.score) for a, b in pairs))


if __name__ == "__main__":
    sys.exit(main())
