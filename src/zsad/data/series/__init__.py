"""Files of several frames as series of images: pages, slices, or pictures of a video, one at a time.

file -> kind by its first bytes -> a reader that holds one frame at a time -> ``Frame``, a source like a path
"""

from zsad.data.series.finding import expand, frames, open_series
from zsad.data.series.frame import Frame, Series
from zsad.data.series.selection import FrameSelection

__all__ = ["Frame", "FrameSelection", "Series", "expand", "frames", "open_series"]
