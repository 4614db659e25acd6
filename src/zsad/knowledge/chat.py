"""One request to an OpenAI-compatible chat endpoint, with the standard library alone."""

import base64
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPResponse, HTTPSConnection, IncompleteRead
from threading import Event, Timer
from time import sleep
from typing import Any, cast
from urllib.error import HTTPError
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from zsad.documents import DocumentError, read_json
from zsad.errors import ConfigError
from zsad.knowledge.questions import RejectedAnswer


class TooLargeError(Exception):
    """The response has more bytes than allowed."""


@dataclass(frozen=True)
class Reply:
    """An HTTP response with any status."""

    status: int
    reason: str
    headers: Message
    content: bytes


def send(request: Request, seconds: float, most: int) -> Reply:
    """Send a request and read the response; redirections are not followed, since that would forward the key.

    Args:
        request: to send.
        seconds: timeout until the last byte. (The timeout of a socket restarts with every byte.)
        most: maximum bytes of the response.

    Raises:
        OSError, http.client.HTTPException: the server cannot be reached, or does not respond completely in time.
        TooLargeError: the response is larger.
    """
    with _deadline(seconds) as watch:
        opener = build_opener(_NoRedirection, _Plain(watch), _Secure(watch))
        try:
            with opener.open(request, timeout=seconds) as answer:
                return Reply(answer.status, answer.reason, answer.headers, _read_body(answer, most))
        except HTTPError as error:
            with error:
                return Reply(
                    error.code, str(error.reason), error.headers, _read_body(cast(HTTPResponse, error.fp), most)
                )


Watch = Callable[[socket.socket], None]


@contextmanager
def _deadline(seconds: float) -> Iterator[Watch]:
    """Shut down the watched sockets and raise ``TimeoutError`` when the time is over."""
    watched: list[socket.socket] = []
    over = Event()

    def end() -> None:
        over.set()
        for connection in watched:
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)  # below TLS, whose shutdown would block

    timer = Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield watched.append
    except (OSError, HTTPException, ValueError) as error:
        if over.is_set():
            raise TimeoutError("timed out") from error
        raise
    finally:
        timer.cancel()
    if over.is_set():  # a response without a length looks complete
        raise TimeoutError("timed out")


def _read_body(answer: HTTPResponse, most: int) -> bytes:
    content = answer.read(most + 1)
    if len(content) > most:
        raise TooLargeError
    if answer.length:  # http.client detects truncation only when reading everything
        raise IncompleteRead(content, answer.length)
    return content


class _Plain(HTTPHandler):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(cast(Any, partial(_watched, HTTPConnection, self._watch)), req)


class _Secure(HTTPSHandler):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(cast(Any, partial(_watched, HTTPSConnection, self._watch)), req)


def _watched(kind: type[HTTPConnection], watch: Watch, *arguments: Any, **options: Any) -> HTTPConnection:
    connection = kind(*arguments, **options)
    connect = connection.connect

    def connect_watched() -> None:
        connect()
        watch(connection.sock)

    connection.connect = connect_watched  # type: ignore[method-assign]  # the connection is this function's own
    return connection


