"""Evaluations written by hand: any scores and maps, without a detector."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from zsad.evaluator.class_evaluator import NO_MASKS
from zsad.metrics import ImageCounts, ImageMetrics, PixelMetrics, Undefined
from zsad.results import store
from zsad.results.schema import (
    PIXEL_METRICS,
    ClassResult,
    DataSetResult,
    DetectorInfo,
    Evaluation,
    ImageResult,
    Metric,
    Protocol,
)
from zsad.statistics.intervals import named

Scores = np.ndarray
LABELS = np.arange(24) % 2
"""Of the images of a class."""


def masks() -> np.ndarray:
    """A square in every anomalous image, and a smaller one in every other of these."""
    found = np.zeros((len(LABELS), 16, 16), bool)
    for number in np.flatnonzero(LABELS):
        found[number, 2:8, 3:7] = True
        found[number, 12:14, 12:15] = number % 4 == 1
    return found


def maps(quality: float, seed: int) -> np.ndarray:
    """Maps that know that much of the masks."""
    logits = np.random.default_rng(seed).normal(-1, 1, (len(LABELS), 16, 16)) + quality * masks()
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


def class_files(
    folder: Path, name: str, scores: np.ndarray, found: np.ndarray, order: np.ndarray | None = None
) -> ClassResult:
    """The files of a class whose images lie in that order; 3 of its anomalous images have no mask."""
    order = np.arange(len(LABELS)) if order is None else order
    shares = masks().mean((1, 2))
    with_truth = [int(number) for number in order if number not in (1, 3, 5)]
    images = [
        ImageResult(
            f"{name}/{number}.png",
            f"{name}{number:063}",
            int(LABELS[number]),
            "hole" if LABELS[number] else "good",
            float(scores[number]),
            float(found[number].max()),
            float(shares[number]) if int(number) in with_truth else None,
            None,
        )
        for number in order
    ]
    pixel = PixelMetrics().update(found[with_truth], masks()[with_truth]).compute()
    values = named("image", ImageMetrics().update(scores, LABELS).compute()) | named("pixel", pixel)
    metrics = {
        key: Metric(None, reason=value.reason) if isinstance(value, Undefined) else Metric(value)
        for key, value in values.items()
    }
    result = ClassResult("drawn", name, name, 12, 12, 0, 3, {}, 0, metrics, 1.0, 1.0)
    home = folder / store.CLASSES / "drawn" / name
    home.mkdir(parents=True, exist_ok=True)
    store.write_images(images, home)
    ImageCounts().update(found[with_truth], masks()[with_truth]).save(home / store.COUNTS)
    store.write_class(result, home)
    return result


def evaluation(
    folder: Path,
    quality: float,
    seed: int,
    classes: tuple[str, ...] = ("nut",),
    order: np.ndarray | None = None,
    protocol: Protocol | None = None,
) -> Path:
    """An evaluation of a detector that knows that much; the folder."""
    results = []
    for number, name in enumerate(classes):
        scores = np.random.default_rng([seed, number]).normal(size=len(LABELS)) + quality * LABELS
        found = maps(quality, seed + 100 * number)
        results.append(class_files(folder, name, 1 / (1 + np.exp(-scores)), found, order))
    who = DetectorInfo(folder.name, "clip", {}, "tiny", "embedded", 224, "fp32", "cpu", f"{quality} {seed}")
    data = DataSetResult("drawn", "mvtec", tuple(results), results[0].metrics)
    store.write(Evaluation(who, protocol or Protocol(), (data,), "0", "2026-01-01", "here", ""), folder)
    return folder


def without_masks(folder: Path, name: str = "nut") -> None:
    """Make a class one in which no anomalous image has a mask."""
    home = folder / store.CLASSES / "drawn" / name
    images = store.read_images(home)
    store.write_images([replace(one, anomalous_share=None) if one.label else one for one in images], home)
    normal = sum(one.label == 0 for one in images)
    ImageCounts().update(np.zeros((normal, 4, 4)), np.zeros((normal, 4, 4), bool)).save(home / store.COUNTS)
    result = store.read_class(home)
    undefined = dict.fromkeys(PIXEL_METRICS, Metric(None, reason=NO_MASKS))
    store.write_class(replace(result, metrics={**result.metrics, **undefined}), home)
