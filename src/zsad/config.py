"""Dataclasses from mappings (JSON, TOML, command line) and back, with nothing swallowed on the way."""

import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from math import isfinite
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from zsad.errors import ConfigError, unknown_name

T = TypeVar("T")

GREATEST_SEED = 2**63 - 1
"""What every generator takes: PyTorch's, NumPy's and Python's."""
MOST_WORKERS = 256
"""Threads or processes at once; operating systems refuse some thousand."""


def from_mapping(kind: type[T], values: Mapping[str, object], where: str) -> T:
    """Build the dataclass ``kind`` from a mapping, checking every key and the type of every value.

    Args:
        kind: a dataclass; fields may be dataclasses, numbers, strings, booleans, literals, tuples, mappings, optional.
        values: the keys and values, for instance a table of a TOML file.
        where: what the mapping is, for error messages, for instance ``"recipe tiny.toml"``.

    A class may say in ``OLDER_NAMES`` what its fields were called in files of older versions: {then: now}.

    Raises:
        ConfigError: for an unknown key (the nearest name is suggested), a missing key or a value of the wrong type.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Config:
    ...     sigma: float = 4.0
    >>> from_mapping(Config, {"sigma": 8}, "example")
    Config(sigma=8.0)
    >>> from_mapping(Config, {"sigmma": 8}, "example")
    Traceback (most recent call last):
    ...
    zsad.errors.ConfigError: a key of example must be one of sigma; got 'sigmma'. Remedy: did you mean 'sigma'?
    """
    assert is_dataclass(kind)
    known = {field.name: field for field in fields(kind)}
    older: Mapping[str, str] = getattr(kind, "OLDER_NAMES", {})
    values = {now if (now := older.get(key, key)) not in values else key: value for key, value in values.items()}
    for key in values:
        if key not in known:
            raise unknown_name(f"key of {where}", key, known)
    for name, field in known.items():
        if name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise ConfigError(f"{where} needs the key {name!r}", sorted(values), f"add {name}")
    hints = get_type_hints(kind)
    return kind(**{key: _convert(hints[key], value, f"{where}, {key}") for key, value in values.items()})


def check_within(what: str, value: float, least: float, most: float) -> None:
    """Refuses a number outside of a range, and what is no number.

    Raises:
        ConfigError: it is not in [least, most].

    >>> check_within("a resolution in px", 10**9, 1, 8192)
    Traceback (most recent call last):
    ...
    zsad.errors.ConfigError: a resolution in px lies in [1, 8192]; got 1000000000. Remedy: say a number in that range.
    """
    if not least <= value <= most:
        raise ConfigError(f"{what} lies in [{least}, {most}]", value, "say a number in that range")


LONGEST_NAME = 1000
"""Maximum letters of a class name: more does not fit any context of CLIP, and tokenising a megabyte is slow."""


def check_class_name(class_name: object) -> str:
    """The class name, if it is text in one line.

    Raises:
        ConfigError: it is no text, blank, of more than ``LONGEST_NAME`` letters, or has control characters or bytes
            that are no Unicode.
    """
    rule, remedy = "a class name says in a few words what the images show", 'for instance "metal nut"'
    if not isinstance(class_name, str):
        raise ConfigError(rule, f"{type(class_name).__name__} {str(class_name)[:60]}", remedy)
    if not class_name.strip():
        raise ConfigError(rule, repr(class_name[:60]), remedy)
    if len(class_name) > LONGEST_NAME:
        raise ConfigError(rule, f"{len(class_name):,} letters that begin {class_name[:30]!r}", remedy)
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in class_name):
        raise ConfigError(f"{rule}, in one line", repr(class_name[:60]), remedy)
    return class_name


def check_seed(seed: int) -> None:
    """Refuses a seed that is negative or beyond 63 bit."""
    check_within("a seed", seed, 0, GREATEST_SEED)


def check_workers(workers: int) -> None:
    """Refuses a number of threads or processes that no machine runs."""
    check_within("the number of workers", workers, 0, MOST_WORKERS)


def _convert(hint: Any, value: object, where: str) -> object:
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        return from_mapping(hint, value, where)
    if hint in (Any, object):
        return value
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _convert_optional(arguments, value, where)
    if origin is Literal and value in arguments:
        return value
    if origin is tuple and isinstance(value, list | tuple):
        return _convert_tuple(arguments, value, where)
    if origin in (dict, Mapping) and isinstance(value, Mapping):
        return {str(key): _convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return _finite(value, where)
    if isinstance(hint, type) and type(value) is hint:
        return value
    remedy = "put the values in brackets, such as [6, 12]" if origin is tuple else "correct the value"
    raise ConfigError(f"{where} must be {_describe(hint)}", repr(value), remedy)


def _finite(value: int | float, where: str) -> float:
    """No number that is configured is infinite or not a number, so that no range needs to say so."""
    with suppress(OverflowError):
        if isfinite(value):
            return float(value)
    raise ConfigError(f"{where} must be a finite number", value, "correct the value")


def _convert_optional(arguments: tuple[Any, ...], value: object, where: str) -> object:
    if value is None and type(None) in arguments:
        return None
    (inner,) = (argument for argument in arguments if argument is not type(None))
    return _convert(inner, value, where)


def _convert_tuple(arguments: tuple[Any, ...], value: list[object] | tuple[object, ...], where: str) -> object:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    if len(arguments) != len(value):
        raise ConfigError(f"{where} must have {len(arguments)} entries", repr(value), "correct the value")
    return tuple(_convert(hint, item, where) for hint, item in zip(arguments, value, strict=True))


def _describe(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    return "a list" if get_origin(hint) is tuple else str(getattr(hint, "__name__", hint))
