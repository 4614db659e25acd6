"""No cell that a name may fill is a formula to a spreadsheet, and every name is as it was when read back."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from zsad import spreadsheets
from zsad.documents import DocumentError

BEGIN_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""OWASP, CSV Injection."""
NAMES = some.text(some.sampled_from("=+-@\t\r\n'\",;|a1 \uff1d"), max_size=9)


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|'/c calc'!A0", "\uff1d1+1"])
def test_a_formula_begins_with_an_apostrophe(name: str) -> None:
    assert spreadsheets.defused(name) == "'" + name or spreadsheets.defused(name).startswith("'")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", "\n"])
def test_no_cell_is_a_formula_where_the_separator_is_another(separator: str) -> None:
    written = spreadsheets.line([f"a{separator}=1+1.png", 1])
    cells = [cell for row in csv.reader(io.StringIO(written), delimiter=separator) for cell in row]
    assert not [cell for cell in cells if cell.startswith(BEGIN_FORMULAS)]


@given(NAMES)
def test_every_name_is_defused_and_restored(name: str) -> None:
    cell = spreadsheets.defused(name)
    assert not cell.startswith(BEGIN_FORMULAS)
    assert spreadsheets.restored(cell) == name


@pytest.mark.parametrize("name", ["", "nut.png", "a-1.png", "'quoted'", "it's", "C:\\x\\y.png", "x=1", "tilt 5 - 7"])
def test_what_is_no_formula_stays_as_it_is(name: str) -> None:
    assert spreadsheets.defused(name) == name


def test_numbers_stay_numbers() -> None:
    assert spreadsheets.line([-0.5, 1e-300, None, True]) == "-0.5,1e-300,,True\n"


@given(some.lists(some.tuples(NAMES, NAMES), min_size=1, max_size=4))
def test_a_table_is_read_as_it_was_written(rows: list[tuple[str, str]]) -> None:
    expected = [{"one": one, "two": two} for one, two in rows]
    assert spreadsheets.read(spreadsheets.table(("one", "two"), expected)) == expected


def test_foreign_tables_are_read_as_they_are() -> None:
    assert spreadsheets.cells(b"\xef\xbb\xbfa,b\r\n\r\n'=1,2\r\n") == [["a", "b"], ["'=1", "2"]]
    assert spreadsheets.cells(b"a\n\xff.png\n", file_names=True) == [["a"], ["\udcff.png"]]
    assert spreadsheets.read("") == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a,b\n1,\0\n", "line 2: U\\+0000"),
        (b"a\n1\n\xff", "line 3, column 1: the byte 0xff"),
        (b'a\n"' + b"x" * 200_000, "field larger than field limit"),
    ],
)
def test_what_is_no_csv_is_refused_with_its_line(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(DocumentError, match=said):
        spreadsheets.read(tmp_path / "table.csv")
