"""The one reader of untrusted text documents: JSON, JSON Lines, TOML.

Limited in size, depth and number range, with exact positions in errors: no document can hang, exhaust memory or end in
a traceback. Stricter than the standards where these are ambiguous: RFC 8259 calls duplicate keys, numbers beyond 64 bit
and lone surrogates unpredictable, since programs interpret them differently. A byte order mark is ignored.
"""

import json
import math
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

Source = Path | bytes | str
"""A file, or its content."""

LIMIT = 16 * 2**20
"""Maximum bytes of a document: a thousand times the size of recipes and configuration files."""
LIST_LIMIT = 128 * 2**20
"""Maximum bytes of a list of images: about half a million entries."""
DEPTH = 64
"""Maximum nesting depth; no document of this project has ten levels."""
MOST_VALUES = 5_000_000
"""Maximum number of commas and brackets in JSON: a short document may need many times its size in memory."""
INTEGERS = range(-(2**63), 2**63)

TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[\]{}]|[^\s\[\]{}",:]++', re.DOTALL)
ODD_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
ODD_TEXT = re.compile("[\0\ud800-\udfff]")
ODD_TEXT_OR_NAME = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")
# tomllib copies a dotted key for each of its parts.
LONG_KEY = re.compile(r"""(?:^|[\[{,])[ \t]*+(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){64}""", re.MULTILINE)
CORRECT = "correct it there"


class DocumentError(ValueError):
    """A document that cannot be read. Its text has position and reason, for an error that names the file.

    Attributes:
        rule, value, remedy: as in :class:`zsad.errors.ZsadError`.
        line: of the file, from 1; ``None`` if unknown.
        column: in the line, from 1; in bytes if it is not text.

    >>> read_json('{"a": 1')
    Traceback (most recent call last):
    ...
    zsad.documents.DocumentError: line 1, column 8: Expecting ',' delimiter
    """

    def __init__(self, rule: str, value: str, remedy: str, line: int | None = None, column: int | None = None) -> None:
        self.rule, self.value, self.remedy, self.line, self.column = rule, value, remedy, line, column
        place = ", ".join(f"{name} {at}" for name, at in (("line", line), ("column", column)) if at is not None)
        super().__init__(f"{place}: {value}" if place else value)


def read_json(source: Source, limit: int = LIMIT, *, file_names: bool = False) -> object:
    """The value in a JSON document.

    Args:
        source: a file, or its content.
        limit: maximum number of bytes.
        file_names: whether text may contain file names that are not UTF-8, as Python's surrogate escapes (U+DC80 to
            U+DCFF).

    Raises:
        DocumentError: it is no regular file or too large, no UTF-8, no JSON, empty, nested too deeply, or has a number
            that is not finite, an integer beyond 64 bit, a duplicate key, or text with U+0000 or lone surrogates.
        OSError: the file cannot be read.

    >>> read_json('{"sigma": 4.0}')
    {'sigma': 4.0}
    """
    return _parse_json(read_text(source, limit), ODD_TEXT_OR_NAME if file_names else ODD_TEXT)


def read_json_object(source: Source, limit: int = LIMIT, *, file_names: bool = False) -> dict[str, object]:
    """The object in a JSON document.

    Raises:
        DocumentError: as in :func:`read_json`, or it is not an object.
        OSError: the file cannot be read.
    """
    value = read_json(source, limit, file_names=file_names)
    if not isinstance(value, dict):
        raise DocumentError("a document holds a JSON object", f"{_kind(value)} instead of an object", CORRECT)
    return value


def read_json_lines(
    source: Source, limit: int = LIST_LIMIT, *, file_names: bool = False
) -> Iterator[tuple[int, object]]:
    """Line numbers, from 1, and values of a JSON Lines document; blank lines are skipped.

    Args:
        source, limit, file_names: as in :func:`read_json`.

    Raises:
        DocumentError: as in :func:`read_json`, with the line in the document.
        OSError: the file cannot be read.

    >>> list(read_json_lines("1\\n\\n[2]"))
    [(1, 1), (3, [2])]
    """
    text = read_text(source, limit).replace("\r\n", "\n").replace("\r", "\n")  # they are escaped within values
    for number, line in enumerate(text.split("\n"), start=1):
        if not _is_blank(line):
            try:
                value = _parse_json(line, ODD_TEXT_OR_NAME if file_names else ODD_TEXT)
            except DocumentError as error:
                raise DocumentError(error.rule, error.value, error.remedy, number, error.column) from error
            yield number, value


def read_toml(source: Source, limit: int = LIMIT) -> dict[str, object]:
    """The table in a TOML document; an empty document is an empty table.

    Raises:
        DocumentError: as in :func:`read_json`.
        OSError: the file cannot be read.

    >>> read_toml("[training]\\nepochs = 5")
    {'training': {'epochs': 5}}
    """
    text = read_text(source, limit)
    if match := LONG_KEY.search(text):
        raise _TooDeepError(*_line_and_column(text, match.start()))
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _no_toml(error) from error
    except RecursionError as error:
        raise _TooDeepError from error
    except ValueError as error:  # more digits than Python converts
        raise _UnfitError from error
    _check(values, ODD_TEXT)
    return values


def read_text(source: Source, limit: int = LIMIT, *, file_names: bool = False) -> str:
    """A UTF-8 text, without byte order mark, with unchanged line ends.

    Args:
        source, limit: as in :func:`read_json`.
        file_names: whether bytes that are not UTF-8 are read as surrogate escapes, for file names.

    Raises:
        DocumentError: it is no regular file, too large or no UTF-8.
        OSError: the file cannot be read.
    """
    content = read_bytes(source, limit).removeprefix(b"\xef\xbb\xbf")
    try:
        return content.decode("utf-8", "surrogateescape" if file_names else "strict")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        value = "UTF-16" if wide else f"the byte 0x{content[error.start]:02x}, which is no UTF-8"
        raise DocumentError("a text is in UTF-8", value, "save it as UTF-8", line, column) from error


def read_bytes(source: Source, limit: int = LIMIT) -> bytes:
    """The bytes of a regular file, reading at most the limit, even if the file grows.

    Raises:
        DocumentError: it is no regular file, or larger.
        OSError: the file cannot be read.
    """
    if isinstance(source, Path):
        content = _content(source, limit)
    else:
        content = source if isinstance(source, bytes) else source.encode("utf-8", "surrogatepass")
    if len(content) > limit:
        rule = f"a document of this kind has at most {limit:,} bytes"
        raise DocumentError(rule, f"more than {limit:,} bytes", "check that it is the right file")
    return content


def _content(path: Path, limit: int) -> bytes:
    if "\0" in str(path):
        raise DocumentError("a path has no U+0000", repr(str(path)), "correct the path")
    _check_regular(path.stat())  # before opening, which may have effects on a device
    with open(path, "rb", opener=_open_at_once) as file:
        _check_regular(os.fstat(file.fileno()))
        return file.read(limit + 1)


def _open_at_once(path: str, flags: int) -> int:
    """Open without blocking if a pipe has just replaced the file."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        value = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, socket or device"
        raise DocumentError("a document is a regular file", value, "name a file")


def _parse_json(text: str, forbidden: re.Pattern[str]) -> object:
    if _is_blank(text):
        raise DocumentError("a JSON document holds a value", "nothing", "write or copy it again")
    if sum(map(text.count, ",[{")) > MOST_VALUES:
        rule = f"a JSON document has at most {MOST_VALUES:,} values"
        raise DocumentError(rule, f"more than {MOST_VALUES:,} values", "split it")
    try:
        value: object = json.loads(text, object_pairs_hook=_once)
        _check(value, forbidden if ODD_ESCAPE.search(text) else None)
    except json.JSONDecodeError as error:
        raise DocumentError("a document is JSON", error.msg, CORRECT, error.lineno, error.colno) from error
    except (RecursionError, _TooDeepError) as error:
        raise _TooDeepError(*_first(text, _Nesting().is_too_deep)) from error
    except _OddError:
        raise
    except ValueError as error:  # of _check, or more digits than Python converts
        raise _UnfitError(*_first(text, _is_unfit)) from error
    return value


class _TooDeepError(DocumentError):
    def __init__(self, line: int | None = None, column: int | None = None) -> None:
        rule = f"a document is nested at most {DEPTH} levels deep"
        super().__init__(rule, f"more than {DEPTH} levels of nesting", "flatten it", line, column)


class _UnfitError(DocumentError):
    def __init__(self, line: int | None = None, column: int | None = None) -> None:
        value = "a number that is not finite, or an integer beyond 64 bit"
        super().__init__("numbers are finite, and integers have 64 bit", value, CORRECT, line, column)


class _OddError(DocumentError):
    """The error for an invalid text or key."""


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _OddError("a key stands once in an object", f"the key {ascii(twice)[:80]} twice", "remove one")
    return values


def _check(value: object, forbidden: re.Pattern[str] | None) -> None:
    """Check depth, numbers, and text against a pattern of forbidden characters, level by level."""
    level, layer = 0, [value]
    while layer:
        level += 1
        deeper: list[object] = []
        for item in layer:
            if isinstance(item, dict):
                deeper += item.values()
                deeper += item if forbidden else ()
            elif isinstance(item, list):
                deeper += item
            else:
                _check_plain(item, forbidden)
        if level > DEPTH and any(isinstance(item, dict | list) for item in layer):
            raise _TooDeepError
        layer = deeper


def _check_plain(value: object, forbidden: re.Pattern[str] | None) -> None:
    fits = value in INTEGERS if isinstance(value, int) else not isinstance(value, float) or math.isfinite(value)
    if not fits:
        raise _UnfitError
    if forbidden and isinstance(value, str) and forbidden.search(value):
        what = f"the text {ascii(value)[:80]} with U+0000 or a lone surrogate"
        raise _OddError("text has neither U+0000 nor lone surrogates", what, CORRECT)


def _first(text: str, is_it: Callable[[str], bool]) -> tuple[int, int]:
    """Line and column of the first matching token of a JSON document."""
    return _line_and_column(text, next((match.start() for match in TOKEN.finditer(text) if is_it(match[0])), 0))


def _line_and_column(text: str, at: int) -> tuple[int, int]:
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


class _Nesting:
    level = 0

    def is_too_deep(self, token: str) -> bool:
        self.level += (token in "[{") - (token in "]}")
        return self.level > DEPTH


def _is_unfit(token: str) -> bool:
    try:
        number = float(token)
    except ValueError:
        return False
    return not math.isfinite(number) or (token.lstrip("-").isdecimal() and not -(2**63) <= int(token) < 2**63)


def _kind(value: object) -> str:
    return {list: "an array", str: "a string", bool: "true or false", type(None): "null"}.get(type(value), "a number")


def _is_blank(text: str) -> bool:
    return not text or text.isspace()


def _no_toml(error: tomllib.TOMLDecodeError) -> DocumentError:
    match = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", str(error), re.DOTALL)
    what, line, column = match.groups() if match else (str(error), None, None)
    place = (int(line), int(column)) if line and column else (None, None)
    return DocumentError("a document is TOML", what, CORRECT, *place)
