"""A chat endpoint over loopback that answers as it is told and remembers what it was asked."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from zsad.cli.main import main

Reply = str | tuple[int, dict[str, str], bytes]
"""What the model says; or status, headers and body."""


NUMBERS = ("one", "two", "three", "four", "five")


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


def about(what: str, count: int = 5, **changes: object) -> str:
    """A good answer."""
    sentences = [f"An abnormal image of a {what} may show fault {number}." for number in NUMBERS[:count]]
    return json.dumps({"descriptions": sentences, "background": f"A {what} is fine."} | changes)


def good(_: int, prompt: str) -> Reply:
    """What a model that does as it is told says."""
    if found := re.search(r"abnormal image of (.*) looks like\?", prompt):
        return about(found[1])
    return json.dumps({"descriptions": ["The spring is bent at its upper end."]})


def failure(status: int, text: str = "", **headers: str) -> Reply:
    return status, headers, text.encode()


def run(chat: Chat, out: Path, *arguments: str) -> int:
    return main(["knowledge", "build", "--base-url", chat.url, "--model", "llm", "--out", str(out), *arguments])


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
