"""An evaluation on disk: reading and writing what ``results`` describes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from zsad import spreadsheets
from zsad.arrays import read_arrays
from zsad.config import from_mapping
from zsad.documents import LIST_LIMIT, DocumentError, read_json_object
from zsad.errors import ConfigError, InputError
from zsad.files import replacing, write_atomically
from zsad.metrics.accumulators import Curve
from zsad.results.schema import (
    METRICS,
    UNMEASURED,
    ClassResult,
    Evaluation,
    ImageResult,
    Metric,
    WorstImage,
    setting_of,
)

EVALUATION, PLAN, PAGE, CLASSES = "evaluation.json", "plan.json", "report.html", "classes"
CLASS, IMAGES, CURVES, COUNTS, DRAWS = "class.json", "images.csv", "curves.json", "counts.npz", "draws.npz"
WORST, WORST_LIST = "worst", "worst.json"
COLUMNS = tuple(field.name for field in fields(ImageResult))


def read(path: Path) -> Evaluation:
    """The evaluation of that file, or in that folder; metrics that it lacks are ``UNMEASURED``.

    Raises:
        InputError: there is none, or it cannot be read.
        ConfigError: an entry is unknown, missing or wrong.
    """
    file = path / EVALUATION if path.is_dir() else path
    evaluation = from_mapping(Evaluation, read_json(file), str(file))
    data_sets = tuple(
        replace(
            data_set,
            classes=tuple(replace(result, metrics=_all_metrics(result.metrics)) for result in data_set.classes),
            means=_all_metrics(data_set.means),
        )
        for data_set in evaluation.data_sets
    )
    classes = [result for data_set in data_sets for result in data_set.classes]
    setting = setting_of(evaluation.detector, evaluation.protocol, classes)  # which older versions do not name
    return replace(evaluation, data_sets=data_sets, detector=replace(evaluation.detector, setting=setting))


def _all_metrics(metrics: Mapping[str, Metric]) -> dict[str, Metric]:
    """Those that older versions did not measure have no value."""
    return {**dict.fromkeys(METRICS, UNMEASURED), **metrics}


def class_folders(out: Path) -> dict[tuple[str, str], Path]:
    """Where the classes that are done lie, by the names of data set and class, whatever the folders are called."""
    folders = {}
    for path in sorted(out.glob(f"{CLASSES}/*/*/{CLASS}")):
        result = read_class(path.parent)
        folders[result.data_set, result.class_name] = path.parent
    return folders


def is_done(folder: Path) -> bool:
    """Whether the folder holds all of a class; what is damaged or lacks a metric is done again."""
    if not all((folder / name).is_file() for name in (CLASS, IMAGES, CURVES, COUNTS, DRAWS)):
        return False
    try:
        read_draws(folder)
        return UNMEASURED not in read_class(folder).metrics.values()
    except (InputError, ConfigError):
        return False


def read_class(folder: Path) -> ClassResult:
    """The result of the class in that folder; metrics that it lacks are ``UNMEASURED``.

    Raises:
        InputError, ConfigError: as :func:`read`.
    """
    result = from_mapping(ClassResult, read_json(folder / CLASS), str(folder / CLASS))
    return replace(result, metrics=_all_metrics(result.metrics))


def read_images(folder: Path) -> tuple[ImageResult, ...]:
    """What was found of each image of the class in that folder, in the order of the data set.

    Raises:
        InputError: the table is missing or cannot be read.
    """
    path = folder / IMAGES
    try:
        return tuple(_image(row) for row in spreadsheets.read(path, file_names=True))
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise _broken(path, repr(error)) from error


def read_curves(folder: Path) -> dict[str, Curve]:
    """The curves of the class in that folder, by name.

    Raises:
        InputError, ConfigError: as :func:`read`.
    """
    path = folder / CURVES
    return {name: from_mapping(Curve, points, f"{path}, {name}") for name, points in read_json(path).items()}


def read_worst_images(folder: Path) -> tuple[WorstImage, ...]:
    """The worst images of the class in that folder; their files lie in its ``worst``.

    Raises:
        InputError, ConfigError: as :func:`read`.
    """
    path = folder / WORST / WORST_LIST
    entries = read_json(path)
    images = entries.get("images", entries.get("misses"))  # so called by version 0.1.0
    if not isinstance(images, list):
        raise _broken(path, "no list of images")
    return tuple(from_mapping(WorstImage, entry, str(path)) for entry in images)


def read_draws(folder: Path) -> dict[str, Float[np.ndarray, "draws"]]:
    """The metrics of each resample of the class in that folder, by name.

    Raises:
        InputError: they are missing or cannot be read.
    """
    try:
        draws = read_arrays(folder / DRAWS)
    except InputError as error:
        raise _broken(folder / DRAWS, error.value) from error
    if len({values.shape for values in draws.values()}) > 1 or any(
        values.ndim != 1 or values.dtype.kind != "f" or np.isinf(values).any() for values in draws.values()
    ):
        raise _broken(folder / DRAWS, "draws that are no numbers, or not as many of each metric")
    return draws


def write(evaluation: Evaluation, out: Path) -> None:
    """Write the evaluation: the last of its files, which says that it is done."""
    write_json(out / EVALUATION, asdict(evaluation))


def write_class(result: ClassResult, folder: Path) -> None:
    """Write the result of a class: the last of its files, which says that it is done."""
    write_json(folder / CLASS, asdict(result))


def write_images(images: Sequence[ImageResult], folder: Path) -> None:
    """Write the table of images, numbers with all their digits."""
    # The name of a file need not be Unicode: its bytes are written as they are.
    text = spreadsheets.table(COLUMNS, map(asdict, images))
    write_atomically(folder / IMAGES, text.encode("utf-8", "surrogateescape"), lasting=True)


def write_curves(curves: Mapping[str, Curve], folder: Path) -> None:
    """Write curves by name."""
    write_json(folder / CURVES, {name: asdict(curve) for name, curve in curves.items()})


def write_draws(draws: Mapping[str, Float[np.ndarray, "draws"]], folder: Path) -> None:
    """Write the metrics of each resample by name."""
    with replacing(folder / DRAWS, lasting=True) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **draws)


def write_worst_images(images: Sequence[WorstImage], folder: Path) -> None:
    """Write the list of the worst images, after their files."""
    write_json(folder / WORST / WORST_LIST, {"images": [asdict(image) for image in images]})


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file.

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    try:
        return read_json_object(path, LIST_LIMIT, file_names=True)
    except (OSError, DocumentError) as error:
        raise _broken(path, error) from error


def write_json(path: Path, values: Mapping[str, object]) -> None:
    """Write an object, whole or not at all."""
    write_atomically(path, (json.dumps(values, indent=2) + "\n").encode(), lasting=True)


def _image(row: Mapping[str, str]) -> ImageResult:
    share, auroc = row["anomalous_share"], row["pixel_auroc"]
    return ImageResult(
        source=row["source"],
        content=row["content"],
        label=int(row["label"]),
        kind=row["kind"],
        score=float(row["score"]),
        peak=float(row["peak"]),
        anomalous_share=float(share) if share else None,
        pixel_auroc=float(auroc) if auroc else None,
        truth=row["truth"],
    )


def _broken(path: Path, value: object) -> InputError:
    return InputError(f"{path} must be as an evaluation writes it", value, "evaluate again, into another folder")
