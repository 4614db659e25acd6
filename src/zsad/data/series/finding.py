"""Which files are series, and the frames of one."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from zsad.data import kinds
from zsad.data.series.animations import Animation
from zsad.data.series.frame import Frame, Series
from zsad.data.series.nifti import Volume, check_axis
from zsad.data.series.pages import DicomFrames, Pages
from zsad.data.series.selection import FrameSelection
from zsad.data.series.video import Video
from zsad.data.sources import SkippedFile
from zsad.errors import DependencyError, InputError
from zsad.files import open_file

HEAD = 4096
"""First bytes that tell a series; an animated PNG says so before its pixels."""

ANIMATED = (kinds.GIF, kinds.PNG, kinds.WEBP)
STILL = (kinds.JPEG, kinds.BMP, kinds.NETPBM, kinds.HEIF, kinds.AVIF, kinds.JPEG_2000)
"""Not opened to look for frames; where there are several, the first is read, and noted."""
PAGED: dict[kinds.FileKind, Callable[[Path], Series]] = {kinds.TIFF: Pages, kinds.DICOM: DicomFrames}


class EmptySelectionError(InputError):
    """No frame of a series is selected."""


def open_series(path: str | os.PathLike[str], *, axis: int | None = None, most: int | None = None) -> Series:
    """The frames of a file; of a file of one image, that image.

    Args:
        path: TIFF, DICOM, GIF, PNG, WebP, NIfTI or a video.
        axis: of volumes, along which slices are counted: 0, 1 or 2, as :class:`zsad.data.series.nifti.Volume`.
        most: frames of a video that are counted, at most.

    Raises:
        InputError: it is another kind of file, or cannot be read.
        DependencyError: an extra is missing.
    """
    series = _series(Path(path), axis, most)
    if series is None:
        raise InputError(
            "a series is a TIFF, DICOM, GIF, PNG, WebP, NIfTI or video file", path, "pass the path of an image itself"
        )
    return series


def frames(
    path: str | os.PathLike[str], selection: FrameSelection | str | None = None, *, axis: int | None = None
) -> list[Frame | Path]:
    """The frames of a file, to be given to :meth:`zsad.Detector.predict` or ``stream`` as paths are.

    Args:
        path: of an image or a series: multi-page TIFF, multi-frame DICOM, GIF, animated PNG or WebP, NIfTI, video.
        selection: all by default, or as ``"0:100:5"``, ``"17"``.
        axis: of volumes, as of :func:`open_series`.

    Returns:
        Frames; the path itself for a file of one image.

    Raises:
        InputError: it is missing or cannot be read as a series, or the selection is empty.
        DependencyError: an extra is missing.
        ConfigError: the selection or the axis does not exist.
    """
    chosen = FrameSelection.parse(selection) if isinstance(selection, str) else selection or FrameSelection()
    series = _series(Path(path), axis, chosen.most)
    if series is None or (series.count == 1 and not isinstance(series, Volume | Video)):
        return [Path(path)]
    indices = chosen.of(series.count)
    if not indices:
        raise EmptySelectionError("a selection holds a frame", f"none of the {series.count} of {path}", "choose others")
    series.wanted = indices
    return [Frame(series, index) for index in indices]


def expand(
    paths: Iterable[Path], selection: FrameSelection, axis: int | None = None
) -> tuple[list[Frame | Path], list[SkippedFile]]:
    """The frames of all series among some files, in their place, and the files that cannot be read as series.

    An image that cannot be read stays, to be refused when it is decoded.

    Args:
        paths: of images and series; they need not exist.
        selection: of the frames of each series.
        axis: of volumes, as of :func:`open_series`.

    Raises:
        ConfigError: there is no such axis.
    """
    check_axis(axis)
    sources, skipped = list[Frame | Path](), list[SkippedFile]()
    for path in paths:
        named = kinds.kind_of_name(path.name)
        if named in STILL or not path.is_file():
            sources.append(path)
            continue
        try:
            sources += frames(path, selection, axis=axis)
        except (InputError, DependencyError) as error:
            if named in kinds.READ and not isinstance(error, EmptySelectionError):
                sources.append(path)
            else:
                skipped.append(SkippedFile(str(path), str(error)))
    return sources, skipped


def _series(path: Path, axis: int | None, most: int | None) -> Series | None:
    """The frames of a file; None for a kind that has only one."""
    with open_file(path) as stream:
        head = stream.read(HEAD)
    kind = kinds.kind_of(head[: kinds.HEAD_LENGTH], path.name)
    if kind is kinds.NIFTI:
        return Volume(path, axis)
    if kind is kinds.VIDEO:
        return Video(path, most)
    if kind in ANIMATED:
        return Animation(path, head)
    return PAGED[kind](path) if kind in PAGED else None
