"""Files in the folder of a data set that are not used, so that nothing is skipped silently."""

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
    """Files that cannot be read as images, images that are not used, and the number of other files.

    Args:
        inspected: the data set. For a list only the folders of its images are searched.
        known: images in other findings, and masks that normal images would have.
    """
    image_folders = {facts.sample.image.parent for facts in inspected.facts}
    scan = _scan(inspected, image_folders)
    yield from _unreadable(inspected, scan, image_folders)
    yield from _unused(inspected, scan, known)
    other_files = scan.other_files - _masks_in_text(inspected)
    if (
        ignored := ImageScan(other_files=other_files, skipped_folders=scan.skipped_folders).describe_ignored()
    ) and not inspected.data_set.kind.is_list:
        yield Finding("ignored-files", "note", (inspected.name,), f"no images: {ignored}")


def similar_name_findings(inspected: InspectedDataSet) -> list[Finding]:
    """Images or folders whose names are equal up to case and Unicode normalisation."""
    spellings: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for facts in inspected.facts:
        parts = inspected.relative(facts.sample.image).split("/")
        for path in ("/".join(parts[: end + 1]) for end in range(len(parts))):
            spellings[composed(path).casefold()][path] = None
    cases = [
        FindingCase(ascii(variant), f"and {name!a}") for name, *variants in spellings.values() for variant in variants
    ]
    number = pluralised(len(cases), "name that differs", "names that differ")
    message = f"{number} from another only in case or Unicode normalisation: some systems treat both as one file"
    return findings_for("similar-names", "warning", inspected.name, message, cases)


def _scan(inspected: InspectedDataSet, image_folders: Set[Path]) -> ImageScan:
    if not inspected.data_set.kind.is_list:
        return scan_folder(inspected.data_set.root)
    scan = ImageScan()
    for folder in sorted(folder for folder in image_folders if folder.is_dir()):
        content = scan_folder(folder)
        scan.images += [image for image in content.images if image.parent == folder]
        scan.skipped_files += [file for file in content.skipped_files if Path(file.source).parent == folder]
    return scan


def _unreadable(inspected: InspectedDataSet, scan: ImageScan, image_folders: Set[Path]) -> Iterator[Finding]:
    """In folders of samples such files were meant to be scored; elsewhere that is unknown."""
    used = _used(inspected)
    unreadable = [file for file in scan.skipped_files if os.path.abspath(file.source) not in used]
    for severity, where in (("error", "among the images"), ("warning", "in other folders")):
        cases = [
            FindingCase(inspected.relative(Path(file.source)), file.message.partition(";")[0])
            for file in unreadable
            if (Path(file.source).parent in image_folders) == (severity == "error")
        ]
        message = f"{pluralised(len(cases), 'file')} {where} that may be images and cannot be read: skipped"
        yield from findings_for(
            "skipped-file", "error" if severity == "error" else "warning", inspected.name, message, cases
        )


def _unused(inspected: InspectedDataSet, scan: ImageScan, known: Set[Path]) -> list[Finding]:
    used = _used(inspected) | {os.path.abspath(path) for path in known}
    cases = [FindingCase(inspected.relative(image)) for image in scan.images if os.path.abspath(image) not in used]
    message = f"{pluralised(len(cases), 'image')} that the layout does not use, neither as image nor as mask"
    return findings_for("unused-image", "note", inspected.name, message, cases)


def _used(inspected: InspectedDataSet) -> set[str]:
    samples = inspected.data_set.samples
    return {os.path.abspath(path) for sample in samples for path in (sample.image, *sample.masks)}


def _masks_in_text(inspected: InspectedDataSet) -> Counter[str]:
    masks = {mask for sample in inspected.data_set.samples for mask in sample.masks}
    return Counter(mask.suffix.lower() for mask in masks if mask.suffix.lower() == ".json")
