"""Animated GIF, PNG and WebP, by Pillow: each frame as it is shown, composited on those before."""

from collections.abc import Iterator
from pathlib import Path

from zsad.data.decoding import pillow
from zsad.data.decoding.guard import reading
from zsad.data.decoding.pixels import Pixels
from zsad.data.decoding.ranges import Range, in_range
from zsad.data.series.frame import Series
from zsad.data.series.sequential import Sequential
from zsad.types import DecodedImage


class Animation(Series):
    """An animated file that Pillow reads.

    Args:
        path: of the file.
        head: its first bytes, by which still PNG and WebP are recognised without opening them again.
    """

    def __init__(self, path: Path, head: bytes) -> None:
        super().__init__(path, self._count(path) if _may_move(head) else 1)

    @staticmethod
    def _count(path: Path) -> int:
        with reading(str(path)), path.open("rb") as stream, pillow.open_image(stream, str(path)) as image:
            return int(getattr(image, "n_frames", 1))

    def _frames(self) -> Iterator[Pixels]:
        name = str(self.path)
        with self.path.open("rb") as stream, pillow.open_image(stream, name) as image:
            for index in range(self.count):
                with reading(f"{name}#{index}"):
                    image.seek(index)
                yield pillow.from_image(image, f"{name}#{index}")

    def _open(self, name: str) -> Sequential:
        return Sequential(self._frames, self.wanted)

    def _close(self, handle: Sequential) -> None:
        handle.close()

    def _frame(self, handle: Sequential, index: int, name: str, value_range: Range | None) -> DecodedImage:
        return DecodedImage(in_range(handle.get(index), value_range), name)


def _may_move(head: bytes) -> bool:
    """PNG announces an animation before its pixels, WebP in its flags; GIF does not."""
    if head.startswith(b"\x89PNG"):
        return b"acTL" in head
    return head[8:12] != b"WEBP" or (head[12:16] == b"VP8X" and bool(head[20] & 2))
