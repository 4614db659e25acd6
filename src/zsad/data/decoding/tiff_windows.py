"""Rows of a TIFF that is too large to be decoded at once: only the strips or tiles that hold them are read."""

import os
from collections.abc import Iterator
from types import TracebackType

import numpy as np
from jaxtyping import Shaped

from zsad.data.decoding import jpeg, tiff
from zsad.data.decoding.guard import Stream, reading, require
from zsad.data.decoding.pixels import Pixels, to_rgb
from zsad.data.decoding.ranges import Range, bits_of_largest
from zsad.data.decoding.tiff_segments import check_segment, check_supported
from zsad.errors import InputError
from zsad.types import Size

MOST_PIXELS = 2**34
LARGEST_SEGMENT = 2**26
"""Pixels of a strip or tile that is decoded at once, at most."""
JPEG, YCBCR = 7, 6


class TiffWindows:
    """The first page of a TIFF, read by rows; a context manager.

    Args:
        path: of the file.
        value_range: as of :func:`zsad.data.decode.decode`.

    Attributes:
        name: of the file.
        size: (rows, cols).
        step: rows of a strip or tile: as many are best read together.

    Raises:
        InputError: it is of a kind that is not read by rows, or its strips are too large.
        DependencyError: its compression needs an extra.
    """

    def __init__(self, path: str | os.PathLike[str], value_range: Range | None = None) -> None:
        from tifffile import TiffFile

        self.name, self._range = os.fspath(path), value_range
        with reading(self.name):
            self._stream: Stream = open(path, "rb")  # noqa: SIM115  # closed with this
            try:
                self._page = TiffFile(self._stream).pages[0].aspage()
                self.size: Size = (self._page.imagelength, self._page.imagewidth)
                self._check()
            except BaseException:
                self._stream.close()
                raise
        height = self._page.tilelength if self._page.is_tiled else min(self._page.rowsperstrip, self.size[0])
        self.step = int(height)

    def _check(self) -> None:
        page = self._page
        self._is_jpeg = page.compression == JPEG and page.bitspersample == 8
        if self._is_jpeg:
            require("imagecodecs", "codecs", "a TIFF of JPEG strips or tiles", self.name)
        else:
            tiff.check_kind(page, self.name)
            check_supported(page, self.name)
        tiff.check_complete(page)
        what = ""
        if self.size[0] * self.size[1] > MOST_PIXELS:
            what = f"{self.size[0]} x {self.size[1]} pixels"
        elif page.axes not in ("YX", "YXS"):
            what = f"axes {page.axes}"
        elif page.tags.valueof(tiff.ORIENTATION, 1) != 1:
            what = "a picture that is to be turned"
        elif page.chunks[0] * page.chunks[1] > LARGEST_SEGMENT:
            what = f"a strip of {page.chunks[0]} x {page.chunks[1]} pixels"
        if what:
            rule = "a TIFF that is read by rows is upright, in strips or tiles, with its colours side by side"
            raise InputError(rule, f"{self.name} ({what})", "save it in tiles, for instance by vips tiffsave --tile")
        if self._range is None and page.bitspersample == 16 and page.photometric in (tiff.BLACK_IS_ZERO, tiff.RGB):
            tags = (page.tags.valueof(code) for code in (tiff.MAX_SAMPLE, tiff.S_MAX_SAMPLE))
            values = [value for tag in tags for value in (tag if isinstance(tag, tuple) else (tag,))]
            bits = bits_of_largest(value for value in values if value is not None)
            self._range = (0, 2**bits - 1) if bits is not None and 8 < bits < 16 else None

    def __enter__(self) -> "TiffWindows":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def rows(self, top: int, bottom: int) -> Pixels:
        """The pixels of some rows, upright RGB as :func:`zsad.data.decode.decode` gives them.

        Raises:
            InputError: a strip or tile is damaged.
        """
        page = self._page
        with reading(self.name):
            shape = (bottom - top, self.size[1], page.samplesperpixel)
            samples = np.empty(shape, np.uint8 if self._is_jpeg else page.dtype)
            for segment, first in self._segments(top, bottom):
                row, col = first
                low, high = max(row, top), min(row + len(segment), bottom)
                samples[low - top : high - top, col : col + segment.shape[1]] = segment[low - row : high - row]
            if self._is_jpeg:
                return to_rgb(samples)
            return tiff.colours(tiff.unsigned(samples, page, self._range), page)

    def _segments(self, top: int, bottom: int) -> Iterator[tuple[Shaped[np.ndarray, "rows cols samples"], Size]]:
        """The strips or tiles that hold some rows, and where each begins."""
        page = self._page
        across = page.chunked[1] if page.is_tiled else 1
        for index in range(top // self.step * across, -(-bottom // self.step) * across):
            self._stream.seek(page.dataoffsets[index])
            content = self._stream.read(page.databytecounts[index])
            if self._is_jpeg:
                self._check_jpeg(content)
            else:
                check_segment(page, content)
            segment, place, shape = page.decode(content, index, jpegtables=page.jpegtables)
            if segment is None:
                raise ValueError("strips or tiles are missing")
            yield segment[0, : shape[1], : min(shape[2], self.size[1] - place[3])], (place[2], place[3])

    def _check_jpeg(self, content: bytes) -> None:
        frame = jpeg.frame_of(content)
        if frame is None or frame.rows > self._page.chunks[0] or frame.cols > self._page.chunks[1]:
            raise ValueError("a strip or tile of another size than its TIFF says")


def size_of_tiff(path: str | os.PathLike[str]) -> Size:
    """(rows, cols) of the first page, by its header.

    Raises:
        InputError: it cannot be read.
    """
    from tifffile import TiffFile

    with reading(os.fspath(path)), open(path, "rb") as stream, TiffFile(stream) as file:
        page = file.pages[0].aspage()
        return int(page.imagelength), int(page.imagewidth)  # a damaged header has tuples there
