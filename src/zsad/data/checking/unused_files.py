"""What lies in the folder of a data set and is not used, so that nothing is left out without a word."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Set
from pathlib import Path

from zsad.data.checking.findings import Finding, FindingCase, found
from zsad.data.checking.inspection import Inspected
from zsad.data.layouts._trees import composed
from zsad.data.sources import FoundImages, look
from zsad.wording import pluralised


def findings_besides(inspected: Inspected, known: Set[Path]) -> Iterator[Finding]:
    """Files that cannot be read as images, images that are not used, and how much else there is.

    Args:
        inspected: the data set. Beside the images of a list only their own folders are looked at.
        known: images that other findings name, or that are not used for good reason.
    """
    homes = {facts.sample.image.parent for facts in inspected.facts}
    there = _there(inspected, homes)
    yield from _unreadable(inspected, there, homes)
    yield from _unused(inspected, there, known)
    other_files = there.others - _masks_in_text(inspected)
    if (
        rest := FoundImages(others=other_files, not_entered=there.not_entered).besides()
    ) and not inspected.data_set.kind.is_list:
        yield Finding("besides", "note", (inspected.name,), f"no images: {rest}")


def alike_findings(inspected: Inspected) -> list[Finding]:
    """Images, or folders of them, that have one name where capitals and forms of Unicode do not count."""
    spellings: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for facts in inspected.facts:
        parts = inspected.below(facts.sample.image).split("/")
        for path in ("/".join(parts[: end + 1]) for end in range(len(parts))):
            spellings[composed(path).casefold()][path] = None
    cases = [
        FindingCase(ascii(variant), f"and {name!a}") for name, *variants in spellings.values() for variant in variants
    ]
    number = pluralised(len(cases), "name that differs", "names that differ")
    message = f"{number} from another only by capitals or the form of Unicode: other systems take both for one file"
    return found("alike", "warning", inspected.name, message, cases)


def _there(inspected: Inspected, homes: Set[Path]) -> FoundImages:
    if not inspected.data_set.kind.is_list:
        return look(inspected.data_set.root)
    there = FoundImages()
    for home in sorted(home for home in homes if home.is_dir()):
        beside = look(home)
        there.images += [image for image in beside.images if image.parent == home]
        there.left_out += [file for file in beside.left_out if Path(file.source).parent == home]
    return there


def _unreadable(inspected: Inspected, there: FoundImages, homes: Set[Path]) -> Iterator[Finding]:
    """Where images lie they were meant to be scored; elsewhere nobody knows."""
    used = _used(inspected)
    open_ones = [file for file in there.left_out if os.path.abspath(file.source) not in used]
    for severity, where in (("error", "among the images"), ("warning", "beside them")):
        cases = [
            FindingCase(inspected.below(Path(file.source)), file.message.partition(";")[0])
            for file in open_ones
            if (Path(file.source).parent in homes) == (severity == "error")
        ]
        message = f"{pluralised(len(cases), 'file')} {where} that may be meant as images and cannot be read: left out"
        yield from found("left-out", "error" if severity == "error" else "warning", inspected.name, message, cases)


def _unused(inspected: Inspected, there: FoundImages, known: Set[Path]) -> list[Finding]:
    used = _used(inspected) | {os.path.abspath(path) for path in known}
    cases = [FindingCase(inspected.below(image)) for image in there.images if os.path.abspath(image) not in used]
    message = f"{pluralised(len(cases), 'image')} that the layout has no use for: neither scored nor a mask"
    return found("unused", "note", inspected.name, message, cases)


def _used(inspected: Inspected) -> set[str]:
    samples = inspected.data_set.samples
    return {os.path.abspath(path) for sample in samples for path in (sample.image, *sample.masks)}


def _masks_in_text(inspected: Inspected) -> Counter[str]:
    masks = {mask for sample in inspected.data_set.samples for mask in sample.masks}
    return Counter(mask.suffix.lower() for mask in masks if mask.suffix.lower() == ".json")
