"""An extension of Griffe: docstrings as this project writes them become what mkdocstrings reads.

* ``a, b: text`` in a section of arguments or attributes stands for both; mkdocstrings wants one entry each.
* Examples at ``>>>`` need no heading here; in Markdown they would be quotations.
* Cross references have roles (``:func:`zsad.load```), which Markdown does not know.
* ``zsad.metrics.auroc`` is a function, exported from a module of the same name, which Griffe would show in its place.
"""

import re
from collections.abc import Iterator
from typing import Any

import griffe

ENTRY = re.compile(r"(?P<indent> +)(?P<names>\*{0,2}\w+(?:, \*{0,2}\w+)+): (?P<text>.*)")
SECTION = re.compile(r"(?:Args|Attributes):$")
ROLE = re.compile(r":(?:class|func|meth|attr|mod|data|exc):`~?(?P<name>[\w.]+)`")


class Docstrings(griffe.Extension):
    """Rewrites docstrings once a package is loaded, and lets exported functions stand before modules."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Rewrite all docstrings of a package; then let what packages export hide their modules of the same name."""
        objects = list(_defined_in(pkg))
        for obj in objects:
            if obj.docstring is not None:
                _rewrite(obj.docstring, obj)
        for module in (obj for obj in objects if isinstance(obj, griffe.Module)):
            for name in _exports(module):
                member = module.members.get(name)
                if isinstance(member, griffe.Module) and name in member.members:
                    module.set_member(name, griffe.Alias(name, member.members[name], parent=module))


def _defined_in(obj: griffe.Object) -> Iterator[griffe.Object]:
    yield obj
    for member in obj.members.values():
        if isinstance(member, griffe.Object):
            yield from _defined_in(member)


def _rewrite(docstring: griffe.Docstring, obj: griffe.Object) -> None:
    lines = _fenced(_one_name_each(docstring.value.splitlines()))
    docstring.value = ROLE.sub(lambda role: _reference(role["name"], obj), "\n".join(lines))


def _exports(module: griffe.Module) -> list[str]:
    return [name if isinstance(name, str) else name.name for name in module.exports or ()]


def _one_name_each(lines: list[str]) -> Iterator[str]:
    """Entries of several names, as often as they have names."""
    position = 0
    inside = False
    while position < len(lines):
        line = lines[position]
        position += 1
        inside = bool(SECTION.match(line)) or (inside and (line.startswith(" ") or not line))
        entry = ENTRY.fullmatch(line)
        if not (inside and entry):
            yield line
            continue
        rest = []
        while position < len(lines) and lines[position].startswith(f"{entry['indent']} "):
            rest.append(lines[position])
            position += 1
        for name in entry["names"].split(", "):
            yield f"{entry['indent']}{name}: {entry['text']}"
            yield from rest


def _fenced(lines: Iterator[str]) -> Iterator[str]:
    """Examples in fences of code."""
    open_fence = False
    for line in lines:
        if line.startswith(">>> ") and not open_fence:
            open_fence = True
            yield "```pycon"
        elif not line and open_fence:
            open_fence = False
            yield "```"
        yield line
    if open_fence:
        yield "```"


def _reference(name: str, obj: griffe.Object) -> str:
    """A link to the name where the site has it, and the name alone otherwise."""
    try:
        path = obj.resolve(name)
    except griffe.NameResolutionError:
        path = name
    return f'<autoref identifier="{path}" optional><code>{name}</code></autoref>'
