"""The check of links notices every kind of link that does not hold."""

from pathlib import Path

import pytest
from website.links import ROOT, main, markdown_faults, site_faults


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ('<a href="gone.html">', "gone.html leads nowhere"),
        ('<a href="b.html#gone">', "b.html#gone has no such heading"),
        ('<a href="#gone">', "#gone has no such heading"),
        ('<img src="gone.png">', "gone.png leads nowhere"),
        ('<script src="https://example.org/a.js">', "loads https://example.org/a.js from another host"),
        ('<link rel="stylesheet" href="//example.org/a.css">', "loads //example.org/a.css from another host"),
        ('<a href="https://nowhere">', "https://nowhere is no address"),
        ('<a href="ftp://example.org">', "ftp://example.org is no address"),
    ],
)
def test_a_page_with_a_broken_link(tmp_path: Path, page: str, fault: str) -> None:
    site = write(tmp_path, {"a/a.html": page, "a/b.html": '<p id="there">'})
    assert list(site_faults(site)) == [f"a/a.html: {fault}"]


def test_a_style_that_loads_a_font_of_another_host(tmp_path: Path) -> None:
    site = write(tmp_path, {"a.css": "p { src: url('https://example.org/a.woff2') } q { x: url(b.svg) }"})
    assert list(site_faults(site)) == ["a.css: loads https://example.org/a.woff2 from another host"]


def test_a_site_whose_links_hold(tmp_path: Path) -> None:
    links = '<a href="b.html#there"><a href="b.html?q#there"><a href="#"><a href="../c/">'
    links += '<a href="https://example.org/x?y">'
    images = '<img src="data:image/png;base64,AA"><link rel="canonical" href="https://example.org/">'
    site = write(tmp_path, {"a/a.html": links + images, "a/b.html": '<p id="there">', "c/index.html": ""})
    (site / "404.html").write_text('<a href="/a/a.html">', encoding="utf-8")
    assert list(site_faults(site)) == []


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ("[a](gone.md)", "gone.md leads nowhere"),
        ("[a](b.md#gone)", "b.md#gone has no such heading"),
        ("[a](#there)", "#there has no such heading"),
        ("![a](gone.png)", "gone.png leads nowhere"),
        ("[a][b]\n\n[b]: gone.md", "gone.md leads nowhere"),
        ("| [a](gone.md) |\n|---|\n", "gone.md leads nowhere"),
    ],
)
def test_a_markdown_file_with_a_broken_link(tmp_path: Path, page: str, fault: str) -> None:
    root = write(tmp_path, {"docs/a.md": page, "docs/b.md": "# There"})
    assert list(markdown_faults(root)) == [f"docs/a.md: {fault}"]


def test_markdown_files_whose_links_hold(tmp_path: Path) -> None:
    links = "[a](docs/b.md#1-the-zsadload-it-has-σ) [b](docs/b.md#twice-1) [c](#own)"
    page = f"{links}\n\n# Own\n\n    [code](gone.md)\n\n`[d](e)`"
    root = write(tmp_path, {"README.md": page, "docs/b.md": "# 1. The `zsad.load` it has: *σ*\n## Twice\n## Twice\n"})
    assert list(markdown_faults(root)) == []


def test_the_repository_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, {"index.html": '<a href="gone.html">'})
    assert list(markdown_faults(ROOT)) == []
    assert main(str(tmp_path)) == 1
    assert capsys.readouterr().out == "index.html: gone.html leads nowhere\n"
