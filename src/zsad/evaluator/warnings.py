"""What a reader must know of the data before believing the numbers, in full sentences."""

from collections import defaultdict
from collections.abc import Sequence

from zsad.data.masks.warnings import DOUBTS
from zsad.evaluator.plan import PlannedClass, PlannedSet
from zsad.evaluator.results import ClassResult, Protocol
from zsad.wording import pluralised

FEW = 10
"""Images of a state below which a bootstrap is known to be too sure of itself."""


def of_data(planned: PlannedSet, results: Sequence[ClassResult], protocol: Protocol) -> list[str]:
    """What is missing of the data set, class by class."""
    return [
        *_quick_look(protocol),
        *_incomplete(planned, protocol),
        *(said for one in planned.classes for said in _copies(one)),
        *(said for one in results for said in _class(one)),
    ]


def _quick_look(protocol: Protocol) -> list[str]:
    if protocol.max_images is None:
        return []
    return [
        f"A quick look: at most {protocol.max_images} images of each class and state, drawn with seed 0. "
        f"These are not the numbers of the whole data set."
    ]


def _incomplete(planned: PlannedSet, protocol: Protocol) -> list[str]:
    """A published data set that is not all there, or not as published."""
    counts = planned.data.kind.counts
    if not planned.data.is_published or protocol.split != "test" or protocol.max_images is not None:
        return []
    found = {one.name: [item.label for item in one.items] for one in planned.classes}
    said = []
    published = list(dict.fromkeys([*planned.data.kind.classes, *counts])) if counts else []
    if missing := [name for name in published if name not in found]:
        said.append(f"{len(missing)} of {len(published)} published classes are not part of this: {', '.join(missing)}.")
    for name, labels in found.items():
        if name not in counts:  # nobody says how many it has
            continue
        ours, theirs = (labels.count(0), labels.count(1)), (counts[name].normal, counts[name].anomalous)
        if ours != theirs:
            said.append(
                f"{name}: {ours[0]} normal and {ours[1]} anomalous images; as published {theirs[0]} and {theirs[1]}."
            )
    return said


def _copies(one: PlannedClass) -> list[str]:
    """The same file more than once: it counts more than once, and resamples take it for several images."""
    labels: defaultdict[str, list[int]] = defaultdict(list)
    for item in one.items:
        if item.content:
            labels[item.content].append(item.label)
    said = []
    if copies := sum(len(found) - 1 for found in labels.values()):
        said.append(
            f"{one.name}: {pluralised(copies, 'copy', 'copies')} of images that are there already: each counts again."
        )
    if both := sum(len(set(found)) > 1 for found in labels.values()):
        said.append(f"{one.name}: {pluralised(both, 'image is', 'images are')} there as normal and as anomalous.")
    return said


def _class(one: ClassResult) -> list[str]:
    said = []
    if one.unreadable:
        first = ", ".join(list(one.unreadable)[:3]) + (", …" if len(one.unreadable) > 3 else "")
        left_out = f"{pluralised(len(one.unreadable), 'image')} left out, unreadable or with an unreadable mask"
        said.append(f"{one.class_name}: {left_out}: {first}.")
    if one.without_mask:
        said.append(
            f"{one.class_name}: {pluralised(one.without_mask, 'image')} without a mask, anomalous, "
            f"counted for image metrics only."
        )
    if one.blank_masks:
        said.append(
            f"{one.class_name}: {pluralised(one.blank_masks, 'anomalous image')} without an anomalous pixel, in the "
            f"mask or at this resolution: all of their pixels count as normal."
        )
    for state, count in (("normal", one.normal), ("anomalous", one.anomalous)):
        if 0 < count < FEW and any(metric.low is not None for metric in one.metrics.values()):
            said.append(f"{one.class_name}: {pluralised(count, f'{state} image')}: so few make intervals too narrow.")
    for doubt, what in DOUBTS.items():
        if images := one.doubts.get(doubt, 0):
            said.append(f"{one.class_name}: masks of {pluralised(images, 'image')} {what}.")
    if one.unlabelled:
        said.append(f"{one.class_name}: {pluralised(one.unlabelled, 'image')} without a label left out.")
    return said
