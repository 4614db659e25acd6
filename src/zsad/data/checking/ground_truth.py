"""Unreadable files, and masks and image sizes that do not fit."""

import os
from collections import defaultdict
from collections.abc import Iterator, Set
from pathlib import Path
from statistics import median

from zsad.data.checking.findings import Finding, FindingCase, findings_for
from zsad.data.checking.inspection import InspectedDataSet, MaskFacts, SampleFacts
from zsad.data.checking.unused_files import similar_name_findings, unused_findings
from zsad.data.masks.warnings import MASK_WARNINGS, MaskWarning
from zsad.data.sources import images_in, natural_key
from zsad.types import Size
from zsad.wording import pluralised

UNUSUAL = 4
"""Factor from the median number of pixels of its class from which an image's size is unusual."""


def ground_truth_findings(inspected: InspectedDataSet) -> list[Finding]:
    """All findings on the files and masks of one data set."""
    expected = set(_expected_masks(inspected))
    unused = _unused_masks(inspected, expected)
    return [
        *_unreadable(inspected),
        *_unpaired(inspected),
        *_without_masks(inspected),
        *_shared_masks(inspected),
        *_orphans(inspected, unused),
        *_mask_sizes(inspected),
        *_anomalous_normals(inspected),
        *_empty_and_full_masks(inspected),
        *_mask_warnings(inspected),
        *_image_sizes(inspected),
        *similar_name_findings(inspected),
        *unused_findings(inspected, expected.union(unused)),
    ]


def _unreadable(inspected: InspectedDataSet) -> Iterator[Finding]:
    broken = [(path, reason) for facts in inspected.facts for path, reason in facts.broken]
    absent = [FindingCase(inspected.relative(path)) for path, reason in broken if not reason]
    message = f"{pluralised(len(absent), 'file')} that the data set names {_are(absent)} missing"
    yield from findings_for("missing", "error", inspected.name, message, absent)
    cases = [FindingCase(inspected.relative(path), reason) for path, reason in broken if reason]
    message = f"{pluralised(len(cases), 'file')} cannot be read, and would be skipped"
    yield from findings_for("unreadable", "error", inspected.name, message, cases)
    lost = [
        FindingCase(inspected.relative(facts.sample.lost_mask)) for facts in inspected.facts if facts.sample.lost_mask
    ]
    message = f"{pluralised(len(lost), 'mask')} that the data set names {_are(lost)} missing: no pixel metrics for them"
    yield from findings_for("missing", "warning", inspected.name, message, lost)


def _unpaired(inspected: InspectedDataSet) -> list[Finding]:
    anomalous = [facts.sample for facts in inspected.facts if facts.sample.label == 1]
    splits = {sample.split for sample in anomalous if sample.mask}
    cases = [
        FindingCase(inspected.relative(sample.image))
        for sample in anomalous
        if not sample.mask and sample.split in splits
    ]
    message = f"{pluralised(len(cases), 'anomalous image')} without mask: pixel metrics would cover the others only"
    return findings_for("missing-mask", "error", inspected.name, message, cases)


def _without_masks(inspected: InspectedDataSet) -> list[Finding]:
    """Where there are no masks at all, although the data set was published with masks."""
    samples = inspected.data_set.samples
    should = inspected.is_published and inspected.data_set.kind.has_masks
    if not should or any(sample.mask for sample in samples):
        return []
    cases = [
        FindingCase(inspected.relative(sample.image))
        for sample in samples
        if sample.label == 1 and sample.split == "test"
    ]
    message = (
        f"{pluralised(len(cases), 'anomalous image')} without mask, as are all others: there will be no pixel metrics"
    )
    return findings_for("missing-mask", "warning", inspected.name, message, cases)


def _shared_masks(inspected: InspectedDataSet) -> list[Finding]:
    images: defaultdict[Path, set[Path]] = defaultdict(set)
    for sample in inspected.data_set.samples:
        for mask in sample.masks:
            images[mask].add(sample.image)
    cases = [
        FindingCase(inspected.relative(mask), " and ".join(sorted(map(inspected.relative, images_of_mask))))
        for mask, images_of_mask in images.items()
        if len(images_of_mask) > 1
    ]
    message = f"{pluralised(len(cases), 'mask')} used for several images: it is wrong for all but one of them"
    return findings_for("shared-mask", "error", inspected.name, message, cases)


def _orphans(inspected: InspectedDataSet, unused: list[Path]) -> list[Finding]:
    cases = [FindingCase(inspected.relative(path)) for path in unused]
    message = f"{pluralised(len(cases), 'mask')} without an image: the image may be missing, or have another name"
    return findings_for("orphan-mask", "warning", inspected.name, message, cases)


def _unused_masks(inspected: InspectedDataSet, expected: Set[Path]) -> list[Path]:
    """Images in mask folders that no sample uses and whose name is not that of the mask of a normal image."""
    samples = inspected.data_set.samples
    used = {os.path.abspath(path) for sample in samples for path in (sample.image, *sample.masks)}
    there = (path for path in _mask_folder_images(inspected) if path not in expected)
    return [path for path in there if os.path.abspath(path) not in used]


