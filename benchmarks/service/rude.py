"""Requests that no service should take, drawn from a seed; each kind is malformed for certain."""

import pickle
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from random import Random

import numpy as np
from PIL import Image

from zsad.data.synthetic import part

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")


@dataclass(frozen=True)
class Rude:
    """A malformed request.

    Attributes:
        kind: of malformation.
        what: it is, in words.
        pieces: bytes to send.
        ends: whether the client then ends its side of the connection.
    """

    kind: str
    what: str
    pieces: list[bytes]
    ends: bool = False


@cache
def photo(kind: str) -> bytes:
    """A whole image file."""
    buffer = BytesIO()
    Image.fromarray(part(np.random.default_rng(0), (96, 128))[0]).save(buffer, kind)
    return buffer.getvalue()


def part_of(content: bytes, name: str = "x.png", field: str = "images") -> bytes:
    """A file as a part of a form."""
    head = f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
    return head.encode("utf-8", "surrogateescape") + content + b"\r\n"


def text_part(name: str, value: bytes) -> bytes:
    """A field as a part of a form."""
    return b'--b\r\nContent-Disposition: form-data; name="' + name.encode() + b'"\r\n\r\n' + value + b"\r\n"


def request(
    body: bytes, kind: str = "multipart/form-data; boundary=b", more: str = "", length: int | None = None
) -> bytes:
    """A whole request with this body."""
    count = len(body) if length is None else length
    head = (
        f"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n{more}Content-Length: {count}\r\n\r\n"
    )
    return head.encode() + body


def good() -> bytes:
    """A request that is answered."""
    return request(part_of(photo("PNG")) + b"--b--\r\n")


def form(*parts: bytes) -> list[bytes]:
    """A whole request with these parts."""
    return [request(b"".join(parts) + b"--b--\r\n")]


def truncated(draw: Random) -> tuple[str, list[bytes]]:
    """The beginning of an image."""
    kind = draw.choice(FORMATS)
    content = photo(kind)
    count = draw.randrange(int(0.9 * len(content)))
    return f"{count} of {len(content)} bytes of {kind}", form(part_of(content[:count], f"x.{kind.lower()}"))


def bomb(draw: Random) -> tuple[str, list[bytes]]:
    """An image that says it is huge."""
    side = draw.choice((8_000, 20_000, 65_000))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    png = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    png += chunk(b"IDAT", zlib.compress(bytes(draw.choice((10, 1_000_000))))) + chunk(b"IEND", b"")
    kinds = {
        "PNG": b"\x89PNG\r\n\x1a\n" + png,
        "GIF": b"GIF89a" + struct.pack("<HH", side, side) + b"\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0"
        + struct.pack("<HH", side, side) + b"\0\x02\x02\x44\x01\0;",
        "BMP": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0),
        "PPM": f"P6\n{side} {side}\n255\n".encode() + bytes(100),
        "JPEG": photo("JPEG").replace(struct.pack(">HH", 96, 128), struct.pack(">HH", side, side), 1),
    }  # fmt: skip
    kind = draw.choice([*kinds])
    return f"{kind} of {side} px", form(part_of(kinds[kind]))


def wrong_type(draw: Random) -> tuple[str, list[bytes]]:
    """What is no image."""
    kinds = {
        "a pickle": pickle.dumps({"__reduce__": [draw.random()]}),
        "a program": b"\x7fELF" + draw.randbytes(500),
        "a document": b"%PDF-1.7\n" + draw.randbytes(500),
        "an archive": b"PK\x03\x04" + draw.randbytes(500),
        "a page": b"<html><script>alert(1)</script></html>",
        "a drawing": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        "an array": b"\x93NUMPY\x01\x00" + draw.randbytes(200),
        "a PostScript": b"%!PS-Adobe\n(/etc/passwd) (r) file",
        "nothing": b"",
        "noise": b"\x01\x02" + draw.randbytes(draw.randrange(4000)),
        "a name": b"/etc/passwd",
    }
    kind = draw.choice([*kinds])
    return kind, form(part_of(kinds[kind], draw.choice(("x.png", "x.jpg", "x", "x.dcm", "x.pt"))))


