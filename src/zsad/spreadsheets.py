"""CSV without formula injection: cells are escaped when written and restored when read.

A cell that begins with ``=``, ``+``, ``-``, ``@`` or a tab is a formula in Excel, LibreOffice and Google Sheets, also
in quotes, and after a semicolon where that is the separator. It gets a leading apostrophe, as OWASP recommends against
CSV injection; a cell that has one already gets another, so that the original can be restored.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence

from zsad.documents import LIST_LIMIT, DocumentError, Source, read_text

BEGINS = r"(?:\A|(?<=[,;|\t\r\n]))"
FORMULA = r"(?='*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20])"  # with the full-width signs of East Asian keyboards
PLACE = re.compile(BEGINS + FORMULA)
MARK = re.compile(BEGINS + "'" + FORMULA)


def defused(text: str) -> str:
    """A cell that no spreadsheet evaluates as a formula.

    >>> defused("=1+1.png"), defused("nut-1.png"), defused("'=1")
    ("'=1+1.png", 'nut-1.png', "''=1")
    """
    return PLACE.sub("'", text)


def restored(cell: str) -> str:
    """The inverse of :func:`defused`.

    >>> restored("'=1+1.png"), restored("'quoted'")
    ('=1+1.png', "'quoted'")
    """
    return MARK.sub("", cell)


def line(values: Iterable[object]) -> str:
    r"""A line of CSV; text is defused, numbers stay numbers, ``None`` is an empty cell.

    >>> line(["@nut", -0.5, None])
    "'@nut,-0.5,\n"
    """
    text = io.StringIO(newline="")
    # Cells with a line feed or carriage return are quoted.
    csv.writer(text, lineterminator="\r\n").writerow(
        defused(value) if isinstance(value, str) else value for value in values
    )
    return text.getvalue().removesuffix("\r\n") + "\n"


def table(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """A CSV table with header; missing values are empty cells."""
    return line(columns) + "".join(line(row.get(name) for name in columns) for row in rows)


def read(source: Source, *, file_names: bool = False) -> list[dict[str, str]]:
    """The rows of a table written by this module, by column.

    Raises:
        DocumentError, OSError: as in :func:`cells`.
    """
    header, *rows = [[restored(cell) for cell in row] for row in cells(source, file_names=file_names)] or [[]]
    return [dict(zip(header, row, strict=False)) for row in rows]


def cells(source: Source, *, file_names: bool = False) -> list[list[str]]:
    """The unchanged rows of any CSV; empty lines are skipped.

    Args:
        source: a file, or its content.
        file_names: whether bytes that are not UTF-8 are read as surrogate escapes, for file names.

    Raises:
        DocumentError: as in :func:`zsad.documents.read_text`, or it is no CSV, has U+0000, or a cell of more
            than 131,072 characters.
        OSError: the file cannot be read.
    """
    text = read_text(source, LIST_LIMIT, file_names=file_names)
    if "\0" in text:
        number = text.count("\n", 0, text.index("\0")) + 1
        raise DocumentError("CSV has no U+0000", "U+0000", "export it again", number)
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        return [row for row in rows if row]
    except csv.Error as error:
        raise DocumentError("a table is CSV", str(error), "export it again", rows.line_num) from error
