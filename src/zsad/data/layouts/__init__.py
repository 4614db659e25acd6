"""How data sets lie on disk. One file per layout, and this folder is the list: ``mvtec.py`` is layout ``mvtec``.

>>> "mvtec" in names()
True
>>> get("folder").title
'Folder of pictures'
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import TypeGuard

from zsad.data.layouts._base import Layout, Sample
from zsad.errors import unknown_name

__all__ = ["Layout", "Sample", "get", "names"]


def names() -> list[str]:
    """Names of all layouts, sorted; underscores of the file names are hyphens here."""
    return sorted(module.name.replace("_", "-") for module in iter_modules(__path__) if not module.name.startswith("_"))


def get(name: str) -> type[Layout]:
    """The layout of that name.

    Raises:
        ConfigError: there is none; the message proposes the nearest name.
    """
    if name not in names():
        raise unknown_name("data set layout", name, names())
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    (layout,) = (thing for thing in vars(module).values() if _is_layout_of(thing, module.__name__))
    return layout


def _is_layout_of(thing: object, module: str) -> TypeGuard[type[Layout]]:
    """Whether it is the one layout that a module defines, rather than one that it imports."""
    return isinstance(thing, type) and issubclass(thing, Layout) and thing.__module__ == module
