"""Files that cannot be read, and masks and sizes that do not fit."""

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
"""How many times the pixels of its class's median an image may have, or have a part of."""


def ground_truth_findings(inspected: InspectedDataSet) -> list[Finding]:
    """Everything that a data set says of its own images and contradicts or leaves open."""
    excused = set(_masks_of_others(inspected))
    loose = _loose_masks(inspected, excused)
    return [
        *_unreadable(inspected),
        *_unpaired(inspected),
        *_without_masks(inspected),
        *_shared_masks(inspected),
        *_orphans(inspected, loose),
        *_mask_sizes(inspected),
        *_marked_normal(inspected),
        *_poor_masks(inspected),
        *_doubtful_masks(inspected),
        *_image_sizes(inspected),
        *similar_name_findings(inspected),
        *unused_findings(inspected, excused.union(loose)),
    ]


def _unreadable(inspected: InspectedDataSet) -> Iterator[Finding]:
    broken = [(path, reason) for facts in inspected.facts for path, reason in facts.broken]
    absent = [FindingCase(inspected.relative(path)) for path, reason in broken if not reason]
    message = f"{pluralised(len(absent), 'file')} that the data set names {_are(absent)} not there"
    yield from findings_for("missing", "error", inspected.name, message, absent)
    cases = [FindingCase(inspected.relative(path), reason) for path, reason in broken if reason]
    message = f"{pluralised(len(cases), 'file')} cannot be read, and would be left out"
    yield from findings_for("unreadable", "error", inspected.name, message, cases)
    lost = [
        FindingCase(inspected.relative(facts.sample.lost_mask)) for facts in inspected.facts if facts.sample.lost_mask
    ]
    message = (
        f"{pluralised(len(lost), 'mask')} that the data set names {_are(lost)} not there: no pixel metrics of these"
    )
    yield from findings_for("missing", "warning", inspected.name, message, lost)


def _unpaired(inspected: InspectedDataSet) -> list[Finding]:
    anomalous = [facts.sample for facts in inspected.facts if facts.sample.label == 1]
    splits = {sample.split for sample in anomalous if sample.mask}
    cases = [
        FindingCase(inspected.relative(sample.image))
        for sample in anomalous
        if not sample.mask and sample.split in splits
    ]
    message = f"{pluralised(len(cases), 'anomalous image')} without mask: pixel metrics would be of the others only"
    return findings_for("unpaired", "error", inspected.name, message, cases)


def _without_masks(inspected: InspectedDataSet) -> list[Finding]:
    """Where there is no mask at all, though the data set was published with them."""
    samples = inspected.data_set.samples
    should = inspected.is_published and inspected.data_set.kind.has_masks
    if not should or any(sample.mask for sample in samples):
        return []
    cases = [
        FindingCase(inspected.relative(sample.image))
        for sample in samples
        if sample.label == 1 and sample.split == "test"
    ]
    message = f"{pluralised(len(cases), 'anomalous image')} without mask, as all are: there will be no pixel metrics"
    return findings_for("unpaired", "warning", inspected.name, message, cases)


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
    message = f"{pluralised(len(cases), 'mask')} of several images: for all but one it is the wrong one"
    return findings_for("shared-mask", "error", inspected.name, message, cases)


def _orphans(inspected: InspectedDataSet, loose: list[Path]) -> list[Finding]:
    cases = [FindingCase(inspected.relative(path)) for path in loose]
    message = f"{pluralised(len(cases), 'mask')} of no image: an image may be missing, or have another name"
    return findings_for("orphan", "warning", inspected.name, message, cases)


def _loose_masks(inspected: InspectedDataSet, excused: Set[Path]) -> list[Path]:
    """Images where masks lie that no sample uses, and that are not what a normal image's mask would be called."""
    samples = inspected.data_set.samples
    used = {os.path.abspath(path) for sample in samples for path in (sample.image, *sample.masks)}
    there = (path for path in _where_masks_lie(inspected) if path not in excused)
    return [path for path in there if os.path.abspath(path) not in used]


def _where_masks_lie(inspected: InspectedDataSet) -> Iterator[Path]:
    """The images of folders with masks; of folders with masks only, at every depth, without those of normal ones."""
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
    """The largest folder about masks that holds nothing else; ``above`` are all folders with images in them."""
    while folder not in above and folder.parent not in above and root in folder.parent.parents:
        folder = folder.parent
    return folder


def _masks_of_others(inspected: InspectedDataSet) -> Iterator[Path]:
    """What masks of samples without one would be called, in the way that other images of their folder have theirs."""
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
    message = f"{pluralised(len(cases), 'mask')} not of the size of the image"
    return findings_for("mask-size", "error", inspected.name, message, cases)


def _marked_normal(inspected: InspectedDataSet) -> list[Finding]:
    cases = [case for facts, mask, case in _masks(inspected) if facts.sample.label == 0 and mask.anomalous]
    message = f"{pluralised(len(cases), 'normal image')} with anomalous pixels"
    return findings_for("contradictory", "error", inspected.name, message, cases)


def _poor_masks(inspected: InspectedDataSet) -> Iterator[Finding]:
    blank = [facts for facts in inspected.facts if facts.masks and not any(mask.anomalous for mask in facts.masks)]
    empty = [FindingCase(inspected.relative(facts.masks[0].path)) for facts in blank if facts.sample.label == 1]
    message = f"{pluralised(len(empty), 'anomalous image')} with an empty mask: all of its pixels count as normal"
    yield from findings_for("empty-mask", "warning", inspected.name, message, empty)
    full = [case for _, mask, case in _masks(inspected) if _is_full(mask)]
    message = f"{pluralised(len(full), 'mask')} without a normal pixel"
    yield from findings_for("full-mask", "warning", inspected.name, message, full)


def _doubtful_masks(inspected: InspectedDataSet) -> Iterator[Finding]:
    """Masks that may be read wrongly."""
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
    """Each mask that could be read, with its name."""
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
    message = (
        f"{pluralised(len(cases), 'image')} of {UNUSUAL} times the pixels usual in the class or more, or the inverse"
    )
    return findings_for("image-size", "note", inspected.name, message, cases)


def _unusual(members: list[tuple[SampleFacts, Size]]) -> Iterator[tuple[SampleFacts, Size]]:
    usual = median(rows * cols for _, (rows, cols) in members)
    return (member for member in members if not usual / UNUSUAL < member[1][0] * member[1][1] < usual * UNUSUAL)


def _px(size: Size) -> str:
    return f"{size[0]}×{size[1]}"


def _are(cases: list[FindingCase]) -> str:
    return "is" if len(cases) == 1 else "are"
