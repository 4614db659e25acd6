"""Errors as HTTP answers: a status, and rule, value and remedy as JSON."""

from collections.abc import Mapping

from zsad.errors import ZsadError

LONGEST = 400
"""Characters of a value in an answer."""
BAD_REQUEST, UNAUTHORISED, FORBIDDEN, NOT_FOUND = 400, 401, 403, 404
TIMEOUT, TOO_LARGE, UNSUPPORTED, UNUSABLE, TOO_MANY, LONG_HEAD = 408, 413, 415, 422, 429, 431
BROKEN, UNAVAILABLE, TOO_LATE = 500, 503, 504
AT_LEAST_ONE = "a request has at least one image"


class Refusal(ZsadError):  # noqa: N818  # what happens, as for ImportRefused
    """A request that is not answered as asked.

    Args:
        status: of HTTP.
        rule, value, remedy: as of every error.
        headers: of the answer.
    """

    def __init__(
        self, status: int, rule: str, value: object, remedy: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(rule, value, remedy)
        self.status, self.headers = status, dict(headers or {})


class ClientGone(Exception):  # noqa: N818  # nothing is wrong with the service
    """The client has closed the connection: nobody reads an answer."""


def status_of(error: ZsadError) -> int:
    """The status of HTTP: that of a refusal, and 422 for any other error about what a client sent."""
    return error.status if isinstance(error, Refusal) else UNUSABLE


def described(error: ZsadError) -> dict[str, str]:
    """Rule, value and remedy; a long value loses its end.

    >>> described(Refusal(422, "a score is a number", "x", "give one"))
    {'rule': 'a score is a number', 'value': 'x', 'remedy': 'give one'}
    """
    value = error.value if len(error.value) <= LONGEST else f"{error.value[:LONGEST]}…"
    return {"rule": error.rule, "value": value, "remedy": error.remedy}


def too_many(rule: str, value: object, seconds: int) -> Refusal:
    """A refusal for now: the client may come again.

    Args:
        rule, value: of the refusal.
        seconds: after which it should.
    """
    return Refusal(TOO_MANY, rule, value, f"come again in {seconds} s", {"Retry-After": str(seconds)})
