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
    found = [
        GalleryCandidate(sample, one.name, sample.source(one.root))
        for one in data
        for sample in one.samples
        if sample.split == "test" and sample.label is not None
    ]
    known = {one.sample.class_name for one in found}
    for name in classes or ():
        if name not in known:
            raise unknown_name("class of these data sets", name, known)
    kept = [one for one in found if classes is None or one.sample.class_name in classes]
    if not kept:
        what = ", ".join(one.name for one in data) or "none"
        raise InputError("a figure needs labelled test images", what, "name other data")
    return kept


def named(found: Sequence[GalleryCandidate], patterns: Sequence[str]) -> list[GalleryCandidate]:
    """Images in the order of the patterns, each once.

    Args:
        found: what there is.
        patterns: names or paths below the data set, with ``*``, ``?`` and ``[...]``; as ``bent_lead/00?.png`` each
            also matches the end of a path.

    Raises:
        InputError: a pattern matches no image.
    """
    chosen: dict[tuple[str, str], GalleryCandidate] = {}
    for pattern in patterns:
        fitting = [one for one in found if fnmatchcase(f"/{one.source}", f"*/{pattern.lstrip('/')}")]
        if not fitting:
            example = f"names are such as {found[0].source}"
            raise InputError("a pattern matches an image of the data", repr(pattern), example)
        chosen.update({(one.data_set, one.source): one for one in fitting if (one.data_set, one.source) not in chosen})
    return list(chosen.values())


def at_random(found: Sequence[GalleryCandidate], count: int, seed: int) -> list[GalleryCandidate]:
    """So many of each class, kinds of defect in turn, so that few images show most of them; in their own order.

    Raises:
        ConfigError: the count is below 1.
    """
    check_seed(seed)
    rng = random.Random(seed)
    chosen = []
    for members in by_class(found).values():
        kinds: dict[str, list[GalleryCandidate]] = {}
        for one in rng.sample(members, len(members)):
            kinds.setdefault(one.sample.kind, []).append(one)
        turns = [one for turn in range(len(members)) for of_kind in kinds.values() for one in of_kind[turn : turn + 1]]
        taken = {id(one) for one in turns[: _positive(count)]}
        chosen += [one for one in members if id(one) in taken]
    return chosen


def extreme(
    found: Sequence[GalleryCandidate], which: Extreme, count: int, scores: Mapping[tuple[str, str], float]
) -> list[GalleryCandidate]:
    """So many of each class: those that a detector ranks worst or best, in that order.

    An image is the worse, the more images of the other state score on its wrong side; of equals, the farther
    its own score is on the wrong side of the median. No threshold has a part in it.

    Args:
        found: what there is.
        which: end of the ranking.
        count: of each class.
        scores: by the names of data set and source; who has none is left out.

    Raises:
        ConfigError: the count is below 1.
    """
    chosen = []
    for members in by_class([one for one in found if (one.data_set, one.source) in scores]).values():
        own = np.array([scores[one.data_set, one.source] for one in members])
        wrong = _wrong_side(own, np.array([bool(one.sample.label) for one in members]))
        order = sorted(range(len(members)), key=lambda at: wrong[at], reverse=which == "worst")
        chosen += [members[at] for at in order[: _positive(count)]]
    return chosen


def evaluated_scores(found: Sequence[GalleryCandidate], evaluation: Path) -> dict[tuple[str, str], float]:
    """Scores that an evaluation has left of these images, by the names of data set and source.

    Raises:
        InputError: it cannot be read, or knows none of the images.
    """
    scores = {
        (data_set, image.source): image.score
        for (data_set, _), folder in store.class_folders(evaluation).items()
        for image in store.read_images(folder)
    }
    known = {(one.data_set, one.source) for one in found} & scores.keys()
    if not known:
        rule = "the evaluation is one of these data"
        raise InputError(rule, f"{evaluation} with {len(scores)} other images", "name another, or none")
    return {key: scores[key] for key in known}


def predicted_scores(
    found: Sequence[GalleryCandidate], detector: Detector, most: int | None
) -> dict[tuple[str, str], float]:
    """Scores of these images, at most so many of each class and state; what cannot be read has none."""
    looked_at = {id(sample) for sample in subset([one.sample for one in found], most)}
    scores = {}
    for members in by_class([one for one in found if id(one.sample) in looked_at]).values():
        answers = detector.stream([one.sample.image for one in members], in_words(members[0].sample.class_name))
        for one, answer in zip(members, answers, strict=True):
            if not isinstance(answer, Failure):
                scores[one.data_set, one.source] = answer[1].score
    return scores


def by_class(found: Sequence[GalleryCandidate]) -> dict[tuple[str, str], list[GalleryCandidate]]:
    """Images by the names of data set and class."""
    classes: dict[tuple[str, str], list[GalleryCandidate]] = {}
    for one in found:
        classes.setdefault((one.data_set, one.sample.class_name), []).append(one)
    return classes


def _wrong_side(scores: np.ndarray, truth: np.ndarray) -> list[tuple[float, float]]:
    """How wrong each image is: the share of the other state on its wrong side, ties half, and its own distance."""
    found, median = [], float(np.median(scores))
    for score, anomalous in zip(scores, truth, strict=True):
        others = scores[truth != anomalous]
        towards = 1 if anomalous else -1
        above = np.mean(towards * others > towards * score) if len(others) else 0.0
        level = np.mean(others == score) / 2 if len(others) else 0.0
        found.append((float(above + level), towards * (median - float(score))))
    return found


def _positive(count: int) -> int:
    if count < 1:
        raise ConfigError("a figure shows at least one image of each class", count, "say 1 or more")
    return count
