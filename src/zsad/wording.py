"""Phrases for messages, and escaping of untrusted names for terminal and Markdown."""

import re
import sys
import unicodedata

# Control characters (C0, C1), line ends, surrogates, and bidirectional controls (Unicode TR 36, "Bidirectional Text
# Spoofing"): a terminal executes the first, people are deceived by the last.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
MARKDOWN = re.compile(r"[\\`*\[\]<>&|~#]|(?<!\w)_|_(?!\w)")


def pluralised(number: int, one: str, many: str = "") -> str:
    """A number with its noun.

    >>> pluralised(1, "mask"), pluralised(1200, "mask"), pluralised(2, "class", "classes")
    ('1 mask', '1,200 masks', '2 classes')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def printable(text: str, keep: str = "") -> str:
    r"""A text of one line that a terminal shows and does not obey; what it would obey stands there as an escape.

    Args:
        text: anything.
        keep: characters that are kept all the same.

    >>> print(printable("\x1b[31mred\n.png"), printable("\u202egnp.exe"))
    \x1b[31mred\n.png \u202egnp.exe
    """
    return UNPRINTABLE.sub(lambda match: match[0] if match[0] in keep else ascii(match[0])[1:-1], text)


def say(text: str, *, stderr: bool = False) -> None:
    """Print lines and flush, with control characters escaped."""
    print(printable(text, keep="\n"), file=sys.stderr if stderr else sys.stdout, flush=True)


def text_width(text: str) -> int:
    """Columns that a text of one line takes on a terminal: 2 for wide letters, 0 for combining marks.

    >>> text_width("nut"), text_width("螺母"), text_width("e\u0301")
    (3, 4, 1)
    """
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)


def shorten_middle(text: str, width: int) -> str:
    """The text, shortened in its middle where it takes more than ``width`` columns; at least 3 are used.

    >>> shorten_middle("bottle/test/broken_large/000.png", 20)
    'bottle/tes…e/000.png'
    """
    if text_width(text) <= width:
        return text
    kept = max(width - 1, 2)
    head, tail = text[:kept], text[-kept:]
    while text_width(head) > (kept + 1) // 2:
        head = head[:-1]
    while text_width(tail) > kept // 2:
        tail = tail[1:]
    return f"{head}…{tail}"


def in_markdown(text: str) -> str:
    r"""A text of one line that Markdown, and HTML in it, take for nothing but text; also in a cell of a table.

    >>> print(in_markdown("<img src=x> a|b *metal_nut*"))
    &lt;img src=x&gt; a\|b \*metal_nut\*
    """
    return MARKDOWN.sub(_escaped, printable(text.replace("\n", " ")))


def markdown_code(text: str) -> str:
    """A one-line text as Markdown code, between more backticks than it has in a row.

    >>> markdown_code("zsad predict `x`")
    '`` zsad predict `x` ``'
    """
    text = printable(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{text}{fence}" if len(fence) == 1 else f"{fence} {text} {fence}"


def _escaped(match: re.Match[str]) -> str:
    return {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(match[0], "\\" + match[0])
