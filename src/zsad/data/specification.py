"""Data sets as they are named on the command line: ``LAYOUT:PATH``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from zsad.data import layouts
from zsad.data.layouts import Sample
from zsad.errors import ConfigError, InputError, unknown_name

Split = Literal["train", "test", "all"]


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
    found = [sample for one in specifications for sample in _read(one) if split in ("all", sample.split)]
    known = {sample.class_name for sample in found}
    for name in classes or ():
        if name not in known:
            raise unknown_name(f"class of {', '.join(specifications)}", name, known)
    kept = [sample for sample in found if classes is None or sample.class_name in classes]
    if not kept:
        raise InputError(f"a data set has pictures in its split {split!r}", ", ".join(specifications), "name another")
    return kept


def in_words(class_name: str) -> str:
    """The name of a folder as plain English.

    >>> in_words("metal_nut")
    'metal nut'
    """
    return class_name.replace("_", " ").strip()


def _read(specification: str) -> list[Sample]:
    layout, colon, path = specification.partition(":")
    if not colon or not path:
        raise ConfigError("a data set is LAYOUT:PATH", repr(specification), "for instance mvtec:data/mvtec")
    return layouts.get(layout).samples(Path(path))
