"""The checks of annotations that tests run under.

An int is a float, as every static checker has it (PEP 484). Functions without an array in their annotations, which are
most, are left to beartype alone: jaxtyping would bind their arguments and check each twice, to compare no shapes.
"""

import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import partial
from typing import Any, ForwardRef, Literal, get_args, get_origin

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, TypeCheckError

checked = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=TypeCheckError))
_jaxtyped = jaxtyping.jaxtyped


def jaxtyped(annotated: Any = None, *, typechecker: Callable[..., Any]) -> Any:
    """What the import hook decorates every function and class with, instead of ``jaxtyping.jaxtyped``."""
    if annotated is None:
        return partial(jaxtyped, typechecker=typechecker)
    if inspect.isfunction(annotated) and not _names_an_array(annotated):
        return typechecker(annotated)
    made = vars(annotated).get("__init__") if inspect.isclass(annotated) and is_dataclass(annotated) else None
    if made is not None and not _names_an_array(made):
        annotated.__init__ = typechecker(made)
        return annotated
    return _jaxtyped(annotated, typechecker=typechecker)


def _names_an_array(function: Callable[..., Any]) -> bool:
    return any(map(_has_array, function.__annotations__.values()))


def _has_array(annotation: object) -> bool:
    """Whether a shape stands in it; text may hide one, and names what beartype might not find."""
    if get_origin(annotation) is Literal:
        return False
    if isinstance(annotation, str | ForwardRef):
        return True
    if isinstance(annotation, list | tuple):
        return any(map(_has_array, annotation))
    if inspect.isclass(annotation) and issubclass(annotation, AbstractArray):
        return True
    return any(map(_has_array, get_args(annotation)))
