"""``zsad methods``, ``zsad backbones``, ``zsad datasets``: lists, as text and as JSON."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from shutil import get_terminal_size
from textwrap import shorten, wrap
from typing import TYPE_CHECKING

from zsad.wording import say

if TYPE_CHECKING:
    from zsad.methods import Method
    from zsad.registry import Origin

Row = dict[str, object]


def configure(parser: ArgumentParser) -> None:
    """Add options and what is listed, by the name of the command."""
    rows, notes = {
        "methods": (method_rows, method_notes),
        "backbones": (backbone_rows, list[str]),
        "datasets": (dataset_rows, dataset_notes),
    }[parser.prog.split()[-1]]
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.set_defaults(run=_show, rows=rows, notes=notes)


def method_rows() -> list[Row]:
    """Name, what it is, backbone and source of each method, and whether it needs training."""
    from zsad import methods

    return [_method_row(name, method) for name, method in methods.available().items()]


def _method_row(name: str, method: "type[Method]") -> Row:
    """``package`` offers it; ``heads`` are the backbones for which the package contains trained weights."""
    from zsad import methods, shipped
    from zsad.methods import FewShot, Trainable
    from zsad.registry import summary

    origin, heads = methods.origin(name), shipped.heads(name)
    about = _first_line(sys.modules[method.__module__].__doc__) if origin is None else summary(method)
    trained, fitted = issubclass(method, Trainable), issubclass(method, FewShot) and method.needs_normal
    readiness = f"Ready on {', '.join(heads)}; trained before use on others" if heads else "Trained before use"
    return {
        "name": name,
        "package": _package(origin),
        "about": about + f" {readiness}: zsad train." * trained + " Fitted before use: zsad fit." * fitted,
        "trained": trained,
        "heads": heads,
        "ready": (bool(heads) or not trained) and not fitted,
        "paper_backbone": method.paper_backbone,
        "paper": str(method.paper),
    }


def backbone_rows() -> list[Row]:
    """Name, shape, weights and, of embedded ones, terms of each architecture."""
    from zsad.backbones import config

    rows: list[Row] = []
    for name in config.names():
        shape = config.get(name)
        vision = shape.vision
        rows.append(
            {
                "name": name,
                "about": shape.about or f"{vision.depth} blocks of {vision.width}, patches of {vision.patch} px",
                "terms": shape.terms,
                "weights": config.weight_names(name),
                "image_size": vision.image_size,
                "detection_size": shape.default_size,
            }
        )
    return rows


def dataset_rows() -> list[Row]:
    """Name and description of each layout."""
    from zsad.data import layouts

    return [
        {"name": name, "package": _package(layouts.origin(name)), "about": layout.about}
        for name, layout in layouts.available().items()
    ]


def method_notes() -> list[str]:
    """The methods that installed packages offer and that cannot be used."""
    from zsad import methods

    return list(map(str, methods.unavailable()))


def dataset_notes() -> list[str]:
    """The layouts that installed packages offer and that cannot be used."""
    from zsad.data import layouts

    return list(map(str, layouts.unavailable()))


def _package(origin: "Origin | None") -> str:
    return "zsad" if origin is None else origin.package or origin.class_path


def _show(options: Namespace) -> int:
    rows: Callable[[], list[Row]] = options.rows
    say(json.dumps(rows(), indent=2) if options.json else "\n".join(map(_line, rows())))
    for note in options.notes():
        say(f"zsad: note: {note}", stderr=True)
    return 0


def _line(row: Row) -> str:
    """The name, and everything else next to it, wrapped to the terminal."""
    width = max(get_terminal_size().columns, 40)
    weights = row.get("weights")
    rest = [str(row["about"]), *([str(row["terms"])] if row.get("terms") else [])]
    if row.get("package", "zsad") != "zsad":
        rest.append(f"of the package {row['package']}")
    if isinstance(weights, list):
        rest.append(f"weights: {', '.join(weights)}; runs at {row['detection_size']} px")
    if "paper" in row:
        rest.append(str(row["paper"]))
    indent = " " * 20
    lines = [line for part in rest for line in wrap(part, width - 20, break_long_words=False)]
    return "\n".join([f"{shorten(str(row['name']), 19):<20}{lines[0]}", *(indent + line for line in lines[1:])])


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0]
