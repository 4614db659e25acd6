"""A server may drip, lie about lengths, never end, or send without end: each exchange ends, in time and in memory.

No test waits for a clock: the servers below go on until the other side is gone.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException, IncompleteRead
from itertools import repeat
from pathlib import Path
from threading import Event, Thread
from urllib.request import Request

import pytest

from tests.knowledge.serving import good, run, serving
from zsad.errors import ConfigError
from zsad.knowledge.chat import Endpoint, TooLargeError, send

Pieces = Callable[[], Iterator[bytes]]
BODY = b"{}"
PAUSE = 0.01
"""Seconds between what is dripped: far below any timeout of a socket."""


@contextmanager
def sending(pieces: Pieces, pause: float = 0.0) -> Iterator[str]:
    """A server that sends these bytes to whoever connects, until they end or nobody reads them."""
    over = Event()
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while not over.is_set():
            with suppress(OSError):
                client, _ = server.accept()
                with client, client.makefile("rb") as asked:
                    while asked.readline() not in (b"\r\n", b""):
                        pass
                    asked.read(len(BODY))
                    for piece in pieces():
                        client.sendall(piece)
                        if over.wait(pause):
                            return

    thread = Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"
    finally:
        over.set()
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def request(url: str) -> Request:
    return Request(f"{url}/chat/completions", BODY, method="POST")


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        lambda: repeat(b"H"),
        lambda: iter([HEAD, *[b"a: b\r\n"] * 90, *[b"x"] * 60_000]),
        lambda: repeat(b"HTTP/1.1 100 Continue\r\n\r\n"),
        lambda: iter([HEAD, b"\r\n", *[b" "] * 10**6]),
        lambda: iter([HEAD, b"Content-Length: 1000000\r\n\r\n", *[b" "] * 10**6]),
        lambda: iter([HEAD, b"Transfer-Encoding: chunked\r\n\r\n", *[b"1\r\n \r\n"] * 10**6]),
        lambda: iter([b"HTTP/1.1 503 Busy\r\n\r\n", *[b" "] * 10**6]),
    ],
    ids=["status", "header", "continue", "body", "length", "chunks", "failure"],
)
def test_a_server_that_drips_is_left_in_time(pieces: Pieces) -> None:
    with sending(pieces, PAUSE) as url, pytest.raises(TimeoutError, match="timed out"):
        send(request(url), 0.3, 10**6)


@pytest.mark.parametrize(
    "head", [b"\r\n", b"Content-Length: 99999999999999\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"]
)
def test_an_answer_without_end_is_not_read(head: bytes) -> None:
    piece = b"10000\r\n" + b" " * 65536 + b"\r\n" if b"chunked" in head else b" " * 65536

    def pieces() -> Iterator[bytes]:
        yield HEAD + head
        yield from repeat(piece)

    with sending(pieces) as url, pytest.raises(TooLargeError):
        send(request(url), 60, 10**6)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (HEAD + b"Content-Length: 9\r\n\r\nshort", IncompleteRead),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\nshort", IncompleteRead),
        (HEAD + b"x: " + b"y" * 70_000, HTTPException),
        (HEAD + b"a: b\r\n" * 200, HTTPException),
        (b"no HTTP", HTTPException),
        (b"", (OSError, HTTPException)),
    ],
)
def test_an_answer_that_is_not_whole_is_no_answer(answer: bytes, error: type[Exception]) -> None:
    with sending(lambda: iter([answer])) as url, pytest.raises(error):
        send(request(url), 60, 10**6)


def test_lengths_that_are_none_are_no_reason_to_wait() -> None:
    for length in (b"-1", b"nine", b"9" * 5000):
        answer = HEAD + b"Content-Length: " + length + b"\r\n\r\n{}"
        with sending(lambda answer=answer: iter([answer])) as url:
            assert send(request(url), 60, 100).content == b"{}"


def test_an_answer_that_fits_is_taken_whole() -> None:
    answer = HEAD + b"Content-Length: 100\r\n\r\n" + b"x" * 100
    with sending(lambda: iter([answer])) as url:
        assert send(request(url), 60, 100).content == b"x" * 100
        with pytest.raises(TooLargeError):
            send(request(url), 60, 99)


def test_a_reply_of_gigabytes_ends_the_run_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda *_: "x" * (5 * 2**20)) as chat:
        assert run(chat, tmp_path / "k.json", "--classes", "gear") == 2
    assert "a reply has at most 4,194,304 bytes" in capsys.readouterr().err


@pytest.mark.parametrize("reply", [b'{"choices"', b'{"a": ' + b"[" * 5000, b'{"choices": "\\u0000"}', b'{"n": 1e999}'])
def test_a_broken_reply_is_one_refusal_and_the_run_goes_on(
    reply: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(lambda number, prompt: (200, {}, reply) if "gear" in prompt else good(number, prompt)) as chat:
        assert run(chat, tmp_path / "k.json", "--classes", "gear", "nut", "--again", "--retries", "0") == 1
    said = capsys.readouterr()
    assert "refused: class gear: the reply is no JSON" in said.err
    assert "1 answer taken" in said.out


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_a_timeout_ends(timeout: float) -> None:
    with pytest.raises(ConfigError, match="a timeout is"):
        Endpoint("http://127.0.0.1", timeout=timeout)


@pytest.mark.parametrize("retries", [-1, 10**9])
def test_retries_are_bounded(retries: int) -> None:
    with pytest.raises(ConfigError, match="retries are"):
        Endpoint("http://127.0.0.1", retries=retries)
