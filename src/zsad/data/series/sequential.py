"""Frames that can only be decoded one after the other, for threads that ask for them nearly in order."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator

from zsad.data.decoding.pixels import Pixels
from zsad.errors import InputError

MOST_KEPT = 2**30
"""Bytes of frames that were passed and not asked for yet, at most: as many as all threads together ask for."""


class Sequential:
    """Gives frames by number, and decodes from the beginning only where one is asked for again.

    Args:
        start: an iterator over the frames from the first.
        wanted: the frames that will be asked for, each once; others that are passed are forgotten.
    """

    def __init__(self, start: Callable[[], Iterator[Pixels]], wanted: Collection[int]) -> None:
        self._start, self._wanted = start, wanted
        self._failed_at: tuple[int, InputError] | None = None
        self._rewind()

    def _rewind(self) -> None:
        self._frames, self._next = self._start(), 0
        self._kept, self._bytes = OrderedDict[int, Pixels](), 0

    def get(self, index: int) -> Pixels:
        """A frame.

        Raises:
            InputError: it, or one before it, is damaged, or the file ends before.
        """
        if index not in self._kept and index < self._next:
            self._rewind()
        while index not in self._kept:
            if self._failed_at and self._failed_at[0] <= index:
                raise self._failed_at[1]
            self._advance(keep=index)
        pixels = self._kept.pop(index)
        self._bytes -= pixels.nbytes
        return pixels

    def _advance(self, keep: int) -> None:
        try:
            pixels = next(self._frames)
        except StopIteration:
            error = InputError("a file has the frames that it counts", f"only {self._next}", "write the file again")
            self._failed_at = (self._next, error)
            return
        except InputError as error:
            self._failed_at = (self._next, error)
            return
        if self._next == keep or self._next in self._wanted:
            self._kept[self._next] = pixels
            self._bytes += pixels.nbytes
        self._next += 1
        while self._bytes > MOST_KEPT and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes

    def close(self) -> None:
        """Let go of the file."""
        close = getattr(self._frames, "close", None)  # of a generator, whose ``with`` blocks then end
        if close is not None:
            close()
