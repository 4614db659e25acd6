"""Folders ``yes`` and ``no``, as tumours of the brain are published."""

from collections.abc import Iterator
from pathlib import Path

from zsad.data.layouts._base import ANOMALOUS, NORMAL, Sample
from zsad.data.layouts._repacked import repacked
from zsad.data.layouts._trees import images_at

CLASS = "brain MRI"
WITHIN = ("", "brain_tumor_dataset")
"""Where the folders lie below the root; the first place that has both is read."""


def tumours(title: str, root: Path) -> list[Sample]:
    """All images of ``no`` (normal) and ``yes`` (anomalous), in natural order; there are no masks.

    Raises:
        InputError: ``root`` has another tree.
    """
    return list(_samples(root)) or repacked(title, "folders no and yes", root, CLASS)


def _samples(root: Path) -> Iterator[Sample]:
    for folder in [root / name for name in WITHIN if _is_both(root / name)][:1]:
        yield from (Sample(one, NORMAL, CLASS, "good", None, "test") for one in images_at(folder / "no"))
        yield from (Sample(one, ANOMALOUS, CLASS, "tumour", None, "test") for one in images_at(folder / "yes"))


def _is_both(folder: Path) -> bool:
    return (folder / "no").is_dir() and (folder / "yes").is_dir()
