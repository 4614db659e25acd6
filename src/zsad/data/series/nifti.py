"""Slices of a NIfTI volume, by nibabel (extra ``volumes``), and the volume of their maps.

header -> axis of the slices -> one slice at a time from the file (unpacked, and sorted by slices, to a temporary one
          where it is compressed, or its slices are not in one piece)
       -> one scale for the volume -> upright, as on the screen of a radiologist
"""

import gzip
import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
from jaxtyping import Shaped

from zsad.data.decoding.guard import check_size, reading, require
from zsad.data.decoding.pixels import from_unit, to_rgb
from zsad.data.decoding.ranges import Range
from zsad.data.series.frame import Series
from zsad.errors import ConfigError, InputError
from zsad.types import DecodedImage, Size

MOST_BYTES = 2**36
"""Of a volume that is unpacked, at most."""
PIECE = 2**20
"""Bytes that are unpacked or sorted at a time, but whole planes."""
REVERSED = "RAS"
"""Directions that run against the screen, where columns go to the patient's left or back, and rows down or back."""
NEAR = 1.01
"""Spacings that differ by less are equal."""


class Volume(Series):
    """The slices of a volume, those of one time point after those of the other.

    Without ``axis``, slices are taken along the axis of the largest spacing, where that is larger than the others by
    more than 1 %; else along the one that runs nearest to the patient's head.

    Grey is scaled from ``cal_min``..``cal_max`` of the header, 8 bits from 0..255, all else from the least to the
    greatest value of the whole volume.

    Args:
        path: of a ``.nii`` or ``.nii.gz`` file.
        axis: 0, 1 or 2, of the array.

    Raises:
        InputError: it is no volume of three axes or more, of real numbers or RGB.
        ConfigError: there is no such axis.
        DependencyError: nibabel is missing.
    """

    has_own_range = True

    def __init__(self, path: Path, axis: int | None = None) -> None:
        require("nibabel", "volumes", "a NIfTI volume", str(path))
        image = _loaded(path)
        self.header, self.affine = image.header.copy(), np.asarray(image.affine)
        self.shape: tuple[int, ...] = tuple(map(int, image.shape))
        _check(image, path)
        self.axis = _slice_axis(image) if axis is None else axis
        check_axis(self.axis)
        self._directions = _directions(image)
        self._scale: Range | None = _stated_range(image)
        self._dtype, self._offset = np.dtype(image.dataobj.dtype), int(image.dataobj.offset)
        self._scaling = float(image.dataobj.slope), float(image.dataobj.inter)
        check_size(*self.size, str(path))
        super().__init__(path, self.shape[self.axis] * math.prod(self.shape[3:]))

    @property
    def size(self) -> Size:
        """(rows, cols) of a slice on the screen."""
        rows, cols = self._rows_cols
        return self.shape[rows], self.shape[cols]

    @property
    def _rows_cols(self) -> tuple[int, int]:
        """The axes that run down and across: the one towards the feet runs down, else the one towards the back."""
        first, second = (axis for axis in (0, 1, 2) if axis != self.axis)
        order = {"S": 0, "I": 0, "A": 1, "P": 1, "L": 2, "R": 2}
        return (first, second) if order[self._directions[first]] < order[self._directions[second]] else (second, first)

    def upright(self, plane: Shaped[np.ndarray, "*shape"]) -> Shaped[np.ndarray, "*turned"]:
        """A slice of the array, its axes in their order, as it stands on the screen."""
        rows, cols = self._rows_cols
        turned = plane if rows < cols else plane.swapaxes(0, 1)
        steps = [-1 if self._directions[axis] in REVERSED else 1 for axis in (rows, cols)]
        return turned[:: steps[0], :: steps[1]]

    def in_array(self, shown: Shaped[np.ndarray, "rows cols"]) -> Shaped[np.ndarray, "first second"]:
        """The inverse of :meth:`upright`."""
        rows, cols = self._rows_cols
        steps = [-1 if self._directions[axis] in REVERSED else 1 for axis in (rows, cols)]
        plane = shown[:: steps[0], :: steps[1]]
        return plane if rows < cols else plane.T

    def _open(self, name: str) -> IO[bytes]:
        with reading(name):
            is_packed = self.path.name.lower().endswith(".gz")
            with gzip.open(self.path) if is_packed else self.path.open("rb") as file:
                if is_packed or self.axis != 2:
                    return self._by_slices(file)
            file = self.path.open("rb")
            file.seek(self._offset)
            return file

    def _close(self, handle: IO[bytes]) -> None:
        handle.close()

    def _by_slices(self, file: Any) -> IO[bytes]:
        """The samples in a temporary file without a name, a slice after the other; some planes are read at a time."""
        file.read(self._offset)
        planes = math.prod(self.shape[2:])
        size = self.shape[0] * self.shape[1] * self._dtype.itemsize
        with ExitStack() as stack:
            sorted_file: IO[bytes] = stack.enter_context(TemporaryFile())
            for start in range(0, planes, at_once := max(1, PIECE // size)):
                # Not over the end of a time point, so that a slice gets consecutive rows.
                for first, count in _runs(start, min(at_once, planes - start), self.shape[2]):
                    content = file.read(count * size)
                    if len(content) != count * size:
                        raise ValueError(f"it ends in plane {first + len(content) // size} of {planes}")
                    self._sort(sorted_file, content, first, count)
            stack.pop_all()  # closed with the series
        return sorted_file

    def _sort(self, out: IO[bytes], content: bytes, first: int, count: int) -> None:
        """Write some planes to the slices that they are of."""
        if self.axis == 2:
            out.write(content)
            return
        block = np.frombuffer(content, self._dtype).reshape(count, self.shape[1], self.shape[0])
        time, at = divmod(first, self.shape[2])
        for number in range(self.shape[self.axis]):
            rows = block[:, :, number] if self.axis == 0 else block[:, number]
            index = time * self.shape[self.axis] + number
            out.seek((index * self.shape[2] + at) * rows.shape[1] * self._dtype.itemsize)
            out.write(np.ascontiguousarray(rows).tobytes())

    def _frame(self, handle: IO[bytes], index: int, name: str, value_range: Range | None) -> DecodedImage:
        with reading(name):
            plane = self._plane(handle, index)
            low, high = value_range or self._range(handle)
            shown = self.upright(plane)
            unit = np.clip((shown.astype(np.float64) - low) / ((high - low) or 1), 0, 1)
            return DecodedImage(to_rgb(from_unit(np.nan_to_num(unit))), name)

    def _plane(self, file: IO[bytes], index: int) -> Shaped[np.ndarray, "first second *colours"]:
        first, second = (self.shape[axis] for axis in (0, 1, 2) if axis != self.axis)
        size = first * second * self._dtype.itemsize
        file.seek(index * size + (0 if self._is_sorted(file) else self._offset))
        content = file.read(size)
        if len(content) != size:
            raise ValueError("image file is truncated")
        plane = np.frombuffer(content, self._dtype).reshape(second, first).T
        if self._dtype.fields is not None:
            return np.stack([plane[colour] for colour in "RGB"], axis=-1)
        slope, intercept = self._scaling
        return plane if (slope, intercept) == (1, 0) else plane * slope + intercept

    def _is_sorted(self, file: IO[bytes]) -> bool:
        return file.name != str(self.path)

    def place(self, index: int) -> tuple[Any, ...]:
        """The slice of a frame in the array."""
        further, at = divmod(index, self.shape[self.axis])
        times = np.unravel_index(further, self.shape[3:], order="F") if self.shape[3:] else ()
        planes = (at if axis == self.axis else slice(None) for axis in (0, 1, 2))
        return (*planes, *map(int, times))

    def _range(self, file: IO[bytes]) -> Range:
        """From the least to the greatest value; found once."""
        if self._scale is None:
            low, high = math.inf, -math.inf
            for index in range(self.count):
                plane = self._plane(file, index)
                finite = plane[np.isfinite(plane)]
                if finite.size:
                    low, high = min(low, float(finite.min())), max(high, float(finite.max()))
            self._scale = (low, high) if low <= high else (0.0, 1.0)
        return self._scale


def check_axis(axis: int | None) -> None:
    """Check an axis that was chosen.

    Raises:
        ConfigError: volumes have no such axis.
    """
    if axis not in (None, 0, 1, 2):
        raise ConfigError("an axis of a volume is 0, 1 or 2", axis, "choose one of these")


def _loaded(path: Path) -> Any:
    import nibabel

    with reading(str(path), nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError):
        image = nibabel.load(path)
    if not isinstance(image, nibabel.Nifti1Image):
        raise InputError("a volume is a NIfTI file", f"{path} ({type(image).__name__})", "save it as .nii or .nii.gz")
    return image


def _runs(start: int, count: int, period: int) -> Iterator[tuple[int, int]]:
    """``count`` numbers from ``start``, as (first, count) of pieces that do not go over a multiple of the period.

    >>> [*_runs(3, 6, 5)]
    [(3, 2), (5, 4)]
    """
    end = start + count
    while start < end:
        stop = min(end, (start // period + 1) * period)
        yield start, stop - start
        start = stop


def _check(image: Any, path: Path) -> None:
    kind, fields = image.dataobj.dtype.kind, image.dataobj.dtype.fields
    if len(image.shape) < 3 or 0 in image.shape or (kind not in "iuf" and fields is None):
        raise InputError(
            "a volume has three axes or more, of real numbers or RGB",
            f"{path} of shape {image.shape} in {image.dataobj.dtype}",
            "save it so",
        )
    if (size := math.prod(image.shape) * image.dataobj.dtype.itemsize) > MOST_BYTES:
        raise InputError(f"a volume has at most {MOST_BYTES} bytes", f"{path} with {size}", "cut it into pieces")


def _directions(image: Any) -> tuple[str, str, str]:
    """Where each axis runs, such as ``("R", "A", "S")``; as if along the axes where the file does not say."""
    import nibabel

    codes: Any = nibabel.orientations.aff2axcodes  # untyped
    found = tuple(codes(image.affine))
    return found if {*found} & {*"RL"} and {*found} & {*"AP"} and {*found} & {*"SI"} else ("R", "A", "S")


def _slice_axis(image: Any) -> int:
    spacing = [abs(float(size)) for size in image.header.get_zooms()[:3]]
    order = sorted(range(3), key=lambda axis: spacing[axis])
    if spacing[order[2]] > NEAR * spacing[order[1]]:
        return order[2]
    return next(axis for axis, direction in enumerate(_directions(image)) if direction in "SI")


def _stated_range(image: Any) -> Range | None:
    low, high = float(image.header["cal_min"]), float(image.header["cal_max"])
    if math.isfinite(low) and math.isfinite(high) and low < high:
        return low, high
    dtype = image.dataobj.dtype
    is_eight_bit = dtype.fields is not None or (dtype == np.uint8 and image.dataobj.slope in (1, None))
    return (0.0, 255.0) if is_eight_bit and image.dataobj.inter in (0, None) else None
