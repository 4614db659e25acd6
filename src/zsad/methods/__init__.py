"""The detectors: one module or package per paper, and the base classes of a new one.

The folder is the list of the methods of zsad; other packages add theirs by entry points of the group ``zsad.methods``,
and a program by :func:`register`.
"""

from zsad.methods._base import Config, Method, Paper
from zsad.methods._few_shot import FewShot
from zsad.methods._published import PublishedDetector
from zsad.methods._trainable import (
    FirstStage,
    FrozenBackboneMethod,
    InContextMethod,
    Trainable,
    TrainingConfig,
    check_outside,
)
from zsad.methods._transductive import FolderScores, LoadImages, TransductiveMethod
from zsad.registry import Origin, Registry, Unavailable
from zsad.types import BackboneFeatures, Evidence, Target

__all__ = [
    "BackboneFeatures",
    "Config",
    "Evidence",
    "FewShot",
    "FirstStage",
    "FolderScores",
    "FrozenBackboneMethod",
    "InContextMethod",
    "LoadImages",
    "Method",
    "Origin",
    "Paper",
    "PublishedDetector",
    "Target",
    "Trainable",
    "TrainingConfig",
    "TransductiveMethod",
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

_REGISTRY: Registry[Method] = Registry(__name__, Method, "zsad.methods", "detector", check_outside)  # type: ignore[type-abstract]  # what is found is concrete


def names() -> list[str]:
    """Names of all methods: those of zsad, those that installed packages offer, and those that were registered.

    >>> "winclip" in names()
    True
    """
    return _REGISTRY.names()


def built_in() -> list[str]:
    """Names of the methods of zsad."""
    return _REGISTRY.built_in()


def get(name: str) -> type[Method]:
    """The method of that name.

    Raises:
        ConfigError: the name is unknown or offered by two packages, or the package that offers it cannot be imported.
    """
    return _REGISTRY.get(name)


def available() -> dict[str, type[Method]]:
    """All methods that can be used, by name; those of :func:`unavailable` are left out."""
    broken = {offer.name for offer in unavailable()}
    return {name: get(name) for name in names() if name not in broken}


def unavailable() -> list[Unavailable]:
    """The methods that installed packages offer and that cannot be used, with the reasons."""
    return _REGISTRY.unavailable()


def register(cls: type[Method], name: str | None = None) -> type[Method]:
    """Make a method of your own known by a name in this process; see :func:`zsad.register`."""
    return _REGISTRY.register(cls, name)


def name_of(cls: type[Method]) -> str:
    """The name of a method; one that has none yet is registered under that of its class."""
    return _REGISTRY.name_of(cls)


def origin(name: str) -> Origin | None:
    """The package that a method comes from; None for those of zsad."""
    return _REGISTRY.origin(name)
