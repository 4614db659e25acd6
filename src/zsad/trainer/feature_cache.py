"""The features that a frozen backbone extracts from every image, on disk: it runs once per image, ever."""

import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zsad.config import from_mapping
from zsad.documents import read_json_object
from zsad.errors import ConfigError, InputError
from zsad.files import write_atomically
from zsad.runtime import Precision, torch_dtype
from zsad.types import BackboneFeatures, Size

CHUNK = 8
"""Images whose features are extracted together, at most: fixed, so that features do not depend on when this was."""
LAYOUT, DONE, LOCK = "form.json", "done.npy", "lock"
NAME = re.compile("[0-9a-f]{32}")
REVISION = 2
"""Raised when the same key would mean other numbers."""

Extract = Callable[[Sequence[int]], BackboneFeatures]


@dataclass(frozen=True)
class FeatureLayout:
    """Shape and precision of the features of one image.

    Attributes:
        patches, image: shapes without the batch.
        grid: (rows, cols) of the patches.
        precision: of the numbers.
    """

    patches: tuple[int, ...]
    image: tuple[int, ...]
    grid: Size
    precision: Precision

    @property
    def dtype(self) -> torch.dtype:
        """The precision as PyTorch's type."""
        return torch_dtype(self.precision)

    @property
    def bytes(self) -> int:
        """Size of the features of one image."""
        return (math.prod(self.patches) + math.prod(self.image)) * self.dtype.itemsize