def path_trick(draw: Random) -> tuple[str, list[bytes]]:
    """A path where none belongs."""
    name = draw.choice(
        (
            "../../etc/passwd",
            "/etc/passwd",
            "..",
            "C:/x.png",
            "a/../b.png",
            "/",
            "..\\x.png",
            "x\ty.png",
            "x" * 400,
            "\0",
        )
    )
    if draw.random() < 0.5:
        return f"a file called {name[:20]!r}", form(part_of(photo("PNG"), name))
    value = draw.choice((b"/etc/passwd", b"file:///etc/passwd", b"http://127.0.0.1:1/x.png", b"../../x", b"s3://a/b"))
    field = draw.choice(("images", "normal", "detector"))
    return f"{field}={value!r}", form(part_of(photo("PNG")), text_part(field, value))


def huge_head(draw: Random) -> tuple[str, list[bytes]]:
    """A head of more than the limit, of the request or of a part."""
    kind, count = draw.randrange(4), draw.choice((20_000, 100_000, 1_000_000))
    if kind == 0:
        return f"a header of {count}", [request(b"", more=f"X: {'y' * count}\r\n")]
    if kind == 1:
        return f"{count // 10} headers", [request(b"", more="".join(f"X{n}: y\r\n" for n in range(count // 10)))]
    if kind == 2:
        return f"an address of {count}", [b"GET /" + b"a" * count + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"]
    return f"a head of a part of {count}", form(b"--b\r\nX: " + b"y" * count + b"\r\n\r\nz\r\n")


def lying_length(draw: Random) -> tuple[str, list[bytes]]:
    """A length that is not that of the body."""
    body = part_of(photo("PNG")) + b"--b--\r\n"
    kind = draw.randrange(6)
    if kind == 0:
        return "more than there is", [request(body, length=len(body) + draw.randint(1, 10**6))]
    if kind == 1:
        return "less than there is", [request(body, length=draw.randrange(len(body) - 8))]
    if kind == 2:
        return "more than may be", [request(body, length=draw.choice((2**29, 2**40, 2**62)))]
    lengths = ("-1", "1e3", "0x10", "many", "1, 2", " ", "9" * 5000)
    if kind == 3:
        length = draw.choice(lengths)
        head = f"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\n"
        return f"{length[:9]!r}", [head.encode() + body]
    if kind == 4:
        return "two", [request(body, more=f"Content-Length: {len(body) + 1}\r\n")]
    head = b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
    return "chunks", [
        head
        + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        + draw.choice((b"zz\r\n", b"-1\r\n", b"5\r\nabc"))
    ]


def no_form(draw: Random) -> tuple[str, list[bytes]]:
    """A body that is no form."""
    body, kind = part_of(photo("PNG")), "multipart/form-data; boundary=b"
    whole = body + b"--b--\r\n"
    bare = b'--b\r\nContent-Disposition: form-data; filename="x.png"\r\n\r\nx\r\n--b--\r\n'
    cases = {
        "JSON": request(b'{"images": "x.png"}', "application/json"),
        "text": request(whole, "text/plain"),
        "no type": request(whole, ""),
        "no boundary": request(whole, "multipart/form-data"),
        "an empty boundary": request(whole, "multipart/form-data; boundary="),
        "a long boundary": request(whole, kind + "b" * draw.randint(300, 3000)),
        "another boundary": request(whole, "multipart/form-data; boundary=c"),
        "no end": request(body),
        "cut off": request(whole[: draw.randrange(len(whole) - 4)]),
        "empty": request(b""),
        "only an end": request(b"--b--\r\n"),
        "a part without a name": request(bare),
        "a part without a head": request(b"--b\r\n\r\nx\r\n--b--\r\n"),
        "base64": request(whole.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n", 1)),
        "noise": request(draw.randbytes(draw.randrange(1, 5000))),
    }
    name = draw.choice([*cases])
    return name, [cases[name]]


def wrong_field(draw: Random) -> tuple[str, list[bytes]]:
    """A field that is out of range, unknown or too much."""
    cases = {
        "detector": (b"none", b"", b"clip-ac\0", b"\xff", b"a" * 300),
        "class_name": (b"", b" ", b"a\nb", b"\0", b"\xc3\x28", b"n" * 3000),
        "threshold": (b"", b"nan", b"inf", b"-1", b"2", b"1e999", b"zero", b"0x1"),
        "pixel_threshold": (b"nan", b"-0.1", b"1.0001", b"None"),
        "maps": (b"exe", b"", b"PNG8"),
        "map_side": (b"0", b"-5", b"1.5", b"9" * 400, b"\xd9\xa1"),
        "min_area": (b"0", b"-1", b"9" * 30),
        "regions": (b"perhaps", b"", b"true"),
        "together": (b"maybe", b"2"),
        "colour": (b"red",),
        "__proto__": (b"x",),
    }
    name = draw.choice([*cases, "many", "large", "twice"])
    image = part_of(photo("PNG"))
    if name == "many":
        return "300 files", form(*[part_of(b"x")] * 300)
    if name == "large":
        return "a field of 100 kB", form(image, text_part("class_name", b"x" * 100_000))
    if name == "twice":
        return "a field twice", form(image, *[text_part("class_name", b"nut")] * 2)
    value = draw.choice(cases[name])
    return f"{name}={value[:20]!r}", form(image, text_part(name, value))


def no_http(draw: Random) -> tuple[str, list[bytes]]:
    """What is no HTTP/1.1, or not for this service."""
    cases = {
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + draw.randbytes(200) + b"\r\n\r\n",
        "SSH": b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "noise": bytes(draw.choices(range(128, 256), k=100)) + b"\r\n\r\n",
        "no route": b"GET /../../etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "another method": b"DELETE /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "an unknown method": b"BREW /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "another host": b"GET /v1/detectors HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "another page": b"GET /v1/detectors HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.example\r\n\r\n",
        "no host": b"GET /v1/detectors HTTP/1.1\r\n\r\n",
        "two hosts": b"GET /v1/detectors HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "a folded header": b"GET /none HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\r\n b\r\n\r\n",
        "a header without a colon": b"GET / HTTP/1.1\r\nHost 127.0.0.1\r\n\r\n",
    }
    name = draw.choice([*cases])
    return name, [cases[name]]


def dripped(draw: Random) -> tuple[str, list[bytes]]:
    """A request that does not go on."""
    whole = request(part_of(photo("PNG")) + b"--b--\r\n")
    count = draw.randrange(1, len(whole))
    return f"{count} of {len(whole)} bytes", [whole[:count]]


KINDS: dict[str, tuple[Callable[[Random], tuple[str, list[bytes]]], int]] = {
    "truncated": (truncated, 24),
    "bombs": (bomb, 12),
    "wrong types": (wrong_type, 12),
    "path tricks": (path_trick, 12),
    "huge heads": (huge_head, 8),
    "lying lengths": (lying_length, 10),
    "no forms": (no_form, 12),
    "wrong fields": (wrong_field, 12),
    "no HTTP": (no_http, 8),
    "dripped": (dripped, 2),
}
"""Kinds, and how many of a hundred there are."""


def kinds() -> list[str]:
    """The names of the kinds."""
    return [*KINDS]


def rude(draw: Random) -> Rude:
    """One of them."""
    (name,) = draw.choices([*KINDS], [weight for _, weight in KINDS.values()])
    what, pieces = KINDS[name][0](draw)
    return Rude(name, what, pieces, ends=name == "lying lengths")
