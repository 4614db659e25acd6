"""Whether a JPEG 2000 codestream is whole: decoders fill in what a truncated one lacks. ISO/IEC 15444-1, annex A."""

from collections.abc import Iterator

SIGNATURE = b"\xff\x4f\xff\x51"
START_OF_TILE_PART, END = b"\xff\x90", b"\xff\xd9"
BOX_HEAD = 8


def codestream(content: bytes) -> bytes:
    """The codestream of a JP2 file, or what is one itself."""
    if content.startswith(SIGNATURE):
        return content
    found = [body for kind, body in _boxes(content) if kind == b"jp2c"]
    if not found:
        raise ValueError("a JPEG 2000 file without codestream")
    return found[0]


def check_whole(stream: bytes) -> None:
    """``ValueError`` unless all tile parts are there to their last byte."""
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
