"""HTTP/1.1 on a connection, with limits that uvicorn does not have: slow heads, slow readers, many connections.

A request that is no HTTP is answered in JSON, and read on for a moment: a connection that is closed while the client
still writes would take the answer with it.
"""

import asyncio
import json
import sys
from contextlib import suppress
from http import HTTPStatus
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from zsad.service.refusal import BAD_REQUEST, TIMEOUT, TOO_MANY
from zsad.service.settings import LONGEST_HEAD, ServiceSettings

LINGER = 2.0
"""Seconds for which a refused connection is read on."""


def guarded(settings: ServiceSettings) -> type[H11Protocol]:
    """The protocol with the limits of a service."""
    return type("Guarded", (GuardedProtocol,), {"settings": settings})


class GuardedProtocol(H11Protocol):
    """The protocol of uvicorn, with time limits."""

    settings: ClassVar[ServiceSettings]

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._head: asyncio.TimerHandle | None = None
        self._reader: asyncio.TimerHandle | None = None
        self._lingering = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come."""
        super().connection_made(transport)
        if len(self.connections) > self.settings.max_connections:
            rule = f"at most {self.settings.max_connections:,} connections are open"
            self._refuse(TOO_MANY, rule, "one more", "come again in 2 s", "Retry-After: 2\r\n")
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes have come; those of a refused request are dropped."""
        if self._lingering:
            return
        super().data_received(data)
        self._await_head()

    def eof_received(self) -> None:
        """The client sends no more; a request that is cut off is answered."""
        if not self._lingering and self.conn.their_state is h11.SEND_BODY and not self.cycle.response_started:
            self.cycle.disconnected = True
            self._refuse(BAD_REQUEST, "a body is as long as its head says", "one that is cut off", "send all of it")
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, or no HTTP any more."""
        error = sys.exc_info()[1]
        status = int(getattr(error, "error_status_hint", BAD_REQUEST))
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.close()
            return
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        rule = f"a request is HTTP/1.1 with a head of at most {LONGEST_HEAD:,} bytes"
        self._refuse(status, rule, str(error)[:120] or msg, "send it as curl does")

    def shutdown(self) -> None:
        """The service stops."""
        if self._lingering:
            self.transport.close()
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        """The client does not take its answer; it has a while."""
        super().pause_writing()
        self._reader = self.loop.call_later(self.settings.idle_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    def _await_head(self) -> None:
        """While no whole head is there, its time runs."""
        is_missing = self.conn.their_state is h11.IDLE and not self.transport.is_closing() and not self._lingering
        if is_missing and self._head is None:
            self._head = self.loop.call_later(self.settings.header_timeout, self._too_slow)
        elif not is_missing and self._head is not None:
            self._head.cancel()
            self._head = None

    def _too_slow(self) -> None:
        self._head = None
        if not self.transport.is_closing() and self.conn.their_state is h11.IDLE:
            rule = f"the head of a request arrives within {self.settings.header_timeout:g} s"
            self._refuse(TIMEOUT, rule, "one that did not", "send it at once")

    def _refuse(self, status: int, rule: str, value: str, remedy: str, headers: str = "") -> None:
        """Answer, and close the connection a moment later."""
        body = json.dumps({"rule": rule, "value": value, "remedy": remedy}).encode()
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n"
        )
        self._cancel()
        self._lingering = True
        self.transport.write(head.encode() + body)
        self.flow.resume_reading()
        with suppress(OSError):  # the client has gone
            self.transport.write_eof()
        self.loop.call_later(LINGER, self.transport.close)

    def _cancel(self) -> None:
        for timer in (self._head, self._reader):
            if timer is not None:
                timer.cancel()
        self._head = self._reader = None
