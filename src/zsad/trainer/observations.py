"""What a method that only reads the tower saw of every picture, on disk: the tower runs once per picture, ever."""

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zsad.config import from_mapping
from zsad.errors import ConfigError, InputError
from zsad.files import write_atomically
from zsad.runtime import DTYPES, Precision
from zsad.types import Observation, Size

CHUNK = 8
"""Pictures observed together. Fixed, so that an observation does not depend on when it was made."""
DONE, FORM = "done.npy", "form.json"
REVISION = 1
"""Raised when the same key would mean other numbers."""

Observe = Callable[[Sequence[int]], Observation]


class Observations:
    """Memory-mapped observations of the pictures 0..count-1; the first ones, as many as fit into ``limit`` bytes.

    Rows are written in chunks, and a chunk counts when it is whole: what a kill left behind is made again.

    Args:
        root: folder of all such caches; older ones make room for this one.
        key: all that determines the numbers, such as pictures, size, backbone and method.
        count: how many pictures there are.
        observe: observes some of them.
        limit: most bytes of all caches below ``root``.

    Raises:
        InputError: ``root`` cannot be written.
    """

    def __init__(self, root: Path, key: object, count: int, observe: Observe, limit: int) -> None:
        self._count, self._observe = count, observe
        name = hashlib.sha256(json.dumps([REVISION, key], sort_keys=True).encode()).hexdigest()[:32]
        self._first: Observation | None = None
        self._form = self._known_form(root / name)
        row = self._form.bytes
        _make_room(root, name, min(row * count, limit), limit)
        self.kept = min(count, limit // row)
        try:
            self._open(root / name)
        except OSError as error:
            raise InputError("the folder of the cache must be writable", error, "say --cache DIR") from error

    def fill(self) -> Iterator[int]:
        """Observe what is not on disk yet; yields the number of pictures that are there after each chunk."""
        for number, start in enumerate(range(0, self.kept, CHUNK)):
            stop = min(start + CHUNK, self.kept)
            if not self._done[number]:
                # The whole chunk is observed even where only a part is kept: a row never depends on the limit.
                seen = self._chunk(start)
                self._patches[start:stop] = _to_numpy(seen.patches)[: stop - start]
                self._image[start:stop] = _to_numpy(seen.image)[: stop - start]
                self._patches.flush()
                self._image.flush()
                self._done[number] = True
                self._done.flush()
            yield stop

    def read(self, indices: Sequence[int]) -> Observation:
        """Observations of some pictures; those that are not kept are observed again."""
        kept = [index for index in indices if index < self.kept]
        others = [index for index in indices if index >= self.kept]
        parts = [(kept, self._stored(kept))] if kept else []
        parts += [(others, self._observe(others))] if others else []
        order = [index for part, _ in parts for index in part]
        back = torch.tensor([order.index(index) for index in indices])
        patches, image = (
            torch.cat([getattr(one, name).cpu() for _, one in parts])[back] for name in ("patches", "image")
        )
        return Observation(patches, image, self._form.grid)

    def _stored(self, indices: Sequence[int]) -> Observation:
        patches, image = (
            torch.from_numpy(array[list(indices)]).view(self._form.dtype) for array in (self._patches, self._image)
        )
        return Observation(patches, image, self._form.grid)

    def _chunk(self, start: int) -> Observation:
        """Observe a chunk; the first may have been, to learn its form."""
        first, self._first = self._first, None
        return first if first and not start else self._observe(range(start, min(start + CHUNK, self._count)))

    def _known_form(self, folder: Path) -> "Form":
        """From the cache where there is one, else from its first chunk."""
        try:
            return from_mapping(Form, json.loads((folder / FORM).read_text(encoding="utf-8")), FORM)
        except (OSError, ValueError, ConfigError):
            self._first = first = self._chunk(0)
            half = first.patches.dtype == torch.bfloat16
            shapes = tuple(first.patches.shape[1:]), tuple(first.image.shape[1:])
            return Form(*shapes, first.grid, "bf16" if half else "fp32")

    def _open(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / FORM, json.dumps(asdict(self._form)).encode())
        stored = np.dtype(np.int16 if self._form.precision == "bf16" else np.float32)
        self._patches = _open_array(folder / "patches.npy", (self.kept, *self._form.patches), stored)
        self._image = _open_array(folder / "image.npy", (self.kept, *self._form.image), stored)
        self._done = _open_array(folder / DONE, (-(-self.kept // CHUNK),), np.dtype(bool))


@dataclass(frozen=True)
class Form:
    """What the observation of one picture looks like.

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
        return DTYPES[self.precision]

    @property
    def bytes(self) -> int:
        """That one picture takes up."""
        return (math.prod(self.patches) + math.prod(self.image)) * self.dtype.itemsize


def _open_array(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.memmap:
    """A file of this shape and type; anew where it holds anything else."""
    if path.exists():
        with suppress(ValueError):  # half a header: killed while it was made
            found = np.lib.format.open_memmap(path, "r+")
            if found.shape == shape and found.dtype == dtype:
                return found
        (path.parent / DONE).unlink(missing_ok=True)
    return np.lib.format.open_memmap(path, "w+", dtype, shape)


def _to_numpy(values: Tensor) -> np.ndarray:
    """NumPy has no bfloat16: its bits travel as integers."""
    return (values.view(torch.int16) if values.dtype == torch.bfloat16 else values).cpu().numpy()


def _make_room(root: Path, name: str, needed: int, limit: int) -> None:
    """Delete the caches used longest ago until this one fits."""
    if not root.is_dir():
        return
    others = sorted((one for one in root.iterdir() if one.is_dir() and one.name != name), key=_last_use)
    sizes = {one: sum(file.stat().st_size for file in one.iterdir()) for one in others}
    while others and sum(sizes[one] for one in others) + needed > limit:
        shutil.rmtree(others.pop(0))


def _last_use(folder: Path) -> float:
    return max((file.stat().st_mtime for file in folder.iterdir()), default=0.0)
