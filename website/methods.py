"""What the site says of methods without being told: their place in the navigation, and a table of all."""

import os
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

SECTION = "Methods"


def of_methods(navigation: list[Any], docs: Path) -> list[Any]:
    """The navigation with all pages of ``methods/`` in the section on methods; those that it does not name come last.

    Args:
        navigation: as in ``mkdocs.yml``.
        docs: the folder of pages.
    """
    named = set(_leaves(navigation))
    pages = sorted((docs / "methods").glob("*.md"))
    more = [{_title(page): where} for page in pages if (where := page.relative_to(docs).as_posix()) not in named]
    return [
        {SECTION: [*entry[SECTION], *more]} if isinstance(entry, dict) and SECTION in entry else entry
        for entry in navigation
    ]


def _leaves(entries: Any) -> list[str]:
    if isinstance(entries, str):
        return [entries]
    values = entries.values() if isinstance(entries, dict) else entries
    return [page for value in values for page in _leaves(value)]


def _title(page: Path) -> str:
    return page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def table_of_methods(docs: Path) -> str:
    """Markdown: a row for each method of zsad, made from its class and the docstring of its module."""
    from zsad import methods

    lines = [
        "# All methods",
        "",
        "Made from the code; `zsad methods` prints the same with the trained weights that the package has.",
        "",
        "| method | idea | with normal images | backbone of the paper | training | paper |",
        "|---|---|---|---|---|---|",
        *(_row(name, methods.get(name), docs) for name in methods.built_in()),
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, method: Any, docs: Path) -> str:
    from zsad.methods import FewShot, Trainable, TransductiveMethod

    paper = method.paper
    first = (sys.modules[method.__module__].__doc__ or "").strip().splitlines()[0]
    idea = first.partition(": ")[2] or first
    few_shot = ("needed" if method.needs_normal else "possible") if issubclass(method, FewShot) else "no"
    if issubclass(method, TransductiveMethod):
        idea += " Images of a folder score one another."
    training = _training(method.training_defaults) if issubclass(method, Trainable) else "none"
    source = f"[{paper.authors}, {paper.venue} {paper.year}]({paper.url})"
    cells = (
        f"[`{name}`]({_place(name, docs)})",
        idea.replace("|", "\\|"),
        few_shot,
        method.paper_backbone,
        training,
        source,
    )
    return f"| {' | '.join(cells)} |"


def _place(name: str, docs: Path) -> str:
    """What is said of a method, from ``methods/``: its page, or the section that has it in its heading."""
    folder = docs / "methods"
    if (folder / f"{name}.md").exists():
        return f"{name}.md"
    for page in (docs / "methods.md", *sorted(folder.glob("*.md"))):
        for heading in re.findall(r"^## (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            if name in heading.split(" and "):
                return f"{Path(os.path.relpath(page, folder)).as_posix()}#{heading.replace(' ', '-')}"
    raise PluginError(f"no page of {docs.name}/ describes the method {name}")


def _training(training: Any) -> str:
    """
    >>> from zsad.methods import TrainingConfig
    >>> _training(TrainingConfig(epochs=9, batch_size=16, learning_rate=5e-4, rates={"x": 1e-4}))
    '9 epochs, Adam 5e-4 (x 1e-4)'
    """
    others = ", ".join(f"{name} {_short(rate)}" for name, rate in training.rates.items())
    return f"{training.epochs} epochs, Adam {_short(training.learning_rate)}" + (f" ({others})" if others else "")


def _short(rate: float) -> str:
    mantissa, exponent = f"{rate:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"
