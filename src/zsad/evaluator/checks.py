"""What an evaluation refuses beforehand, and what it warns the readers of its numbers of, in full sentences."""

from collections import defaultdict
from collections.abc import Sequence

from zsad.checkpoint import TrainingRecord
from zsad.data.decode import decode
from zsad.data.masks.warnings import MASK_WARNINGS
from zsad.data.specification import in_words
from zsad.errors import ConfigError, InputError
from zsad.evaluator.plan import PlannedClass, PlannedSet
from zsad.predictor import Detector
from zsad.results.schema import ClassResult, Protocol
from zsad.statistics.intervals import FEW
from zsad.wording import pluralised


def seen_in_training(one: PlannedClass, record: TrainingRecord) -> int:
    """How many images of a class the detector was trained on, remembers or is shown for it, by their content."""
    known = {*record.images, *(shot.content for shot in one.shots)} - {""}
    return sum(item.content in known for item in one.items)


def refuse_seen(planned: Sequence[PlannedSet], record: TrainingRecord) -> None:
    """Make sure that no image was seen before.

    Raises:
        InputError: some were; it says how many of which class.
    """
    counts = [(seen_in_training(one, record), one) for data in planned for one in data.classes]
    words = [f"{count} of {len(one.items)} of {one.name} ({one.data_set})" for count, one in counts if count]
    if words:
        raise InputError(
            "a detector is evaluated on images that it was not trained on and does not remember",
            ", ".join(words),
            "name other data, or say --allow-training-data (in Python: allow_training_data=True) and results will warn",
        )


def leakage_warnings(planned: PlannedSet, record: TrainingRecord, is_trained: bool) -> list[str]:
    """What a reader must know of the images and classes that the detector has seen, in full sentences.

    Args:
        planned: the data.
        record: what is on record of the detector.
        is_trained: whether something of it is learnt by training.
    """
    said = []
    for one in planned.classes:
        if count := seen_in_training(one, record):
            said.append(
                f"{one.name}: {count} of {len(one.items)} images were seen by the detector in training or as normal "
                f"images to remember. The numbers of this class, and the means, say nothing of unseen data."
            )
    if not record.is_on_record or (is_trained and not record.training):
        said.append("It is not on record on which images the detector was trained: some of these may be among them.")
    trained_on = {in_words(name).casefold() for name in record.training.get("classes", {})}
    same = [one.name for one in planned.classes if one.prompt.casefold() in trained_on]
    if same:
        said.append(
            f"The detector was trained on classes of the same name: {', '.join(same)}. "
            f"For these it is not a zero-shot detector."
        )
    return said


def check_few_shot(detector: Detector) -> None:
    """Make sure that a detector can be shown normal images, and was shown none before.

    Raises:
        ConfigError: its method has no few-shot mode, it is not in fp32, or it remembers images already.
    """
    detector.few_shot()
    if detector.memory_summary:
        raise ConfigError(
            "a detector that is shown images of each class remembers none before",
            detector.memory_summary,
            "name the detector that zsad fit-normal was given, or leave --shots out to evaluate this memory",
        )


def check_shots(planned: Sequence[PlannedSet]) -> None:
    """Make sure, before any work, that all images that will be shown can be read.

    Raises:
        InputError: one cannot; the message names it.
    """
    for data in planned:
        for one in data.classes:
            for shot in one.shots:
                decode(shot.sample.image)


def shots_warnings(planned: PlannedSet) -> list[str]:
    """What a reader must know of the images that are shown, in full sentences."""
    copies = {one.name: len(one.shots) - len({shot.content for shot in one.shots}) for one in planned.classes}
    return [
        f"{name}: {pluralised(count, 'copy', 'copies')} among the normal images that the detector was shown."
        for name, count in copies.items()
        if count
    ]


def data_warnings(planned: PlannedSet, results: Sequence[ClassResult], protocol: Protocol) -> list[str]:
    """What is missing of the data set, class by class."""
    return [
        *_quick_look(protocol),
        *_incomplete(planned, protocol),
        *(said for one in planned.classes for said in _copies(one)),
        *(said for one in results for said in _class_warnings(one)),
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


def _class_warnings(one: ClassResult) -> list[str]:
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
    for doubt, what in MASK_WARNINGS.items():
        if images := one.doubts.get(doubt, 0):
            said.append(f"{one.class_name}: masks of {pluralised(images, 'image')} {what}.")
    if one.unlabelled:
        said.append(f"{one.class_name}: {pluralised(one.unlabelled, 'image')} without a label left out.")
    return said
