"""The same image twice, whatever lossless file it is in: within a data set, or in two of them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

from zsad.data.checking.findings import Finding, FindingCase, Kind, Severity, found
from zsad.data.checking.inspection import Inspected, SampleFacts
from zsad.wording import pluralised


def copies_within(inspected: Inspected) -> list[Finding]:
    """Images that are both normal and anomalous, both in training and in test, or simply there more than once."""
    cases: dict[Kind, list[FindingCase]] = {"contradictory": [], "leaked": [], "duplicated": []}
    for group in _by_pixels(inspected).values():
        if len(group) > 1:
            for kind, original, copy in _pairs(group):
                cases[kind].append(FindingCase(inspected.below(copy.sample.image), _equals(inspected, original, copy)))
    both = f"{pluralised(len(cases['contradictory']), 'anomalous image')} also there as normal"
    leaked = f"{pluralised(len(cases['leaked']), 'test image')} also in the training split"
    again = (
        f"{pluralised(len(cases['duplicated']), 'copy', 'copies')} of images that are there already: each counts again"
    )
    return [
        *found("contradictory", "error", inspected.name, both, cases["contradictory"]),
        *found("leaked", "error", inspected.name, leaked, cases["leaked"]),
        *found("duplicated", "warning", inspected.name, again, cases["duplicated"]),
    ]


def copies_between(data_sets: Sequence[Inspected]) -> Iterator[Finding]:
    """Images that two data sets share; an error where one of them is trained on and the other is not."""
    pixels = [_by_pixels(one) for one in data_sets]
    for first, second in combinations(range(len(data_sets)), 2):
        if pixels[first].keys() & pixels[second].keys():
            if data_sets[second].is_trained_on and not data_sets[first].is_trained_on:
                first, second = second, first
            yield _shared(data_sets[first], pixels[first], data_sets[second], pixels[second])


Groups = dict[bytes, list[SampleFacts]]


def _by_pixels(inspected: Inspected) -> Groups:
    groups: defaultdict[bytes, list[SampleFacts]] = defaultdict(list)
    for facts in inspected.facts:
        if facts.pixels:
            groups[facts.pixels].append(facts)
    return dict(groups)


def _pairs(group: list[SampleFacts]) -> list[tuple[Kind, SampleFacts, SampleFacts]]:
    """(kind, original, copy): each copy once, under the gravest kind that applies to it."""
    grave = [pair for copy in group if (pair := _grave(group, copy))]
    named = [one for _, original, copy in grave for one in (original, copy)]
    first = named[0] if named else group[0]
    return [*grave, *(("duplicated", first, one) for one in group if one is not first and one not in named)]


def _grave(group: list[SampleFacts], copy: SampleFacts) -> tuple[Kind, SampleFacts, SampleFacts] | None:
    normal = next((one for one in group if one.sample.label == 0 and _same_class(one, copy)), None)
    if copy.sample.label == 1 and normal:
        return "contradictory", normal, copy
    trained = next((one for one in group if one.sample.split == "train"), None)
    return ("leaked", trained, copy) if trained and copy.sample.split == "test" else None


def _same_class(one: SampleFacts, other: SampleFacts) -> bool:
    return one.sample.class_name == other.sample.class_name


def _equals(inspected: Inspected, original: SampleFacts, copy: SampleFacts) -> str:
    again = "" if original.content == copy.content else " (saved again)"
    return f"= {inspected.below(original.sample.image)}{again}"


def _shared(one: Inspected, pixels: Groups, other: Inspected, others: Groups) -> Finding:
    """Cases are the images of ``other``."""
    severity: Severity = "error" if one.is_trained_on and not other.is_trained_on else "warning"
    cases = [
        FindingCase(other.below(copy.sample.image), _equals(one, pixels[key][0], copy))
        for key, copies in others.items()
        if key in pixels
        for copy in copies
    ]
    trained = ", which is trained on" if severity == "error" else ""
    message = f"{pluralised(len(cases), 'image')} of {other.name} also in {one.name}{trained}"
    return Finding("shared", severity, (one.name, other.name), message, tuple(cases))
