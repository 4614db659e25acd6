"""Docstrings reach the API reference whole."""

from pathlib import Path

import griffe
import pytest
from mkdocs.exceptions import PluginError
from website.api import public_names
from website.docstrings import Docstrings
from website.links import ROOT

import zsad

HOUSE = '''"""A house.

>>> import house
>>> house.door
"""

from house.door import door

__all__ = ["door", "Wall"]


class Wall:
    """A wall.

    Args:
        rows, cols: of bricks,
            at least 1.
        colour: a name, or two: red, blue.

    Attributes:
        rows, cols: as above.

    Made by :func:`door` and :class:`~elsewhere.Mason`.

    rows, cols: no section, no entries.
    """

    def __init__(self, rows: int, cols: int, colour: str) -> None:
        self.rows, self.cols = rows, cols
'''
DOOR = 'def door() -> None:\n    """A door.\n\n    >>> door()\n\n    It opens | shuts.\n    """\n'


@pytest.fixture
def house(tmp_path: Path) -> griffe.Module:
    (tmp_path / "house").mkdir()
    (tmp_path / "house/__init__.py").write_text(HOUSE, encoding="utf-8")
    (tmp_path / "house/door.py").write_text(DOOR, encoding="utf-8")
    package = griffe.load("house", search_paths=[tmp_path], extensions=griffe.load_extensions(Docstrings))
    assert isinstance(package, griffe.Module)
    return package


def test_each_name_of_an_entry_is_an_entry(house: griffe.Module) -> None:
    docstring = house["Wall"].docstring
    assert docstring is not None
    arguments, attributes = (
        section.value
        for section in docstring.parse("google", warnings=False)
        if section.kind.value in ("parameters", "attributes")
    )
    assert [item.name for item in arguments] == ["rows", "cols", "colour"]
    assert arguments[0].description == arguments[1].description == "of bricks,\nat least 1."
    assert [item.name for item in attributes] == ["rows", "cols"]
    assert docstring.value.endswith("\nrows, cols: no section, no entries.")


def test_examples_are_code(house: griffe.Module) -> None:
    assert house.docstring is not None
    assert house.docstring.value == "A house.\n\n```pycon\n>>> import house\n>>> house.door\n```"
    assert house["door"].docstring.value == "A door.\n\n```pycon\n>>> door()\n```\n\nIt opens | shuts."


def test_roles_are_references(house: griffe.Module) -> None:
    text = house["Wall"].docstring.value
    assert '<autoref identifier="house.door" optional><code>door</code></autoref>' in text
    assert '<autoref identifier="elsewhere.Mason" optional><code>elsewhere.Mason</code></autoref>' in text
    assert ":func:" not in text


def test_an_exported_function_stands_before_its_module(house: griffe.Module) -> None:
    assert house["door"].is_function
    assert house["door"].canonical_path == "house.door.door"


def test_public_names_are_those_of_the_pages(tmp_path: Path) -> None:
    (tmp_path / "metrics.md").write_text("::: zsad.metrics\n", encoding="utf-8")
    page = public_names(tmp_path)
    assert "## [zsad.metrics](metrics.md#zsad.metrics)" in page
    assert "\n| [`auroc`](metrics.md#zsad.metrics.auroc) | Probability that" in page
    assert "_" not in {line[3] for line in page.splitlines() if line.startswith("| [")}


def test_pages_of_the_reference_name_what_there_is() -> None:
    page = public_names(ROOT / "docs/api")
    for name in zsad.__all__:
        assert f"\n| [`{name}`](zsad.md#zsad.{name}) | " in page


def test_a_page_that_names_what_is_gone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.md").write_text(
        "::: zsad.metrics\n    options:\n      members: [auroc, gone]\n", encoding="utf-8"
    )
    with pytest.raises(PluginError, match=r"^metrics\.md: zsad\.metrics has no public gone$"):
        public_names(tmp_path)
    (tmp_path / "metrics.md").write_text("::: zsad.gone\n", encoding="utf-8")
    with pytest.raises(PluginError, match=r"^metrics\.md: there is no module zsad\.gone$"):
        public_names(tmp_path)
