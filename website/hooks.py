"""Hooks of MkDocs: the repository's own Markdown files are pages too, and links to its other files lead to copies."""

import re
from pathlib import Path
from posixpath import dirname, normpath, relpath
from posixpath import join as joined

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from website.api import public_names
from website.methods import of_methods, table_of_methods

ROOT = Path(__file__).parents[1]
PAGES = {"README.md": "index.md", "CHANGELOG.md": "CHANGELOG.md", "CONTRIBUTING.md": "CONTRIBUTING.md"}
"""Files of the repository's root that are pages of the site, by their names there."""
GENERATED = ("api/index.md", "methods/all.md")
"""Pages that are made from the code alone."""
LINK = re.compile(r"(\]\()([^)\s#:]+)(#[^)\s]*)?(\))")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of methods that the navigation does not name at the end of its section on methods."""
    config.nav = of_methods(config.nav or [], Path(config.docs_dir))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what lies outside the folder of pages: root files as pages, linked files as plain text."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    files.append(File.generated(config, GENERATED[0], content=public_names(Path(config.docs_dir) / "api")))
    files.append(File.generated(config, GENERATED[1], content=table_of_methods(Path(config.docs_dir))))
    for path in sorted(linked_files()):
        files.append(File.generated(config, copy_of(path), content=(ROOT / path).read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links that hold in the repository into links that hold in the site."""
    here = page.file.src_uri
    source = next((name for name, target in PAGES.items() if target == here), f"docs/{here}")
    return LINK.sub(lambda match: f"{match[1]}{_in_site(match[2], source, here)}{match[3] or ''}{match[4]}", markdown)


def linked_files() -> set[str]:
    """Files of the repository that pages link to and that are no part of the site, from the repository's root."""
    pages = [*PAGES, *(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))]
    targets = {
        normpath(joined(dirname(page), match[2]))
        for page in pages
        for match in LINK.finditer((ROOT / page).read_text(encoding="utf-8"))
    }
    return {path for path in targets if not path.startswith("docs/") and path not in PAGES and (ROOT / path).is_file()}


def copy_of(path: str) -> str:
    """Where the site has the copy of a file of the repository: as text, so that a browser shows it."""
    return f"repository/{path}.txt"


def _in_site(target: str, source: str, here: str) -> str:
    path = normpath(joined(dirname(source), target))
    if path in PAGES:
        place = PAGES[path]
    elif path.startswith("docs/"):
        place = path.removeprefix("docs/")
    elif (ROOT / path).is_file():
        place = copy_of(path)
    else:
        return target
    return relpath(place, dirname(here) or ".")
