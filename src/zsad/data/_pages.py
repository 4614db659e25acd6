"""What the pages of a TIFF are: images of their own, smaller copies, or what a sensor saw. Nothing is decoded."""

import re
from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING

from zsad.data import kinds
from zsad.data._reading import UNREADABLE, Stream, check_size, reading
from zsad.errors import InputError

if TYPE_CHECKING:
    import tifffile

REDUCED, MASK = 1, 4  # bits of the subfile type
RAW_COLOURS = (32803, 34892)
"""Photometric interpretations: a mosaic of colour filters, and linear raw."""
DNG_VERSION, METAMORPH_PLANES = 50706, 33629  # tags
MOST_PAGES = 1000
"""As many are looked at; what follows is not counted."""


def check_pages(stream: Stream, name: str) -> tuple[str, ...]:
    """What is to be noted of a TIFF of which the first page is read.

    Raises:
        InputError: the first page is not the image: a thumbnail, or camera raw.
    """
    from tifffile import TiffFile

    stream.seek(0)
    with reading(name), TiffFile(stream) as file:
        first = file.pages[0].aspage()
        check_size(first.imagelength, first.imagewidth, name)
        _check_first(first, name)
        _check_segments(first)
        images = _images(file, first)
    if images == 1:
        return ()
    return (f"page 1 of {images if images <= MOST_PAGES else f'more than {MOST_PAGES}'} was read",)


def _check_first(page: "tifffile.TiffPage", name: str) -> None:
    if DNG_VERSION in page.tags or page.photometric in RAW_COLOURS:
        raise kinds.refusal(kinds.CAMERA_RAW, name)
    if page.subfiletype & REDUCED:
        raise InputError(
            "the first page of a TIFF is its image",
            f"{name} (a thumbnail of another page, as in camera raw files)",
            "save the image itself as TIFF or PNG; develop camera raw first",
        )


def _check_segments(page: "tifffile.TiffPage") -> None:
    """Pillow and tifffile fill strips and tiles that are missing, or read others in their place."""
    if len(page.dataoffsets) < prod(page.chunked) or 0 in page.dataoffsets:
        raise ValueError("strips or tiles are missing")


def _images(file: "tifffile.TiffFile", first: "tifffile.TiffPage") -> int:
    """How many images there are, each on its page; ImageJ and MetaMorph also write stacks as one page.

    What Aperio's slides have besides are levels of a pyramid, a thumbnail and a label.
    """
    if first.description.startswith("Aperio"):
        return 1
    imagej = re.search(r"^images=(\d{1,9})", first.description, re.MULTILINE)
    stacked = int(imagej[1]) if imagej and first.is_imagej else 1
    if METAMORPH_PLANES in first.tags:
        stacked = first.tags[METAMORPH_PLANES].count
    return max(stacked, 1 + sum(_is_image(page) for page in _further(file)))


def _further(file: "tifffile.TiffFile") -> Iterator["tifffile.TiffPage"]:
    """Pages after the first, up to the end or to the first that is damaged or comes again."""
    seen = {file.pages[0].aspage().offset}
    for index in range(1, MOST_PAGES + 1):
        try:
            page = file.pages[index].aspage()
        except UNREADABLE:
            return
        if page.offset in seen:
            return
        seen.add(page.offset)
        yield page


def _is_image(page: "tifffile.TiffPage") -> bool:
    return not page.subfiletype & (REDUCED | MASK)
