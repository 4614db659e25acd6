"""Does the class token know damage by its name, on images of real damage of sources that never train?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.embedded.corpus import RESAMPLES, image_features, text_features
from benchmarks.embedded.markdown import percent, table
from zsad.backbones.clip import Clip
from zsad.metrics import auroc, bootstrap_interval
from zsad.results.schema import Metric
from zsad.tools.pretrain.store import HOLD_OUT, CorpusImage

SOURCES = {"casting": ("metal casting", "defective")}
"""Sources with images of both states: what they show, and the word in the captions of damaged ones."""
STATES = ("flawless {}", "damaged {}")
ANYTHING = "object"


@dataclass(frozen=True)
class Flaws:
    """Image AUROC of damaged against flawless images of a source.

    Attributes:
        source: of the corpus.
        never_trains: whether none of its images trained; where some did, only those that did not are looked at.
        called: what the prompts call the thing.
        normal, damaged: images.
        image_auroc: of cos(image, damaged) - cos(image, flawless).
    """

    source: str
    never_trains: bool
    called: str
    normal: int
    damaged: int
    image_auroc: Metric


def told(clip: Clip, corpus: Sequence[CorpusImage], unseen: frozenset[str]) -> list[Flaws]:
    """For each source that has both states, with the thing named and not named."""
    found = []
    for source, (thing, word) in SOURCES.items():
        some = corpus if source in unseen else corpus[::HOLD_OUT]
        entries = [entry for entry in some if entry.source == source]
        labels = [int(word in entry.caption) for entry in entries]
        if len(set(labels)) < 2:
            continue
        images = image_features(clip, [entry.file for entry in entries])
        for called in (thing, ANYTHING):
            normal, damaged = text_features(clip, [state.format(called) for state in STATES])
            scores = (images @ (damaged - normal)).numpy()
            counts = labels.count(0), labels.count(1)
            found.append(Flaws(source, source in unseen, called, *counts, _auroc(scores, labels)))
    return found


def text(flaws: Mapping[str, Sequence[Flaws]]) -> str:
    """A line for each weights, source and name."""
    head = ["weights", "source", "normal", "damaged", "called", "image AUROC"]
    rows = [
        [what, one.source, str(one.normal), str(one.damaged), one.called, percent(one.image_auroc)]
        for what, found in flaws.items()
        for one in found
    ]
    if not rows:
        return "No source of the corpus shows damage and its absence."
    trains = {one.source for found in flaws.values() for one in found if not one.never_trains}
    some = [f"Of {source}, others train: only every {HOLD_OUT}th image is looked at." for source in sorted(trains)]
    normal, damaged = (state.format("…") for state in STATES)
    return "\n\n".join([f"Class token: “{damaged}” against “{normal}”.", table(head, rows), *some])


def _auroc(scores: np.ndarray, labels: Sequence[int]) -> Metric:
    low, high = bootstrap_interval(auroc, scores, labels, resamples=RESAMPLES)
    return Metric(auroc(scores, labels), low, high)
