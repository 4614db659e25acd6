"""How many images each class has, compared with the published numbers."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from zsad.data.checking.findings import Finding, FindingCase, Kind, Severity, findings_for
from zsad.data.checking.inspection import InspectedDataSet
from zsad.data.layouts import PublishedCount
from zsad.wording import pluralised

DIFFERENCES: tuple[tuple[Kind, int, str], ...] = (("missing", -1, "fewer"), ("extra", 1, "more"))
STATES = {0: "normal", 1: "anomalous", None: "unlabelled"}


@dataclass(frozen=True)
class ClassCount:
    """How many files a class has.

    Attributes:
        class_name: as the data set calls it.
        train: images of the training split.
        normal, anomalous, unlabelled: images of the test split.
        masks: of both splits.
        published: the published numbers, where known.
    """

    class_name: str
    train: int
    normal: int
    anomalous: int
    unlabelled: int
    masks: int
    published: PublishedCount | None


def class_counts(inspected: InspectedDataSet) -> tuple[ClassCount, ...]:
    """Every class found, then published classes that are missing."""
    images: Counter[tuple[str, str]] = Counter()
    masks: Counter[str] = Counter()
    for sample in inspected.data_set.samples:
        images[sample.class_name, "train" if sample.split == "train" else STATES[sample.label]] += 1
        masks[sample.class_name] += len(sample.masks)
    published = _published(inspected)
    names = [*dict.fromkeys([*masks, *published])]
    return tuple(_class_count(name, images, masks[name], published.get(name)) for name in names)


def _class_count(
    name: str, images: Counter[tuple[str, str]], masks: int, published: PublishedCount | None
) -> ClassCount:
    numbers = {part: images[name, part] for part in ("train", "normal", "anomalous", "unlabelled")}
    return ClassCount(name, **numbers, masks=masks, published=published)


def _published(inspected: InspectedDataSet) -> dict[str, PublishedCount]:
    """Empty where the folder holds another data set, by its classes or by the name that the user gave it."""
    return dict(inspected.data_set.kind.counts) if inspected.is_published else {}


def count_findings(inspected: InspectedDataSet, classes: tuple[ClassCount, ...]) -> list[Finding]:
    """Missing and extra classes and images."""
    return [*_classes(inspected, classes), *_images(inspected, classes)]


def _classes(inspected: InspectedDataSet, classes: tuple[ClassCount, ...]) -> list[Finding]:
    absent = [
        FindingCase(class_count.class_name)
        for class_count in classes
        if class_count.published and not _images_of(class_count)
    ]
    present = [class_count.class_name for class_count in classes if _images_of(class_count)]
    known = {*inspected.data_set.kind.classes, *_published(inspected)}
    unpublished = [FindingCase(name) for name in present if name not in known] if _published(inspected) else []
    is_single_class = present == [inspected.data_set.root.resolve().name]
    consequence = "a mean over the classes cannot be compared with published ones"
    missing = f"{pluralised(len(absent), 'published class is', 'published classes are')} missing: {consequence}"
    extra = f"{pluralised(len(unpublished), 'class is', 'classes are')} not among the published ones: {consequence}"
    return [
        *findings_for("missing", "warning" if is_single_class else "error", inspected.name, missing, absent),
        *findings_for("extra", "error", inspected.name, extra, unpublished),
    ]


def _images_of(class_count: ClassCount) -> int:
    return class_count.train + class_count.normal + class_count.anomalous + class_count.unlabelled


def _images(inspected: InspectedDataSet, classes: tuple[ClassCount, ...]) -> Iterator[Finding]:
    """Where the test split differs, numbers do; the training split matters to detectors that are shown normal ones."""
    parts: tuple[tuple[str, Severity, tuple[str, ...]], ...] = (
        ("test", "error", ("normal", "anomalous")),
        ("training", "warning", ("train",)),
    )
    for split, severity, states in parts:
        for kind, sign, word in DIFFERENCES:
            cases = [
                case
                for class_count in classes
                if _images_of(class_count)
                for case in _differences(class_count, states, sign)
            ]
            number = pluralised(len({case.subject for case in cases}), "class has", "classes have")
            message = f"{number} {word} {split} images than published"
            yield from findings_for(kind, severity, inspected.name, message, cases)


def _differences(class_count: ClassCount, states: tuple[str, ...], sign: int) -> Iterator[FindingCase]:
    for state in states:
        there, published = getattr(class_count, state), getattr(class_count.published, state, None)
        if published is not None and (there - published) * sign > 0:
            words = "training images" if state == "train" else state
            yield FindingCase(class_count.class_name, f"{there:,} {words}; published: {published:,}")
