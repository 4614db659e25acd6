"""Findings of a check: kinds, severities, cases."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from zsad.data.masks.warnings import MASK_WARNINGS, MaskWarning

Severity = Literal["error", "warning", "note"]
"""``error``: metrics would be wrong. ``warning``: worth knowing before metrics are trusted. ``note``: information."""

Kind = Literal[
    "layout",
    "missing",
    "extra",
    "unreadable",
    "missing-mask",
    "shared-mask",
    "orphan-mask",
    "skipped-file",
    "unused-image",
    "ignored-files",
    "similar-names",
    "mask-size",
    "image-size",
    "empty-mask",
    "full-mask",
    "conflicting-label",
    "train-test-overlap",
    "duplicate",
    "shared",
    "class-name",
    "seen-in-training",
    MaskWarning,
]

KINDS: Mapping[Kind, str] = MappingProxyType(
    {
        "layout": "the folder does not have the layout that was named",
        "missing": "fewer images or classes than published, or files named by a list of the data set that do not exist",
        "extra": "more images or classes than published",
        "unreadable": "an image or mask that cannot be decoded to its last pixel",
        "missing-mask": "an anomalous image without a mask, where others of its split have one, or had when published",
        "shared-mask": "one mask for two images",
        "orphan-mask": "a mask that belongs to no image",
        "skipped-file": "a file that may be an image, in a format that is not supported",
        "unused-image": "an image that the layout does not use",
        "ignored-files": "files that are no images, and folders that are not searched (counts only)",
        "similar-names": "names that differ only in case or in Unicode normalisation",
        "mask-size": "a mask of another size than its image",
        "image-size": "an image with four times the median number of pixels of its class or more, or the inverse",
        "empty-mask": "a mask of an anomalous image without an anomalous pixel",
        "full-mask": "a mask without a normal pixel",
        **{code: f"masks {what}" for code, what in MASK_WARNINGS.items()},
        "conflicting-label": "one image labelled both normal and anomalous, or a normal image with anomalous pixels",
        "train-test-overlap": "one image both in the training split and in the test split",
        "duplicate": "one image more than once",
        "shared": "one image in two data sets",
        "class-name": "classes of the same name in two data sets, or in a data set and in a detector's training",
        "seen-in-training": "an image that a detector was trained on or keeps as a reference",
    }
)
"""What each kind of finding means."""


@dataclass(frozen=True)
class FindingCase:
    """One file or class that a finding is about.

    Attributes:
        subject: a file below the root of the (last named) data set, with ``/``; or a class.
        detail: what else is known of it.
    """

    subject: str
    detail: str = ""


@dataclass(frozen=True)
class Finding:
    """One kind of fault in one data set, or between two.

    Attributes:
        kind: one of ``KINDS``.
        severity: see ``Severity``.
        data_sets: names of the data sets concerned; the cases are of the last one.
        message: what was found and its consequence, with the number of cases.
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
