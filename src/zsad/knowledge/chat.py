"""One request to an OpenAI-compatible chat endpoint, with the standard library alone."""

import base64
import json
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPException, HTTPMessage
from time import sleep
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from zsad.errors import ConfigError
from zsad.knowledge.questions import Refused

LONGEST_WAIT = 60.0
"""Seconds between two attempts, at most."""
TRY_AGAIN = (408, 409, 429, 500, 502, 503, 504, 529)
NOT_THIS_QUESTION = (400, 413, 415, 422)
"""Statuses that refuse one request for what it holds, as a picture that is too large or a content filter."""


@dataclass(frozen=True)
class Endpoint:
    """Where to ask.

    Attributes:
        base_url: what stands before ``/chat/completions``, for instance ``https://api.openai.com/v1``.
        key: the API key; "" for a server that needs none. It is sent nowhere else, redirections included.
        key_from: name of the environment variable of the key, for errors.
        timeout: seconds that one attempt may take.
        retries: further attempts where the server is busy, broken or out of reach.

    Raises:
        ConfigError: a URL that is not HTTP, a key that cannot stand in a header, or a number out of range.
    """

    base_url: str
    key: str = field(default="", repr=False)
    key_from: str = "OPENAI_API_KEY"
    timeout: float = 120.0
    retries: int = 3

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            raise ConfigError("a base URL begins with http:// or https://", repr(self.base_url), "correct --base-url")
        if not (self.key.isascii() and self.key.isprintable()):
            raise ConfigError("an API key is printable ASCII", "another character", f"correct ${self.key_from}")
        if not 0 < self.timeout < float("inf"):
            raise ConfigError("a timeout is greater than 0 s", self.timeout, "correct --timeout")
        if self.retries < 0:
            raise ConfigError("retries are at least 0", self.retries, "correct --retries")

    def ask(self, model: str, prompt: str, picture: bytes | None = None) -> str:
        """The text of the reply.

        Args:
            model: name of the model, as the server knows it.
            prompt: what to ask.
            picture: a PNG that goes with it.

        Raises:
            Refused: the server refuses this one request for what it holds, or answers without text.
            ConfigError: it does not answer, or not as a chat endpoint does; no other request will fare better.
        """
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": _content(prompt, picture)}]})
        return _text_of(self._post(body.encode("ascii")))

    def _post(self, body: bytes) -> bytes:
        request = Request(self.base_url.rstrip("/") + "/chat/completions", body, self._headers(), method="POST")
        for attempt in range(self.retries + 1):
            last = attempt == self.retries
            try:
                with build_opener(_NoRedirection).open(request, timeout=self.timeout) as reply:
                    content: bytes = reply.read()
                    return content
            except HTTPError as error:
                with error:
                    if error.code not in TRY_AGAIN or last:
                        raise self._refusal(error) from error
                    sleep(_wait(attempt, error.headers))
            except (OSError, HTTPException, UnicodeError) as error:  # the last for a host that is no name
                if last:
                    raise self._out_of_reach(error) from error
                sleep(_wait(attempt))
        raise AssertionError("the last attempt returns or raises")

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        return headers | {"Authorization": f"Bearer {self.key}"} if self.key else headers

    def _refusal(self, error: HTTPError) -> Exception:
        """What an answer with an HTTP status other than success means."""
        said = f"{error.code} {error.reason}: {self._without_key(_message(error))}"
        if error.code in NOT_THIS_QUESTION:
            return Refused(f"the server answers {said}")
        if error.code in (401, 403):
            state = "correct" if self.key else "set"
            return ConfigError("the endpoint must accept the API key", said, f"{state} ${self.key_from}")
        remedy = "wait, or check quota and server" if error.code in TRY_AGAIN else "check --base-url and the model"
        return ConfigError(f"{self.base_url} must answer", said, remedy)

    def _out_of_reach(self, error: Exception) -> ConfigError:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        return ConfigError(f"{self.base_url} must answer within {self.timeout:g} s", reason, "check server and URL")

    def _without_key(self, text: str) -> str:
        return text.replace(self.key, "***") if self.key else text


class _NoRedirection(HTTPRedirectHandler):
    """A redirection is an error: following it would carry the key to another server."""

    def redirect_request(
        self, req: Request, fp: object, code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def _content(prompt: str, picture: bytes | None) -> str | list[dict[str, object]]:
    if picture is None:
        return prompt
    url = f"data:image/png;base64,{base64.b64encode(picture).decode('ascii')}"
    return [{"type": "text", "text": prompt}, {"type": "image_url", "image_url": {"url": url}}]


def _text_of(reply: bytes) -> str:
    try:
        text = json.loads(reply)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError) as error:
        raise ConfigError(
            "a chat endpoint answers with choices, message and content",
            repr(reply[:80].decode("utf-8", "replace")),
            "check --base-url; it often ends in /v1",
        ) from error
    if not isinstance(text, str):
        raise Refused("the reply has no text")
    return text


def _wait(attempt: int, headers: Message | None = None) -> float:
    """Seconds before the next attempt: what the server asks for, else 1, 2, 4 … .

    >>> _wait(0), _wait(3), _wait(20)
    (1.0, 8.0, 60.0)
    """
    asked = (headers and headers.get("Retry-After")) or ""
    return min(float(asked) if asked.isdecimal() else 2.0 ** min(attempt, 10), LONGEST_WAIT)


def _message(error: HTTPError) -> str:
    """What the server says is wrong, in one line."""
    try:
        text = error.read(10_000).decode("utf-8", "replace")
    except (OSError, HTTPException):
        return "no reason given"
    with suppress(ValueError, LookupError, TypeError):  # not in the usual form: said as it stands
        text = json.loads(text)["error"]["message"]
    return " ".join(str(text).split())[:200] or "no reason given"
