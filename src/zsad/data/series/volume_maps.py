"""The maps of the slices of a NIfTI volume, as a volume of its shape and affine."""

import gzip
import math
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
from jaxtyping import Float32

from zsad.data.series.nifti import PIECE, Volume


class VolumeMaps:
    """The maps of the slices of a volume, which become a volume of its shape and affine.

    They wait in a temporary file, so that memory does not grow with their number.

    Args:
        volume: that is scored.
    """

    def __init__(self, volume: Volume) -> None:
        self.volume, self._done = volume, set[int]()
        self._planes: IO[bytes] = TemporaryFile()  # noqa: SIM115  # closed by close()
        first, second = (volume.shape[axis] for axis in (0, 1, 2) if axis != volume.axis)
        self._first, self._second = first, second

    def add(self, index: int, anomaly_map: Float32[np.ndarray, "rows cols"]) -> None:
        """Keep the map of a slice, as it stands on the screen."""
        plane = np.asarray(self.volume.in_array(anomaly_map), np.float32)
        self._planes.seek(index * self._first * self._second * 4)
        self._planes.write(np.ascontiguousarray(plane.T).tobytes())
        self._done.add(index)

    def write(self, path: Path, *, packed: bool) -> None:
        """Write the volume: float32 from 0 to 1, NaN in slices without a score; compressed by gzip or not."""
        with path.open("wb") as file:
            out: Any = gzip.GzipFile("", "wb", 1, file, 0) if packed else file
            out.write(self._header())
            for plane in self._volume_planes():
                out.write(plane.astype(self.volume.header.endianness + "f4").tobytes())
            if packed:
                out.close()

    def close(self) -> None:
        """Forget the maps."""
        self._planes.close()

    def _header(self) -> bytes:
        header = self.volume.header.copy()
        header.set_data_dtype(np.float32)
        header["vox_offset"] = 544 if header.sizeof_hdr == 540 else 352
        for key, value in {"scl_slope": 1, "scl_inter": 0, "cal_min": 0, "cal_max": 1, "intent_code": 0}.items():
            header[key] = value
        header["descrip"], header["aux_file"], header["magic"] = b"zsad anomaly map", b"", header.single_magic
        return bytes(header.binaryblock) + b"\0\0\0\0"

    def _volume_planes(self) -> Iterator[Float32[np.ndarray, "second first"]]:
        """Planes along the third axis, the first axis fastest, as the format has them."""
        volume = self.volume
        depth = volume.shape[volume.axis]
        for further in range(math.prod(volume.shape[3:])):
            indices = range(further * depth, (further + 1) * depth)
            if volume.axis == 2:
                for index in indices:
                    yield self._rows(index, 0, self._second)
                continue
            at_once = max(1, PIECE // (4 * depth * self._first))
            for at in range(0, volume.shape[2], at_once):
                count = min(at_once, volume.shape[2] - at)
                block = np.stack([self._rows(index, at, count) for index in indices], axis=1)
                yield from block.swapaxes(1, 2) if volume.axis == 0 else block

    def _rows(self, index: int, start: int, count: int) -> Float32[np.ndarray, "count first"]:
        if index not in self._done:
            return np.full((count, self._first), np.nan, np.float32)
        self._planes.seek((index * self._second + start) * self._first * 4)
        return np.frombuffer(self._planes.read(count * self._first * 4), np.float32).reshape(count, self._first)
