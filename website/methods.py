"""What the site says of methods without being told: their place in the navigation, and a table of all.

The README has a shorter table: ``python -m website.methods`` writes it.
"""

import os
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

SECTION = "Methods"
ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


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
    from zsad.methods import Trainable, TransductiveMethod

    paper, idea = method.paper, _idea(method)
    if issubclass(method, TransductiveMethod):
        idea += ". Images of a folder score one another"
    training = _training(method.training_defaults) if issubclass(method, Trainable) else "none"
    source = f"[{paper.authors}, {paper.venue} {paper.year}]({paper.url})"
    linked = f"[`{name}`]({_place(name, docs)})"
    return f"| {' | '.join((linked, idea, _normal_images(method), method.paper_backbone, training, source))} |"


def _idea(method: Any) -> str:
    """What the docstring of its module begins with, without its name and the last full stop."""
    first = (sys.modules[method.__module__].__doc__ or "").strip().splitlines()[0]
    return (first.partition(": ")[2] or first).replace("|", "\\|").removesuffix(".")


def _normal_images(method: Any) -> str:
    from zsad.methods import FewShot

    return ("needed" if method.needs_normal else "possible") if issubclass(method, FewShot) else "no"


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


def readme_with_table(readme: str) -> str:
    """The README with its table as it should be between the marks: first the methods that are not trained."""
    from zsad import methods

    known = sorted((issubclass(methods.get(name), methods.Trainable), name) for name in methods.built_in())
    lines = ["| method | idea | normal images | trained |", "|---|---|---|---|"]
    for is_trained, name in known:
        method, place = methods.get(name), posixpath.normpath(f"docs/methods/{_place(name, ROOT / 'docs')}")
        cells = (f"[`{name}`]({place})", _idea(method), _normal_images(method), "yes" if is_trained else "no")
        lines.append(f"| {' | '.join(cells)} |")
    before, begin, rest = readme.partition("<!-- methods -->\n")
    _, end, after = rest.partition("<!-- end -->\n")
    return "\n".join([before + begin, *lines, "", end + after])


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


if __name__ == "__main__":
    README.write_text(readme_with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
