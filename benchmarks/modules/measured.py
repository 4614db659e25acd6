"""A detector's answers with and without a module, held against each other and against the truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np
from jaxtyping import Bool, Float32
from scipy.stats import spearmanr

from zsad.data.decode import decode
from zsad.evaluator.class_evaluator import ground_truth
from zsad.evaluator.plan import PlannedClass
from zsad.metrics import ImageMetrics, PixelMetrics, Undefined
from zsad.predictor import Detector

METRICS = ("image AUROC", "pixel AUROC", "pixel AP")
VERDICTS = {1e-4: "changes nothing", 1e-3: "changes hardly anything"}
"""By the mean absolute changes of maps and scores that are not reached, where no metric moves by ``POINTS``."""
POINTS = 0.001
Map = Float32[np.ndarray, "rows cols"]


@dataclass(frozen=True)
class Labelled:
    """The images of a class, in memory; a mask is None where nobody says which pixels are anomalous."""

    prompt: str
    images: list[np.ndarray]
    labels: list[int]
    masks: list[Bool[np.ndarray, "rows cols"] | None]


@dataclass(frozen=True)
class Answers:
    """What a detector says of the images of each class: a score each, and a map at the size of the image."""

    scores: list[np.ndarray]
    maps: list[list[Map]]


@dataclass(frozen=True)
class Effect:
    """What taking a module out has changed.

    Attributes:
        map_change, score_change: mean absolute change, over images.
        ranks: Spearman's correlation of all scores with and without; None where one of them does not vary.
        metrics: without the module, by the names of ``METRICS``, as fractions; None where the data do not define one.
        differences: these less those with the module.
    """

    map_change: float
    score_change: float
    ranks: float | None
    metrics: dict[str, float | None]
    differences: dict[str, float | None]

    @property
    def verdict(self) -> str:
        """What to say of a module that does little; nothing of others."""
        moved = [abs(one) for one in self.differences.values() if one is not None]
        if max(moved, default=0.0) >= POINTS:
            return ""
        change = max(self.map_change, self.score_change)
        return next((words for bound, words in VERDICTS.items() if change < bound), "")


def read(planned: PlannedClass) -> Labelled:
    """The images of a class and what is true of them."""
    images = [decode(item.sample.image) for item in planned.items]
    masks = [ground_truth(item, one.size, one.size)[0] for item, one in zip(planned.items, images, strict=True)]
    return Labelled(planned.prompt, [one.pixels for one in images], [item.label for item in planned.items], masks)


def ask(detector: Detector, data: Sequence[Labelled]) -> Answers:
    """The detector's answers."""
    found = [detector.predict([*one.images], one.prompt) for one in data]
    return Answers(
        [np.array([answer.score for answer in one]) for one in found],
        [[answer.anomaly_map for answer in one] for one in found],
    )


def effect(before: Answers, after: Answers, data: Sequence[Labelled]) -> Effect:
    """From the answers with a module to those without."""
    maps = [
        np.abs(new.astype(float) - old).mean()
        for both in zip(after.maps, before.maps, strict=True)
        for new, old in zip(*both, strict=True)
    ]
    new_scores, old_scores = np.concatenate(after.scores), np.concatenate(before.scores)
    was, now = metrics(before, data), metrics(after, data)
    pairs = {name: (was[name], now[name]) for name in METRICS}
    differences = {name: None if new is None or old is None else new - old for name, (old, new) in pairs.items()}
    return Effect(
        float(np.mean(maps)),
        float(np.abs(new_scores - old_scores).mean()),
        rank_correlation(old_scores, new_scores),
        now,
        differences,
    )


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's; None where one of them is constant."""
    if not np.ptp(first) or not np.ptp(second):
        return None
    return float(spearmanr(first, second).statistic)


def metrics(answers: Answers, data: Sequence[Labelled]) -> dict[str, float | None]:
    """Means over the classes that define each."""
    classes = [_of_class(*one) for one in zip(answers.scores, answers.maps, data, strict=True)]
    values = {name: [one[name] for one in classes] for name in METRICS}
    return {name: _mean([one for one in each if not isinstance(one, Undefined)]) for name, each in values.items()}


def _of_class(scores: np.ndarray, maps: list[Map], data: Labelled) -> dict[str, float | Undefined]:
    image = ImageMetrics().update(scores, data.labels).compute()
    pairs = [(one, mask) for one, mask in zip(maps, data.masks, strict=True) if mask is not None]
    gathered = PixelMetrics()
    if pairs:
        gathered.update([one for one, _ in pairs], [mask for _, mask in pairs])
    pixel = gathered.compute()
    return dict(zip(METRICS, (image["auroc"], pixel["auroc"], pixel["average_precision"]), strict=True))


def _mean(values: list[float]) -> float | None:
    return mean(values) if values else None