def _mask_folder_images(inspected: InspectedDataSet) -> Iterator[Path]:
    """All images in the folders of masks; at every depth where a folder has masks only, except for normal images."""
    samples, root = inspected.data_set.samples, inspected.data_set.root
    own = {sample.image.parent for sample in samples}
    normal = {sample.image.parent.name for sample in samples if sample.label != 1}
    above = own.union(*(folder.parents for folder in own))
    usual = [folder / "ground_truth" for folder in (root, *sorted(root.iterdir(), key=natural_key)) if folder in above]
    homes = [
        _highest(folder, root, above)
        for folder in [*(mask.parent for sample in samples for mask in sample.masks), *usual]
    ]
    for home in dict.fromkeys(homes):
        for path in images_in(home) if home.is_dir() else ():
            if path.parent == home or (home not in above and path.parent.name not in normal):
                yield path


def _highest(folder: Path, root: Path, above: Set[Path]) -> Path:
    """The highest folder above masks that has nothing else in it; ``above`` are all folders that contain images."""
    while folder not in above and folder.parent not in above and root in folder.parent.parents:
        folder = folder.parent
    return folder


def _expected_masks(inspected: InspectedDataSet) -> Iterator[Path]:
    """The names that masks of images without one would have, by the pattern of other images in their folder."""
    ways: defaultdict[Path, set[tuple[Path, str, str, str]]] = defaultdict(set)
    for sample in inspected.data_set.samples:
        if sample.mask and sample.image.stem in sample.mask.stem:
            before, _, after = sample.mask.stem.partition(sample.image.stem)
            ways[sample.image.parent].add((sample.mask.parent, before, after, sample.mask.suffix))
    for sample in inspected.data_set.samples:
        if not sample.mask and sample.label != 1:
            for folder, before, after, suffix in ways[sample.image.parent]:
                yield folder / f"{before}{sample.image.stem}{after}{suffix}"


def _mask_sizes(inspected: InspectedDataSet) -> list[Finding]:
    cases = [
        FindingCase(case.subject, f"{_px(mask.size)} for {_px(facts.size)} px")
        for facts, mask, case in _masks(inspected)
        if facts.size and mask.size != facts.size
    ]
    message = f"{pluralised(len(cases), 'mask')} whose size differs from that of the image"
    return findings_for("mask-size", "error", inspected.name, message, cases)


def _anomalous_normals(inspected: InspectedDataSet) -> list[Finding]:
    cases = [case for facts, mask, case in _masks(inspected) if facts.sample.label == 0 and mask.anomalous]
    message = f"{pluralised(len(cases), 'normal image')} with anomalous pixels"
    return findings_for("conflicting-label", "error", inspected.name, message, cases)


def _empty_and_full_masks(inspected: InspectedDataSet) -> Iterator[Finding]:
    blank = [facts for facts in inspected.facts if facts.masks and not any(mask.anomalous for mask in facts.masks)]
    empty = [FindingCase(inspected.relative(facts.masks[0].path)) for facts in blank if facts.sample.label == 1]
    message = f"{pluralised(len(empty), 'anomalous image')} with an empty mask: all pixels count as normal"
    yield from findings_for("empty-mask", "warning", inspected.name, message, empty)
    full = [case for _, mask, case in _masks(inspected) if _is_full(mask)]
    message = f"{pluralised(len(full), 'mask')} without a normal pixel"
    yield from findings_for("full-mask", "warning", inspected.name, message, full)


def _mask_warnings(inspected: InspectedDataSet) -> Iterator[Finding]:
    """Masks that may have been read wrongly."""
    for kind, what in MASK_WARNINGS.items():
        cases = [
            FindingCase(case.subject, _detail(kind, mask))
            for _, mask, case in _masks(inspected)
            if kind in mask.warnings and not (kind == "mostly-anomalous" and _is_full(mask))
        ]
        yield from findings_for(kind, "warning", inspected.name, f"{pluralised(len(cases), 'mask')} {what}", cases)


def _detail(kind: MaskWarning, mask: MaskFacts) -> str:
    if kind in ("grey-mask", "lossy-mask"):
        return f"{mask.values} values, anomalous above {mask.threshold:g}"
    return f"{mask.anomalous / (mask.size[0] * mask.size[1]):.0%} of the pixels" if kind == "mostly-anomalous" else ""


def _is_full(mask: MaskFacts) -> bool:
    return mask.anomalous == mask.size[0] * mask.size[1]


def _masks(inspected: InspectedDataSet) -> Iterator[tuple[SampleFacts, MaskFacts, FindingCase]]:
    """Each readable mask, as a case."""
    for facts in inspected.facts:
        for mask in facts.masks:
            yield facts, mask, FindingCase(inspected.relative(mask.path))


def _image_sizes(inspected: InspectedDataSet) -> list[Finding]:
    by_class: defaultdict[str, list[tuple[SampleFacts, Size]]] = defaultdict(list)
    for facts in inspected.facts:
        if facts.size:
            by_class[facts.sample.class_name].append((facts, facts.size))
    cases = [
        FindingCase(inspected.relative(facts.sample.image), f"{_px(size)} px")
        for members in by_class.values()
        for facts, size in _unusual(members)
    ]
    message = f"{pluralised(len(cases), 'image')} with {UNUSUAL} times the median pixels of the class, or the inverse"
    return findings_for("image-size", "note", inspected.name, message, cases)


def _unusual(members: list[tuple[SampleFacts, Size]]) -> Iterator[tuple[SampleFacts, Size]]:
    usual = median(rows * cols for _, (rows, cols) in members)
    return (member for member in members if not usual / UNUSUAL < member[1][0] * member[1][1] < usual * UNUSUAL)


def _px(size: Size) -> str:
    return f"{size[0]}×{size[1]}"


def _are(cases: list[FindingCase]) -> str:
    return "is" if len(cases) == 1 else "are"
