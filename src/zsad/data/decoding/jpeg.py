"""JPEG and JPEG 2000 -> RGB pixels. ITU-T T.81, annex B; ISO/IEC 15444-1, annex A.

JPEG by Pillow; variants that it does not support are refused by name. JPEG 2000 only with complete codestreams, because
decoders fill in truncated ones: grey and 8-bit colours by Pillow; deeper colours, which it rounds down, by imagecodecs.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from zsad.data.decoding import pillow
from zsad.data.decoding.guard import Stream, check_size, reading, require, unreadable
from zsad.data.decoding.pixels import Pixels, full_range, to_rgb
from zsad.errors import InputError
from zsad.types import DecodedImage

HEAD_LENGTH = 1 << 20
NOT_FRAMES = (0xC4, 0xC8, 0xCC)  # among the markers C0 to CF: tables, and one that is reserved
LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF)
JPEG_LS = 0xF7


@dataclass(frozen=True)
class JpegFrame:
    """The frame header of a JPEG."""

    marker: int
    bits: int
    rows: int
    cols: int


def read_jpeg(stream: Stream, name: str) -> DecodedImage:
    """Decode a JPEG that is open for reading; the first of its images."""
    with reading(name):
        frame = frame_of(stream.read(HEAD_LENGTH))
        stream.seek(0)
    if kind := frame and _other_kind(frame):
        raise InputError("a JPEG image has 8 bits a sample and is lossy", f"{name} ({kind})", "save it as PNG or TIFF")
    return pillow.read(stream, name)


def frame_of(head: bytes) -> JpegFrame | None:
    """The frame header (B.2.2) in the first bytes of a JPEG or JPEG-LS."""
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker == JPEG_LS or (0xC0 <= marker <= 0xCF and marker not in NOT_FRAMES):
            return JpegFrame(marker, *struct.unpack_from(">BHH", head, at + 4))
        at += 1 if marker == 0xFF else 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return None


def _other_kind(frame: JpegFrame) -> str:
    """The name of a variant that Pillow does not support, or ""."""
    if frame.marker == JPEG_LS:
        return "JPEG-LS"
    if frame.marker in LOSSLESS:
        return "lossless JPEG"
    return f"{frame.bits} bits" if frame.bits != 8 else ""


SIGNATURE = b"\xff\x4f\xff\x51"
START_OF_TILE_PART, END = b"\xff\x90", b"\xff\xd9"
BOX_HEAD = 8
FIRST_COMPONENT, COMPONENT_LENGTH, SIGN = 42, 3, 0x80  # offsets of the component descriptions


def read_jpeg_2000(stream: Stream, name: str) -> DecodedImage:
    """Decode a JP2 file or a codestream that is open for reading; the first of its images."""
    with reading(name):
        content = stream.read()
        streams = codestreams(content)
        check_size(*size_of(streams[0]), name)
        check_whole(streams[0])
        depths = _depths(streams[0])
        stream.seek(0)
    if len(set(depths)) > 1 or not 1 <= depths[0] <= 16:
        raise InputError(
            "a JPEG 2000 image has unsigned samples of one depth, up to 16 bits",
            f"{name} with components of {', '.join(map(str, depths))} bits",
            "save it as PNG or TIFF",
        )
    deep = len(depths) > 1 and depths[0] > 8
    pixels = _by_imagecodecs(streams[0], depths[0], name) if deep else _by_pillow(stream, depths[0], name)
    notes = (f"image 1 of {len(streams)} was read",) if len(streams) > 1 else ()
    return DecodedImage(pixels, name, notes)


def _by_pillow(stream: Stream, bits: int, name: str) -> Pixels:
    with pillow.open_image(stream, name, ("JPEG2000",)) as image:
        pixels, plain = pillow.from_image(image, name), image.mode in ("L", "RGB", "I;16")
    container = pixels.dtype.itemsize * 8
    if bits > container:
        raise unreadable(name, f"its header declares fewer than its {bits} bits")
    if bits == container or not plain:
        return pixels
    return full_range(pixels >> (container - bits), 2**bits - 1)  # Pillow puts samples into the high bits


def _by_imagecodecs(codestream: bytes, bits: int, name: str) -> Pixels:
    require("imagecodecs", "codecs", f"a JPEG 2000 image of {bits} bits in colour", name)
    with reading(name):
        return to_rgb(full_range(_decode(codestream), 2**bits - 1))


def _decode(codestream: bytes) -> Shaped[np.ndarray, "rows cols channels"]:
    import imagecodecs

    try:
        return imagecodecs.jpeg2k_decode(codestream)
    except imagecodecs.Jpeg2kError as error:
        raise ValueError(str(error)) from error


def _depths(codestream: bytes) -> list[int]:
    """Bits of each component; less than 1 for signed ones."""
    components = _number(codestream, FIRST_COMPONENT - 2, 2)
    depth_bytes = [_number(codestream, FIRST_COMPONENT + COMPONENT_LENGTH * index, 1) for index in range(components)]
    return [-1 if depth & SIGN else depth + 1 for depth in depth_bytes]


def codestreams(content: bytes) -> list[bytes]:
    """The codestreams of a JP2 file, or a bare codestream."""
    if content.startswith(SIGNATURE):
        return [content]
    streams = [body for kind, body in _boxes(content) if kind == b"jp2c"]
    if not streams:
        raise ValueError("a JPEG 2000 file without codestream")
    return streams


def check_whole(stream: bytes) -> None:
    """``ValueError`` unless all tile parts are complete."""
    at = 2
    while (marker := stream[at : at + 2]) != START_OF_TILE_PART:
        if len(marker) < 2:
            raise ValueError("image file is truncated")
        at += 2 + _number(stream, at + 2, 2)
    while (marker := stream[at : at + 2]) != END:
        length = _number(stream, at + 6, 4)  # 0 for the last, which goes on to the end
        if marker != START_OF_TILE_PART or (length == 0 and not stream.rstrip(b"\0").endswith(END)):
            raise ValueError("image file is truncated")
        if length == 0:
            return
        at += length


def size_of(stream: bytes) -> tuple[int, int]:
    """(rows, cols) of a codestream: the reference grid less its offset (table A.9)."""
    right, bottom, left, top = (_number(stream, at, 4) for at in (8, 12, 16, 20))
    return bottom - top, right - left


def _number(stream: bytes, at: int, length: int) -> int:
    if at + length > len(stream):
        raise ValueError("image file is truncated")
    return int.from_bytes(stream[at : at + length], "big")


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + BOX_HEAD <= len(content):
        length, kind, head = _number(content, at, 4), content[at + 4 : at + 8], BOX_HEAD
        if length == 1:
            length, head = _number(content, at + 8, 8), 16
        end = at + length if length else len(content)
        if end < at + head:
            raise ValueError("a box that is shorter than its head")
        yield kind, content[at + head : end]
        at = end