class _NoRedirection(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: object, code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


LARGEST = 4 * 2**20
"""Maximum bytes of a reply, a thousand times the expected size."""
LONGEST_TIMEOUT, MOST_RETRIES = 3600.0, 100
LONGEST_WAIT = 60.0
"""Maximum seconds between two attempts."""
TRY_AGAIN = (408, 409, 429, 500, 502, 503, 504, 529)
NOT_THIS_QUESTION = (400, 413, 415, 422)
"""Statuses that reject one request because of its content, such as an image that is too large or a content filter."""


@dataclass(frozen=True)
class Endpoint:
    """A chat endpoint.

    Attributes:
        base_url: the part before ``/chat/completions``, for instance ``https://api.openai.com/v1``.
        key: the API key; "" for a server that needs none. It is never sent elsewhere, not even on redirection.
        key_from: name of the environment variable of the key, for errors.
        timeout: seconds of one attempt until its last byte.
        retries: further attempts where the server is busy, failing or cannot be reached.

    Raises:
        ConfigError: a URL that is not HTTP, a key that is invalid in a header, or a number out of range.
    """

    base_url: str
    key: str = field(default="", repr=False)
    key_from: str = "OPENAI_API_KEY"
    timeout: float = 120.0
    retries: int = 3

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            raise ConfigError("a base URL begins with http:// or https://", repr(self.base_url), "correct --base-url")
        if not (self.key.isascii() and self.key.isprintable()):
            raise ConfigError("an API key is printable ASCII", "another character", f"correct ${self.key_from}")
        if not 0 < self.timeout <= LONGEST_TIMEOUT:
            rule = f"a timeout is greater than 0 s and at most {LONGEST_TIMEOUT:g} s"
            raise ConfigError(rule, self.timeout, "correct --timeout")
        if not 0 <= self.retries <= MOST_RETRIES:
            raise ConfigError(f"retries are at least 0 and at most {MOST_RETRIES}", self.retries, "correct --retries")

    def ask(self, model: str, prompt: str, image: bytes | None = None) -> str:
        """The text of the reply.

        Args:
            model: name of the model, as the server knows it.
            prompt: the question.
            image: a PNG to send with it.

        Raises:
            RejectedAnswer: the server rejects this request because of its content, or responds without text.
            ConfigError: it does not respond, or not as a chat endpoint; other requests would fail too.
        """
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": _content(prompt, image)}]})
        return _text_of(self._post(body.encode("ascii")))

    def _post(self, body: bytes) -> bytes:
        request = Request(self.base_url.rstrip("/") + "/chat/completions", body, self._headers(), method="POST")
        for attempt in range(self.retries + 1):
            last = attempt == self.retries
            try:
                reply = send(request, self.timeout, LARGEST)
            except TooLargeError as error:
                rule = f"a reply has at most {LARGEST:,} bytes"
                raise ConfigError(rule, f"more from {self.base_url}", "check --base-url") from error
            except (OSError, HTTPException, ValueError) as error:  # ValueError for an invalid host name
                if last:
                    raise self._out_of_reach(error) from error
                sleep(_wait(attempt))
            else:
                if reply.status < 300:
                    return reply.content
                if reply.status not in TRY_AGAIN or last:
                    raise self._refusal(reply)
                sleep(_wait(attempt, reply.headers))
        raise AssertionError("the last attempt returns or raises")

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        return headers | {"Authorization": f"Bearer {self.key}"} if self.key else headers

    def _refusal(self, reply: Reply) -> Exception:
        """The error for a response with a status other than success."""
        answer = f"{reply.status} {reply.reason}: {self._without_key(_message(reply))}"
        if reply.status in NOT_THIS_QUESTION:
            return RejectedAnswer(f"the server answers {answer}")
        if reply.status in (401, 403):
            state = "correct" if self.key else "set"
            return ConfigError("the endpoint must accept the API key", answer, f"{state} ${self.key_from}")
        remedy = "wait, or check quota and server" if reply.status in TRY_AGAIN else "check --base-url and the model"
        return ConfigError(f"{self.base_url} must answer", answer, remedy)

    def _out_of_reach(self, error: Exception) -> ConfigError:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        return ConfigError(f"{self.base_url} must answer within {self.timeout:g} s", reason, "check server and URL")

    def _without_key(self, text: str) -> str:
        return text.replace(self.key, "***") if self.key else text


def _content(prompt: str, image: bytes | None) -> str | list[dict[str, object]]:
    if image is None:
        return prompt
    url = f"data:image/png;base64,{base64.b64encode(image).decode('ascii')}"
    return [{"type": "text", "text": prompt}, {"type": "image_url", "image_url": {"url": url}}]


def _text_of(reply: bytes) -> str:
    try:
        text = cast(Any, read_json(reply))["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError) as error:
        if isinstance(error, DocumentError) and reply[:1] == b"{":
            raise RejectedAnswer(f"the reply is no JSON: {error}") from error
        raise ConfigError(
            "a chat endpoint answers with choices, message and content",
            repr(reply[:80].decode("utf-8", "replace")),
            "check --base-url; it often ends in /v1",
        ) from error
    if not isinstance(text, str):
        raise RejectedAnswer("the reply has no text")
    return text


def _wait(attempt: int, headers: Message | None = None) -> float:
    """Seconds before the next attempt: as requested by the server, else 1, 2, 4 … .

    >>> _wait(0), _wait(3), _wait(20)
    (1.0, 8.0, 60.0)
    """
    asked = (headers and headers.get("Retry-After")) or ""
    return min(float(asked) if asked.isdecimal() else 2.0 ** min(attempt, 10), LONGEST_WAIT)


def _message(reply: Reply) -> str:
    """The error message of the server, in one line."""
    text: object = reply.content.decode("utf-8", "replace")
    with suppress(ValueError, LookupError, TypeError):  # not in the usual form: used as it is
        text = cast(Any, read_json(reply.content))["error"]["message"]
    return " ".join(str(text).split())[:200] or "no reason given"
