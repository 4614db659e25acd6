"""Names of frames: the path of a file, ``#``, and the number of the frame from 0. A file of that name goes before."""

import os
import re
from pathlib import Path

NAME = re.compile(r"(.+)#(\d{1,9})", re.DOTALL)


def frame_name(source: str | os.PathLike[str]) -> tuple[Path, int] | None:
    """The file and the frame that a name means; None for the name of a file.

    >>> frame_name("scans/brain.nii.gz#17")[1], frame_name("part#1.png")
    (17, None)
    """
    found = NAME.fullmatch(os.fspath(source))
    return (Path(found[1]), int(found[2])) if found else None


def stem_of(source: str) -> str:
    """What the files of a source are called: the name without suffix, and the number of a frame.

    >>> stem_of("a/part.png"), stem_of("a/scan.nii.gz#17"), stem_of("clip.mp4#3")
    ('part', 'scan_17', 'clip_3')
    """
    named = None if os.path.exists(source) else frame_name(source)
    if named is None:
        return Path(source).stem
    path, index = named
    return f"{path.name.removesuffix('.gz').rpartition('.')[0] or path.stem}_{index}"
