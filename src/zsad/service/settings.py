"""What a service listens to, and what it takes at most."""

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path

from zsad.config import check_within
from zsad.data.decoding.guard import MAX_PIXELS
from zsad.errors import ConfigError
from zsad.files import open_file

MIB = 2**20
TOKEN_VARIABLE = "ZSAD_SERVE_TOKEN"
LONGEST_TOKEN = 4096
SHORTEST_TOKEN = 16
DAY = 86_400.0
LONGEST_HEAD = 16 * 1024
"""Bytes of the head of a request."""


@dataclass(frozen=True)
class ServiceSettings:
    """Address and limits; the defaults suit one machine in a workshop.

    Attributes:
        host: address to listen on; any but a loopback address needs a token.
        port: 0 lets the operating system choose.
        token: that a client must send as ``Authorization: Bearer``; None for none.
        max_files: images of one request.
        max_file_bytes: of one image file.
        max_request_bytes: of the body of one request.
        max_pending_bytes: of all bodies that are being received or wait for their answers.
        max_pixels: rows x cols of one image; four times as many of all full-size maps of a request.
        queue: images that wait, at most; more are refused with 429. One request is always taken.
        max_wait_ms: milliseconds that an image waits for others to fill a batch.
        timeout: seconds from the whole request to its answer.
        upload_timeout: seconds in which the body of a request arrives.
        idle_timeout: seconds between two pieces of a body, and in which a client takes a piece of the answer.
        header_timeout: seconds in which the head of a request arrives.
        max_connections: open at a time.
        grace: seconds that a stopping service has for what it accepted.

    Raises:
        ConfigError: a value is out of range, or the host needs a token and there is none.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = field(default=None, repr=False)
    max_files: int = 256
    max_file_bytes: int = 64 * MIB
    max_request_bytes: int = 256 * MIB
    max_pending_bytes: int = 1024 * MIB
    max_pixels: int = 50_000_000
    queue: int = 64
    max_wait_ms: float = 5.0
    timeout: float = 300.0
    upload_timeout: float = 120.0
    idle_timeout: float = 20.0
    header_timeout: float = 10.0
    max_connections: int = 1000
    grace: float = 300.0

    def __post_init__(self) -> None:
        check_within("the port", self.port, 0, 65535)
        for what, value, most in (
            ("the number of images of a request", self.max_files, 10_000),
            ("the size of a file in bytes", self.max_file_bytes, 2**40),
            ("the size of a request in bytes", self.max_request_bytes, 2**40),
            ("the size of all requests in bytes", self.max_pending_bytes, 2**44),
            ("the number of pixels of an image", self.max_pixels, MAX_PIXELS),
            ("the number of images that wait", self.queue, 10**6),
            ("the number of connections", self.max_connections, 10**6),
        ):
            check_within(what, value, 1, most)
        check_within("the milliseconds that an image waits for others", self.max_wait_ms, 0, 60_000)
        for name in ("timeout", "upload_timeout", "idle_timeout", "header_timeout", "grace"):
            check_within(f"the seconds of {name}", getattr(self, name), 0.01, DAY)
        if self.token is None and not self.is_local:
            rule = "a service that other machines reach asks for a token"
            remedy = f"say --token-file FILE, set {TOKEN_VARIABLE}, or listen on 127.0.0.1"
            raise ConfigError(rule, f"--host {self.host} without one", remedy)

    @property
    def is_local(self) -> bool:
        """Whether it listens on a loopback address."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a name or address is one of this machine alone.

    >>> is_loopback("localhost"), is_loopback("127.0.0.2"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_token(path: Path | None) -> str | None:
    """The token in a file, or in the environment; None where there is none.

    Raises:
        ConfigError: it is empty, short, or not printable ASCII without spaces.
        InputError: the file cannot be read.
    """
    if path is None:
        given, where = os.environ.get(TOKEN_VARIABLE), TOKEN_VARIABLE
        if given is None:
            return None
    else:
        with open_file(path) as file:
            given, where = file.read(LONGEST_TOKEN + 2).decode("ascii", "replace"), str(path)
    token = given.strip()
    if not SHORTEST_TOKEN <= len(token) <= LONGEST_TOKEN or not all("!" <= letter <= "~" for letter in token):
        rule = f"a token is {SHORTEST_TOKEN} to {LONGEST_TOKEN:,} printable letters of ASCII without spaces"
        remedy = "make one: python -c 'import secrets; print(secrets.token_urlsafe())'"
        raise ConfigError(rule, f"{len(token)} letters in {where}", remedy)
    return token
