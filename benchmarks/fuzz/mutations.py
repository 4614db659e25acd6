"""Ways to damage a file: by its bytes, and by what its format means."""

import gzip
import io
import json
import re
import zipfile
from collections.abc import Callable
from random import Random

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
OF_KIND: dict[str, tuple[Way, ...]] = {
    ".json": OF_JSON,
    ".jsonl": (other_line,),
    ".toml": (other_number, other_line),
    ".csv": (other_number, other_line),
    ".txt": (other_number, other_line),
    ".pt": (in_zip,),
    ".npz": (in_zip,),
    ".gz": (in_gzip,),
    ".safetensors": (in_safetensors,),
}
"""By the ending of the file."""
