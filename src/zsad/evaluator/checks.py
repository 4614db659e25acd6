"""What an evaluation refuses beforehand, and what it warns the readers of its numbers of, in full sentences."""

from collections import defaultdict
from collections.abc import Sequence

from zsad.checkpoint import TrainingRecord
from zsad.data.decode import decode
from zsad.data.masks.warnings import MASK_WARNINGS
from zsad.data.specification import in_words
from zsad.errors import ConfigError, InputError
from zsad.evaluator.plan import PlannedClass, PlannedSet
from zsad.methods import FewShot
from zsad.predictor import Detector
from zsad.results.schema import ClassResult, Protocol
from zsad.statistics.intervals import FEW
from zsad.wording import pluralised


def seen_in_training(planned: PlannedClass, record: TrainingRecord) -> int:
    """How many images of a class the detector was trained or calibrated on, remembers or is shown for it."""
    seen = {*record.seen, *(shot.content for shot in planned.shots)} - {""}
    return sum(item.content in seen for item in planned.items)


def refuse_seen(planned: Sequence[PlannedSet], record: TrainingRecord) -> None:
    """Make sure that no image was seen before.

    Raises:
        InputError: some were; it says how many of which class.
    """
    counts = [
        (seen_in_training(planned_class, record), planned_class) for data in planned for planned_class in data.classes
    ]
    refused = [
        f"{count} of {len(planned_class.items)} of {planned_class.name} ({planned_class.data_set})"
        for count, planned_class in counts
        if count
    ]
    if refused:
        raise InputError(
            "a detector is evaluated on images that it was not trained or calibrated on and does not remember",
            ", ".join(refused),
            "name other data, or say --allow-training-data (in Python: allow_training_data=True) and results will warn",
        )


def leakage_warnings(planned: PlannedSet, record: TrainingRecord, is_trained: bool) -> list[str]:
    """What a reader must know of the images and classes that the detector has seen, in full sentences.

    Args:
        planned: the data.
        record: what is on record of the detector.
        is_trained: whether something of it is learnt by training.
    """
    warnings = []
    for planned_class in planned.classes:
        if count := seen_in_training(planned_class, record):
            warnings.append(
                f"{planned_class.name}: {count} of {len(planned_class.items)} images were seen by the detector in "
                f"training, as normal images to remember or in calibration. The numbers of this class, and the means, "
                f"say nothing of unseen data."
            )
    if not record.is_on_record or (is_trained and not record.training):
        warnings.append(
            "It is not on record on which images the detector was trained: some of these may be among them."
        )
    trained_on = {in_words(name).casefold() for name in record.training.get("classes", {})}
    same = [planned_class.name for planned_class in planned.classes if planned_class.prompt.casefold() in trained_on]
    if same:
        warnings.append(
            f"The detector was trained on classes of the same name: {', '.join(same)}. "
            f"For these it is not a zero-shot detector."
        )
    return warnings


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
            "name the detector that zsad fit was given, or leave --shots out to evaluate this memory",
        )


def check_fitted(detector: Detector) -> None:
    """Make sure that a detector that is few-shot only remembers normal images.

    Raises:
        ConfigError: it remembers none.
    """
    method = detector.method
    if isinstance(method, FewShot) and method.needs_normal and not method.is_few_shot:
        rule = "a detector that is few-shot only is evaluated with normal images"
        remedy = "say --shots K, or name a detector that zsad fit was given"
        raise ConfigError(rule, f"none for {detector.card.method}", remedy)


def check_shots(planned: Sequence[PlannedSet]) -> None:
    """Make sure, before any work, that all images that will be shown can be read.

    Raises:
        InputError: one cannot; the message names it.
    """
    for data in planned:
        for planned_class in data.classes:
            for shot in planned_class.shots:
                decode(shot.sample.image)


def shots_warnings(planned: PlannedSet) -> list[str]:
    """What a reader must know of the images that are shown, in full sentences."""
    copies = {
        planned_class.name: len(planned_class.shots) - len({shot.content for shot in planned_class.shots})
        for planned_class in planned.classes
    }
    return [
        f"{name}: {pluralised(count, 'copy', 'copies')} among the normal images that the detector was shown."
        for name, count in copies.items()
        if count
    ]


