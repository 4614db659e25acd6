"""A frame of a file, which stands wherever a path to an image may stand."""

import atexit
import os
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Collection
from pathlib import Path
from typing import Any

from zsad.data.decoding.ranges import Range
from zsad.errors import InputError
from zsad.types import DecodedImage

MOST_OPEN = 4
"""Series whose files are open at a time; the one that waited longest is closed, and opened again when it is needed."""

_open: "OrderedDict[int, Series]" = OrderedDict()
_open_lock = threading.Lock()


@atexit.register
def _close_all() -> None:
    for series in list(_open.values()):
        series.release()


class Series(ABC):
    """The frames of a file, read one at a time.

    Attributes:
        path: of the file.
        count: of the frames.
    """

    has_own_range = False
    """Whether its frames share a scale, so that a dark one is no sign of a scale that does not fit."""

    def __init__(self, path: Path, count: int) -> None:
        self.path, self.count = path, count
        self.wanted: Collection[int] = range(count)
        self._lock = threading.Lock()
        self._handle: Any = None

    def read(self, index: int, value_range: Range | None = None) -> DecodedImage:
        """A frame; from any thread.

        Args:
            index: from 0.
            value_range: of the samples, as of :func:`zsad.data.decode.decode`.

        Raises:
            InputError: there is no such frame, or it cannot be decoded.
        """
        if not 0 <= index < self.count:
            raise InputError(f"{self.path} has the frames 0 to {self.count - 1}", index, "name one of these")
        name = f"{self.path}#{index}"
        with self._lock:
            if self._handle is None:
                self._handle = self._open(name)
            self._touch()
            return self._frame(self._handle, index, name, value_range)

    def release(self) -> None:
        """Close the file, unless a frame is being read; it is opened again when it is needed."""
        if self._lock.acquire(blocking=False):
            try:
                if self._handle is not None:
                    self._close(self._handle)
                    self._handle = None
            finally:
                self._lock.release()

    def _touch(self) -> None:
        with _open_lock:
            _open[id(self)] = self
            _open.move_to_end(id(self))
            waiting = [_open.popitem(last=False)[1] for _ in range(len(_open) - MOST_OPEN)]
        for series in waiting:
            series.release()

    @abstractmethod
    def _open(self, name: str) -> Any:
        """What frames are read from."""

    @abstractmethod
    def _close(self, handle: Any) -> None:
        """Let go of it."""

    @abstractmethod
    def _frame(self, handle: Any, index: int, name: str, value_range: Range | None) -> DecodedImage:
        """A frame that exists; never called in two threads at once."""


class Frame(os.PathLike[str]):
    """One frame of a series: a source as a path is, by the name ``scan.nii.gz#17``, counted from 0.

    Attributes:
        series: that it belongs to.
        index: its number.
    """

    def __init__(self, series: Series, index: int) -> None:
        self.series, self.index = series, index

    def __fspath__(self) -> str:
        return f"{self.series.path}#{self.index}"

    def __str__(self) -> str:
        return os.fspath(self)

    def __repr__(self) -> str:
        return f"Frame({os.fspath(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Frame) and os.fspath(self) == os.fspath(other)

    def __hash__(self) -> int:
        return hash(os.fspath(self))

    def read(self, value_range: Range | None = None) -> DecodedImage:
        """See :meth:`Series.read`."""
        return self.series.read(self.index, value_range)
