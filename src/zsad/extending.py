"""``zsad.register``: methods and data set layouts of your own."""

from typing import Any, TypeVar

from zsad.data import layouts
from zsad.data.layouts import Layout
from zsad.errors import ConfigError

C = TypeVar("C", bound=type[Any])


def register(cls: C, name: str | None = None) -> C:
    """Make a method or a data set layout of your own known by a name, until the process ends.

    It then stands wherever a name of ours does: ``zsad.load``, ``zsad.train``, ``LAYOUT:PATH``. An installed package
    does the same for every process by entry points of the groups ``zsad.methods`` and ``zsad.datasets``.

    Args:
        cls: derived from :class:`zsad.methods.Method` or :class:`zsad.data.Layout`.
        name: lower-case letters, digits and hyphens; by default that of the class: ``MyMethod`` is ``my-method``.

    Returns:
        ``cls``, so that it serves as a decorator.

    Raises:
        ConfigError: the class is neither, leaves something undefined, or its name is taken.
    """
    if isinstance(cls, type) and issubclass(cls, Layout):
        layouts.register(cls, name)
        return cls
    from zsad import methods

    if not (isinstance(cls, type) and issubclass(cls, methods.Method)):
        rule, remedy = (
            "what is registered is the class of a method or of a data set layout",
            "derive it from one of them",
        )
        raise ConfigError(rule, f"{cls!r:.80}", f"{remedy}: zsad.methods.Method, zsad.data.Layout")
    methods.register(cls, name)
    return cls
