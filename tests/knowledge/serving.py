"""A chat endpoint over loopback that answers as it is told and remembers what it was asked."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

Reply = str | tuple[int, dict[str, str], bytes]
"""What the model says; or status, headers and body."""


@dataclass
class Chat:
    """Attributes:
    answer: what is said to a request, given its number from 0.
    asked: the requests so far: path, API key, and what was sent.
    """

    answer: Callable[[int, str], Reply]
    url: str = ""
    asked: list[tuple[str, str | None, dict[str, Any]]] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        """The prompts."""
        return [_text(body) for _, _, body in self.asked]

    def reply(self, path: str, key: str | None, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        """Remember a request and answer it."""
        self.asked.append((path, key, body))
        said = self.answer(len(self.asked) - 1, _text(body))
        if not isinstance(said, str):
            return said
        return 200, {}, json.dumps({"choices": [{"message": {"role": "assistant", "content": said}}]}).encode()


@contextmanager
def serving(answer: Callable[[int, str], Reply]) -> Iterator[Chat]:
    """The endpoint, until the block ends."""
    chat = Chat(answer)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(chat))
    chat.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield chat
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(chat: Chat) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that http.server looks for
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, headers, content = chat.reply(self.path, self.headers.get("Authorization"), body)
            try:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
            except ConnectionError:
                return  # the one who asked is gone

        def log_message(self, *_: object) -> None:
            return

    return Handler


def _text(body: dict[str, Any]) -> str:
    content = body["messages"][0]["content"]
    return content if isinstance(content, str) else content[0]["text"]
