"""Classes of one kind by name: those of zsad, those that installed packages offer, and those that were registered.

The classes of zsad are the modules of one of its packages (a folder is its own list). Other packages offer theirs by
entry points, which are read without importing anything; a module of theirs is imported when its name is asked for. Only
these classes and those handed to :meth:`Registry.register` are ever found: no name in a file leads to any other import.
"""

import hashlib
import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from zsad.errors import ConfigError, unknown_name

T = TypeVar("T")
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
"""Names of methods and layouts, on the command line and in files."""
WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@runtime_checkable
class Offer(Protocol):
    """An entry point, of the standard library or of importlib_metadata, which serves all once anything imports it."""

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> str: ...
    @property
    def module(self) -> str: ...
    @property
    def dist(self) -> Any: ...
    def load(self) -> Any: ...


@dataclass(frozen=True)
class Origin:
    """Where a class that is not of zsad comes from.

    Attributes:
        package: the installed distribution that offers it; empty for a class that a program registered.
        class_path: ``package.module:Class``.
    """

    package: str
    class_path: str


@dataclass(frozen=True)
class Unavailable:
    """A class that an installed package offers and that cannot be used.

    Attributes:
        name: under which it is offered.
        package: the distribution that offers it.
        reason: why not, in words.
    """

    name: str
    package: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name!r} of the package {self.package} cannot be used: {self.reason}"


class Registry(Generic[T]):
    """All classes derived from one base.

    Args:
        package: of zsad, whose modules without an underscore define one class each.
        base: what the classes derive from.
        group: of entry points, such as ``"zsad.methods"``.
        what: one of the classes in words, such as ``"detector"``.
        check: raises :class:`zsad.errors.ConfigError` for a class from elsewhere that lacks something.
    """

    def __init__(self, package: str, base: type[T], group: str, what: str, check: Callable[[type[T]], None]) -> None:
        self._package, self._base, self._group, self._what, self._check = package, base, group, what, check
        self._registered: dict[str, type[T]] = {}

    def built_in(self) -> list[str]:
        """Names of the classes of zsad, sorted; underscores of the file names are hyphens here."""
        modules = (module.name for module in iter_modules(sys.modules[self._package].__path__))
        return sorted(name.replace("_", "-") for name in modules if not name.startswith("_"))

    def names(self) -> list[str]:
        """Names of all classes, sorted; nothing is imported to find them."""
        return sorted({*self.built_in(), *self._offers(), *self._registered})

    def get(self, name: str) -> type[T]:
        """The class of that name.

        Raises:
            ConfigError: there is none (the nearest name is proposed), two packages offer the name, or the package that
                offers it cannot be imported.
        """
        if name not in self.names():
            raise unknown_name(self._what, name, self.names())
        self._check_unique(name)
        if name in self._registered:
            return self._registered[name]
        if name in self._offers():
            return self._load(name, self._offers()[name][0])
        module = import_module(f"{self._package}.{name.replace('-', '_')}")
        classes = (item for item in vars(module).values() if isinstance(item, type) and issubclass(item, self._base))
        (found,) = (item for item in classes if f"{item.__module__}.".startswith(f"{module.__name__}."))
        return found

    def register(self, cls: type[T], name: str | None = None) -> type[T]:
        """Make a class known by a name in this process.

        Args:
            cls: derived from the base, with nothing abstract left.
            name: lower-case letters, digits and hyphens; made of the name of the class where not given. A class
                of the same module and name (a notebook cell that is run again) takes the place of the one before.

        Raises:
            ConfigError: the class or the name cannot be used, or the name is taken.
        """
        self._checked(cls, getattr(cls, "__name__", "it"))
        chosen = _check_name(name or WORD_START.sub("-", cls.__name__).replace("_", "-").lower())
        if chosen in self.built_in():
            raise self._taken(chosen, "zsad")
        for offer in self._offers().get(chosen, ()):
            if self._load(chosen, offer) is not cls:
                raise self._taken(chosen, f"the package {_package(offer)}")
        other = self._registered.get(chosen, cls)
        if class_path(other) != class_path(cls):
            raise self._taken(chosen, class_path(other))
        self._registered[chosen] = cls
        return cls

    def name_of(self, cls: type[T]) -> str:
        """The name of a class; one that has none yet is registered.

        Raises:
            ConfigError: as :meth:`register` does.
        """
        if cls.__module__.startswith(f"{self._package}."):
            name = cls.__module__.removeprefix(f"{self._package}.").partition(".")[0].replace("_", "-")
            if name in self.built_in() and self.get(name) is cls:
                return name
        for name, registered in self._registered.items():
            if registered is cls:
                return name
        for name, offers in self._offers().items():
            if any(_is_of(offer, cls) and self._load(name, offer) is cls for offer in offers):
                return name
        self.register(cls)
        return self.name_of(cls)

    def origin(self, name: str) -> Origin | None:
        """Where the class of a name comes from; None for those of zsad."""
        if offers := self._offers().get(name):
            return Origin(_package(offers[0]), offers[0].value)
        return Origin("", class_path(self._registered[name])) if name in self._registered else None

    def unavailable(self) -> list[Unavailable]:
        """What installed packages offer and cannot be used, with the reasons; all of it is imported to see."""
        found = []
        for name in self._offers():
            try:
                self.get(name)
            except ConfigError as error:
                found.append(Unavailable(name, self._offerers(name), f"{error.rule}; got {error.value}"))
        return found

    def _offers(self) -> dict[str, tuple[Offer, ...]]:
        return _offers(self._group, tuple(sys.path))

    def _offerers(self, name: str) -> str:
        return " and ".join(sorted(_package(offer) for offer in self._offers()[name]))

    def _check_unique(self, name: str) -> None:
        offers = self._offers().get(name, ())
        if len(offers) > 1 or (offers and name in self.built_in()):
            packages = " and ".join(["zsad"] * (name in self.built_in()) + [self._offerers(name)])
            rule = f"the name of a {self._what} belongs to one package"
            raise ConfigError(rule, f"{name!r} of {packages}", "uninstall one of them")

    def _load(self, name: str, offer: Offer) -> type[T]:
        """The class of an entry point; whatever its module does wrong is one error of ours."""
        _check_name(name)
        remedy = f"install the package {_package(offer)} again, or uninstall it"
        try:
            found = offer.load()
        except (Exception, SystemExit) as error:
            rule = f"{offer.value} of the package {_package(offer)} can be imported"
            raise ConfigError(rule, f"{type(error).__name__}: {error}", remedy) from error
        return self._checked(found, offer.value)

    def _checked(self, cls: object, where: str) -> type[T]:
        rule = f"the class of a {self._what} derives from {self._base.__name__}"
        if not (isinstance(cls, type) and issubclass(cls, self._base)):
            raise ConfigError(rule, f"{where}, {cls!r:.80}", f"derive it from {self._base.__name__}")
        if missing := sorted(getattr(cls, "__abstractmethods__", ())):
            value = f"{where} without {', '.join(missing)}"
            raise ConfigError(f"{rule} and defines its abstract methods", value, "define them")
        self._check(cls)
        return cls

    def _taken(self, name: str, owner: str) -> ConfigError:
        rule = f"a {self._what} is registered under a name of its own"
        return ConfigError(rule, f"{name!r}, which is that of {owner}", "say another one: register(..., name=...)")


