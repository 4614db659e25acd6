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
    others = there.others - _masks_in_text(inspected)
    if (
        rest := FoundImages(others=others, not_entered=there.not_entered).besides()
    ) and not inspected.data_set.kind.is_list:
        yield Finding("besides", "note", (inspected.name,), f"no images: {rest}")


def alike_findings(inspected: Inspected) -> list[Finding]:
    """Images, or folders of them, that have one name where capitals and forms of Unicode do not count."""
    spellings: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for facts in inspected.facts:
        parts = inspected.below(facts.sample.image).split("/")
        for path in ("/".join(parts[: end + 1]) for end in range(len(parts))):
            spellings[composed(path).casefold()][path] = None
    cases = [FindingCase(ascii(other), f"and {one!a}") for one, *others in spellings.values() for other in others]
    number = pluralised(len(cases), "name that differs", "names that differ")
    message = f"{number} from another only by capitals or the form of Unicode: other systems take both for one file"
    return found("alike", "warning", inspected.name, message, cases)


def _there(inspected: Inspected, homes: Set[Path]) -> FoundImages:
    if not inspected.data_set.kind.is_list:
        return look(inspected.data_set.root)
    there = FoundImages()
    for home in sorted(home for home in homes if home.is_dir()):
        beside = look(home)
        there.images += [one for one in beside.images if one.parent == home]
        there.left_out += [one for one in beside.left_out if Path(one.source).parent == home]
    return there


def _unreadable(inspected: Inspected, there: FoundImages, homes: Set[Path]) -> Iterator[Finding]:
    """Where images lie they were meant to be scored; elsewhere nobody knows."""
    used = _used(inspected)
    open_ones = [one for one in there.left_out if os.path.abspath(one.source) not in used]
    for severity, where in (("error", "among the images"), ("warning", "beside them")):
        cases = [
            FindingCase(inspected.below(Path(one.source)), one.message.partition(";")[0])
            for one in open_ones
            if (Path(one.source).parent in homes) == (severity == "error")
        ]
        message = f"{pluralised(len(cases), 'file')} {where} that may be meant as images and cannot be read: left out"
        yield from found("left-out", "error" if severity == "error" else "warning", inspected.name, message, cases)


def _unused(inspected: Inspected, there: FoundImages, known: Set[Path]) -> list[Finding]:
    used = _used(inspected) | {os.path.abspath(one) for one in known}
    cases = [FindingCase(inspected.below(one)) for one in there.images if os.path.abspath(one) not in used]
    message = f"{pluralised(len(cases), 'image')} that the layout has no use for: neither scored nor a mask"
    return found("unused", "note", inspected.name, message, cases)


def _used(inspected: Inspected) -> set[str]:
    samples = inspected.data_set.samples
    return {os.path.abspath(path) for one in samples for path in (one.image, *one.masks)}


def _masks_in_text(inspected: Inspected) -> Counter[str]:
    masks = {mask for one in inspected.data_set.samples for mask in one.masks}
    return Counter(mask.suffix.lower() for mask in masks if mask.suffix.lower() == ".json")
