"""A detector and labelled data, small enough for many evaluations."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests import small
from tests.trainer.toys import draw
from zsad.checkpoint import Card, TrainingRecord
from zsad.methods.clip import ClipDetector
from zsad.predictor import Detector
from zsad.runtime import RuntimeConfig

SIDE, RESOLUTION = 48, 40
NUT = Path("classes", "drawn", "metal_nut")
"""Where the files of a class lie."""
TIMES = ("seconds", "peak_memory_mb", "created", "command")
"""What differs between two runs of one evaluation."""


def detector(batch_size: int = 1, training_record: TrainingRecord | None = None) -> Detector:
    """Random weights, and an opinion of its own."""
    return Detector(Card("clip"), ClipDetector(small.frozen()), RuntimeConfig(batch_size=batch_size), training_record)


def data(folder: Path, *classes: str) -> str:
    """Four normal and four anomalous images of each class, as NAME=LAYOUT:PATH."""
    for number, name in enumerate(classes):
        draw(folder, side=SIDE + 8 * number, class_name=name)
    return f"drawn=mvtec:{folder}"


def train(home: Path, count: int, hue: int, kind: str = "good") -> None:
    """Training images of a class, of one hue."""
    rng = np.random.default_rng(hue)
    (home / "train" / kind).mkdir(parents=True)
    for number in range(count):
        pixels = rng.integers(0, 60, (40, 40, 3)).astype(np.uint8)
        pixels[..., hue] += 150
        Image.fromarray(pixels).save(home / "train" / kind / f"{number:03}.png")


def without_times(words: Any) -> Any:
    """JSON without what differs between two runs."""
    if isinstance(words, dict):
        return {key: without_times(value) for key, value in words.items() if key not in TIMES}
    return [without_times(one) for one in words] if isinstance(words, list) else words


def left(out: Path) -> dict[str, Any]:
    """All files of an evaluation by name, but for times and the page, which shows them."""
    files = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    assert files.pop("report.html").stat().st_size
    return {
        name: without_times(json.loads(path.read_text())) if path.suffix == ".json" else path.read_bytes()
        for name, path in files.items()
    }


def make_normal(folder: Path) -> None:
    """Take the anomalous images of a class away."""
    shutil.rmtree(folder / "test" / "square")
    shutil.rmtree(folder / "ground_truth")


def make_anomalous(folder: Path) -> None:
    """Take the normal images of a class away."""
    shutil.rmtree(folder / "test" / "good")


def flat(arrays: list[np.ndarray]) -> np.ndarray:
    """All their values."""
    return np.concatenate([array.ravel() for array in arrays])
