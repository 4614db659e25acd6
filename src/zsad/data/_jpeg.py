"""JPEG -> RGB pixels by Pillow; the kinds of JPEG that it does not read are named. ITU-T T.81, annex B."""

import struct
from dataclasses import dataclass

from zsad.data import _pillow
from zsad.data._reading import Stream, reading
from zsad.errors import InputError
from zsad.types import DecodedImage

HEAD_LENGTH = 1 << 20
NOT_FRAMES = (0xC4, 0xC8, 0xCC)  # among the markers C0 to CF: tables, and one that is reserved
LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF)
JPEG_LS = 0xF7


@dataclass(frozen=True)
class JpegFrame:
    """What a JPEG says of its samples."""

    marker: int
    bits: int
    rows: int
    cols: int


def read(stream: Stream, name: str) -> DecodedImage:
    """Decode a JPEG that is open for reading; the first of its images."""
    with reading(name):
        frame = frame_of(stream.read(HEAD_LENGTH))
        stream.seek(0)
    if found := frame and _other_kind(frame):
        raise InputError("a JPEG image has 8 bits a sample and is lossy", f"{name} ({found})", "save it as PNG or TIFF")
    return _pillow.read(stream, name)


def frame_of(head: bytes) -> JpegFrame | None:
    """The frame header (B.2.2) of a JPEG, or of a JPEG-LS, that begins like this."""
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker == JPEG_LS or (0xC0 <= marker <= 0xCF and marker not in NOT_FRAMES):
            return JpegFrame(marker, *struct.unpack_from(">BHH", head, at + 4))
        at += 1 if marker == 0xFF else 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return None


def _other_kind(frame: JpegFrame) -> str:
    """Of those that Pillow does not read."""
    if frame.marker == JPEG_LS:
        return "JPEG-LS"
    if frame.marker in LOSSLESS:
        return "lossless JPEG"
    return f"{frame.bits} bits" if frame.bits != 8 else ""
