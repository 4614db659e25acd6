"""The tables of the five papers as data, so that their numbers stand beside ours.

One file a paper holds its tables as they are printed, with a mark at every number that cannot be taken as it stands;
``methods.csv`` and ``data_sets.csv`` say what the papers' names stand for, ``packs.csv`` where their images are not
those of the data set as published, ``settings.csv`` what else their own methods are. See ``docs/published.md``.

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
"""What the papers measure. Their PRO is ``pixel_pro`` here; this package computes it as ``pixel_pro_200``."""

AVERAGES = ("average-industrial", "average-medical")
"""Names that stand for no data set: the averages that AFR-CLIP prints over its own."""


def rows(
    paper: str | None = None, data_set: str | None = None, method: str | None = None, metric: str | None = None
) -> list[PublishedNumber]:
    """The numbers of a paper, a data set, a method or a metric, in the order of the papers' names and tables.

    Raises:
        ConfigError: nothing here has that name; the message proposes the nearest one.
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
    """What each method of the tables is called, by its name in this package."""
    return _tables.titles("methods")


def data_sets() -> dict[str, str]:
    """What each data set of the tables is called, by its name in this package."""
    return _tables.titles("data_sets")


def _check(what: str, name: str | None, known: Iterable[str]) -> None:
    if name is not None and name not in known:
        raise unknown_name(what, name, known)
