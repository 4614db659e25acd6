"""Data sets as they are named on the command line: ``LAYOUT:PATH``, or ``NAME=LAYOUT:PATH``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zsad.data import layouts
from zsad.data.layouts import Layout, Sample
from zsad.errors import ConfigError, InputError, unknown_name

Split = Literal["train", "test", "all"]


@dataclass(frozen=True)
class DataSet:
    """A data set on disk.

    Attributes:
        name: how tables call it. Given, or that of the layout; where the layout is that of any data, of the folder, or
            of the list that was named.
        layout: name of its layout.
        root: the folder where it lies.
        samples: all of it, in natural order.
    """

    name: str
    layout: str
    root: Path
    samples: tuple[Sample, ...]

    @property
    def kind(self) -> type[Layout]:
        """Its layout."""
        return layouts.get(self.layout)

    @property
    def is_published(self) -> bool:
        """Whether this is the data set that the layout is named after, and not one of another name in its tree."""
        return self.kind.is_own(self.samples)


def data_set(specification: str) -> DataSet:
    """The data set that ``[NAME=]LAYOUT:PATH`` stands for.

    Raises:
        ConfigError: this is no specification, or the layout does not exist.
        InputError: the path does not exist or does not have the layout.
    """
    head, colon, path = specification.partition(":")
    name, equals, layout = head.rpartition("=")
    if not colon or not path or (equals and not name):
        raise ConfigError("a data set is LAYOUT:PATH", repr(specification), "for instance mvtec:data/mvtec")
    there = Path(path)
    root = there.parent if there.is_file() else there
    found = DataSet(name, layout, root, tuple(layouts.get(layout).samples(there)))
    return DataSet(name or (layout if found.is_published else _own_name(there)), layout, root, found.samples)


def _own_name(there: Path) -> str:
    """The name of a folder or a list; meta.json is called so everywhere, and stands for its folder."""
    whole = there.resolve()
    if not there.is_file():
        return whole.name
    return whole.parent.name if whole.name == "meta.json" else whole.stem


def samples_of(
    specifications: Sequence[str], split: Split = "all", classes: Sequence[str] | None = None
) -> list[Sample]:
    """The samples of one or more data sets, in their natural order.

    Args:
        specifications: each ``LAYOUT:PATH``; ``zsad datasets`` lists the layouts.
        split: the part of the data sets that is wanted.
        classes: the classes that are wanted; all where not given.

    Raises:
        ConfigError: a layout or a class does not exist.
        InputError: a path does not exist, does not have its layout, or nothing is left.
    """
    found = [one for name in specifications for one in data_set(name).samples if split in ("all", one.split)]
    known = {sample.class_name for sample in found}
    for name in classes or ():
        if name not in known:
            raise unknown_name(f"class of {', '.join(specifications)}", name, known)
    kept = [sample for sample in found if classes is None or sample.class_name in classes]
    if not kept:
        raise InputError(f"a data set has images in its split {split!r}", ", ".join(specifications), "name another")
    return kept


def in_words(class_name: str) -> str:
    """The name of a folder as plain English.

    >>> in_words("metal_nut")
    'metal nut'
    """
    return class_name.replace("_", " ").strip()
