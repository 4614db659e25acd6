"""docs/data.md says what the layouts say. To write these parts of it anew: python -m tests.data.test_data_page."""

import inspect
from pathlib import Path

from tests.data.formats import FORMATS
from zsad.data import layouts
from zsad.data.checking.findings import KINDS

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
END = "<!-- end -->"
TABLE_HEAD = "| layout | data set | classes | train | normal | anomalous |\n|---|---|---:|---:|---:|---:|\n"
FORMATS_HEAD = "| from | format | read |\n|---|---|---|\n"


def page() -> str:
    """The page, with the parts between its marks as they should be."""
    text = PAGE.read_text(encoding="utf-8")
    parts = {"layouts": _table(), "trees": _trees(), "formats": _formats()}
    for mark, part in ((f"<!-- {name} -->\n", part) for name, part in parts.items()):
        before, _, rest = text.partition(mark)
        text = before + mark + part + END + rest.partition(END)[2]
    return text


def _table() -> str:
    return TABLE_HEAD + "".join(map(_row, layouts.built_in()))


def _row(name: str) -> str:
    layout = layouts.get(name)
    counts = layout.counts.values()
    numbers = [sum(getattr(one, part) for one in counts) for part in ("train", "normal", "anomalous")]
    cells = [_classes(layout), *(f"{number:,}" for number in numbers)] if counts else ["–"] * 4
    return f"| `{name}` | {layout.about.rstrip('.')} | {' | '.join(cells)} |\n"


def _classes(layout: type[layouts.Layout]) -> str:
    known, every = len(layout.counts), len({*layout.classes, *layout.counts})
    return f"{every}" if known == every else f"{known} of {every}"


def _trees() -> str:
    return "\n".join(f"**`{name}`** {inspect.getdoc(layouts.get(name))}\n" for name in layouts.built_in())


def _formats() -> str:
    """Every row is a test of test_formats."""
    return FORMATS_HEAD + "".join(
        f"| {one.place} | {one.what} | {one.read or 'refused by name'} |\n" for one in FORMATS
    )


def test_the_page_has_what_the_layouts_say() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(END) == 3
    assert text == page()


def test_the_page_explains_every_kind_of_finding() -> None:
    rows = [line.strip("|").split("|") for line in PAGE.read_text(encoding="utf-8").splitlines()]
    said = {cells[0].strip(" `"): cells[-1].strip() for cells in rows if cells[0].strip(" `") in KINDS}
    assert said == dict(KINDS)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
