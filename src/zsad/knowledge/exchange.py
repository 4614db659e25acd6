"""One HTTP exchange that ends: in time, whatever the server drips, and with no more than a bounded answer."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPResponse, HTTPSConnection, IncompleteRead
from threading import Event, Timer
from typing import Any, cast
from urllib.error import HTTPError
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, Request, build_opener


class TooLargeError(Exception):
    """The answer has more bytes than were allowed."""


@dataclass(frozen=True)
class Reply:
    """What a server answered, whatever the status."""

    status: int
    reason: str
    headers: Message
    content: bytes


def exchange(request: Request, seconds: float, most: int) -> Reply:
    """Send a request and read its answer; a redirection is an answer too, for following it would carry the key on.

    Args:
        request: what is sent.
        seconds: until the last byte must have come. (A timeout of a socket begins anew with every byte.)
        most: bytes that an answer may have.

    Raises:
        OSError, http.client.HTTPException: the server is out of reach, or does not answer whole and in time.
        TooLargeError: it answers more.
    """
    with _deadline(seconds) as watch:
        opener = build_opener(_NoRedirection, _Plain(watch), _Secure(watch))
        try:
            with opener.open(request, timeout=seconds) as answer:
                return Reply(answer.status, answer.reason, answer.headers, _content(answer, most))
        except HTTPError as error:
            with error:
                return Reply(error.code, str(error.reason), error.headers, _content(cast(HTTPResponse, error.fp), most))


Watch = Callable[[socket.socket], None]


@contextmanager
def _deadline(seconds: float) -> Iterator[Watch]:
    """Ends what is read from sockets that are being watched, and says so, when the time is over."""
    watched: list[socket.socket] = []
    over = Event()

    def end() -> None:
        over.set()
        for one in watched:
            with suppress(OSError):
                socket.socket.shutdown(one, socket.SHUT_RDWR)  # below TLS, which would want to say goodbye

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
    if over.is_set():  # an answer without a length seems to have ended
        raise TimeoutError("timed out")


def _content(answer: HTTPResponse, most: int) -> bytes:
    content = answer.read(most + 1)
    if len(content) > most:
        raise TooLargeError
    if answer.length:  # http.client notices what is missing only where all is asked for
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
