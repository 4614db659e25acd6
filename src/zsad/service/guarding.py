"""Who may ask, from which page, and what every answer says of itself.

A service on a loopback address is open to every page in the browser of its user: what pages of other hosts send is
refused by ``Origin``, and names of other hosts that resolve to this machine by ``Host``.
"""

import hmac
import json
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zsad.service.metrics import Metrics
from zsad.service.page import files
from zsad.service.refusal import FORBIDDEN, LONG_HEAD, UNAUTHORISED, Refusal, described
from zsad.service.settings import LONGEST_HEAD, ServiceSettings, is_loopback

OPEN = ("/healthz", "/readyz")
API = (*OPEN, "/v1/predict", "/v1/regions", "/v1/detectors", "/metrics", "/openapi.json")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Around the application: checks, headers, counts.

    Args:
        app: that is guarded.
        settings: with the token.
        metrics: where answers are counted.
    """

    def __init__(self, app: ASGIApp, settings: ServiceSettings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._open = {*OPEN, *files()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, statuses = time.monotonic(), list[int]()

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
                message["headers"] = [*message.get("headers", []), *_encoded(HEADERS)]
            await send(message)

        try:
            self._check({name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}, scope)
        except Refusal as error:
            await _answer(error, sent)
        else:
            await self._app(scope, receive, sent)
        finally:
            route = scope["path"] if scope["path"] in API else "page" if scope["path"] in self._open else "other"
            self._metrics.request(route, statuses[0] if statuses else 0, time.monotonic() - start)

    def _check(self, headers: Mapping[str, str], scope: Scope) -> None:
        """Refuse who may not ask.

        Raises:
            Refusal: as said.
        """
        length = len(scope["raw_path"]) + len(scope["query_string"]) + sum(len(n) + len(v) for n, v in headers.items())
        if length > LONGEST_HEAD:  # uvicorn has no limit for one that comes in one piece
            rule = f"the head of a request has at most {LONGEST_HEAD:,} bytes"
            raise Refusal(LONG_HEAD, rule, f"{length:,}", "send it as curl does")
        host, origin, token = headers.get("host", ""), headers.get("origin"), self._settings.token
        if self._settings.is_local and not is_loopback(_name(host)):
            rule = "a service on a loopback address is asked by the name of one"
            raise Refusal(FORBIDDEN, rule, repr(host[:80]), "say 127.0.0.1 or localhost")
        if origin is not None and origin.partition("://")[2] != host:
            rule = "a browser asks from the page of this service"
            raise Refusal(FORBIDDEN, rule, repr(origin[:80]), "open that page, or ask without a browser")
        if token is None or scope["path"] in self._open:
            return
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
            value = "none, or another" if given else "none"
            remedy = "send the header Authorization: Bearer TOKEN"
            raise Refusal(
                UNAUTHORISED, "a request has the token of this service", value, remedy, {"WWW-Authenticate": "Bearer"}
            )


def _name(host: str) -> str:
    """The name or address in the header ``Host``; empty where it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


async def _answer(error: Refusal, send: Send) -> None:
    body = json.dumps(described(error)).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **error.headers}
    await send({"type": "http.response.start", "status": error.status, "headers": _encoded(headers)})
    await send({"type": "http.response.body", "body": body})
