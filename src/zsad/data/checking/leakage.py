"""Leakage: the same image twice, the same class in two data sets, and what a detector was trained on.

Images are compared by their decoded pixels, in any lossless format, within a data set and between two.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from zsad.data.checking.findings import Finding, FindingCase, Kind, Severity, findings_for
from zsad.data.checking.inspection import InspectedDataSet, SampleFacts
from zsad.data.specification import in_words
from zsad.wording import pluralised


def copies_within(inspected: InspectedDataSet) -> list[Finding]:
    """Images labelled both normal and anomalous, in both the training and the test split, or present more than once."""
    cases: dict[Kind, list[FindingCase]] = {"conflicting-label": [], "train-test-overlap": [], "duplicate": []}
    for group in _by_pixels(inspected).values():
        if len(group) > 1:
            for kind, original, copy in _pairs(group):
                cases[kind].append(
                    FindingCase(inspected.relative(copy.sample.image), _equals(inspected, original, copy))
                )
    both = f"{pluralised(len(cases['conflicting-label']), 'anomalous image')} also present as normal"
    leaked = f"{pluralised(len(cases['train-test-overlap']), 'test image')} also in the training split"
    duplicated = (
        f"{pluralised(len(cases['duplicate']), 'copy', 'copies')} of other images of the data set: each counts twice"
    )
    return [
        *findings_for("conflicting-label", "error", inspected.name, both, cases["conflicting-label"]),
        *findings_for("train-test-overlap", "error", inspected.name, leaked, cases["train-test-overlap"]),
        *findings_for("duplicate", "warning", inspected.name, duplicated, cases["duplicate"]),
    ]


def copies_between(data_sets: Sequence[InspectedDataSet]) -> Iterator[Finding]:
    """Images that two data sets share; an error where one of them is trained on and the other is not."""
    pixels = [_by_pixels(data_set) for data_set in data_sets]
    for first, second in combinations(range(len(data_sets)), 2):
        if pixels[first].keys() & pixels[second].keys():
            if data_sets[second].is_trained_on and not data_sets[first].is_trained_on:
                first, second = second, first
            yield _shared(data_sets[first], pixels[first], data_sets[second], pixels[second])


Groups = dict[bytes, list[SampleFacts]]


def _by_pixels(inspected: InspectedDataSet) -> Groups:
    groups: defaultdict[bytes, list[SampleFacts]] = defaultdict(list)
    for facts in inspected.facts:
        if facts.pixels:
            groups[facts.pixels].append(facts)
    return dict(groups)


def _pairs(group: list[SampleFacts]) -> list[tuple[Kind, SampleFacts, SampleFacts]]:
    """(kind, original, copy): each copy once, under the most severe kind that applies to it."""
    severe = [pair for copy in group if (pair := _severe_pair(group, copy))]
    named = [member for _, original, copy in severe for member in (original, copy)]
    first = named[0] if named else group[0]
    return [*severe, *(("duplicate", first, member) for member in group if member is not first and member not in named)]


def _severe_pair(group: list[SampleFacts], copy: SampleFacts) -> tuple[Kind, SampleFacts, SampleFacts] | None:
    normal = next((member for member in group if member.sample.label == 0 and _same_class(member, copy)), None)
    if copy.sample.label == 1 and normal:
        return "conflicting-label", normal, copy
    trained = next((member for member in group if member.sample.split == "train"), None)
    return ("train-test-overlap", trained, copy) if trained and copy.sample.split == "test" else None


def _same_class(first: SampleFacts, second: SampleFacts) -> bool:
    return first.sample.class_name == second.sample.class_name


def _equals(inspected: InspectedDataSet, original: SampleFacts, copy: SampleFacts) -> str:
    note = "" if original.content == copy.content else " (saved again)"
    return f"= {inspected.relative(original.sample.image)}{note}"


def _shared(first: InspectedDataSet, pixels: Groups, second: InspectedDataSet, second_pixels: Groups) -> Finding:
    """Cases are the images of ``second``."""
    severity: Severity = "error" if first.is_trained_on and not second.is_trained_on else "warning"
    cases = [
        FindingCase(second.relative(copy.sample.image), _equals(first, pixels[key][0], copy))
        for key, copies in second_pixels.items()
        if key in pixels
        for copy in copies
    ]
    trained = ", which is trained on" if severity == "error" else ""
    message = f"{pluralised(len(cases), 'image')} of {second.name} also in {first.name}{trained}"
    return Finding("shared", severity, (first.name, second.name), message, tuple(cases))


@dataclass(frozen=True)
class RecordedTraining:
    """The images and classes that a detector was trained on, as recorded in its folder.

    Attributes:
        name: of the detector.
        images: SHA-256 of each file (:func:`zsad.files.content_hash`) that it was trained on or keeps as a reference.
        classes: that it was trained on.
    """

    name: str
    images: frozenset[str]
    classes: tuple[str, ...]


def class_names_between(data_sets: Sequence[InspectedDataSet]) -> Iterator[Finding]:
    """Classes of the same name in several data sets; an error where one is trained on and another is not."""
    by_name: defaultdict[str, list[tuple[InspectedDataSet, str]]] = defaultdict(list)
    for data_set in data_sets:
        for name in _class_names(data_set):
            by_name[_singular(name)].append((data_set, name))
    shared_names = [members for members in by_name.values() if len({data_set.name for data_set, _ in members}) > 1]
    severities: tuple[Severity, ...] = ("error", "warning")
    for severity in severities:
        groups = [members for members in shared_names if _severity(members) == severity]
        if groups:
            yield _same_names(severity, groups)


def training_findings(inspected: InspectedDataSet, training: RecordedTraining) -> list[Finding]:
    """Images and classes of a data set that a detector was trained on."""
    cases = [
        FindingCase(inspected.relative(facts.sample.image))
        for facts in inspected.facts
        if facts.content in training.images
    ]
    number = f"{len(cases):,} of {pluralised(len(inspected.facts), 'image')}"
    message = f"{number} seen in training by detector {training.name}"
    return [
        *findings_for("seen-in-training", "error", inspected.name, message, cases),
        *_trained_classes(inspected, training),
    ]


def _trained_classes(inspected: InspectedDataSet, training: RecordedTraining) -> Iterator[Finding]:
    exact: list[FindingCase] = []
    nearly: list[FindingCase] = []
    for name in _class_names(inspected):
        alike = [trained_name for trained_name in training.classes if _singular(trained_name) == _singular(name)]
        if alike:
            is_exact = _words(name) in map(_words, alike)
            (exact if is_exact else nearly).append(FindingCase(name, f"trained on: {', '.join(alike)}"))
    detector = f"detector {training.name} was trained on"
    message = f"{detector} {_classes(exact)} of the same name: it is no zero-shot detector for these"
    yield from findings_for("class-name", "error", inspected.name, message, exact)
    message = f"{detector} {_classes(nearly)} of nearly the same name"
    yield from findings_for("class-name", "warning", inspected.name, message, nearly)


def _classes(cases: list[FindingCase]) -> str:
    return pluralised(len(cases), "class", "classes")


def _class_names(inspected: InspectedDataSet) -> list[str]:
    return list(dict.fromkeys(sample.class_name for sample in inspected.data_set.samples))


def _severity(members: list[tuple[InspectedDataSet, str]]) -> Severity:
    """A plural is only a warning: the papers train on capsules (VisA) and test on capsule (MVTec AD)."""
    trained = {_words(name) for data_set, name in members if data_set.is_trained_on}
    tested = {_words(name) for data_set, name in members if not data_set.is_trained_on}
    return "error" if trained & tested else "warning"


def _same_names(severity: Severity, groups: list[list[tuple[InspectedDataSet, str]]]) -> Finding:
    cases = tuple(
        FindingCase(members[0][1], ", ".join(f"{data_set.name} ({name})" for data_set, name in members))
        for members in groups
    )
    names = tuple(dict.fromkeys(data_set.name for members in groups for data_set, _ in members))
    number = pluralised(len(groups), "class name", "class names")
    consequence = (
        "trained on and tested: not zero-shot" if severity == "error" else "not zero-shot where one is trained on"
    )
    return Finding("class-name", severity, names, f"{number} in several data sets; {consequence}", cases)


def _words(name: str) -> str:
    return in_words(name).casefold()


def _singular(name: str) -> str:
    """Case-folded, without a plural s."""
    words = _words(name)
    return words[:-1] if len(words) > 3 and words.endswith("s") and not words.endswith("ss") else words
