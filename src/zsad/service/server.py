"""Listening, and stopping: what was accepted is finished."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from threading import current_thread, main_thread
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn

from zsad.errors import ConfigError
from zsad.service.app import create_app
from zsad.service.protocol import guarded
from zsad.service.settings import LONGEST_HEAD, ServiceSettings

if TYPE_CHECKING:
    from zsad.export import ExportedDetector
    from zsad.predictor import Detector

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
KEEP_ALIVE = 15
"""Seconds for which a connection without a request stays open after an answer."""


def bound(settings: ServiceSettings) -> socket.socket:
    """A socket on the address, so that a wrong one is said before a detector is loaded.

    Raises:
        ConfigError: the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        value = f"{settings.host} port {settings.port} ({error.strerror or error})"
        raise ConfigError("an address is one of this machine, and its port is free", value, "choose another") from error
    return listener


def address(listener: socket.socket) -> str:
    """Where the page is."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


class Server(uvicorn.Server):
    """That of uvicorn: a signal stops it, and it ends as asked."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at the first signal, at once at the second; only the main thread hears them."""
        if current_thread() is not main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal has come."""
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True


def serve(
    detectors: "Mapping[str, Detector | ExportedDetector]",
    settings: ServiceSettings,
    listener: socket.socket,
    started: Callable[[], Any] = lambda: None,
) -> None:
    """Answer requests until a signal comes, and then those that were accepted.

    Args:
        detectors: by name.
        settings: limits.
        listener: bound, see :func:`bound`.
        started: called when it listens.
    """
    server = make_server(detectors, settings)
    gc.collect()
    gc.freeze()  # the detectors stay: without them, what a request leaves in a circle is found soon
    run(server, listener, started)


def make_server(detectors: "Mapping[str, Detector | ExportedDetector]", settings: ServiceSettings) -> Server:
    """A server of the application, with its limits on connections."""
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # malformed requests are answered, and no news
    config = uvicorn.Config(
        create_app(detectors, settings),
        http=guarded(settings),
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=LONGEST_HEAD,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=max(1, round(settings.grace)),
    )
    return Server(config)


def run(server: Server, listener: socket.socket, started: Callable[[], Any] = lambda: None) -> None:
    """Run a server until its ``should_exit`` is set, and it has answered what it accepted."""

    async def running() -> None:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        if server.started:
            started()
        await serving

    asyncio.run(running())
