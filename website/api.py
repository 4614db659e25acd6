"""The page that lists all public names, made from the pages of the API reference."""

import re
from pathlib import Path
from typing import Any

import griffe
import yaml
from mkdocs.exceptions import PluginError

from website.docstrings import Docstrings

DIRECTIVE = re.compile(r"^::: (zsad[\w.]*)\n((?:(?:    .*)?\n)*)", re.MULTILINE)
ORDER = "zsad methods data metrics calibration regions testing blocks runs"
"""Of the pages, as in the navigation."""
SOURCE = Path(__file__).parents[1] / "src"


def public_names(pages: Path) -> str:
    """Markdown: a table for each page of the reference, with the public names of its modules and their first lines."""
    package: Any = griffe.load(
        "zsad", search_paths=[SOURCE], docstring_parser="google", extensions=griffe.load_extensions(Docstrings)
    )
    parts = [
        "# Public names",
        "These names are kept: how they change is in [Contributing](../CONTRIBUTING.md). All others are internal.",
    ]
    for page in sorted(pages.glob("*.md"), key=lambda page: (ORDER.find(page.stem), page.stem)):
        for path, settings in DIRECTIVE.findall(page.read_text(encoding="utf-8")):
            chosen = ((yaml.safe_load(settings) or {}).get("options") or {}).get("members")
            module = _module(package, path, page)
            names = [(name, line) for name, line in _members(module) if chosen is None or name in chosen]
            if missing := set(chosen or ()) - {name for name, _ in names}:
                raise PluginError(f"{page.name}: {path} has no public {', '.join(sorted(missing))}")
            if names:
                rows = [f"| [`{name}`]({page.name}#{path}.{name}) | {line} |" for name, line in names]
                table = "\n".join(["| name | |", "|---|---|", *rows])
                parts += [f"## [{path}]({page.name}#{path})", _first_line(module), table]
    return "\n\n".join(parts) + "\n"


def _module(package: Any, path: str, page: Path) -> Any:
    try:
        return package if path == "zsad" else package[path.removeprefix("zsad.")]
    except KeyError as error:
        raise PluginError(f"{page.name}: there is no module {path}") from error


def _members(module: Any) -> list[tuple[str, str]]:
    """Public names that a module defines or exports, with their first lines, in the module's order."""
    return [
        (name, _first_line(member).replace("|", "\\|"))
        for name, member in module.members.items()
        if member.is_public and not member.is_module
    ]


def _first_line(member: Any) -> str:
    return member.docstring.value.split("\n\n")[0].replace("\n", " ") if member.docstring else ""
