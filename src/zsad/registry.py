"""A folder as a list: every module of a package that does not begin with an underscore offers one class."""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import TypeVar

from zsad.errors import unknown_name

T = TypeVar("T")


def names(package: ModuleType) -> list[str]:
    """Names of the modules, sorted; underscores of the file names are hyphens here."""
    modules = (item.name for item in iter_modules(package.__path__))
    return sorted(name.replace("_", "-") for name in modules if not name.startswith("_"))


def get(package: ModuleType, name: str, base: type[T], what: str) -> type[T]:
    """The one class derived from ``base`` that the module of that name defines.

    Raises:
        ConfigError: there is no such module; the message proposes the nearest name of a ``what``.
    """
    if name not in names(package):
        raise unknown_name(what, name, names(package))
    module = import_module(f"{package.__name__}.{name.replace('-', '_')}")
    classes = (item for item in vars(module).values() if isinstance(item, type) and issubclass(item, base))
    (found,) = (item for item in classes if f"{item.__module__}.".startswith(f"{module.__name__}."))
    return found
