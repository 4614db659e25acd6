"""What a check finds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from zsad.data.masks.warnings import MASK_WARNINGS, MaskWarning

Severity = Literal["error", "warning", "note"]
"""Numbers would be wrong; worth knowing before they are believed; by the way."""

Kind = Literal[
    "layout",
    "missing",
    "extra",
    "unreadable",
    "unpaired",
    "shared-mask",
    "orphan",
    "left-out",
    "unused",
    "besides",
    "alike",
    "mask-size",
    "image-size",
    "empty-mask",
    "full-mask",
    "contradictory",
    "leaked",
    "duplicated",
    "shared",
    "class-name",
    "seen",
    MaskWarning,
]

KINDS: Mapping[Kind, str] = MappingProxyType(
    {
        "layout": "the folder does not have the layout that was named",
        "missing": "fewer images or classes than published, or files that a list of the data set names are not there",
        "extra": "more images or classes than published",
        "unreadable": "an image or mask that cannot be decoded to its last pixel",
        "unpaired": "an anomalous image without a mask, where others of the split have one, or had when published",
        "shared-mask": "one mask for two images",
        "orphan": "a mask that belongs to no image",
        "left-out": "a file that may be meant as an image and is of a kind that is not read",
        "unused": "an image that the layout has no use for",
        "besides": "files that are no images, and folders that are not looked into, by their number",
        "alike": "names that differ only by capitals or by composed and decomposed Unicode",
        "mask-size": "a mask of another size than its image",
        "image-size": "an image with four times, or a quarter of, the pixels that are usual in its class",
        "empty-mask": "a mask of an anomalous image that marks nothing",
        "full-mask": "a mask that marks everything",
        **{doubt: f"masks {what}" for doubt, what in MASK_WARNINGS.items()},
        "contradictory": "one image both normal and anomalous, or a normal image with anomalous pixels",
        "leaked": "one image both in the training split and in the test split",
        "duplicated": "one image more than once",
        "shared": "one image in two data sets",
        "class-name": "classes of the same name in two data sets, or in a data set and in a detector's training",
        "seen": "an image that a detector was trained on or remembers",
    }
)
"""What each kind of finding means."""


@dataclass(frozen=True)
class FindingCase:
    """One thing that a finding is about.

    Attributes:
        subject: a file below the root of the (last named) data set, with ``/``; or a class.
        detail: what else there is to say of it.
    """

    subject: str
    detail: str = ""


@dataclass(frozen=True)
class Finding:
    """One kind of damage in one data set, or between two.

    Attributes:
        kind: one of ``KINDS``.
        severity: how bad it is.
        data_sets: names of those that are concerned; the cases are of the last one.
        message: what was found and what follows from it, with the number of cases.
        cases: all of them, in natural order.
    """

    kind: Kind
    severity: Severity
    data_sets: tuple[str, ...]
    message: str
    cases: tuple[FindingCase, ...] = ()


def findings_for(
    kind: Kind, severity: Severity, data_set: str, message: str, cases: Iterable[FindingCase]
) -> list[Finding]:
    """A finding in one data set, or none where there is no case.

    Args:
        kind: one of ``KINDS``.
        severity: of the finding.
        data_set: its name.
        message: with the number of cases.
        cases: there may be none.
    """
    kept = tuple(cases)
    return [Finding(kind, severity, (data_set,), message, kept)] if kept else []
