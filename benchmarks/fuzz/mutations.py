"""Ways to damage a file: by its bytes, and by what its format means."""

import gzip
import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable
from random import Random

from zsad.export.card import KEY
from zsad.export.protobuf import entry

PNG = b"\x89PNG\r\n\x1a\n"
DEEPEST = 5000
NASTY: tuple[object, ...] = (
    *(None, True, False, 0, -1, 1, 0.5, -0.0, 1e-320, 2**31, 2**63, -(2**63) - 1, 10**400, 10**9),
    *(float("nan"), float("inf"), float("-inf"), "", " ", "\0", "a\0b", "\ud800", "=1+1", "\x1b[31m", "<b>", "../../x"),
    *("x" * 5000, "/dev/zero", "nan", "1e400", [], {}, [[]], {"": {}}, [0] * 1000, {"a": [1, {"b": None}]}),
)
"""Values that a well-formed file can hold and a careless reader does not expect."""

NOT_FINITE = (b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\xff\xff\xff\xff", b"\0\x7e\0\x7e")
"""nan and infinity, as four bytes of fp32 or twice two of fp16."""


def mutate(content: bytes, suffix: str, draw: Random) -> bytes:
    """The content, damaged once in one way that suits its kind."""
    of_kind = OF_KIND.get(suffix, ())
    way = draw.choice(of_kind) if of_kind and draw.random() < 0.7 else draw.choice(OF_BYTES)
    try:
        return way(content, draw)
    except (ValueError, LookupError, OSError, zipfile.BadZipFile, RecursionError):
        return flipped(content, draw)  # the seed was no well-formed file of its kind


def flipped(content: bytes, draw: Random) -> bytes:
    """Up to eight bytes changed."""
    changed = bytearray(content)
    for _ in range(draw.randint(1, 8)):
        if changed:
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def cut(content: bytes, draw: Random) -> bytes:
    """The beginning."""
    return content[: draw.randrange(len(content) + 1)]


def doubled(content: bytes, draw: Random) -> bytes:
    """A piece that stands there twice."""
    start, stop = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    return content[:stop] + content[start:]


def removed(content: bytes, draw: Random) -> bytes:
    """A piece that is gone."""
    start, stop = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    return content[:start] + content[stop:]


def filled(content: bytes, draw: Random) -> bytes:
    """A piece of zeros, of ones or of noise."""
    start = draw.randrange(len(content) + 1)
    length = min(draw.choice((1, 4, 8, 64, 4096)), len(content) - start)
    piece = draw.choice((b"\0" * length, b"\xff" * length, draw.randbytes(length)))
    return content[:start] + piece + content[start + length :]


def another(content: bytes, draw: Random) -> bytes:
    """Something else altogether."""
    return draw.choice((b"", b"\0" * 4096, b"\x89PNG\r\n\x1a\n", b"PK\3\4", b"\x80\2.", b"[" * DEEPEST, b"GIF89a"))


def other_value(content: bytes, draw: Random) -> bytes:
    """JSON with one value, at any depth, that is another one."""
    tree = json.loads(content)
    places = list(_places(tree))
    where, key = draw.choice(places)
    where[key] = draw.choice(NASTY)
    return _as_json(tree)


def other_key(content: bytes, draw: Random) -> bytes:
    """JSON with one key more, or one less."""
    tree = json.loads(content)
    objects = [tree, *(where[key] for where, key in _places(tree) if isinstance(where[key], dict))]
    one = draw.choice([item for item in objects if isinstance(item, dict)])
    if one and draw.random() < 0.5:
        del one[draw.choice(list(one))]
    else:
        one[draw.choice(("", "\0", "__class__", "method", "x" * 1000))] = draw.choice(NASTY)
    return _as_json(tree)


def nested(content: bytes, draw: Random) -> bytes:
    """JSON in which one value is a nest."""
    tree = json.loads(content)
    where, key = draw.choice(list(_places(tree)))
    where[key] = "@"
    opening, closing = draw.choice((("[", "]"), ('{"a":', "}")))
    depth = draw.choice((70, 1000, DEEPEST))
    return _as_json(tree).replace(b'"@"', (opening * depth + "1" + closing * depth).encode())


def other_number(content: bytes, draw: Random) -> bytes:
    """Text in which one number, or one word, is another one."""
    text = content.decode("utf-8")
    found = list(re.finditer(r"-?\d+(\.\d+)?(e-?\d+)?|\w+", text))
    one = draw.choice(found)
    by = draw.choice(("-1", "0", "1e400", "nan", "9" * 5000, "inf", "", "\0", '"', "[" * 500, "=cmd()", "a" * 9000))
    return (text[: one.start()] + by + text[one.end() :]).encode("utf-8")


def other_line(content: bytes, draw: Random) -> bytes:
    """Lines in which one is another: damaged as JSON where it is JSON, in another encoding, or without an end."""
    lines = content.split(b"\n")
    number = draw.randrange(len(lines))
    ways = (b"\xff\xfe", b"\0", b"[" * DEEPEST, b"{", b",,,,,,", b'"', b"x" * 200_000)
    try:
        lines[number] = other_value(lines[number], draw) if draw.random() < 0.5 else draw.choice(ways)
    except (ValueError, LookupError):
        lines[number] = draw.choice(ways)
    return b"\n".join(lines)


def in_zip(content: bytes, draw: Random) -> bytes:
    """An archive of which one member is damaged, missing or twice there."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    # Pickles and other small members say more than tensors do.
    small = [name for name, one in members.items() if len(one) < 100_000] or list(members)
    name = draw.choice(small if draw.random() < 0.8 else list(members))
    if draw.random() < 0.15:
        del members[name]
    else:
        members[name] = draw.choice(OF_BYTES)(members[name], draw)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for member, one in members.items():
            archive.writestr(member, one)
    return made.getvalue()


def in_gzip(content: bytes, draw: Random) -> bytes:
    """A compressed file whose content is damaged, or endless."""
    inner = gzip.decompress(content)
    changed = b"a b\n" * 80_000_000 if draw.random() < 0.02 else draw.choice(OF_BYTES)(inner, draw)
    return gzip.compress(changed, 1, mtime=0)


def in_safetensors(content: bytes, draw: Random) -> bytes:
    """Tensors with another header, another length of it, or numbers that are none."""
    length = int.from_bytes(content[:8], "little")
    header, body = content[8 : 8 + length], content[8 + length :]
    match draw.randrange(4):
        case 0:
            header = other_value(header, draw)
        case 1:
            return draw.choice((0, 2**63, length + 8, len(content))).to_bytes(8, "little") + content[8:]
        case 2:
            header = nested(header, draw)
        case _:
            bad = bytearray(body)
            place = draw.randrange(max(len(bad) // 4, 1)) * 4
            bad[place : place + 4] = draw.choice(NOT_FINITE)
            body = bytes(bad)
    return len(header).to_bytes(8, "little") + header + body


def extreme(content: bytes, draw: Random) -> bytes:
    """A number of the header that is 0, 1, the largest or the most negative; of PNG with the right checksums."""
    width, order = draw.choice((1, 2, 4, 8)), draw.choice(("little", "big"))
    place = draw.randrange(max(min(len(content), 1024) - width, 1))
    value = draw.choice((0, 1, 2 ** (8 * width - 1) - 1, 2 ** (8 * width - 1), 2 ** (8 * width) - 1))
    changed = content[:place] + value.to_bytes(width, order) + content[place + width :]
    return _with_checksums(changed) if content.startswith(PNG) and changed.startswith(PNG) else changed


def _with_checksums(content: bytes) -> bytes:
    """A PNG whose chunks have the checksums of what is in them now."""
    made, at = bytearray(PNG), len(PNG)
    while at + 12 <= len(content):
        end = at + 8 + int.from_bytes(content[at : at + 4], "big")
        if end + 4 > len(content):
            break
        made += content[at:end] + zlib.crc32(content[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(made + content[at:])


def in_onnx(content: bytes, draw: Random) -> bytes:
    """An exported graph with another card, which stands at its end, or a damaged graph with the same one."""
    card = content[content.index(b'{"name"') :].decode()
    before = content.removesuffix(entry(KEY, card))
    if draw.random() < 0.5:
        return before + entry(KEY, draw.choice(OF_JSON)(card.encode(), draw).decode())
    return draw.choice((*OF_BYTES, extreme))(before, draw) + entry(KEY, card)


def in_form(content: bytes, draw: Random) -> bytes:
    """A form of which one part, or its head, is another, missing or twice there."""
    parts = content.split(b"--b\r\n")
    number = draw.randrange(1, len(parts))
    head, _, body = parts[number].partition(b"\r\n\r\n")
    match draw.randrange(5):
        case 0:
            parts[number : number + 1] = draw.choice(([], [parts[number]] * 2, [parts[number]] * 300))
        case 1:
            words = (*(str(one).encode("utf-8", "replace") for one in NASTY), b"=?", b"\xff", b"9" * 400, b"true")
            parts[number] = head + b"\r\n\r\n" + draw.choice(words) + b"\r\n"
        case 2:
            parts[number] = draw.choice((other_number, *OF_BYTES))(head, draw) + b"\r\n\r\n" + body
        case 3:
            other = draw.choice((b"images", b"maps", b"normal", b"detector", b"sizes", b"threshold", b"", b"a" * 9000))
            parts[number] = re.sub(rb'name="[^"]*"', b'name="' + other + b'"', head, count=1) + b"\r\n\r\n" + body
        case _:
            parts[number] = head + b"\r\n\r\n" + draw.choice((*OF_BYTES, extreme))(body, draw)
    return b"--b\r\n".join(parts)


def _places(tree: object) -> list[tuple[dict, object] | tuple[list, int]]:
    """Where values stand, at every depth."""
    found: list = []
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        for key in keys:
            found.append((one, key))
            waiting.append(one[key])
    return found


def _as_json(tree: object) -> bytes:
    return json.dumps(tree).encode("ascii")


Way = Callable[[bytes, Random], bytes]
OF_BYTES: tuple[Way, ...] = (flipped, cut, doubled, removed, filled, another)
OF_JSON: tuple[Way, ...] = (other_value, other_value, other_key, nested)
BINARY = (
    *(
        ".png",
        ".jpg",
        ".jpeg",
        ".tif",
        ".tiff",
        ".webp",
        ".gif",
        ".ppm",
        ".pgm",
        ".pfm",
        ".bmp",
        ".dcm",
        ".avif",
        ".heic",
    ),
    *(".jp2", ".j2k", ".nii", ".mp4", ".npy", ".parquet", ".bin", ".x", ".svs"),
)
OF_KIND: dict[str, tuple[Way, ...]] = {
    ".json": OF_JSON,
    ".jsonl": (other_line,),
    ".toml": (other_number, other_line),
    ".csv": (other_number, other_line),
    ".txt": (other_number, other_line),
    ".pt": (in_zip,),
    ".npz": (in_zip,),
    ".gz": (in_gzip,),
    ".xml": (other_number, other_line),
    ".onnx": (in_onnx,),
    ".form": (in_form,),
    ".safetensors": (in_safetensors,),
    **dict.fromkeys(BINARY, (extreme,)),
}
"""By the ending of the file."""
