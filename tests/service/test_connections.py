"""Clients that are slow, rude or gone, on real connections; and the command itself."""

import json
import os
import re
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from tests.service.asking import detector, files, photo, served
from zsad.cli.main import main

HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
BEGIN = b'--b\r\nContent-Disposition: form-data; name="images"; filename="x.png"\r\n\r\n'


def told(address: str, *pieces: bytes, ends: bool = False) -> tuple[int, dict[str, str]]:
    """Status and content of what a client is told that sends these bytes, and then waits, or ends its side."""
    where = urlsplit(address)
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=60) as connection:
        for piece in pieces:
            connection.sendall(piece)
        if ends:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def test_what_is_slow_or_malformed_is_told_so_and_stops_nobody() -> None:
    limits = {"header_timeout": 0.3, "idle_timeout": 0.3, "upload_timeout": 1.0, "max_connections": 8}
    with served("clip", **limits) as address:
        length = b"Content-Length: 1000\r\n\r\n"
        cases = {
            "a head that drips": ((HEAD,), False, 408, "the head of a request arrives within"),
            "nothing at all": ((), False, 408, "the head of a request arrives within"),
            "a body that drips": ((HEAD + length + BEGIN,), False, 408, "never pauses"),
            "no HTTP": ((b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",), False, 400, "HTTP/1.1"),
            "a huge head": ((HEAD + b"X: " + b"y" * 100_000,), False, 431, "16,384 bytes"),
            "a lie about the length": ((HEAD + length + BEGIN,), True, 400, "as long as its head says"),
            "a length that is none": ((HEAD + b"Content-Length: many\r\n\r\n",), False, 400, "HTTP/1.1"),
            "two lengths": ((HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",), False, 400, "HTTP/1.1"),
            "broken chunks": ((HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",), False, 400, "HTTP/1.1"),
            "too much": ((HEAD + b"Content-Length: 999999999999\r\n\r\n",), False, 413, "a request has at most"),
        }
        with ThreadPoolExecutor(4) as pool:
            answers = {what: pool.submit(told, address, *case[0], ends=case[1]) for what, case in cases.items()}
            found = {what: answer.result() for what, answer in answers.items()}
        for what, (_, _, status, rule) in cases.items():
            assert found[what][0] == status, what
            assert rule in found[what][1]["rule"], what
        answer = httpx.post(f"{address}v1/predict", files=files(1))
        assert answer.json()["predictions"][0]["score"] == pytest.approx(
            detector("clip").predict(photo(0)).score, abs=1e-4
        )


def test_more_connections_than_the_limit_are_refused() -> None:
    with served("clip", max_connections=2) as address:
        where = urlsplit(address)
        held = [socket.create_connection((where.hostname or "", where.port or 0)) for _ in range(2)]
        time.sleep(0.2)
        status, content = told(address)
        assert (status, content["rule"]) == (429, "at most 2 connections are open")
        for connection in held:
            connection.close()


def test_the_command_serves_until_a_signal_and_finishes_what_it_accepted(capfd: pytest.CaptureFixture[str]) -> None:
    def use() -> list[int]:
        """Ask while the command runs; it is told to stop while a request waits."""
        said = ""
        while not (match := re.search(r"serving: (\S+)", said)):
            said += capfd.readouterr().out
            time.sleep(0.05)
        with ThreadPoolExecutor(1) as other:
            waiting = other.submit(httpx.post, f"{match[1]}v1/predict", files=files(4), timeout=60)
            while "zsad_waiting_images 0.0" in httpx.get(f"{match[1]}metrics").text and not waiting.done():
                time.sleep(0.002)
            os.kill(os.getpid(), signal.SIGTERM)
            answers = [waiting.result()]
        return [answer.status_code for answer in answers]

    with ThreadPoolExecutor(1) as pool:
        statuses = pool.submit(use)
        assert main(["serve", "clip", "--image-size", "64", "--port", "0"]) == 0
        assert statuses.result() == [200]
    assert "stopped: what was accepted is answered" in capfd.readouterr().out


def test_the_command_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "clip", "--host", "0.0.0.0"]) == 2
    assert "asks for a token" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["serve", "clip", "--port", str(port)]) == 2
    assert f"127.0.0.1 port {port}" in capsys.readouterr().err
    assert main(["serve", "clip", "clip", "--port", "0"]) == 2
    assert "different names" in capsys.readouterr().err
