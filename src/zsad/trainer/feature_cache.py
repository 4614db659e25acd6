"""What a method that only reads the tower saw of every image, on disk: the tower runs once per image, ever."""

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
"""Images observed together, at most: fixed, so that an observation does not depend on when it was made."""
FORM, DONE, LOCK = "form.json", "done.npy", "lock"
NAME = re.compile("[0-9a-f]{32}")
REVISION = 2
"""Raised when the same key would mean other numbers."""

Observe = Callable[[Sequence[int]], BackboneFeatures]


@dataclass(frozen=True)
class FeatureLayout:
    """What the observation of one image looks like.

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
        """As PyTorch names the precision."""
        return torch_dtype(self.precision)

    @property
    def bytes(self) -> int:
        """That one image takes up."""
        return (math.prod(self.patches) + math.prod(self.image)) * self.dtype.itemsize


class FeatureCache:
    """Memory-mapped observations of the images 0..count-1; the first ones, as many as fit into ``limit`` bytes.

    Rows are written in chunks, and a chunk counts when it is whole: what a kill left behind is made again. One process
    at a time fills a cache; others that want the same one wait for it.

    Args:
        root: folder of all such caches; older ones make room for this one.
        key: all that determines the numbers, such as images, size, backbone and method.
        count: how many images there are.
        observe: observes some of them.
        limit: most bytes of all caches below ``root``.
        chunk: images observed together.

    Raises:
        InputError: ``root`` cannot be written, or the disk is full.
    """

    def __init__(self, root: Path, key: object, count: int, observe: Observe, limit: int, chunk: int = CHUNK) -> None:
        self._count, self._observe, self._chunk = count, observe, chunk
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
        """Observe what is not on disk yet; yields the number of images that are there after each chunk."""
        with _locked(self._folder):
            for start in range(0, self.kept, self._chunk):
                if not self._done[start // self._chunk]:
                    self._write(start)
                yield min(start + self._chunk, self.kept)

    def read(self, indices: Sequence[int]) -> BackboneFeatures:
        """Observations of some images; those that are not on disk are observed again."""
        kept = [index for index in indices if self._has(index)]
        others = [index for index in indices if not self._has(index)]
        parts = [(kept, self._stored(kept))] if kept else []
        parts += [(others, self._observe(others))] if others else []
        order = [index for part, _ in parts for index in part]
        back = torch.tensor([order.index(index) for index in indices])
        patches, image = (
            torch.cat([getattr(one, name).cpu() for _, one in parts])[back] for name in ("patches", "image")
        )
        return BackboneFeatures(patches, image, self._form.grid)

    def _has(self, index: int) -> bool:
        return index < self.kept and bool(self._done[index // self._chunk])

    def _stored(self, indices: Sequence[int]) -> BackboneFeatures:
        patches, image = (
            torch.from_numpy(array[list(indices)]).view(self._form.dtype) for array in (self._patches, self._image)
        )
        return BackboneFeatures(patches, image, self._form.grid)

    def _write(self, start: int) -> None:
        """Observe a whole chunk, even where only a part is kept, so that no row depends on the limit."""
        stop = min(start + self._chunk, self.kept)
        seen = self._observed(start)
        self._patches[start:stop] = _to_numpy(seen.patches)[: stop - start]
        self._image[start:stop] = _to_numpy(seen.image)[: stop - start]
        self._patches.flush()
        self._image.flush()
        self._done[start // self._chunk] = True
        self._done.flush()

    def _observed(self, start: int) -> BackboneFeatures:
        """A chunk; the first may have been observed already, to learn its form."""
        first, self._first = self._first, None
        if first is not None and start == 0:
            return first
        return self._observe(range(start, min(start + self._chunk, self._count)))

    def _open(self, limit: int) -> None:
        self._form = self._known_form()
        self.kept = min(self._count, limit // self._form.bytes)
        _make_room(self._folder, self.kept * self._form.bytes, limit)
        write_atomically(self._folder / FORM, json.dumps(asdict(self._form)).encode())
        stored = np.dtype(np.int16 if self._form.precision == "bf16" else np.float32)
        done = (-(-self.kept // self._chunk),)
        wanted = {
            self._folder / "patches.npy": ((self.kept, *self._form.patches), stored),
            self._folder / "image.npy": ((self.kept, *self._form.image), stored),
            self._folder / DONE: (done, np.dtype(bool)),
        }
        found = [_open_array(path, shape, dtype) for path, (shape, dtype) in wanted.items()]
        whole = [array for array in found if array is not None]
        if len(whole) < len(found):  # what one file has lost, the others do not know of
            whole = [_new_array(path, shape, dtype) for path, (shape, dtype) in wanted.items()]
        self._patches, self._image, self._done = whole

    def _known_form(self) -> FeatureLayout:
        """From the cache where there is one, else from its first chunk."""
        try:
            return from_mapping(FeatureLayout, read_json_object(self._folder / FORM), FORM)
        except (OSError, ValueError, ConfigError):
            self._first = first = self._observed(0)
            half = first.patches.dtype == torch.bfloat16
            shapes = tuple(first.patches.shape[1:]), tuple(first.image.shape[1:])
            return FeatureLayout(*shapes, first.grid, "bf16" if half else "fp32")


def _open_array(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.memmap | None:
    """The array that the file holds, if it is whole and of this shape and type."""
    with suppress(ValueError, OSError):
        size = path.stat().st_size
        found = np.lib.format.open_memmap(path, "r+")
        # A file that was cut is lengthened with zeros by the mapping.
        if found.shape == shape and found.dtype == dtype and size == found.offset + found.nbytes:
            return found
    return None


def _new_array(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.memmap:
    """A file whose room on the disk is taken at once: a disk that fills up later would kill the process."""
    path.unlink(missing_ok=True)
    made = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return made


def _to_numpy(values: Tensor) -> np.ndarray:
    """NumPy has no bfloat16: its bits travel as integers."""
    return (values.view(torch.int16) if values.dtype == torch.bfloat16 else values).cpu().numpy()


def _make_room(folder: Path, needed: int, limit: int) -> None:
    """Delete the caches used longest ago until this one fits; nothing but caches is ever touched."""
    others = [
        one for one in folder.parent.iterdir() if one != folder and NAME.fullmatch(one.name) and (one / FORM).is_file()
    ]
    others.sort(key=lambda one: max(file.stat().st_mtime for file in one.iterdir()))
    sizes = {one: sum(file.stat().st_size for file in one.iterdir()) for one in others}
    while others and sum(sizes[one] for one in others) + needed > limit:
        shutil.rmtree(others.pop(0), ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Alone with the folder, on systems that have such locks."""
    with (folder / LOCK).open("w") as file:
        try:
            import fcntl
        except ImportError:  # Windows
            yield
            return
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
