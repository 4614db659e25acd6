"""The annotations that all tests run with are checked, with and without arrays in them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from jaxtyping import TypeCheckError

from zsad.backbones.config import VisionConfig
from zsad.backbones.tokenizer import Tokenizer
from zsad.parts.similarity import state_features
from zsad.types import Evidence
from zsad.wording import shorten_middle

UNTYPED: Any = "12"
MAPS = torch.zeros(2, 1, 4, 4)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: state_features(torch.zeros(2, 3)),
        lambda: state_features(torch.zeros(2, 3, 4, dtype=torch.int64)),
        lambda: Evidence(MAPS, torch.zeros(3)),
        lambda: shorten_middle("text", UNTYPED),
        lambda: VisionConfig(UNTYPED, 2, 2, 32, 8),
        lambda: Tokenizer.from_merges(UNTYPED, 77),
    ],
    ids=["axes", "numbers", "axis", "argument", "field", "name in text"],
)
def test_what_is_wrong_is_found(wrong: Callable[[], object]) -> None:
    with pytest.raises(TypeCheckError):
        wrong()
    assert shorten_middle("text", 12) == "text"
    assert Evidence(MAPS, torch.zeros(2)).score.shape == (2,)
