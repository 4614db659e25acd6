"""Pages of a TIFF and frames of a DICOM file: each is found without reading the others."""

from io import BufferedReader
from pathlib import Path

from zsad.data.decoding import dicom, tiff
from zsad.data.decoding.guard import reading
from zsad.data.decoding.ranges import Range
from zsad.data.series.frame import Series
from zsad.types import DecodedImage


class Pages(Series):
    """The pages of a TIFF, without smaller copies and masks; of ImageJ and MetaMorph the planes of one page."""

    def __init__(self, path: Path) -> None:
        with reading(str(path)), path.open("rb") as stream:
            self._pages = tiff.pages_of(stream, str(path))
        super().__init__(path, len(self._pages))

    def _open(self, name: str) -> BufferedReader:
        with reading(name):
            return self.path.open("rb")

    def _close(self, handle: BufferedReader) -> None:
        handle.close()

    def _frame(self, handle: BufferedReader, index: int, name: str, value_range: Range | None) -> DecodedImage:
        return tiff.read_page(handle, name, self._pages[index], value_range)


class DicomFrames(Series):
    """The frames of a DICOM file."""

    def __init__(self, path: Path) -> None:
        with reading(str(path)), path.open("rb") as stream:
            count = dicom.frame_count(stream, str(path))
        super().__init__(path, count)

    def _open(self, name: str) -> BufferedReader:
        with reading(name):
            return self.path.open("rb")

    def _close(self, handle: BufferedReader) -> None:
        handle.close()

    def _frame(self, handle: BufferedReader, index: int, name: str, value_range: Range | None) -> DecodedImage:
        handle.seek(0)
        return dicom.read_frame(handle, name, index, value_range)
