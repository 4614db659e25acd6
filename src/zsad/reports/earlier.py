"""What an earlier report left in its folder: removed before another one is written, and nothing else with it."""

import re
from collections.abc import Iterator
from pathlib import Path

from zsad import spreadsheets
from zsad.documents import DocumentError
from zsad.errors import InputError
from zsad.reports import regions

TABLE = "predictions.csv"
OWN_FILES = (TABLE, "predictions.json", "report.html", "legend.png", "heatmaps.png")
OWN = re.compile(r"(maps|overlays)/[^/\\]+\.(png|jpg)|volumes/[^/\\]+\.nii(\.gz)?")
"""Paths of files of images, as tables list them."""
OURS = "source,class_name,score,threshold,"
"""How the first line of our tables has always begun."""


def remove(out: Path, with_regions: bool) -> None:
    """Remove an earlier report: its own files, and the maps, overlays and regions of the images that it lists.

    The table stays: by it the other files are known to be ours.

    Args:
        out: folder of the report.
        with_regions: whether files of regions will be written there.

    Raises:
        InputError: a file of a report's name was not written by one, or the table cannot be read.
    """
    found = [name for name in OWN_FILES if (out / name).exists()]
    table = out / TABLE
    if found and not _is_ours(table, found):
        rule = "a report replaces an earlier report and no other file"
        raise InputError(rule, f"{', '.join(found)} from elsewhere in {out}", "choose another --out, or move them away")
    if with_regions:
        regions.check_free(out, replacing=bool(found))
    if not found:
        return
    images = list(_own_images(table))
    regions.remove_earlier(out, [Path(name).stem for name in images if name.startswith("maps/")])
    for name in (*images, *OWN_FILES):
        if name != TABLE:
            (out / name).unlink(missing_ok=True)


def _is_ours(table: Path, found: list[str]) -> bool:
    """By the first line of the table. Of a report that was killed as it began, it may be empty."""
    if not table.is_file():
        return False
    with table.open(encoding="utf-8", errors="replace") as lines:
        first = lines.readline()
    return first.startswith(OURS) or (not first and set(found) <= {TABLE, "legend.png"})


def _own_images(table: Path) -> Iterator[str]:
    try:
        rows = spreadsheets.read(table) if table.stat().st_size else []
    except DocumentError as error:
        rule = "a report replaces an earlier report whose table can be read"
        raise InputError(rule, f"{table}: {error}", "choose another --out, or move it away") from error
    names = dict.fromkeys(row.get(key, "") for row in rows for key in ("map", "overlay", "volume"))
    return (name for name in names if OWN.fullmatch(name))