def data_warnings(planned: PlannedSet, results: Sequence[ClassResult], protocol: Protocol) -> list[str]:
    """What is missing of the data set, class by class."""
    return [
        *_transductive(results),
        *_quick_look(protocol),
        *_incomplete(planned, protocol),
        *(warning for planned_class in planned.classes for warning in _copies(planned_class)),
        *(warning for result in results for warning in _class_warnings(result)),
    ]


def _transductive(results: Sequence[ClassResult]) -> list[str]:
    """That, and of which classes, images judged one another; what the detector said of each that was not usual."""
    together = [result.class_name for result in results if result.is_transductive]
    if not together:
        return []
    which = "each class" if len(together) == len(results) else ", ".join(together)
    return [
        f"Transductive: the test images of {which} judged one another, without their labels. Scores would be others "
        f"among other images, which intervals do not show."
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
    labels_of = {planned_class.name: [item.label for item in planned_class.items] for planned_class in planned.classes}
    warnings = []
    published = list(dict.fromkeys([*planned.data.kind.classes, *counts])) if counts else []
    if missing := [name for name in published if name not in labels_of]:
        warnings.append(
            f"{len(missing)} of {len(published)} published classes are not part of this: {', '.join(missing)}."
        )
    for name, labels in labels_of.items():
        if name not in counts:  # nobody says how many it has
            continue
        ours, theirs = (labels.count(0), labels.count(1)), (counts[name].normal, counts[name].anomalous)
        if ours != theirs:
            warnings.append(
                f"{name}: {ours[0]} normal and {ours[1]} anomalous images; as published {theirs[0]} and {theirs[1]}."
            )
    return warnings


def _copies(planned: PlannedClass) -> list[str]:
    """The same file more than once: it counts more than once, and resamples take it for several images."""
    labels: defaultdict[str, list[int]] = defaultdict(list)
    for item in planned.items:
        if item.content:
            labels[item.content].append(item.label)
    warnings = []
    if copies := sum(len(labels_of_content) - 1 for labels_of_content in labels.values()):
        warnings.append(
            f"{planned.name}: {pluralised(copies, 'copy', 'copies')} of images that are there already: "
            f"each counts again."
        )
    if contradictory := sum(len(set(labels_of_content)) > 1 for labels_of_content in labels.values()):
        warnings.append(
            f"{planned.name}: {pluralised(contradictory, 'image is', 'images are')} there as normal and as anomalous."
        )
    return warnings


def _class_warnings(result: ClassResult) -> list[str]:
    warnings = []
    if result.unreadable:
        first = ", ".join(list(result.unreadable)[:3]) + (", …" if len(result.unreadable) > 3 else "")
        left_out = f"{pluralised(len(result.unreadable), 'image')} left out, unreadable or with an unreadable mask"
        warnings.append(f"{result.class_name}: {left_out}: {first}.")
    if result.without_mask:
        warnings.append(
            f"{result.class_name}: {pluralised(result.without_mask, 'image')} without a mask, anomalous, "
            f"counted for image metrics only."
        )
    if result.blank_masks:
        warnings.append(
            f"{result.class_name}: {pluralised(result.blank_masks, 'anomalous image')} without an anomalous pixel, in "
            f"the mask or at this resolution: all of their pixels count as normal."
        )
    for state, count in (("normal", result.normal), ("anomalous", result.anomalous)):
        if 0 < count < FEW and any(metric.low is not None for metric in result.metrics.values()):
            warnings.append(
                f"{result.class_name}: {pluralised(count, f'{state} image')}: so few make intervals too narrow."
            )
    for kind, text in MASK_WARNINGS.items():
        if images := result.mask_warnings.get(kind, 0):
            warnings.append(f"{result.class_name}: masks of {pluralised(images, 'image')} {text}.")
    if result.unlabelled:
        warnings.append(f"{result.class_name}: {pluralised(result.unlabelled, 'image')} without a label left out.")
    return warnings
