"""A page that is used in a real browser: typed, clicked and dropped on, by the DevTools protocol of Chromium."""

import base64
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from websocket import create_connection

from tests.browsing import CHROMIUM, OFFLINE, QUIET

PATIENCE = 60.0
"""Seconds; machines that run tests are busy."""


class Page:
    """A page in a browser.

    Args:
        port: of the browser.
        address: of the page.
    """

    def __init__(self, port: int, address: str) -> None:
        request = Request(f"http://127.0.0.1:{port}/json/new?about:blank", method="PUT")
        with urlopen(request) as answer:
            socket = json.load(answer)["webSocketDebuggerUrl"]
        self._socket = create_connection(socket, timeout=PATIENCE, suppress_origin=True)
        self._number = 0
        self.requested: list[str] = []
        for domain in ("Page", "Runtime", "Network", "DOM"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=address)
        self.until("document.readyState === 'complete'")

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """One command; the addresses that the page asked for in the meantime are kept."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("method") == "Network.requestWillBeSent":
                self.requested.append(message["params"]["request"]["url"])
            if message.get("id") == self._number:
                assert "error" not in message, message
                found: dict[str, Any] = message["result"]
                return found

    def close(self) -> None:
        """Let go of the browser."""
        self._socket.close()

    def js(self, expression: str) -> Any:
        """The value of an expression, or of its promise."""
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait until an expression is true."""
        ends = time.monotonic() + PATIENCE
        while not self.js(condition):
            assert time.monotonic() < ends, f"never: {condition}; {self.js('document.body.innerText')}"
            time.sleep(0.05)

    def text(self, selector: str) -> str:
        """What stands in an element."""
        return str(self.js(f"document.querySelector({json.dumps(selector)}).innerText"))

    def press(self, key: str, *, code: int = 0, text: str = "") -> None:
        """Press a key."""
        more = {"key": key, "code": key, "windowsVirtualKeyCode": code, "text": text}
        self.call("Input.dispatchKeyEvent", type="keyDown", **more)
        self.call("Input.dispatchKeyEvent", type="keyUp", **more)

    def drop(self, selector: str, paths: Sequence[Path]) -> None:
        """Drop files or folders on an element."""
        x, y = self.js(
            f"(box => [box.x + box.width / 2, box.y + 5])(document.querySelector('{selector}').getBoundingClientRect())"
        )
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def size(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """The size of the window, and its colours."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path, *, full: bool = False) -> None:
        """What is seen, as PNG."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=full)
        path.write_bytes(base64.b64decode(found["data"]))


@contextmanager
def opened(address: str, profile: Path) -> Iterator[Page]:
    """A page in a browser of its own."""
    command = [CHROMIUM or "", *QUIET, *OFFLINE, f"--user-data-dir={profile}", "--remote-debugging-port=0"]
    browser = subprocess.Popen([*command, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        told, ends = profile / "DevToolsActivePort", time.monotonic() + PATIENCE
        while not (told.exists() and len(told.read_text().split()) > 1):
            assert time.monotonic() < ends, "the browser does not start"
            time.sleep(0.05)
        with closing(Page(int(told.read_text().split()[0]), address)) as page:
            yield page
    finally:
        browser.kill()
        browser.wait()
