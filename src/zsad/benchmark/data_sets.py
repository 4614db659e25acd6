"""What a benchmark knows of its data sets, also on a machine where their images are not at hand."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from zsad.config import from_mapping
from zsad.data.specification import DataSet
from zsad.results import store

FILE = "data.json"


@dataclass(frozen=True)
class ClassListing:
    """A data set without its images.

    Attributes:
        layout: name of its layout.
        is_published: see :attr:`zsad.data.specification.DataSet.is_published`.
        classes: normal and anomalous images of the test split, by class.
    """

    layout: str
    is_published: bool
    classes: dict[str, tuple[int, int]]

    @property
    def total(self) -> tuple[int, int]:
        """Normal and anomalous images of all classes."""
        normal, anomalous = zip(*self.classes.values(), strict=True) if self.classes else ((), ())
        return sum(normal), sum(anomalous)


def known(found: DataSet) -> ClassListing:
    """What is known of a data set that is at hand."""
    labels: dict[str, list[int | None]] = {}
    for sample in found.samples:
        if sample.split == "test":
            labels.setdefault(sample.class_name, []).append(sample.label)
    classes = {name: (one.count(0), one.count(1)) for name, one in labels.items()}
    return ClassListing(found.layout, found.is_published, classes)


def read(out: Path) -> dict[str, ClassListing]:
    """What was written down of data sets in the folder of a benchmark, by their names; nothing before it began.

    Raises:
        ConfigError, InputError: it cannot be read.
    """
    path = out / FILE
    found = store.read_json(path) if path.exists() else {}
    return {name: from_mapping(ClassListing, words, f"{path}, {name}") for name, words in found.items()}


def write(found: Mapping[str, ClassListing], out: Path) -> None:
    """Write down what is known, beside what other machines wrote of other data sets.

    Raises:
        ConfigError, InputError: what is there cannot be read.
    """
    store.write_json(out / FILE, {name: asdict(one) for name, one in (read(out) | dict(found)).items()})
