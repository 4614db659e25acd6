"""``multipart/form-data`` (RFC 7578), read into memory under limits; nothing is written to disk.

Names of files are labels: they are checked and never opened.
"""

import asyncio
import logging
import re
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from zsad.service.refusal import (
    BAD_REQUEST,
    TIMEOUT,
    TOO_LARGE,
    UNSUPPORTED,
    UNUSABLE,
    ClientGone,
    Refusal,
    too_many,
)
from zsad.service.settings import ServiceSettings

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
LONGEST_FIELD = 16_384
"""Bytes of a field that is no file."""
MOST_FIELDS = 32
LONGEST_NAME = 255
HEADERS_OF_PART, HEADER_LENGTH = 8, 4096
DRAINED, DRAIN_SECONDS = 64 * 2**20, 3.0
"""Of the body of a refused request: a client that writes before it reads would else lose the reason."""
logging.getLogger("python_multipart").addHandler(logging.NullHandler())  # what it warns of is answered
SEND = "send multipart/form-data, as curl -F does"


@dataclass(frozen=True)
class Upload:
    """A file of a form.

    Attributes:
        name: as the client calls it; a label.
        content: its bytes.
    """

    name: str
    content: bytes


@dataclass
class Form:
    """Text fields by name, and files by the name of their field, in the order of the body."""

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, list[Upload]] = field(default_factory=dict)

    @property
    def file_count(self) -> int:
        """Files of all fields."""
        return sum(map(len, self.files.values()))


class Budget:
    """Bytes of requests that are in memory; used by the event loop alone.

    Args:
        most: at a time.
    """

    def __init__(self, most: int) -> None:
        self._most, self.used = most, 0

    def take(self, count: int) -> None:
        """Take bytes.

        Raises:
            Refusal: that many are not free now.
        """
        if self.used and self.used + count > self._most:
            raise too_many("the service has room for a request", "none now", 2)
        self.used += count

    def give_back(self, count: int) -> None:
        """Give bytes back."""
        self.used -= count


class Lease:
    """Bytes of one request within a budget; a context manager."""

    def __init__(self, budget: Budget) -> None:
        self._budget, self._taken = budget, 0

    def __enter__(self) -> "Lease":
        return self

    def __exit__(self, *_: object) -> None:
        self._budget.give_back(self._taken)
        self._taken = 0

    def cover(self, count: int) -> None:
        """Take what is missing to that many bytes."""
        if count > self._taken:
            self._budget.take(count - self._taken)
            self._taken = count


class Body:
    """The body of a request as it arrives.

    Args:
        receive: of ASGI.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive, self.is_over = receive, False

    async def piece(self) -> bytes:
        """What has come.

        Raises:
            ClientGone: nothing will.
        """
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        self.is_over = not message.get("more_body", False)
        return bytes(message.get("body", b""))

    async def drain(self) -> None:
        """Read on for a moment, so that the client comes to reading its answer.

        Raises:
            ClientGone: it has gone.
        """
        drained = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while not self.is_over and drained < DRAINED:
                    drained += len(await self.piece())


async def read_form(headers: Mapping[str, str], body: Body, limits: ServiceSettings, lease: Lease) -> Form:
    """Read a form.

    Args:
        headers: of the request, names in lower case.
        body: of it.
        limits: of bytes, files and seconds.
        lease: to which the bytes are counted.

    Raises:
        Refusal: the body is no form, or over a limit.
        ClientGone: the client has gone.
    """
    boundary = _boundary(headers.get("content-type", ""))
    length = int(headers.get("content-length") or 0)
    _check_length(length, limits)
    lease.cover(length)
    reader, received = _Reader(boundary, limits), 0
    async for piece in _pieces(body, limits):
        received += len(piece)
        _check_length(received, limits)
        lease.cover(received)
        reader.write(piece)
    return reader.finished()


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise Refusal(UNSUPPORTED, "the body of a request is multipart/form-data", repr(content_type[:80]), SEND)
    if not options.get(b"boundary"):
        raise Refusal(BAD_REQUEST, "multipart/form-data names its boundary", repr(content_type[:80]), SEND)
    return options[b"boundary"]


def _check_length(length: int, limits: ServiceSettings) -> None:
    if length > limits.max_request_bytes:
        rule = f"a request has at most {limits.max_request_bytes:,} bytes"
        raise Refusal(TOO_LARGE, rule, f"{length:,} or more", "send fewer or smaller images at a time")


async def _pieces(body: Body, limits: ServiceSettings) -> AsyncIterator[bytes]:
    """The body as it arrives, within the time that it has."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + limits.upload_timeout
    while not body.is_over:
        try:
            async with asyncio.timeout_at(min(ends, loop.time() + limits.idle_timeout)):
                piece = await body.piece()
        except TimeoutError:
            rule = f"a request arrives within {limits.upload_timeout:g} s, and never pauses for {limits.idle_timeout:g}"
            raise Refusal(TIMEOUT, rule, "one that did not", "send less at a time") from None
        yield piece