def class_path(cls: type) -> str:
    """``package.module:Class``."""
    return f"{cls.__module__}:{cls.__qualname__}"


def source_hash(cls: type) -> str:
    """SHA-256 of the module that defines a class; empty where its source is not at hand."""
    try:
        source = inspect.getsource(sys.modules[cls.__module__])
    except (OSError, TypeError):
        return ""
    return hashlib.sha256(source.encode("utf-8", "surrogateescape")).hexdigest()


def summary(cls: type) -> str:
    """The first line of what a class, or else its module, says of itself; empty where neither does."""
    text = vars(cls).get("__doc__") or sys.modules[cls.__module__].__doc__ or ""
    return next(iter(inspect.cleandoc(text).splitlines()), "")


def _check_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ConfigError("a name has lower-case letters, digits and hyphens", repr(name), "say one such as my-method")
    return name


def _package(offer: Offer) -> str:
    return str(offer.dist.name) if offer.dist is not None else offer.module.partition(".")[0]


def _is_of(offer: Offer, cls: type) -> bool:
    return offer.module.partition(".")[0] == cls.__module__.partition(".")[0]


@cache
def _offers(group: str, path: tuple[str, ...]) -> dict[str, tuple[Offer, ...]]:
    """The entry points of a group by name, each of another package; for one search path they are read once."""
    found: dict[str, tuple[Offer, ...]] = {}
    for offer in entry_points(group=group):
        found[offer.name] = (*found.get(offer.name, ()), offer)
    return found
