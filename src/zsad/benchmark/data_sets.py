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


def known(data_set: DataSet) -> ClassListing:
    """What is known of a data set that is at hand."""
    labels: dict[str, list[int | None]] = {}
    for sample in data_set.samples:
        if sample.split == "test":
            labels.setdefault(sample.class_name, []).append(sample.label)
    classes = {name: (labels_of_class.count(0), labels_of_class.count(1)) for name, labels_of_class in labels.items()}
    return ClassListing(data_set.layout, data_set.is_published, classes)


def read(out: Path) -> dict[str, ClassListing]:
    """What was written down of data sets in the folder of a benchmark, by their names; nothing before it began.

    Raises:
        ConfigError, InputError: it cannot be read.
    """
    path = out / FILE
    entries = store.read_json(path) if path.exists() else {}
    return {name: from_mapping(ClassListing, entry, f"{path}, {name}") for name, entry in entries.items()}


def write(listings: Mapping[str, ClassListing], out: Path) -> None:
    """Write down what is known, beside what other machines wrote of other data sets.

    Raises:
        ConfigError, InputError: what is there cannot be read.
    """
    store.write_json(out / FILE, {name: asdict(listing) for name, listing in (read(out) | dict(listings)).items()})
