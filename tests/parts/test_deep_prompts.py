"""Deep prompts beside slices written out."""

import pytest
import torch

from zsad.parts.deep_prompts import overwrite


@pytest.mark.parametrize(("first", "kept"), [(1, [0, 3, 4, 5]), (-2, [0, 1, 2, 3]), (0, [2, 3, 4, 5])])
def test_vectors_take_the_place_of_tokens(first: int, kept: list[int]) -> None:
    tokens, vectors = torch.randn(3, 6, 8), torch.randn(1, 2, 8)
    edited = overwrite(vectors, first)(tokens, (1, 6))
    assert edited.shape == tokens.shape
    torch.testing.assert_close(edited[:, kept], tokens[:, kept], rtol=0, atol=0)
    replaced = [position for position in range(6) if position not in kept]
    torch.testing.assert_close(edited[:, replaced], vectors.repeat(3, 1, 1), rtol=0, atol=0)


def test_each_sequence_may_have_vectors_of_its_own() -> None:
    tokens, vectors = torch.randn(3, 6, 8), torch.randn(3, 2, 8)
    torch.testing.assert_close(overwrite(vectors)(tokens, (1, 6))[:, 1:3], vectors, rtol=0, atol=0)


def test_vectors_are_brought_to_the_precision_of_the_tokens() -> None:
    edited = overwrite(torch.ones(1, 1, 4))(torch.zeros(2, 3, 4, dtype=torch.bfloat16), (1, 3))
    assert edited.dtype == torch.bfloat16
    assert edited[:, 1].eq(1).all()
