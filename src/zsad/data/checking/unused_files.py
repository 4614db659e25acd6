"""What lies in the folder of a data set and is not used, so that nothing is left out without a word."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Set
from pathlib import Path

from zsad.data.checking.findings import Finding, FindingCase, findings_for
from zsad.data.checking.inspection import InspectedDataSet
from zsad.data.layouts._trees import composed
from zsad.data.sources import ImageScan, scan_folder
from zsad.wording import pluralised


def unused_findings(inspected: InspectedDataSet, known: Set[Path]) -> Iterator[Finding]:
    """Files that cannot be read as images, images that are not used, and how much else there is.

    Args:
        inspected: the data set. Beside the images of a list only their own folders are looked at.
        known: images that other findings name, or that are not used for good reason.
    """
    homes = {facts.sample.image.parent for facts in inspected.facts}
    there = _there(inspected, homes)
    yield from _unreadable(inspected, there, homes)
    yield from _unused(inspected, there, known)
    other_files = there.other_files - _masks_in_text(inspected)
    if (
        rest := ImageScan(other_files=other_files, skipped_folders=there.skipped_folders).describe_ignored()
    ) and not inspected.data_set.kind.is_list:
        yield Finding("besides", "note", (inspected.name,), f"no images: {rest}")


def similar_name_findings(inspected: InspectedDataSet) -> list[Finding]:
    """Images, or folders of them, that have one name where capitals and forms of Unicode do not count."""
    spellings: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for facts in inspected.facts:
        parts = inspected.relative(facts.sample.image).split("/")
        for path in ("/".join(parts[: end + 1]) for end in range(len(parts))):
            spellings[composed(path).casefold()][path] = None
    cases = [
        FindingCase(ascii(variant), f"and {name!a}") for name, *variants in spellings.values() for variant in variants
    ]
    number = pluralised(len(cases), "name that differs", "names that differ")
    message = f"{number} from another only by capitals or the form of Unicode: other systems take both for one file"
    return findings_for("alike", "warning", inspected.name, message, cases)


def _there(inspected: InspectedDataSet, homes: Set[Path]) -> ImageScan:
    if not inspected.data_set.kind.is_list:
        return scan_folder(inspected.data_set.root)
    there = ImageScan()
    for home in sorted(home for home in homes if home.is_dir()):
        beside = scan_folder(home)
        there.images += [image for image in beside.images if image.parent == home]
        there.skipped_files += [file for file in beside.skipped_files if Path(file.source).parent == home]
    return there


def _unreadable(inspected: InspectedDataSet, there: ImageScan, homes: Set[Path]) -> Iterator[Finding]:
    """Where images lie they were meant to be scored; elsewhere nobody knows."""
    used = _used(inspected)
    open_ones = [file for file in there.skipped_files if os.path.abspath(file.source) not in used]
    for severity, where in (("error", "among the images"), ("warning", "beside them")):
        cases = [
            FindingCase(inspected.relative(Path(file.source)), file.message.partition(";")[0])
            for file in open_ones
            if (Path(file.source).parent in homes) == (severity == "error")
        ]
        message = f"{pluralised(len(cases), 'file')} {where} that may be meant as images and cannot be read: left out"
        yield from findings_for(
            "left-out", "error" if severity == "error" else "warning", inspected.name, message, cases
        )


def _unused(inspected: InspectedDataSet, there: ImageScan, known: Set[Path]) -> list[Finding]:
    used = _used(inspected) | {os.path.abspath(path) for path in known}
    cases = [FindingCase(inspected.relative(image)) for image in there.images if os.path.abspath(image) not in used]
    message = f"{pluralised(len(cases), 'image')} that the layout has no use for: neither scored nor a mask"
    return findings_for("unused", "note", inspected.name, message, cases)


def _used(inspected: InspectedDataSet) -> set[str]:
    samples = inspected.data_set.samples
    return {os.path.abspath(path) for sample in samples for path in (sample.image, *sample.masks)}


def _masks_in_text(inspected: InspectedDataSet) -> Counter[str]:
    masks = {mask for sample in inspected.data_set.samples for mask in sample.masks}
    return Counter(mask.suffix.lower() for mask in masks if mask.suffix.lower() == ".json")
