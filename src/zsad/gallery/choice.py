"""Which images a figure shows: named, drawn at random, or the worst or best of a detector."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import numpy as np

from zsad.config import check_seed
from zsad.data.layouts import Sample
from zsad.data.sampling import subset
from zsad.data.specification import DataSet, in_words
from zsad.errors import ConfigError, InputError, unknown_name
from zsad.predictor import Detector
from zsad.results import store
from zsad.types import Failure

Extreme = Literal["worst", "best"]


@dataclass(frozen=True)
class GalleryCandidate:
    """An image that a figure could show.

    Attributes:
        sample: as its layout has it.
        data_set: name of its data set.
        source: path below the root of the data set, with ``/``.
    """

    sample: Sample
    data_set: str
    source: str


def candidates(data: Sequence[DataSet], classes: Sequence[str] | None = None) -> list[GalleryCandidate]:
    """The labelled images of the test splits, of those classes if any are named.

    Raises:
        ConfigError: a class does not exist.
        InputError: there is no such image.
    """
    labelled = [
        GalleryCandidate(sample, data_set.name, sample.source(data_set.root))
        for data_set in data
        for sample in data_set.samples
        if sample.split == "test" and sample.label is not None
    ]
    class_names = {candidate.sample.class_name for candidate in labelled}
    for name in classes or ():
        if name not in class_names:
            raise unknown_name("class of these data sets", name, class_names)
    chosen = [candidate for candidate in labelled if classes is None or candidate.sample.class_name in classes]
    if not chosen:
        names = ", ".join(data_set.name for data_set in data) or "none"
        raise InputError("a figure needs labelled test images", names, "name other data")
    return chosen


def named(images: Sequence[GalleryCandidate], patterns: Sequence[str]) -> list[GalleryCandidate]:
    """Images in the order of the patterns, each once.

    Args:
        images: what there is.
        patterns: names or paths below the data set, with ``*``, ``?`` and ``[...]``; as ``bent_lead/00?.png`` each
            also matches the end of a path.

    Raises:
        InputError: a pattern matches no image.
    """
    chosen: dict[tuple[str, str], GalleryCandidate] = {}
    for pattern in patterns:
        fitting = [image for image in images if fnmatchcase(f"/{image.source}", f"*/{pattern.lstrip('/')}")]
        if not fitting:
            example = f"names are such as {images[0].source}"
            raise InputError("a pattern matches an image of the data", repr(pattern), example)
        chosen.update(
            {(image.data_set, image.source): image for image in fitting if (image.data_set, image.source) not in chosen}
        )
    return list(chosen.values())


def at_random(images: Sequence[GalleryCandidate], count: int, seed: int) -> list[GalleryCandidate]:
    """So many of each class, kinds of defect in turn, so that few images show most of them; in their own order.

    Raises:
        ConfigError: the count is below 1.
    """
    check_seed(seed)
    rng = random.Random(seed)
    chosen = []
    for members in by_class(images).values():
        kinds: dict[str, list[GalleryCandidate]] = {}
        for image in rng.sample(members, len(members)):
            kinds.setdefault(image.sample.kind, []).append(image)
        turns = [
            image for turn in range(len(members)) for of_kind in kinds.values() for image in of_kind[turn : turn + 1]
        ]
        chosen_ids = {id(image) for image in turns[: _positive(count)]}
        chosen += [image for image in members if id(image) in chosen_ids]
    return chosen


def extreme(
    images: Sequence[GalleryCandidate], which: Extreme, count: int, scores: Mapping[tuple[str, str], float]
) -> list[GalleryCandidate]:
    """So many of each class: those that a detector ranks worst or best, in that order.

    An image is the worse, the more images of the other state score on its wrong side; of equals, the farther
    its own score is on the wrong side of the median. No threshold has a part in it.

    Args:
        images: what there is.
        which: end of the ranking.
        count: of each class.
        scores: by the names of data set and source; who has none is left out.

    Raises:
        ConfigError: the count is below 1.
    """
    chosen = []
    for members in by_class([image for image in images if (image.data_set, image.source) in scores]).values():
        own = np.array([scores[image.data_set, image.source] for image in members])
        wrong = _wrong_side(own, np.array([bool(image.sample.label) for image in members]))
        order = sorted(range(len(members)), key=lambda at: wrong[at], reverse=which == "worst")
        chosen += [members[at] for at in order[: _positive(count)]]
    return chosen


def evaluated_scores(images: Sequence[GalleryCandidate], evaluation: Path) -> dict[tuple[str, str], float]:
    """Scores that an evaluation has left of these images, by the names of data set and source.

    Raises:
        InputError: it cannot be read, or knows none of the images.
    """
    scores = {
        (data_set, image.source): image.score
        for (data_set, _), folder in store.class_folders(evaluation).items()
        for image in store.read_images(folder)
    }
    scored = {(candidate.data_set, candidate.source) for candidate in images} & scores.keys()
    if not scored:
        rule = "the evaluation is one of these data"
        raise InputError(rule, f"{evaluation} with {len(scores)} other images", "name another, or none")
    return {key: scores[key] for key in scored}


def predicted_scores(
    images: Sequence[GalleryCandidate], detector: Detector, limit: int | None
) -> dict[tuple[str, str], float]:
    """Scores of these images, at most so many of each class and state; what cannot be read has none."""
    looked_at = {id(sample) for sample in subset([image.sample for image in images], limit)}
    scores = {}
    for members in by_class([image for image in images if id(image.sample) in looked_at]).values():
        answers = detector.stream([image.sample.image for image in members], in_words(members[0].sample.class_name))
        for image, answer in zip(members, answers, strict=True):
            if not isinstance(answer, Failure):
                scores[image.data_set, image.source] = answer[1].score
    return scores


def by_class(images: Sequence[GalleryCandidate]) -> dict[tuple[str, str], list[GalleryCandidate]]:
    """Images by the names of data set and class."""
    classes: dict[tuple[str, str], list[GalleryCandidate]] = {}
    for image in images:
        classes.setdefault((image.data_set, image.sample.class_name), []).append(image)
    return classes


def _wrong_side(scores: np.ndarray, is_anomalous: np.ndarray) -> list[tuple[float, float]]:
    """How wrong each image is: the share of the other state on its wrong side, ties half, and its own distance."""
    sides, median = [], float(np.median(scores))
    for score, anomalous in zip(scores, is_anomalous, strict=True):
        other_scores = scores[is_anomalous != anomalous]
        towards = 1 if anomalous else -1
        above = np.mean(towards * other_scores > towards * score) if len(other_scores) else 0.0
        level = np.mean(other_scores == score) / 2 if len(other_scores) else 0.0
        sides.append((float(above + level), towards * (median - float(score))))
    return sides


def _positive(count: int) -> int:
    if count < 1:
        raise ConfigError("a figure shows at least one image of each class", count, "say 1 or more")
    return count
