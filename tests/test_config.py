"""Dataclasses from mappings: every kind of field, and every refusal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from zsad.config import from_mapping
from zsad.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    size: int
    name: str = "inner"


@dataclass(frozen=True)
class Outer:
    count: int
    sigma: float = 4.0
    word: str = ""
    on: bool = False
    choice: Literal["one", "two"] = "one"
    several: tuple[int, ...] = ()
    pair: tuple[float, str] = (0.0, "")
    table: dict[str, Inner] = field(default_factory=dict)
    inner: Inner | None = None
    maybe: int | None = None
    free: dict[str, Any] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)


def read(**values: object) -> Outer:
    return from_mapping(Outer, {"count": 1, **values}, "test.toml")


@pytest.mark.parametrize(
    ("key", "value", "read_as"),
    [
        ("count", 3, 3),
        ("sigma", 8, 8.0),
        ("sigma", 0.5, 0.5),
        ("word", "x", "x"),
        ("on", True, True),
        ("choice", "two", "two"),
        ("several", [1, 2, 3], (1, 2, 3)),
        ("several", (), ()),
        ("pair", [1, "a"], (1.0, "a")),
        ("table", {"a": {"size": 1}, "b": {"size": 2, "name": "c"}}, {"a": Inner(1), "b": Inner(2, "c")}),
        ("inner", {"size": 3}, Inner(3)),
        ("inner", None, None),
        ("maybe", 3, 3),
        ("maybe", None, None),
        ("free", {"a": [1, "x"], "b": None}, {"a": [1, "x"], "b": None}),
        ("facts", {"a": [1, "x"], "b": None}, {"a": [1, "x"], "b": None}),
    ],
)
def test_every_kind_of_field_is_read(key: str, value: object, read_as: object) -> None:
    result = getattr(read(**{key: value}), key)
    assert result == read_as
    assert type(result) is type(read_as)


def test_what_is_not_given_is_the_default() -> None:
    assert from_mapping(Outer, {"count": 2}, "test.toml") == Outer(2)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("count", 1.0, "test.toml, count must be int; got 1.0"),
        ("count", True, "test.toml, count must be int; got True"),
        ("count", "1", "test.toml, count must be int; got '1'"),
        ("count", None, "test.toml, count must be int; got None"),
        ("sigma", "4", "test.toml, sigma must be float; got '4'"),
        ("sigma", True, "test.toml, sigma must be float; got True"),
        ("word", 1, "test.toml, word must be str; got 1"),
        ("on", 1, "test.toml, on must be bool; got 1"),
        ("choice", "three", "test.toml, choice must be one of one, two; got 'three'"),
        ("choice", ["one"], "test.toml, choice must be one of one, two; got"),
        ("several", 3, "test.toml, several must be a list"),
        ("several", "123", "test.toml, several must be a list"),
        ("several", [1, "2"], "test.toml, several must be int; got '2'"),
        ("pair", [1.0], "test.toml, pair must have 2 entries; got"),
        ("pair", [1.0, "a", 2], "test.toml, pair must have 2 entries; got"),
        ("pair", ["a", 1.0], "test.toml, pair must be float; got 'a'"),
        ("table", [1], "test.toml, table must be dict"),
        ("table", {"a": 3}, "test.toml, table.a must be Inner; got 3"),
        ("table", {"a": {"size": "x"}}, "test.toml, table.a, size must be int; got 'x'"),
        ("inner", 3, "test.toml, inner must be Inner; got 3"),
        ("inner", {}, "test.toml, inner needs the key 'size'; got []"),
        ("inner", {"size": 1, "nam": "x"}, "a key of test.toml, inner must be one of name, size; got 'nam'"),
        ("maybe", "x", "test.toml, maybe must be int; got 'x'"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_by_its_place(key: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(**{key: value})
    assert str(caught.value).startswith(message)


def test_an_unknown_key_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(
        ConfigError, match=r"a key of test\.toml must be one of .*; got 'sigmma'.*did you mean 'sigma'\?"
    ):
        read(sigmma=2)


def test_an_unknown_key_that_is_near_to_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"got 'zzzzzz'\. Remedy: choose one of these names\."):
        read(zzzzzz=2)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ConfigError, match=r"test\.toml needs the key 'count'; got \['sigma'\]\. Remedy: add count\."):
        from_mapping(Outer, {"sigma": 1.0}, "test.toml")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), 10**400])
def test_a_number_is_finite(number: float) -> None:
    with pytest.raises(ConfigError, match="must be a finite number"):
        read(sigma=number)


def test_a_message_is_never_as_long_as_a_file() -> None:
    assert len(str(ConfigError("a name is short", "x" * 10**6, "shorten it"))) < 10_200
    assert "thousands of digits" in str(ConfigError("a seed has 64 bit", 10**5000, "say a smaller one"))
