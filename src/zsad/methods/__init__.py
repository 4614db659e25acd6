"""The detectors, one file each. The folder is the registry: a new paper is one new file."""

from importlib import import_module
from pkgutil import iter_modules

from zsad.errors import unknown_name
from zsad.methods._base import Method


def names() -> list[str]:
    """Names of all methods, read off the folder.

    >>> "winclip" in names()
    True
    """
    return sorted(item.name.replace("_", "-") for item in iter_modules(__path__) if not item.name.startswith("_"))


def get(name: str) -> type[Method]:
    """The method of that name.

    Raises:
        ConfigError: the name is unknown.
    """
    if name not in names():
        raise unknown_name("detector", name, names())
    module = import_module(f"zsad.methods.{name.replace('-', '_')}")
    (method,) = (
        item
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, Method) and item.__module__ == module.__name__
    )
    return method
