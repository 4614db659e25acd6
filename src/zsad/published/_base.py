"""What a published number is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Pack:
    """Images of a paper that are others than those of the data set as published.

    Attributes:
        about: what they are, in words.
        total: normal and anomalous images that are tested on, over all classes; None where nobody says it.
    """

    about: str
    total: tuple[int, int] | None


@dataclass(frozen=True)
class PublishedNumber:
    """One number of one table of one paper.

    Attributes:
        paper: whose table it is, by the name of the paper's own method.
        table: as the paper counts, such as ``"Table 1"``.
        method: by this package's names, whatever a paper calls it; see :func:`zsad.published.methods`.
        variant: of the paper's own method, where the table has several of it; ``""`` otherwise.
        data_set: which one it really is, whatever a paper calls it; see :func:`zsad.published.data_sets`.
        metric: one of ``zsad.published.METRICS``.
        value: in percent, as printed.
        shots: normal images that the method was shown; 0 in all zero-shot tables.
        trained_on: data set that the paper's own method was trained on; ``""`` of others and where it is not said.
        backbone: of the paper's own method; ``""`` of others, of which the papers do not say it.
        note: what a reader must know of the number or of its data set, in full sentences.
        suspect: why the number, or what is said of it, cannot be taken as it stands; ``""`` where nothing is known.
        activation: of the backbone of the paper's own method, where it is not that of the weights.
        options: of the paper's own method, where the number is of others than its usual ones.
        pack: what the paper's images are; None where they are the data set as published.
    """

    paper: str
    table: str
    method: str
    variant: str
    data_set: str
    metric: str
    value: float
    shots: int
    trained_on: str
    backbone: str
    note: str
    suspect: str
    activation: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    pack: Pack | None = None


@dataclass(frozen=True)
class PublishedPaper:
    """A paper whose tables are here.

    Attributes:
        name: that of its own method.
        title, source: where it is to be found.
        remarks: where its text and its tables disagree, and what holds for all of its numbers, in full sentences.
    """

    name: str
    title: str
    source: str
    remarks: tuple[str, ...]
