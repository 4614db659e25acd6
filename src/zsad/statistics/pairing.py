"""What several evaluations have in common: classes, and in them images, by their content and with the same truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from zsad.errors import InputError
from zsad.metrics.per_image import ImageCounts
from zsad.results import store
from zsad.results.schema import ClassResult, Evaluation, ImageResult
from zsad.statistics.intervals import Draws, class_draws


@dataclass(frozen=True)
class OpenEvaluation:
    """An evaluation and where the files of its classes lie, by the names of data set and class."""

    evaluation: Evaluation
    folders: dict[tuple[str, str], Path]


@dataclass(frozen=True)
class ClassScores:
    """One class of one evaluation.

    Attributes:
        result: what was found of the class.
        images: of its images, in its own order.
        places: of each of them in the order that all evaluations share.
        folder: of its files.
    """

    result: ClassResult
    images: tuple[ImageResult, ...]
    places: Int[np.ndarray, "images"]
    folder: Path

    def draws(self, weights: Int[np.ndarray, "draws images"]) -> Draws:
        """Metrics of each resample of the images, these being in the order that all evaluations share."""
        counts = ImageCounts.load(self.folder / store.COUNTS)
        return class_draws(self.images, counts, weights[:, self.places])


def opened(path: Path) -> OpenEvaluation:
    """The evaluation of that folder, or of its ``evaluation.json``.

    Raises:
        InputError, ConfigError: as :func:`zsad.results.store.read`; also if its classes are not beside it.
    """
    evaluation = store.read(path)
    folders = store.class_folders(path if path.is_dir() else path.parent)
    for name in names(evaluation):
        if name not in folders:
            rule = "the classes of an evaluation lie beside its evaluation.json"
            raise InputError(rule, f"nothing of {' '.join(name)} beside {path}", "name the whole folder")
    return OpenEvaluation(evaluation, folders)


def names(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Of the data set and of the class, for each class."""
    return [(data.name, result.class_name) for data in evaluation.data_sets for result in data.classes]


def check_protocols(evaluations: Sequence[Evaluation]) -> None:
    """Numbers that are compared are made alike.

    Raises:
        InputError: they are not.
    """
    first = evaluations[0].protocol
    for other in evaluations[1:]:
        for key in ("resolution", "split", "max_images"):
            ours, theirs = getattr(first, key), getattr(other.protocol, key)
            if ours != theirs:
                rule = f"evaluations that are compared have one {key}"
                raise InputError(rule, f"{ours} and {theirs}", "evaluate all of them alike")


def paired(name: tuple[str, str], sides: Sequence[OpenEvaluation]) -> tuple[ClassScores, ...] | str:
    """The class in every evaluation, or why it cannot be compared."""
    if any(name not in names(side.evaluation) for side in sides):
        return "not in all evaluations"
    tables = [store.read_images(side.folders[name]) for side in sides]
    if not tables[0]:
        return "no images"
    scored = []
    for side, images in zip(sides, tables, strict=True):
        places = places_in(tables[0], images)
        if isinstance(places, str):
            return places
        scored.append(ClassScores(store.read_class(side.folders[name]), images, places, side.folders[name]))
    return tuple(scored)


def places_in(shared: Sequence[ImageResult], images: Sequence[ImageResult]) -> Int[np.ndarray, "images"] | str:
    """Where each of the images is among the shared ones, known by content; or why they are not the same."""
    wanted, contents = ({image.content for image in side} for side in (shared, images))
    if wanted != contents or len(shared) != len(images):
        missing, added = len(wanted - contents), len(contents - wanted)
        return f"other images: {missing} only in the first evaluation, {added} only in another"
    places = np.empty(len(images), np.int64)
    places[_sorted(images)] = _sorted(shared)
    for place, image in zip(places.tolist(), images, strict=True):
        if _truth(image) != _truth(shared[place]):
            return f"other labels or masks, for instance of {image.source}"
    return places


def _sorted(images: Sequence[ImageResult]) -> list[int]:
    """Copies of one image keep to the order of their labels and names."""
    return sorted(range(len(images)), key=lambda at: (images[at].content, images[at].label, images[at].source))


def _truth(image: ImageResult) -> tuple[object, ...]:
    return image.content, image.label, image.truth
