"""How data sets lie on disk. One file per layout, and this folder is the list: ``mvtec.py`` is layout ``mvtec``.

>>> "mvtec" in names()
True
>>> get("folder").title
'Folder of images'
"""

import sys

from zsad import registry
from zsad.data.layouts._base import Layout, PublishedCount, Sample

__all__ = ["Layout", "PublishedCount", "Sample", "get", "names"]


def names() -> list[str]:
    """Names of all layouts, sorted; underscores of the file names are hyphens here."""
    return registry.names(sys.modules[__name__])


def get(name: str) -> type[Layout]:
    """The layout of that name.

    Raises:
        ConfigError: there is none; the message proposes the nearest name.
    """
    return registry.get(sys.modules[__name__], name, Layout, "data set layout")  # type: ignore[type-abstract]  # what is found is concrete
