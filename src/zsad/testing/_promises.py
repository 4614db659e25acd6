"""What a promise is, and the method that it is checked on."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch

from zsad.config import from_mapping
from zsad.methods import (
    Config,
    FewShot,
    Method,
    Trainable,
)
from zsad.testing._clip import images, small_clip


@dataclass(frozen=True)
class MethodCase:
    """A method, with options, to be checked.

    Attributes:
        method: the class.
        options: fields of its configuration that differ from the defaults.
    """

    method: type[Method]
    options: tuple[tuple[str, Any], ...] = ()

    def make(self, config: Config | None = None) -> Method:
        """On the small CLIP, in evaluation mode, with initial parameters drawn from one seed as training draws them.

        A method that is few-shot only is fitted to two images.
        """
        kind = self.method.config_type
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            method = self.method(small_clip(), config or from_mapping(kind, dict(self.options), "the options")).eval()
        if isinstance(method, FewShot) and method.needs_normal:
            method.fit_normal(images(2, seed=9))
            method.finish_fit()
        return method

    def trainable(self) -> Trainable | None:
        """In training mode; None where nothing of it is trained."""
        method = self.make().train()
        return method if isinstance(method, Trainable) else None


@dataclass(frozen=True)
class Promise:
    """One promise of all methods.

    Attributes:
        rule: what is promised, as a full clause.
        check: raises an AssertionError where it is not kept.
    """

    rule: str
    check: Callable[[MethodCase], None]

    @property
    def name(self) -> str:
        """For lists of tests."""
        return self.check.__name__

    def __call__(self, case: MethodCase) -> None:
        """Hold a method to the promise.

        Raises:
            AssertionError: it is not kept, or the method fails; the message says the promise.
        """
        try:
            with _own_cache():
                self.check(case)
        except Exception as error:
            found = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
            raise AssertionError(f"{case.method.__name__}: {self.rule}.\n{found}") from error


def promise(rule: str) -> Callable[[Callable[[MethodCase], None]], Promise]:
    """Turn a check into a promise."""
    return lambda check: Promise(rule, check)


@contextmanager
def _own_cache() -> Iterator[None]:
    """Prompts of the small CLIP do not go into the user's cache."""
    with TemporaryDirectory() as folder, patch.dict(os.environ, {"ZSAD_CACHE": folder}):
        yield
