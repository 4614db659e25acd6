"""Pictures of a video, by PyAV (extra ``video``)."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zsad.data.decoding.guard import check_size, reading, require
from zsad.data.decoding.pixels import Pixels
from zsad.data.decoding.ranges import Range, in_range
from zsad.data.series.frame import Series
from zsad.data.series.sequential import Sequential
from zsad.types import DecodedImage

if TYPE_CHECKING:
    import av

CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,flv,asf,ogg,mxf"
"""Formats of FFmpeg that name no other files; playlists, for example, would be followed over the network."""
FILE_OPTIONS = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}


class Video(Series):
    """The first video stream of a file, as 8-bit RGB and upright.

    The frames are counted by decoding them once, since containers need not say how many there are.

    Args:
        path: of the file.
        most: frames that are counted, at most.
    """

    def __init__(self, path: Path, most: int | None = None) -> None:
        require("av", "video", "a video", str(path))
        super().__init__(path, sum(1 for _ in islice(_pictures(path), most)))

    def _frames(self) -> Iterator[Pixels]:
        for index, picture in enumerate(_pictures(self.path)):
            with reading(f"{self.path}#{index}"):
                turns = round(getattr(picture, "rotation", 0) / 90) % 4
                pixels = np.ascontiguousarray(np.rot90(picture.to_ndarray(format="rgb24"), turns))
            yield pixels

    def _open(self, name: str) -> Sequential:
        return Sequential(self._frames, self.wanted)

    def _close(self, handle: Sequential) -> None:
        handle.close()

    def _frame(self, handle: Sequential, index: int, name: str, value_range: Range | None) -> DecodedImage:
        return DecodedImage(in_range(handle.get(index), value_range), name)


def _pictures(path: Path) -> Iterator["av.VideoFrame"]:
    import av

    with reading(str(path), av.error.FFmpegError), av.open(str(path), options=FILE_OPTIONS) as container:
        if not container.streams.video:
            raise ValueError("it has no pictures")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for picture in container.decode(stream):
            check_size(picture.height, picture.width, str(path))
            yield picture
