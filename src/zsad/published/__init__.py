"""The tables of the five papers as data, for comparison with our results.

One file per paper holds its tables as printed, with a mark at every number that is not reliable; ``methods.csv`` and
``data_sets.csv`` map the names in the papers to ours, ``packs.csv`` lists data sets whose images differ from those
published, ``settings.csv`` further settings of methods on some data sets. See ``docs/published.md``.

>>> [row.value for row in rows("kanoclip", "mvtec", "winclip")]
[91.8, 85.1]
>>> rows("fe-clip", "mpdd", "winclip", "pixel_auroc")[0].suspect
"Repeats the method's cell of VisA. KAnoCLIP prints 76.4 as its AUROC, AFR-CLIP 71.2."
"""

from collections.abc import Iterable

from zsad.errors import unknown_name
from zsad.published import _tables
from zsad.published._tables import Pack, PublishedNumber, PublishedPaper

__all__ = [
    "AVERAGES",
    "METRICS",
    "Pack",
    "PublishedNumber",
    "PublishedPaper",
    "data_sets",
    "methods",
    "paper",
    "papers",
    "rows",
]

METRICS = ("image_auroc", "image_ap", "image_f1_max", "pixel_auroc", "pixel_ap", "pixel_f1_max", "pixel_pro")
"""Metrics of the papers. Their PRO is ``pixel_pro`` here; this package computes it as ``pixel_pro_200``."""

AVERAGES = ("average-industrial", "average-medical")
"""Names that are no data sets: the averages in the tables of AFR-CLIP."""


def rows(
    paper: str | None = None, data_set: str | None = None, method: str | None = None, metric: str | None = None
) -> list[PublishedNumber]:
    """The numbers of a paper, a data set, a method or a metric, in the order of the papers' names and tables.

    Raises:
        ConfigError: unknown name; the message proposes the most similar one.
    """
    _check("published paper", paper, papers())
    _check("published data set", data_set, data_sets())
    _check("published method", method, methods())
    _check("published metric", metric, METRICS)
    return [
        row
        for row in _tables.all_rows()
        if paper in (None, row.paper)
        and data_set in (None, row.data_set)
        and method in (None, row.method)
        and metric in (None, row.metric)
    ]


def papers() -> list[str]:
    """Names of the papers, which are those of their own methods, sorted."""
    return sorted(_tables.files())


def paper(name: str) -> PublishedPaper:
    """The paper of that name.

    Raises:
        ConfigError: there is none.
    """
    _check("published paper", name, papers())
    file = _tables.files()[name]
    return PublishedPaper(name, file.title, file.source, file.remarks)


def methods() -> dict[str, str]:
    """Display names of the methods in the tables, by their names in this package."""
    return _tables.titles("methods")


def data_sets() -> dict[str, str]:
    """Display names of the data sets in the tables, by their names in this package."""
    return _tables.titles("data_sets")


def _check(what: str, name: str | None, known: Iterable[str]) -> None:
    if name is not None and name not in known:
        raise unknown_name(what, name, known)
