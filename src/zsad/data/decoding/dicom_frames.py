"""One frame of a DICOM file as a data set of its own; the pixels of the others are not read."""

from typing import TYPE_CHECKING, Literal

from zsad.data.decoding.guard import Stream
from zsad.errors import InputError

if TYPE_CHECKING:
    import pydicom

PER_FRAME = "PerFrameFunctionalGroupsSequence"
PIXEL_DATA = (0x7FE0, 0x0010)
UNDEFINED = 0xFFFFFFFF


def one_frame(stream: Stream, header: "pydicom.Dataset", index: int, name: str) -> "pydicom.Dataset":
    """The data set of a frame, with its pixel data and its functional groups.

    Args:
        stream: at the element after the header.
        header: of the file, without pixel data.
        index: of the frame, from 0.
        name: of the file.

    Returns:
        As of a file that holds this frame alone; without pixel data where the file has none.

    Raises:
        InputError: the frames are not of whole bytes.
        ValueError: the file is truncated.
    """
    from pydicom import dcmread

    frames = int(header.get("NumberOfFrames") or 1)
    if frames == 1 or header.get("NumberOfFrames") is None:
        stream.seek(0)
        return dcmread(stream, force=True)
    if not 0 <= index < frames:
        raise ValueError(f"it has {frames} frames")
    if _is_deflated(header):
        stream.seek(0)
        header = dcmread(stream, force=True)
        content, is_compressed = _native(header.PixelData, header, frames, index, name), False
    else:
        found = _find(stream, header, frames, index, name)
        if found is None:
            return header
        content, is_compressed = found
    header.PixelData = content
    header["PixelData"].VR = "OB" if is_compressed or int(header.BitsAllocated) <= 8 else "OW"
    header["PixelData"].is_undefined_length = is_compressed
    header.NumberOfFrames = 1
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if keyword in header:
            delattr(header, keyword)
    if groups := header.get(PER_FRAME):
        setattr(header, PER_FRAME, groups[index : index + 1])
    return header


def _is_deflated(header: "pydicom.Dataset") -> bool:
    syntax = getattr(header, "file_meta", {}).get("TransferSyntaxUID")
    return syntax is not None and bool(syntax.is_deflated)


def _find(stream: Stream, header: "pydicom.Dataset", frames: int, index: int, name: str) -> tuple[bytes, bool] | None:
    """The content of the pixel data of a frame, and whether it is compressed; None without pixel data."""
    from pydicom.encaps import encapsulate, get_frame

    implicit, little = header.original_encoding
    order: Literal["little", "big"] = "little" if little else "big"
    start = stream.read(8)
    tag = tuple(int.from_bytes(start[at : at + 2], order) for at in (0, 2))
    if tag != PIXEL_DATA:
        return None
    length = int.from_bytes(start[4:] if implicit else stream.read(4), order)
    if length != UNDEFINED:
        size = _frame_size(header, frames, name)
        stream.seek(index * size, 1)
        return _whole(stream.read(size), size), False
    frame = get_frame(stream, index, extended_offsets=_offsets(header), number_of_frames=frames)
    return encapsulate([frame]), True


def _native(content: bytes, header: "pydicom.Dataset", frames: int, index: int, name: str) -> bytes:
    size = _frame_size(header, frames, name)
    return _whole(content[index * size : (index + 1) * size], size)


def _whole(content: bytes, size: int) -> bytes:
    if len(content) != size:
        raise ValueError("image file is truncated")
    return content


def _frame_size(header: "pydicom.Dataset", frames: int, name: str) -> int:
    """Bytes of a frame without compression."""
    from pydicom.pixels.utils import get_expected_length

    if int(header.BitsAllocated) % 8:
        rule, value = "frames of a DICOM file have 8 bits a sample or more", f"{name} with {header.BitsAllocated}"
        raise InputError(rule, value, "export them in 8 bits")
    return int(get_expected_length(header)) // frames


def _offsets(header: "pydicom.Dataset") -> tuple[bytes, bytes] | None:
    found = [header.get(keyword) for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")]
    return (found[0], found[1]) if all(found) else None