class FeatureCache:
    """Memory-mapped features of the images 0..count-1; the first ones, as many as fit into ``limit`` bytes.

    Rows are written in chunks, and a chunk is valid when it is complete: one that was interrupted is extracted again.
    One process at a time fills a cache; others that need the same one wait for it.

    Args:
        root: folder of all such caches; the least recently used are deleted to make room.
        key: all that determines the features, such as images, size, backbone and method.
        count: how many images there are.
        extract: extracts the features of images by index.
        limit: greatest size in bytes of all caches below ``root``.
        chunk: images whose features are extracted together.

    Raises:
        InputError: ``root`` cannot be written, or the disk is full.
    """

    def __init__(self, root: Path, key: object, count: int, extract: Extract, limit: int, chunk: int = CHUNK) -> None:
        self._count, self._extract, self._chunk = count, extract, chunk
        self._first: BackboneFeatures | None = None
        self._folder = (
            root
            / hashlib.sha256(json.dumps([REVISION, key, count, limit, chunk], sort_keys=True).encode()).hexdigest()[:32]
        )
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with _locked(self._folder):
                self._open(limit)
        except OSError as error:
            raise InputError(
                "the folder of the cache must be writable and have room",
                error,
                "say --cache DIR, or a smaller --cache-gb",
            ) from error

    def fill(self) -> Iterator[int]:
        """Extract what is not on disk yet; yields the number of images that are done after each chunk."""
        with _locked(self._folder):
            for start in range(0, self.kept, self._chunk):
                if not self._done[start // self._chunk]:
                    self._write(start)
                yield min(start + self._chunk, self.kept)

    def read(self, indices: Sequence[int]) -> BackboneFeatures:
        """Features of some images; those that are not on disk are extracted again."""
        cached = [index for index in indices if self._has(index)]
        missing = [index for index in indices if not self._has(index)]
        parts = [(cached, self._stored(cached))] if cached else []
        parts += [(missing, self._extract(missing))] if missing else []
        order = [index for part, _ in parts for index in part]
        positions = torch.tensor([order.index(index) for index in indices])
        patches, image = (
            torch.cat([getattr(features, name).cpu() for _, features in parts])[positions]
            for name in ("patches", "image")
        )
        return BackboneFeatures(patches, image, self._layout.grid)

    def _has(self, index: int) -> bool:
        return index < self.kept and bool(self._done[index // self._chunk])

    def _stored(self, indices: Sequence[int]) -> BackboneFeatures:
        patches, image = (
            torch.from_numpy(array[list(indices)]).view(self._layout.dtype) for array in (self._patches, self._image)
        )
        return BackboneFeatures(patches, image, self._layout.grid)

    def _write(self, start: int) -> None:
        """Extract a whole chunk, even where only a part is kept, so that no row depends on the limit."""
        stop = min(start + self._chunk, self.kept)
        features = self._extract_chunk(start)
        self._patches[start:stop] = _to_numpy(features.patches)[: stop - start]
        self._image[start:stop] = _to_numpy(features.image)[: stop - start]
        self._patches.flush()
        self._image.flush()
        self._done[start // self._chunk] = True
        self._done.flush()

    def _extract_chunk(self, start: int) -> BackboneFeatures:
        """A chunk; the first may have been extracted already, for its layout."""
        first, self._first = self._first, None
        if first is not None and start == 0:
            return first
        return self._extract(range(start, min(start + self._chunk, self._count)))

    def _open(self, limit: int) -> None:
        self._layout = self._read_layout()
        self.kept = min(self._count, limit // self._layout.bytes)
        _make_room(self._folder, self.kept * self._layout.bytes, limit)
        write_atomically(self._folder / LAYOUT, json.dumps(asdict(self._layout)).encode())
        dtype = np.dtype(np.int16 if self._layout.precision == "bf16" else np.float32)
        done = (-(-self.kept // self._chunk),)
        files = {
            self._folder / "patches.npy": ((self.kept, *self._layout.patches), dtype),
            self._folder / "image.npy": ((self.kept, *self._layout.image), dtype),
            self._folder / DONE: (done, np.dtype(bool)),
        }
        opened = [_open_array(path, shape, dtype) for path, (shape, dtype) in files.items()]
        arrays = [array for array in opened if array is not None]
        if len(arrays) < len(opened):  # where one file is damaged, none of the chunks is complete
            arrays = [_new_array(path, shape, dtype) for path, (shape, dtype) in files.items()]
        self._patches, self._image, self._done = arrays

    def _read_layout(self) -> FeatureLayout:
        """From the cache where there is one, else from the first chunk."""
        try:
            return from_mapping(FeatureLayout, read_json_object(self._folder / LAYOUT), LAYOUT)
        except (OSError, ValueError, ConfigError):
            self._first = first = self._extract_chunk(0)
            half = first.patches.dtype == torch.bfloat16
            shapes = tuple(first.patches.shape[1:]), tuple(first.image.shape[1:])
            return FeatureLayout(*shapes, first.grid, "bf16" if half else "fp32")


def _open_array(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.memmap | None:
    """The array in the file, if it is complete and of this shape and type."""
    with suppress(ValueError, OSError):
        size = path.stat().st_size
        array = np.lib.format.open_memmap(path, "r+")
        # A truncated file is lengthened with zeros by the mapping.
        if array.shape == shape and array.dtype == dtype and size == array.offset + array.nbytes:
            return array
    return None


def _new_array(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.memmap:
    """A file that is allocated at once: a disk that fills up later would kill the process."""
    path.unlink(missing_ok=True)
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _to_numpy(values: Tensor) -> np.ndarray:
    """NumPy has no bfloat16: its bits travel as integers."""
    return (values.view(torch.int16) if values.dtype == torch.bfloat16 else values).cpu().numpy()


def _make_room(folder: Path, needed: int, limit: int) -> None:
    """Delete the least recently used caches until this one fits; nothing but caches is ever touched."""
    caches = [
        cache
        for cache in folder.parent.iterdir()
        if cache != folder and NAME.fullmatch(cache.name) and (cache / LAYOUT).is_file()
    ]
    caches.sort(key=lambda cache: max(file.stat().st_mtime for file in cache.iterdir()))
    sizes = {cache: sum(file.stat().st_size for file in cache.iterdir()) for cache in caches}
    while caches and sum(sizes[cache] for cache in caches) + needed > limit:
        shutil.rmtree(caches.pop(0), ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock the folder, on systems that have such locks."""
    with (folder / LOCK).open("w") as file:
        try:
            import fcntl
        except ImportError:  # Windows
            yield
            return
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
