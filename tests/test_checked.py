"""The annotations that all tests run with are checked, with and without arrays in them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import TypeCheckError

from zsad.backbones.config import VisionConfig
from zsad.backbones.tokenizer import Tokenizer
from zsad.parts.similarity import state_features
from zsad.types import Evidence
from zsad.wording import shorten_middle

UNTYPED: Any = "12"
MAPS = torch.zeros(2, 1, 4, 4)


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (lambda: state_features(torch.zeros(2, 3)), TypeCheckError),
        (lambda: state_features(torch.zeros(2, 3, 4, dtype=torch.int64)), TypeCheckError),
        (lambda: Evidence(MAPS, torch.zeros(3)), TypeCheckError),
        (lambda: shorten_middle("text", UNTYPED), BeartypeCallHintViolation),
        (lambda: VisionConfig(UNTYPED, 2, 2, 32, 8), BeartypeCallHintViolation),
        (lambda: Tokenizer.from_merges(UNTYPED, 77), TypeCheckError),
    ],
    ids=["axes", "numbers", "axis", "argument", "field", "name in text"],
)
def test_what_is_wrong_is_found(wrong: Callable[[], object], found: type[Exception]) -> None:
    with pytest.raises(found):
        wrong()
    assert shorten_middle("text", 12) == "text"
    assert Evidence(MAPS, torch.zeros(2)).score.shape == (2,)
