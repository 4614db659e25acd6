"""How data sets lie on disk. One module per layout, and this folder is the list: ``mvtec.py`` is layout ``mvtec``.

Other packages add theirs by entry points of the group ``zsad.datasets``, and a program by :func:`register`.

>>> "mvtec" in names()
True
>>> get("folder").title
'Folder of images'
"""

from zsad.data.layouts._base import Layout, PublishedCount, Sample, check_outside
from zsad.registry import Origin, Registry, Unavailable

__all__ = [
    "Layout",
    "Origin",
    "PublishedCount",
    "Sample",
    "Unavailable",
    "available",
    "built_in",
    "get",
    "name_of",
    "names",
    "origin",
    "register",
    "unavailable",
]

_REGISTRY: Registry[Layout] = Registry(__name__, Layout, "zsad.datasets", "data set layout", check_outside)  # type: ignore[type-abstract]  # what is found is concrete


def names() -> list[str]:
    """Names of all layouts: those of zsad, those that installed packages offer, and those that were registered."""
    return _REGISTRY.names()


def built_in() -> list[str]:
    """Names of the layouts of zsad."""
    return _REGISTRY.built_in()


def get(name: str) -> type[Layout]:
    """The layout of that name.

    Raises:
        ConfigError: the name is unknown (the nearest one is proposed) or offered by two packages, or the package that
            offers it cannot be imported.
    """
    return _REGISTRY.get(name)


def available() -> dict[str, type[Layout]]:
    """All layouts that can be used, by name; those of :func:`unavailable` are left out."""
    broken = {offer.name for offer in unavailable()}
    return {name: get(name) for name in names() if name not in broken}


def unavailable() -> list[Unavailable]:
    """The layouts that installed packages offer and that cannot be used, with the reasons."""
    return _REGISTRY.unavailable()


def register(cls: type[Layout], name: str | None = None) -> type[Layout]:
    """Make a layout of your own known by a name in this process; see :func:`zsad.register`."""
    return _REGISTRY.register(cls, name)


def name_of(cls: type[Layout]) -> str:
    """The name of a layout; one that has none yet is registered under that of its class."""
    return _REGISTRY.name_of(cls)


def origin(name: str) -> Origin | None:
    """The package that a layout comes from; None for those of zsad."""
    return _REGISTRY.origin(name)
