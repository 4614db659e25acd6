"""Files that cannot be read, and masks and sizes that do not fit."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median

from zsad.data.checking.findings import Case, Finding, found
from zsad.data.checking.inspection import Facts, Inspected, MaskFacts
from zsad.data.sources import pictures_in
from zsad.types import Size
from zsad.wording import counted

UNUSUAL = 4
"""How many times the pixels of its class's median a picture may have, or have a part of."""


def truth_findings(inspected: Inspected) -> list[Finding]:
    """Everything that a data set says of its own pictures and contradicts or leaves open."""
    return [
        *_unreadable(inspected),
        *_unpaired(inspected),
        *_orphans(inspected),
        *_mask_sizes(inspected),
        *_marked_normal(inspected),
        *_poor_masks(inspected),
        *_picture_sizes(inspected),
    ]


def _unreadable(inspected: Inspected) -> Iterator[Finding]:
    broken = [(path, reason) for facts in inspected.facts for path, reason in facts.broken]
    absent = [Case(inspected.below(path)) for path, reason in broken if not reason]
    message = f"{counted(len(absent), 'file')} that the data set names {_are(absent)} not there"
    yield from found("missing", "error", inspected.name, message, absent)
    cases = [Case(inspected.below(path), reason) for path, reason in broken if reason]
    message = f"{counted(len(cases), 'file')} cannot be read, and would be left out"
    yield from found("unreadable", "error", inspected.name, message, cases)


def _unpaired(inspected: Inspected) -> list[Finding]:
    anomalous = [facts.sample for facts in inspected.facts if facts.sample.label == 1]
    splits = {sample.split for sample in anomalous if sample.mask}
    cases = [Case(inspected.below(one.picture)) for one in anomalous if not one.mask and one.split in splits]
    message = f"{counted(len(cases), 'anomalous picture')} without mask: pixel metrics would be of the others only"
    return found("unpaired", "error", inspected.name, message, cases)


def _orphans(inspected: Inspected) -> list[Finding]:
    cases = [Case(inspected.below(path)) for path in _loose_masks(inspected)]
    message = f"{counted(len(cases), 'mask')} of no picture: a picture may be missing, or have another name"
    return found("orphan", "warning", inspected.name, message, cases)


def _loose_masks(inspected: Inspected) -> Iterator[Path]:
    """Pictures beside masks that no sample uses, and that are not what a normal picture's mask would be called."""
    samples = inspected.data_set.samples
    used = {os.path.abspath(path) for one in samples for path in (one.picture, one.mask) if path}
    excused = set(_masks_of_others(inspected))
    for folder in dict.fromkeys(one.mask.parent for one in samples if one.mask):
        if folder.is_dir():
            beside = (path for path in pictures_in(folder) if path.parent == folder and path not in excused)
            yield from (path for path in beside if os.path.abspath(path) not in used)


def _masks_of_others(inspected: Inspected) -> Iterator[Path]:
    """What masks of samples without one would be called, in the way that other pictures of their folder have theirs."""
    ways: defaultdict[Path, set[tuple[Path, str, str, str]]] = defaultdict(set)
    for one in inspected.data_set.samples:
        if one.mask and one.picture.stem in one.mask.stem:
            before, _, after = one.mask.stem.partition(one.picture.stem)
            ways[one.picture.parent].add((one.mask.parent, before, after, one.mask.suffix))
    for one in inspected.data_set.samples:
        if not one.mask and one.label != 1:
            for folder, before, after, suffix in ways[one.picture.parent]:
                yield folder / f"{before}{one.picture.stem}{after}{suffix}"


def _mask_sizes(inspected: Inspected) -> list[Finding]:
    cases = [
        Case(case.subject, f"{_px(mask.size)} for {_px(facts.size)} px")
        for facts, mask, case in _masks(inspected)
        if facts.size and mask.size != facts.size
    ]
    message = f"{counted(len(cases), 'mask')} not of the size of the picture"
    return found("mask-size", "error", inspected.name, message, cases)


def _marked_normal(inspected: Inspected) -> list[Finding]:
    cases = [case for facts, mask, case in _masks(inspected) if facts.sample.label == 0 and mask.anomalous]
    message = f"{counted(len(cases), 'normal picture')} with anomalous pixels"
    return found("contradictory", "error", inspected.name, message, cases)


def _poor_masks(inspected: Inspected) -> Iterator[Finding]:
    masks = list(_masks(inspected))
    empty = [case for facts, mask, case in masks if facts.sample.label == 1 and not mask.anomalous]
    message = f"{counted(len(empty), 'anomalous picture')} with an empty mask: all of its pixels count as normal"
    yield from found("empty-mask", "warning", inspected.name, message, empty)
    full = [case for _, mask, case in masks if mask.anomalous == mask.size[0] * mask.size[1]]
    message = f"{counted(len(full), 'mask')} without a normal pixel"
    yield from found("full-mask", "warning", inspected.name, message, full)
    grey = [Case(one.subject, f"{mask.values} values, anomalous above {mask.threshold}") for one, mask in _grey(masks)]
    message = f"{counted(len(grey), 'mask')} of more than two values: a threshold decides"
    yield from found("grey-mask", "warning", inspected.name, message, grey)


def _grey(masks: Iterable[tuple[Facts, MaskFacts, Case]]) -> Iterator[tuple[Case, MaskFacts]]:
    return ((case, mask) for _, mask, case in masks if mask.values > 2)


def _masks(inspected: Inspected) -> Iterator[tuple[Facts, MaskFacts, Case]]:
    """Each mask that could be read, with its name."""
    for facts in inspected.facts:
        if facts.mask and facts.sample.mask:
            yield facts, facts.mask, Case(inspected.below(facts.sample.mask))


def _picture_sizes(inspected: Inspected) -> list[Finding]:
    by_class: defaultdict[str, list[tuple[Facts, Size]]] = defaultdict(list)
    for facts in inspected.facts:
        if facts.size:
            by_class[facts.sample.class_name].append((facts, facts.size))
    cases = [
        Case(inspected.below(facts.sample.picture), f"{_px(size)} px")
        for members in by_class.values()
        for facts, size in _unusual(members)
    ]
    message = (
        f"{counted(len(cases), 'picture')} of {UNUSUAL} times the pixels usual in the class or more, or the inverse"
    )
    return found("picture-size", "note", inspected.name, message, cases)


def _unusual(members: list[tuple[Facts, Size]]) -> Iterator[tuple[Facts, Size]]:
    usual = median(rows * cols for _, (rows, cols) in members)
    return (one for one in members if not usual / UNUSUAL < one[1][0] * one[1][1] < usual * UNUSUAL)


def _px(size: Size) -> str:
    return f"{size[0]}×{size[1]}"


def _are(cases: list[Case]) -> str:
    return "is" if len(cases) == 1 else "are"
