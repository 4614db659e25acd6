"""Pages of methods have their rows of the measured tables. To write them: python -m tests.website.test_measured."""

import re
from pathlib import Path

from zsad import methods

DOCS = Path(__file__).parents[2] / "docs"
PART = re.compile(r"(<!-- measured: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
TABLE = re.compile(r"^ *\|.*\n *\|[-| ]+\|\n(?: *\|.*\n)+", re.MULTILINE)
NAMED = re.compile(r"`([\w-]+)`(.*)")
REFERENCE = "clip-ac"
ELSEWHERE = {REFERENCE, "auto"}  # one that all pages show, and one whose page has longer tables
SCORES = {"image": "image AUROC", "pixel": "pixel AUROC"}
LEADERBOARD = """\
Percent on the [leaderboard]({to}leaderboard.md#all-detectors-on-the-embedded-backbone), without normal images:
`tiny` at 224 px, at most 25 test images of each class and state, last epoch of a short training on at most 40
(mean ± deviation over three seeds; what is not trained has one run). An image AUROC is known to ± 13 to 17.
"""
FEW_SHOT = """\
Percent with normal images, from the table of [all few-shot methods]({to}choosing.md#some-normal-images): `tiny` at
224 px, at most 20 test images of each state (mean ± deviation over draws of the normal images). An image AUROC is
known to about ± 13.
"""

Row = tuple[list[str], str, list[str]]
"""The head of a table, and of one method what the first cell says behind its name, and the other cells."""


def rows(page: str, name: str) -> list[Row]:
    """The rows of a method in the tables of a page of ``docs/``."""
    found = []
    for table in TABLE.findall((DOCS / page).read_text(encoding="utf-8")):
        head, _, *lines = ([cell.strip(" *") for cell in line.strip(" |").split("|")] for line in table.splitlines())
        matches = ((NAMED.match(cells[0].replace("*", "")), cells[1:]) for cells in lines)
        found += [(head, match[2], cells) for match, cells in matches if match and match[1] == name]
    return found


def leaderboard(name: str) -> str:
    """A row for each kind of score and each training, and those of the method that all are compared with."""
    found: dict[str, dict[str, str]] = {}
    for score, said in SCORES.items():
        for method in dict.fromkeys((name, REFERENCE)):
            for head, _, cells in rows("leaderboard.md", method):
                if not head[0].startswith("trained on"):
                    continue
                label = f"{said}, `{REFERENCE}`" if method == REFERENCE else said
                if issubclass(methods.get(method), methods.Trainable):
                    label += f", {head[0]}"
                for title, cell in zip(head[1:], cells, strict=True):
                    data, _, of = title.rpartition(" ")
                    if of == score and found.setdefault(label, {}).setdefault(data, cell) != cell:
                        raise AssertionError(f"{method} has {found[label][data]} and {cell} for {title}")
    data = list(dict.fromkeys(data for cells in found.values() for data in cells))
    return table(["", *data], [[label, *(cells.get(each, "") for each in data)] for label, cells in found.items()])


def few_shot(name: str) -> str:
    """The rows as they are; the head says which data and how many normal images."""
    found = [row for row in rows("choosing.md", name) if row[0][0] in SCORES.values()]
    of_the_first = found[0][0][1:]
    same = [[head[0] + remark, *cells] for head, remark, cells in found if head[1:] == of_the_first]
    return table(["", *of_the_first], same)


def table(head: list[str], lines: list[list[str]]) -> str:
    above, *below = (f"| {' | '.join(cells)} |\n".replace("|  ", "| ") for cells in (head, *lines))
    return f"{above}|{'---|' * len(head)}\n{''.join(below)}"


def measured(name: str) -> set[str]:
    """Which of the two pages have a row of the method."""
    pages = {"leaderboard.md": "trained on", "choosing.md": SCORES["image"]}
    return {page for page, head in pages.items() if any(row[0][0].startswith(head) for row in rows(page, name))}


def page_of(text: str, to: str) -> str:
    """A page with the parts between its marks as they should be; ``to`` leads from it to ``docs/``."""

    def part(match: re.Match[str]) -> str:
        begin, name, end = match.groups()
        pages, parts = measured(name), []
        if "leaderboard.md" in pages:
            parts.append(f"{LEADERBOARD.format(to=to)}\n{leaderboard(name)}\n")
        if "choosing.md" in pages:
            parts.append(f"{FEW_SHOT.format(to=to)}\n{few_shot(name)}\n")
        return f"{begin}\n{''.join(parts)}{end}"

    return PART.sub(part, text)


def pages() -> dict[Path, str]:
    """The pages that have marks, as they should be."""
    texts = {page: page.read_text(encoding="utf-8") for page in sorted(DOCS.rglob("*.md"))}
    depth = {page: len(page.relative_to(DOCS).parts) - 1 for page in texts}
    return {page: page_of(text, "../" * depth[page]) for page, text in texts.items() if PART.search(text)}


def test_the_pages_have_the_rows_of_the_tables() -> None:
    for page, text in pages().items():
        assert page.read_text(encoding="utf-8") == text


def test_every_method_with_a_row_has_it_on_a_page() -> None:
    shown = [name for text in pages().values() for _, name, _ in PART.findall(text)]
    assert sorted(shown) == sorted(name for name in methods.built_in() if measured(name) and name not in ELSEWHERE)


def test_a_row_is_copied_with_its_head() -> None:
    assert "| pixel AUROC, trained on BSData and cookie |" in leaderboard("fe-clip")
    assert leaderboard("musc").splitlines()[2].startswith("| image AUROC | ")
    assert rows("choosing.md", "patchcore")[0][2][0] in few_shot("patchcore")


if __name__ == "__main__":
    for page, text in pages().items():
        page.write_text(text, encoding="utf-8")
