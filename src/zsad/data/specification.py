"""Data sets as they are named on the command line, ``LAYOUT:PATH`` or ``NAME=LAYOUT:PATH``, or made in a program."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zsad.data import layouts
from zsad.data.layouts import Layout, Sample
from zsad.errors import ConfigError, InputError, unknown_name

Split = Literal["train", "test", "all"]
LISTED = "samples"
"""What stands for a layout where a program lists the samples."""


@dataclass(frozen=True)
class DataSet:
    """A data set: its name and its samples.

    Attributes:
        name: how tables call it. Given, or that of the layout; where the layout is that of any data, of the folder, or
            of the list that was named.
        layout: name of its layout; ``"samples"`` where a program listed them.
        root: the folder where it lies.
        samples: all of it, in natural order.
    """

    name: str
    layout: str
    root: Path
    samples: tuple[Sample, ...]

    @classmethod
    def of(cls, name: str, samples: Sequence[Sample], root: Path | str = ".") -> "DataSet":
        """A data set of samples that a program lists.

        Args:
            name: how tables call it.
            samples: in the order in which they are scored; each image is a file.
            root: the folder below which results name the images; the names of others are whole paths.

        Raises:
            ConfigError: it has no name.
            InputError: there is no sample, or the file of one does not exist.
        """
        if not name:
            raise ConfigError("a data set has a name", "an empty one", 'say one such as "screws"')
        if not samples:
            raise InputError("a data set has samples", f"none in {name}", "list some")
        for sample in samples:
            if not sample.image.is_file():
                raise InputError("the image of a sample is a file", str(sample.image), "correct the path")
        return cls(name, LISTED, Path(root), tuple(samples))

    @property
    def kind(self) -> type[Layout]:
        """Its layout."""
        return _Listed if self.layout == LISTED else layouts.get(self.layout)

    @property
    def is_published(self) -> bool:
        """Whether this is the data set that the layout is named after, and not one of another name in its tree."""
        return self.kind.is_own(self.samples)


class _Listed(Layout):
    """No layout: a program says which image shows what."""

    title, about, is_list = "List of samples", "Samples that a program lists.", True

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        raise ConfigError("samples are listed by a program", str(root), "name a layout: zsad datasets lists them")


def data_set(specification: str | DataSet) -> DataSet:
    """The data set that ``[NAME=]LAYOUT:PATH`` stands for; one that is given as such is returned.

    Raises:
        ConfigError: this is no specification, or the layout does not exist.
        InputError: the path does not exist or does not have the layout.
    """
    if isinstance(specification, DataSet):
        return specification
    head, colon, path = specification.partition(":")
    name, equals, layout = head.rpartition("=")
    if not colon or not path or (equals and not name):
        raise ConfigError("a data set is LAYOUT:PATH", repr(specification), "for instance mvtec:data/mvtec")
    there = Path(path)
    root = there.parent if there.is_file() else there
    read = DataSet(name, layout, root, tuple(layouts.get(layout).samples(there)))
    return DataSet(name or (layout if read.is_published else _own_name(there)), layout, root, read.samples)


def each(data: str | DataSet | Sequence[str | DataSet]) -> Sequence[str | DataSet]:
    """One data set, or several, as several.

    >>> each("mvtec:data/mvtec"), each(["mvtec:a", "visa:b"])
    (['mvtec:data/mvtec'], ['mvtec:a', 'visa:b'])
    """
    return [data] if isinstance(data, str | DataSet) else data


def _own_name(there: Path) -> str:
    """The name of a folder or a list; meta.json is called so everywhere, and stands for its folder."""
    whole = there.resolve()
    if not there.is_file():
        return whole.name
    return whole.parent.name if whole.name == "meta.json" else whole.stem


def samples_of(
    data: str | DataSet | Sequence[str | DataSet], split: Split = "all", classes: Sequence[str] | None = None
) -> list[Sample]:
    """The samples of one or more data sets, in their natural order.

    Args:
        data: each a :class:`DataSet` or ``LAYOUT:PATH``; ``zsad datasets`` lists the layouts.
        split: the part of the data sets that is wanted.
        classes: the classes that are wanted; all where not given.

    Raises:
        ConfigError: a layout or a class does not exist.
        InputError: a path does not exist, does not have its layout, or nothing is left.
    """
    named = ", ".join(item.name if isinstance(item, DataSet) else item for item in each(data))
    samples = [sample for item in each(data) for sample in data_set(item).samples if split in ("all", sample.split)]
    known = {sample.class_name for sample in samples}
    for name in classes or ():
        if name not in known:
            raise unknown_name(f"class of {named}", name, known)
    kept = [sample for sample in samples if classes is None or sample.class_name in classes]
    if not kept:
        raise InputError(f"a data set has images in its split {split!r}", named, "name another")
    return kept


def in_words(class_name: str) -> str:
    """The name of a folder as plain English.

    >>> in_words("metal_nut")
    'metal nut'
    """
    return class_name.replace("_", " ").strip()