class _Reader:
    """The parts of a form, as callbacks of the parser."""

    def __init__(self, boundary: bytes, limits: ServiceSettings) -> None:
        self._limits, self._form, self._is_whole = limits, Form(), False
        self._header = bytearray(), bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._content, self._field, self._name, self._size = list[bytes](), "", "", 0
        self._is_file = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._start_part,
                    "on_part_data": self._add,
                    "on_part_end": self._end,
                    "on_end": self._finish,
                },
                max_header_count=HEADERS_OF_PART,
                max_header_size=HEADER_LENGTH,
            )
        except FormParserError as error:
            raise _malformed(error) from error

    def write(self, piece: bytes) -> None:
        """Take a piece of the body.

        Raises:
            Refusal: it is malformed, or over a limit.
        """
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise _malformed(error) from error

    def finished(self) -> Form:
        """The whole form.

        Raises:
            Refusal: its end is missing.
        """
        if not self._is_whole:
            raise Refusal(BAD_REQUEST, "a form ends with its boundary", "one that is cut off", "send all of it")
        return self._form

    def _begin(self) -> None:
        self._headers, self._content, self._size = {}, [], 0

    def _end_header(self) -> None:
        name, value = self._header
        self._headers[bytes(name).lower()] = bytes(value)
        self._header = bytearray(), bytearray()

    def _start_part(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b"").decode("latin-1"))
        if kind != b"form-data" or not options.get(b"name"):
            value = repr(self._headers.get(b"content-disposition", b"")[:80])
            raise Refusal(BAD_REQUEST, "a part of a form has a name", value, SEND)
        if self._headers.get(b"content-transfer-encoding", b"binary").lower() not in (b"binary", b"8bit", b"7bit"):
            raise Refusal(BAD_REQUEST, "a part of a form is sent as it is", "a transfer encoding", "leave it out")
        self._field, self._is_file = _text(options[b"name"], "the name of a field"), b"filename" in options
        if self._is_file:
            self._name = checked_name(_text(options[b"filename"], "the name of a file"))
            if self._form.file_count >= self._limits.max_files:
                rule = f"a request has at most {self._limits.max_files} files"
                raise Refusal(TOO_LARGE, rule, "more", "send fewer at a time")
        elif len(self._form.fields) >= MOST_FIELDS:
            raise Refusal(TOO_LARGE, f"a request has at most {MOST_FIELDS} fields", "more", "send those of the API")

    def _add(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if self._is_file and self._size > self._limits.max_file_bytes:
            rule = f"a file has at most {self._limits.max_file_bytes:,} bytes"
            raise Refusal(TOO_LARGE, rule, f"{self._name}, which has more", "scale it down, or cut it into pieces")
        if not self._is_file and self._size > LONGEST_FIELD:
            rule = f"a field has at most {LONGEST_FIELD:,} bytes"
            raise Refusal(
                TOO_LARGE, rule, f"{self._field[:40]}, which has more", "send images as files: -F images=@FILE"
            )
        self._content.append(data[start:end])

    def _end(self) -> None:
        content = b"".join(self._content)
        self._content = []
        if self._is_file:
            self._form.files.setdefault(self._field, []).append(Upload(self._name, content))
        elif self._field in self._form.fields:
            raise Refusal(UNUSABLE, "a field is there once", self._field[:40], "send it once")
        else:
            self._form.fields[self._field] = _text(content, f"the field {self._field[:40]}")

    def _finish(self) -> None:
        self._is_whole = True


def checked_name(name: str) -> str:
    """The name of an uploaded file, which may have folders, as browsers send them.

    Raises:
        Refusal: it is empty, long, absolute, or has ``..`` or control characters.

    >>> checked_name("nuts/7.png")
    'nuts/7.png'
    """
    parts = re.split(r"[/\\]", name)
    is_bad = (
        not name.strip()
        or len(name) > LONGEST_NAME
        or not parts[0]
        or ".." in parts
        or re.match(r"[A-Za-z]:", name)
        or any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name)
    )
    if is_bad:
        rule = f"the name of a file is a relative path of at most {LONGEST_NAME} letters without .."
        raise Refusal(UNUSABLE, rule, repr(name[:80]), "send its plain name")
    return name


def _text(content: bytes, what: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise Refusal(UNUSABLE, f"{what} is UTF-8", repr(content[:40]), "encode it as UTF-8") from None


def _malformed(error: FormParserError) -> Refusal:
    return Refusal(BAD_REQUEST, "the body of a request is a well-formed form", str(error)[:120], SEND)
