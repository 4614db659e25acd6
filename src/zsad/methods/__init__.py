"""The detectors, one file each. The folder is the registry: a new paper is one new file."""

import sys

from zsad import registry
from zsad.methods._base import Method


def names() -> list[str]:
    """Names of all methods, read off the folder.

    >>> "winclip" in names()
    True
    """
    return registry.names(sys.modules[__name__])


def get(name: str) -> type[Method]:
    """The method of that name.

    Raises:
        ConfigError: the name is unknown.
    """
    return registry.get(sys.modules[__name__], name, Method, "detector")  # type: ignore[type-abstract]  # what is found is concrete
