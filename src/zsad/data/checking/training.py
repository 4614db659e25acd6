"""Class names that meet, and what a detector has seen: where zero-shot is no longer zero-shot."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from zsad.data.checking.findings import Finding, FindingCase, Severity, found
from zsad.data.checking.inspection import Inspected
from zsad.data.specification import in_words
from zsad.wording import pluralised


@dataclass(frozen=True)
class RecordedTraining:
    """What a detector has seen, as its folder records it.

    Attributes:
        name: of the detector.
        images: SHA-256 of each file (:func:`zsad.files.content_hash`) that it was trained on or remembers.
        classes: that it was trained on.
    """

    name: str
    images: frozenset[str]
    classes: tuple[str, ...]


def class_names_between(data_sets: Sequence[Inspected]) -> Iterator[Finding]:
    """Classes of one name in several data sets; an error where one is trained on and another is not."""
    by_name: defaultdict[str, list[tuple[Inspected, str]]] = defaultdict(list)
    for one in data_sets:
        for name in _class_names(one):
            by_name[_singular(name)].append((one, name))
    met = [members for members in by_name.values() if len({one.name for one, _ in members}) > 1]
    severities: tuple[Severity, ...] = ("error", "warning")
    for severity in severities:
        groups = [members for members in met if _severity(members) == severity]
        if groups:
            yield _same_names(severity, groups)


def training_findings(inspected: Inspected, training: RecordedTraining) -> list[Finding]:
    """Images and classes of a data set that a detector was trained on."""
    seen = [FindingCase(inspected.below(one.sample.image)) for one in inspected.facts if one.content in training.images]
    number = f"{len(seen):,} of {pluralised(len(inspected.facts), 'image')}"
    return [
        *found("seen", "error", inspected.name, f"{number} seen in training by detector {training.name}", seen),
        *_trained_classes(inspected, training),
    ]


def _trained_classes(inspected: Inspected, training: RecordedTraining) -> Iterator[Finding]:
    exact: list[FindingCase] = []
    nearly: list[FindingCase] = []
    for name in _class_names(inspected):
        alike = [one for one in training.classes if _singular(one) == _singular(name)]
        if alike:
            is_exact = _words(name) in map(_words, alike)
            (exact if is_exact else nearly).append(FindingCase(name, f"trained on: {', '.join(alike)}"))
    detector = f"detector {training.name} was trained on"
    message = f"{detector} {_classes(exact)} of the same name: it is no zero-shot detector for these"
    yield from found("class-name", "error", inspected.name, message, exact)
    message = f"{detector} {_classes(nearly)} of nearly the same name"
    yield from found("class-name", "warning", inspected.name, message, nearly)


def _classes(cases: list[FindingCase]) -> str:
    return pluralised(len(cases), "class", "classes")


def _class_names(inspected: Inspected) -> list[str]:
    return list(dict.fromkeys(one.class_name for one in inspected.data_set.samples))


def _severity(members: list[tuple[Inspected, str]]) -> Severity:
    """Nearly the same is not the same: the papers train on capsules of VisA and test on the capsule of MVTec AD."""
    trained = {_words(name) for one, name in members if one.is_trained_on}
    tested = {_words(name) for one, name in members if not one.is_trained_on}
    return "error" if trained & tested else "warning"


def _same_names(severity: Severity, groups: list[list[tuple[Inspected, str]]]) -> Finding:
    cases = tuple(
        FindingCase(members[0][1], ", ".join(f"{one.name} ({name})" for one, name in members)) for members in groups
    )
    concerned = tuple(dict.fromkeys(one.name for members in groups for one, _ in members))
    number = pluralised(len(groups), "class name", "class names")
    follows = "trained on and tested: not zero-shot" if severity == "error" else "not zero-shot where one is trained on"
    return Finding("class-name", severity, concerned, f"{number} in several data sets; {follows}", cases)


def _words(name: str) -> str:
    return in_words(name).casefold()


def _singular(name: str) -> str:
    """Folded, without the s of a plural."""
    words = _words(name)
    return words[:-1] if len(words) > 3 and words.endswith("s") and not words.endswith("ss") else words
