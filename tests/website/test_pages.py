"""The navigation of the site has every page, and what is said of the project in several places agrees."""

import re
import tomllib
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from mkdocs.exceptions import PluginError
from website.hooks import GENERATED, PAGES
from website.methods import of_methods, readme_with_table, table_of_methods

from zsad import methods, published

ROOT = Path(__file__).parents[2]
CITATION: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


class Loader(yaml.SafeLoader):
    """Reads ``mkdocs.yml``, whose tags name objects of Python, without making any."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: suffix)


def leaves(entries: list[Any]) -> list[str]:
    if isinstance(entries, str):
        return [entries]
    values = entries.values() if isinstance(entries, dict) else entries
    return [page for value in values for page in leaves(value)]


def test_navigation_has_every_page_once() -> None:
    navigation = of_methods(yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)["nav"], ROOT / "docs")
    written = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]
    assert sorted(leaves(navigation)) == sorted([*written, *PAGES.values(), *GENERATED])


def test_a_new_page_of_a_method_is_in_the_section_on_methods(tmp_path: Path) -> None:
    (tmp_path / "methods").mkdir()
    for name in ("old", "new"):
        (tmp_path / "methods" / f"{name}.md").write_text(f"# {name}-clip\n")
    navigation = [{"Guides": ["a.md"]}, {"Methods": ["methods.md", {"Old": "methods/old.md"}]}]
    expected = ["methods.md", {"Old": "methods/old.md"}, {"new-clip": "methods/new.md"}]
    assert of_methods(navigation, tmp_path) == [navigation[0], {"Methods": expected}]


def test_table_of_methods_has_a_row_for_each_with_its_page_and_its_paper() -> None:
    rows = [line for line in table_of_methods(ROOT / "docs").splitlines() if line.startswith("| [`")]
    assert len(rows) == len(methods.built_in())
    for name, row in zip(methods.built_in(), rows, strict=True):
        assert f"`{name}`" in row
        assert methods.get(name).paper.url in row
    (acd,) = (row for row in rows if "`acd-clip`" in row)
    assert acd.startswith("| [`acd-clip`](acd-clip.md) | adapters in both towers")
    assert "| ViT-L-14-336 | 20 epochs, Adam 1e-3 (text_ 5e-4) |" in acd


def test_a_method_without_a_page_leads_to_its_section(tmp_path: Path) -> None:
    table = table_of_methods(ROOT / "docs")
    for link in (
        "[`clip`](../methods.md#clip-and-clip-ac)",
        "[`clip-ac`](../methods.md#clip-and-clip-ac)",
        "[`winclip`](../methods.md#winclip)",
        "[`patchcore`](few-shot.md#patchcore)",
    ):
        assert f"\n| {link} | " in table
    (tmp_path / "methods.md").write_text("# Methods\n\n## aa-clip-of-another-kind\n")
    with pytest.raises(PluginError, match=r"^no page of .* describes the method aa-clip$"):
        table_of_methods(tmp_path)


def test_the_readme_has_the_table_and_the_number_of_the_methods() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == readme_with_table(readme)
    assert "\n| [`winclip`](docs/methods.md#winclip) | windows of patches" in readme
    assert "\n| [`inctrl`](docs/methods/inctrl.md) | residuals between" in readme
    of_the_literature = {*methods.built_in()} - {"auto", "ensemble"}
    trained = [name for name in methods.built_in() if issubclass(methods.get(name), methods.Trainable)]
    found = re.search(r"(\d+) methods of the literature and one that joins them, (\d+) of them trained", readme)
    assert found is not None
    assert [int(number) for number in found.groups()] == [len(of_the_literature), len(trained)]


def test_the_page_on_methods_has_each_in_both_tables_with_its_smoothing() -> None:
    page = (ROOT / "docs/methods.md").read_text(encoding="utf-8")
    papers, maps = (page.partition(f"\n{head} ")[2].partition("\n\n")[0] for head in ("| | backbone", "| | code"))
    for name in {*methods.built_in()} - {"ensemble"}:
        assert re.search(rf"^\|[^|]*`{name}`", maps, re.MULTILINE), name
        row = re.search(rf"^\|[^|]*`{name}`[^|]*\|[^|]*\|[^|]*\| (?:none|σ = ([\d.]+)) \|", papers, re.MULTILINE)
        assert row is not None, name
        assert methods.get(name).config_type().sigma == float(row[1] or 0), name


def test_citation_has_what_its_format_asks_for() -> None:
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["type"] == "software"
    assert all(CITATION[key] for key in ("message", "title", "authors"))


def test_version_and_date_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## (\d+\.\d+\.\d+) - (\d{4}-\d{2}-\d{2})$", changes, re.MULTILINE)
    assert CITATION["version"] == project["version"] == version("zsad") == released[0][0]
    assert CITATION["date-released"] == date.fromisoformat(released[0][1])
    assert CITATION["license"] == project["license"]


@pytest.mark.parametrize("name", published.papers())
def test_citation_names_the_paper_of_each_trained_method(name: str) -> None:
    paper = methods.get(name).paper
    (reference,) = (reference for reference in CITATION["references"] if reference["title"] == paper.title)
    assert (reference["year"], reference["url"]) == (paper.year, paper.url)
    assert (reference.get("journal") or reference["conference"]["name"]) == paper.venue
    authors = [f"{author['given-names'][0]}. {author['family-names']}" for author in reference["authors"]]
    assert paper.authors in (f"{authors[0]} et al.", ", ".join(authors))
    assert paper.title == published.paper(name).title


def test_page_on_the_code_has_every_module() -> None:
    page = (ROOT / "docs/house.md").read_text(encoding="utf-8")
    modules = [path for path in (ROOT / "src/zsad").iterdir() if path.name[0].isalpha() and path.name != "py.typed"]
    names = [f"{path.name}/" if path.is_dir() else path.name for path in modules]
    assert [name for name in names if name != "assets/" and f"`{name}`" not in page] == []
