"""Which frames of a series: ``17``, ``0:100:5``, as Python writes indices and slices."""

import re
from dataclasses import dataclass

from zsad.errors import ConfigError

PATTERN = re.compile(r"(-?\d{1,9})|(-?\d{1,9})?:(-?\d{1,9})?(?::(\d{1,9})?)?")


@dataclass(frozen=True)
class FrameSelection:
    """Some of the frames of a series, counted from 0; negative numbers count from the end.

    Attributes:
        start, stop: the first, and the first that is left out; None from the beginning, to the end.
        step: at least 1.
    """

    start: int | None = None
    stop: int | None = None
    step: int = 1

    @classmethod
    def parse(cls, text: str) -> "FrameSelection":
        """``"17"``, ``"0:100"``, ``"::5"``, ``"-10:"``.

        Raises:
            ConfigError: it is none of these.

        >>> FrameSelection.parse("0:100:5")
        FrameSelection(start=0, stop=100, step=5)
        >>> FrameSelection.parse("-1").of(60)
        range(59, 60)
        """
        found = PATTERN.fullmatch(text.strip())
        if not found or found[4] == "0":
            raise ConfigError("frames are START:STOP:STEP, or one number", repr(text), "say for instance 0:100:5")
        if found[1]:
            index = int(found[1])
            return cls(index, index + 1 if index != -1 else None)
        start, stop, step = (int(part) if part else None for part in found.groups()[1:])
        return cls(start, stop, step or 1)

    @property
    def most(self) -> int | None:
        """How many frames need to be counted; None for all."""
        starts_at_end = self.start is not None and self.start < 0
        return None if self.stop is None or self.stop < 0 or starts_at_end else self.stop

    def of(self, count: int) -> range:
        """The chosen indices of so many frames; there may be none."""
        return range(*slice(self.start, self.stop, self.step).indices(count))
