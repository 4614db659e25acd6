"""Checks links: those of the built site, and those of the Markdown files in the repository.

``python -m website.links SITE`` names every link that leads nowhere and every file that a page would load from another
host; the exit status is then 1. Links to other hosts are checked for their form alone.
"""

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
FOLDERS = ("docs", "recipes", "src", "tests", "benchmarks", "website")
"""Where the repository has Markdown files, besides its root."""
LOADED = {("script", "src"), ("img", "src"), ("source", "src"), ("iframe", "src"), ("link", "href")}
NAVIGATION = {"canonical", "prev", "next", "alternate"}
"""Relations of a ``<link>`` that load nothing."""
STYLE_URL = re.compile(r"""(?:url\(\s*['"]?|@import\s+['"])([^'")]+)""")


@dataclass
class Document:
    """What a page offers and asks for.

    Attributes:
        anchors: what a link may name after ``#``.
        links: targets, as they are written.
        loaded: the same of what a browser fetches to show the page.
    """

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)


def site_faults(site: Path) -> Iterator[str]:
    """What is wrong with the links of a built site, a sentence each."""
    for page in sorted(site.rglob("*.html")):
        document = _html(page)
        where = page.relative_to(site).as_posix()
        for target in document.loaded:
            if _is_loaded_from_elsewhere(target):
                yield f"{where}: loads {target} from another host"
        # The page for addresses that do not exist is served at any address, so that its links begin with a slash.
        roots = site if page.name == "404.html" else None
        yield from _faults(where, page, [*document.links, *document.loaded], _html, roots)
    for style in sorted(site.rglob("*.css")):
        for target in STYLE_URL.findall(style.read_text(encoding="utf-8")):
            if _is_loaded_from_elsewhere(target):
                yield f"{style.relative_to(site).as_posix()}: loads {target} from another host"


def markdown_faults(root: Path) -> Iterator[str]:
    """What is wrong with the links of the Markdown files in a repository, a sentence each."""
    for page in markdown_files(root):
        yield from _faults(page.relative_to(root).as_posix(), page, _markdown(page).links, _markdown)


def markdown_files(root: Path) -> list[Path]:
    """The Markdown files of a repository, sorted."""
    inner = (page for folder in FOLDERS for page in (root / folder).rglob("*.md"))
    return sorted([*root.glob("*.md"), *inner])


def _faults(
    where: str, page: Path, targets: Iterable[str], read: Callable[[Path], Document], root: Path | None = None
) -> Iterator[str]:
    """Links of one page that do not hold; those that begin with a slash are taken from ``root``, where there is one."""
    for target in dict.fromkeys(targets):
        if _is_elsewhere(target):
            if not _is_well_formed(target):
                yield f"{where}: {target} is no address"
            continue
        path, _, anchor = target.partition("#")
        path = path.partition("?")[0]
        base = root if root is not None and path.startswith("/") else page.parent
        file = (base / unquote(path.lstrip("/") if root else path)).resolve() if path else page
        if not file.exists():
            yield f"{where}: {target} leads nowhere"
        elif anchor and file.suffix in (".md", ".html") and unquote(anchor) not in read(file).anchors:
            yield f"{where}: {target} has no such heading"


def _is_elsewhere(target: str) -> bool:
    return target.startswith("//") or re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", target) is not None


def _is_loaded_from_elsewhere(target: str) -> bool:
    return _is_elsewhere(target) and not target.startswith("data:")


def _is_well_formed(target: str) -> bool:
    parts = urlsplit(target)
    if parts.scheme in ("data", "mailto"):
        return bool(parts.path)
    host = parts.hostname or ""
    return parts.scheme in ("http", "https", "") and "." in host.strip(".") and not re.search(r"\s", target)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.document = Document()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.document.anchors.update(values[name] for name in ("id", "name") if name in values)
        if tag == "a" and "href" in values:
            self.document.links.append(values["href"])
        relations = set(values.get("rel", "").split())
        for name in ("src", "href"):
            if (tag, name) in LOADED and name in values and not relations & NAVIGATION:
                self.document.loaded.append(values[name])


@cache
def _html(page: Path) -> Document:
    parser = _Page()
    parser.feed(page.read_text(encoding="utf-8"))
    parser.document.anchors.add("")
    return parser.document


@cache
def _markdown(page: Path) -> Document:
    document = Document()
    headings: Counter[str] = Counter()
    tokens = MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type != "inline":
            continue
        if before is not None and before.type == "heading_open":
            slug = _slug(_text(token.children or []))
            document.anchors.add(f"{slug}-{headings[slug]}" if headings[slug] else slug)
            headings[slug] += 1
        for part in token.children or []:
            target = part.attrGet("href") if part.type == "link_open" else part.attrGet("src")
            if part.type in ("link_open", "image") and target is not None:
                document.links.append(unquote(str(target)))
    return document


def _text(parts: list[Token]) -> str:
    return "".join(part.content for part in parts if part.type in ("text", "code_inline"))


def _slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it; ``mkdocs.yml`` has the site make the same."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def main(site: str) -> int:
    """Name all faults; the exit status says whether there are any."""
    faults = [*site_faults(Path(site).resolve()), *markdown_faults(ROOT)]
    print("\n".join(faults) if faults else "All links hold.")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
