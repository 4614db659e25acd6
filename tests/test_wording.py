"""Names of others are shown and not obeyed: by a terminal, by Markdown, by a reader's eyes."""

import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as some

from zsad.wording import in_markdown, markdown_code, printable, say

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Unicode Standard Annex 9, table 4 and 2.6: everything that turns the direction of writing."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred.png", r"\x1b[31mred.png"),
        ("\x9b31mred", r"\x9b31mred"),
        ("a\rb\x08c\x07", r"a\rb\x08c\x07"),
        ("two\nlines", r"two\nlines"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\udcff.png", r"\udcff.png"),
        ("Ünïcödé 部品 \U0001f468\u200d\U0001f527", "Ünïcödé 部品 \U0001f468\u200d\U0001f527"),
        (r"C:\new\file", r"C:\new\file"),
    ],
)
def test_what_a_terminal_obeys_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(some.text(some.one_of(some.characters(categories=["Cc", "Cs", "Zl", "Zp", "Ll"]), some.sampled_from(BIDI))))
def test_nothing_that_controls_is_left(text: str) -> None:
    shown = printable(text)
    assert not [one for one in shown if unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") or one in BIDI]


def test_lines_are_kept_where_lines_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    say("one\ntwo \x1b[2J")
    say("three", stderr=True)
    assert capsys.readouterr() == ("one\ntwo \\x1b[2J\n", "three\n")


class Tags(HTMLParser):
    """Collects what a browser would take for elements."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.found.append(tag)


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</td>", "&lt;", "a|b", "[x](javascript:1)"]
)
def test_a_name_in_markdown_is_text(name: str) -> None:
    tags = Tags()
    tags.feed(in_markdown(name))
    assert tags.found == []
    assert in_markdown(name).replace("\\|", "").count("|") == 0
    assert in_markdown(name).count("[") == in_markdown(name).count("\\[")


def test_underscores_within_words_need_no_escape() -> None:
    assert in_markdown("metal_nut _x_") == r"metal_nut \_x\_"
    assert in_markdown("two\nlines") == "two lines"


def test_code_ends_where_it_should() -> None:
    assert markdown_code("zsad benchmark x.toml") == "`zsad benchmark x.toml`"
    assert markdown_code("a `` b") == "``` a `` b ```"
