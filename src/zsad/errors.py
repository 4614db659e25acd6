"""All errors that users can cause. Each has the rule, the value that violates it, and the remedy."""

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST = 10_000
"""Characters of a value in a message."""


class ZsadError(Exception):
    """Base of all errors raised on purpose by this package.

    Args:
        rule: that must hold, as a full clause without a full stop.
        value: that violates it.
        remedy: what to do.

    >>> raise ZsadError("a threshold lies in [0, 1]", "1.5", "give a number such as 0.5")
    Traceback (most recent call last):
    ...
    zsad.errors.ZsadError: a threshold lies in [0, 1]; got 1.5. Remedy: give a number such as 0.5.
    """

    def __init__(self, rule: str, value: object, remedy: str) -> None:
        self.rule, self.value, self.remedy = rule, _shortened(value), remedy
        super().__init__(f"{rule}; got {self.value}. Remedy: {remedy}" + ("" if remedy.endswith("?") else "."))


def _shortened(value: object) -> str:
    """As text, with the middle of very long ones removed: it may be a whole file."""
    try:
        text = str(value)
    except ValueError:  # more digits than Python converts
        return "an integer of thousands of digits"
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} [...] {text[-LONGEST // 2 :]}"


class InputError(ZsadError):
    """A file, array or image that cannot be used."""


class ConfigError(ZsadError):
    """A name, option or configuration value that does not exist or is out of range."""


class WeightsError(ZsadError):
    """Weights that cannot be found, cannot be read or do not fit their architecture."""


class ImportRefused(WeightsError):  # noqa: N818  # what happened, as a sentence about the file
    """A checkpoint of the authors that is damaged, or not of the method it is said to be of."""


class DependencyError(ZsadError):
    """An optional package that is needed here and is not installed."""


class ZsadWarning(UserWarning):
    """A warning on results: something was done differently from what was asked, and how."""


def unknown_name(what: str, name: str, known: Iterable[str]) -> ConfigError:
    """The error for an unknown name, with the most similar names first.

    >>> print(unknown_name("detector", "winclp", ["clip", "winclip"]))
    a detector must be one of clip, winclip; got 'winclp'. Remedy: did you mean 'winclip'?
    """
    names = sorted(known)
    folded = {name.casefold(): name for name in names}
    near = get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    remedy = f"did you mean {folded[near[0]]!r}?" if near else "choose one of these names"
    return ConfigError(f"a {what} must be one of {', '.join(names)}", repr(name), remedy)
