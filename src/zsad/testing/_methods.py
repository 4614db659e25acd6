"""All promises of methods, and the check of them."""

from typing import Any

from zsad import methods
from zsad.config import from_mapping
from zsad.methods import Method
from zsad.testing import _answers, _references, _training
from zsad.testing._promises import MethodCase, Promise

METHOD_PROMISES: list[Promise] = [
    each for room in (_answers, _training, _references) for each in vars(room).values() if isinstance(each, Promise)
]
"""All promises, in the order in which they are checked."""


def check_method(method: type[Method], **options: Any) -> None:
    """Hold a method to what is promised of all of them; takes seconds.

    Args:
        method: the class, derived from :class:`zsad.methods.Method`.
        options: fields of its configuration that differ from the defaults.

    Raises:
        AssertionError: a promise is not kept; it says which, and what was found.
        ConfigError: the class cannot be registered, or an option does not exist.
    """
    methods.name_of(method)  # what can be registered has its paper, its configuration and no abstract method
    from_mapping(method.config_type, options, f"the options of {method.__name__}")
    for each in METHOD_PROMISES:
        each(MethodCase(method, tuple(options.items())))
