"""The regions of a run as files, beside its report.

regions.json       every image and its regions: boxes, polygons, areas and scores
regions.csv        one line a region, written as the run goes
coco.json          COCO instances, for training and for annotation tools
labelme/*.json     one file an image, for LabelMe
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path, PurePath
from tempfile import TemporaryFile
from typing import TextIO

import numpy as np
from jaxtyping import Float32

from zsad import spreadsheets
from zsad.errors import InputError
from zsad.files import replacing, write_atomically
from zsad.regions import Region, find_regions
from zsad.regions.contours import simplify
from zsad.regions.finding import TOLERANCE
from zsad.reports.annotations import CATEGORY, LABELME_VERSION, coco_annotation, labelme_file
from zsad.types import Size

COLUMNS = (
    "source",
    "region",
    "left",
    "top",
    "width",
    "height",
    "area",
    "peak",
    "peak_x",
    "peak_y",
    "mean",
)
FOLDER, LISTING, TABLE, COCO = "labelme", "regions.json", "regions.csv", "coco.json"
BEGINNINGS = {
    LISTING: '{"format": 1, "description": "Regions found by zsad"',
    TABLE: ",".join(COLUMNS),
    COCO: '{"info": {"description": "Regions found by zsad"',
}
"""How our files begin, by which an earlier report knows its own."""
LABELME_BEGINNING = f'{{"version": "{LABELME_VERSION}", "flags": {{}}, "shapes": ['
"""As LabelMe does not write it: a file that was corrected and saved there is kept."""


class RegionFiles:
    """Writes the regions of images, one image at a time; what must wait for the end waits on disk.

    Args:
        out: folder of the report.
        threshold: score from which a pixel belongs to a region.
        min_area: of the smallest region, in px.
    """

    def __init__(self, out: Path, threshold: float, min_area: int) -> None:
        self.out, self._about = out, {"pixel_threshold": threshold, "min_area": min_area, "tolerance": TOLERANCE}
        self._threshold, self._min_area = threshold, min_area
        self._images = self._regions = 0
        (out / FOLDER).mkdir(exist_ok=True)
        write_atomically(out / TABLE, spreadsheets.line(COLUMNS).encode())
        with ExitStack() as stack:
            self._listed, self._coco_images, self._annotations = (
                stack.enter_context(TemporaryFile("w+", encoding="utf-8")) for _ in range(3)
            )
            # The name of a file need not be Unicode; what is not is written as an escape.
            self._table = stack.enter_context(
                (out / TABLE).open("a", encoding="utf-8", errors="backslashreplace", newline="")
            )
            self._until_closed = stack.pop_all()

    def find(self, anomaly_map: Float32[np.ndarray, "rows cols"], factor: int = 1) -> list[Region]:
        """The regions of a map, with exact polygons.

        Args:
            anomaly_map: of an image.
            factor: side of its pixels in px of the image.
        """
        least = -(-self._min_area // factor**2)
        return find_regions(anomaly_map, self._threshold, min_area=least, tolerance=0)

    def add(self, regions: Sequence[Region], source: str, size: Size, name: str) -> None:
        """Write the regions of an image.

        Args:
            regions: with exact polygons, in the order of their numbers.
            source: path of the image.
            size: its (rows, cols).
            name: of its files, without suffix.
        """
        own = f"{FOLDER}/{name}.json"
        shapes = labelme_file(regions, _relative(source, self.out / FOLDER), size, TOLERANCE)
        write_atomically(self.out / own, (json.dumps(shapes) + "\n").encode())
        self._table.writelines(_line(source, number, region) for number, region in enumerate(regions, 1))
        self._table.flush()
        rows, cols = size
        entries = [_entry(region) for region in regions]
        _add(self._listed, {"source": source, "rows": rows, "cols": cols, "labelme": own, "regions": entries})
        self._images += 1
        path = _relative(source, self.out)
        _add(self._coco_images, {"id": self._images, "file_name": path, "height": rows, "width": cols})
        for region in regions:
            self._regions += 1
            _add(self._annotations, coco_annotation(region, self._regions, self._images, size, TOLERANCE))

    def finish(self) -> None:
        """Write the files that list all images."""
        about = json.dumps(self._about).removeprefix("{").removesuffix("}")
        with replacing(self.out / LISTING) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.write(f"{BEGINNINGS[LISTING]}, {about}")
            file.writelines(_list("images", self._listed))
            file.write("}\n")
        with replacing(self.out / COCO) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.write(f'{BEGINNINGS[COCO]}, {about}}}, "categories": [{json.dumps(CATEGORY)}]')
            file.writelines(_list("images", self._coco_images))
            file.writelines(_list("annotations", self._annotations))
            file.write("}\n")

    def close(self) -> None:
        """Let go of the files; without :meth:`finish`, those that list all images are not there."""
        self._until_closed.close()


def check_free(out: Path, replacing: bool) -> None:
    """Check that no file is in the way.

    Args:
        out: folder of the report.
        replacing: whether an earlier report is there, whose files are not in the way.

    Raises:
        InputError: a file of these names was not written by :class:`RegionFiles`.
    """
    found = [(name, beginning) for name, beginning in BEGINNINGS.items() if os.path.lexists(out / name)]
    foreign = [name for name, beginning in found if not (replacing and _begins(out / name, beginning))]
    if foreign:
        rule = "a report replaces an earlier report and no other file"
        raise InputError(
            rule, f"{', '.join(foreign)} from elsewhere in {out}", "choose another --out, or move them away"
        )


def remove_earlier(out: Path, names: Iterable[str]) -> None:
    """Remove the files of an earlier report; what somebody else wrote, or corrected in LabelMe, is kept.

    Args:
        out: folder of the report.
        names: of the files of its images, without suffix.
    """
    labelme = ((f"{FOLDER}/{name}.json", LABELME_BEGINNING) for name in names)
    for name, beginning in (*BEGINNINGS.items(), *labelme):
        if _begins(out / name, beginning):
            (out / name).unlink()


def _begins(path: Path, beginning: str) -> bool:
    """Whether it is a file that begins so. One that is empty was being made when its process was killed."""
    if not path.is_file() or path.is_symlink():
        return False
    with path.open("rb") as file:
        return file.read(len(beginning)) in (b"", beginning.encode())


def _add(file: TextIO, entry: Mapping[str, object]) -> None:
    file.write(json.dumps(entry) + "\n")


def _list(key: str, entries: TextIO) -> Iterator[str]:
    """A list of JSON under a key, in pieces."""
    entries.seek(0)
    yield f', "{key}": ['
    for number, entry in enumerate(entries):
        yield (",\n" if number else "\n") + entry.rstrip("\n")
    yield "]"


def _entry(region: Region) -> dict[str, object]:
    return replace(region, polygons=tuple(simplify(polygon, TOLERANCE) for polygon in region.polygons)).as_dict()


def _line(source: str, number: int, region: Region) -> str:
    peak, mean = f"{region.peak:.6f}", f"{region.mean:.6f}"
    return spreadsheets.line([source, number, *region.box, region.area, peak, *region.peak_position, mean])


def _relative(source: str, folder: Path) -> str:
    """The path of an image as seen from a folder, with slashes."""
    path = Path(source)
    absolute = os.path.join(os.path.realpath(path.parent), path.name)
    try:
        return PurePath(os.path.relpath(absolute, os.path.realpath(folder))).as_posix()
    except ValueError:  # on another drive of Windows
        return PurePath(absolute).as_posix()
