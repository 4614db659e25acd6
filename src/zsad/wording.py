"""Phrases for messages, and escaping of untrusted names for terminal and Markdown."""

import re
import sys

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
