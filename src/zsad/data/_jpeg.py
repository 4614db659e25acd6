"""JPEG -> RGB pixels by Pillow; the kinds of JPEG that it does not read are named. ITU-T T.81, annex B."""

from zsad.data import _pillow
from zsad.data._reading import Stream, reading
from zsad.errors import InputError
from zsad.types import Picture

HEAD_LENGTH = 1 << 20
NOT_FRAMES = (0xC4, 0xC8, 0xCC)  # among the markers C0 to CF: tables, and one that is reserved
LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF)
JPEG_LS = 0xF7


def read(stream: Stream, name: str) -> Picture:
    """Decode a JPEG that is open for reading; the first of its pictures."""
    with reading(name):
        found = _frame(stream.read(HEAD_LENGTH))
        stream.seek(0)
    if found:
        raise InputError(
            "a JPEG picture has 8 bits a sample and is lossy", f"{name} ({found})", "save it as PNG or TIFF"
        )
    return _pillow.read(stream, name)


def _frame(head: bytes) -> str:
    """What its frame is, where Pillow does not read it."""
    at = 2
    while at + 5 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker == JPEG_LS:
            return "JPEG-LS"
        if 0xC0 <= marker <= 0xCF and marker not in NOT_FRAMES:
            bits = head[at + 4]
            return "lossless JPEG" if marker in LOSSLESS else f"{bits} bits" if bits != 8 else ""
        at += 1 if marker == 0xFF else 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return ""
