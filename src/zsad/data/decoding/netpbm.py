"""Netpbm with more than 8 bits, and PAM, which Pillow truncates or does not support. Other Netpbm is left to Pillow.

The formats: netpbm.sourceforge.net/doc/{pgm,ppm,pam}.html.
"""

import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from zsad.data.decoding import pillow
from zsad.data.decoding.guard import Stream, check_size, reading
from zsad.data.decoding.pixels import full_range, to_rgb
from zsad.types import DecodedImage

CHANNELS = {b"P2": 1, b"P3": 3, b"P5": 1, b"P6": 3}
PLAIN = (b"P2", b"P3")
TUPLES = {
    1: (b"GRAYSCALE", b"BLACKANDWHITE"),
    2: (b"GRAYSCALE_ALPHA", b"BLACKANDWHITE_ALPHA"),
    3: (b"RGB",),
    4: (b"RGB_ALPHA",),
}
HEAD_LENGTH = 65536
SPACE = rb"(?:\s|#[^\n\r]*[\n\r])+"
HEAD = re.compile(rb"(P[2356])" + (SPACE + rb"(\d{1,9})") * 3 + rb"\s")
PAM_HEAD = re.compile(rb"P7\s(.*?)ENDHDR[^\n]*\n", re.DOTALL)


@dataclass(frozen=True)
class NetpbmHeader:
    """The header of a file; samples begin at ``length``."""

    rows: int
    cols: int
    channels: int
    largest: int
    length: int
    plain: bool = False


def read(stream: Stream, name: str) -> DecodedImage:
    """Decode a Netpbm file that is open for reading; the first of its images."""
    decoded = samples_of(stream, name)
    if decoded is None:
        return pillow.read(stream, name)
    samples, further = decoded
    return DecodedImage(to_rgb(samples), name, ("image 1 of several was read",) if further else ())


def samples_of(stream: Stream, name: str) -> tuple[Shaped[np.ndarray, "rows cols channels"], bool] | None:
    """Grey or RGB, with alpha where there is some, and whether another image follows; None for what Pillow reads."""
    with reading(name):
        head = _head(stream.read(HEAD_LENGTH))
        stream.seek(0)
    if head is None:
        return None
    check_size(head.rows, head.cols, name)
    with reading(name):
        return _samples(stream, head)


def _head(start: bytes) -> NetpbmHeader | None:
    """None where Pillow can read the file."""
    if start.startswith(b"P7"):
        return _pam_head(start)
    match = HEAD.match(start)
    if not match or int(match[4]) <= 255:
        return None
    cols, rows, largest = (int(match[group]) for group in (2, 3, 4))
    return _checked(NetpbmHeader(rows, cols, CHANNELS[match[1]], largest, match.end(), match[1] in PLAIN))


def _pam_head(start: bytes) -> NetpbmHeader:
    match = PAM_HEAD.match(start)
    if not match:
        raise ValueError("a PAM head without end")
    lines = (line.split(maxsplit=1) for line in match[1].splitlines() if not line.startswith(b"#"))
    fields = {words[0]: words[1].strip() for words in lines if len(words) == 2}
    rows, cols, depth, largest = (int(fields[key][:9]) for key in (b"HEIGHT", b"WIDTH", b"DEPTH", b"MAXVAL"))
    if depth not in TUPLES or fields.get(b"TUPLTYPE", TUPLES[depth][0]) not in TUPLES[depth]:
        raise ValueError(f"tuples of {depth} that are not grey or RGB")
    return _checked(NetpbmHeader(rows, cols, depth, largest, match.end()))


def _checked(head: NetpbmHeader) -> NetpbmHeader:
    if not 1 <= head.largest <= 65535:
        raise ValueError(f"a largest value of {head.largest}")
    return head


def _samples(stream: Stream, head: NetpbmHeader) -> tuple[Shaped[np.ndarray, "rows cols channels"], bool]:
    """The samples over the full range, and whether more follows."""
    stream.seek(head.length)
    count = head.rows * head.cols * head.channels
    if head.plain:
        words = stream.read(count * 6 + HEAD_LENGTH).split(maxsplit=count)
        values = np.array([int(word[:6]) for word in words[:count]], np.uint32)
        further = False
    else:
        dtype = np.dtype(">u2" if head.largest > 255 else "u1")
        values, further = np.frombuffer(stream.read(count * dtype.itemsize), dtype), bool(stream.read(1).strip())
    if values.size < count:
        raise ValueError("image file is truncated")
    if values.max() > head.largest:
        raise ValueError(f"a sample of {values.max()} above the largest, {head.largest}")
    return full_range(values.reshape(head.rows, head.cols, head.channels), head.largest), further
