"""Prompts of words and vectors, and what is remembered of them."""

import torch
from torch import nn

from tests.small import frozen
from zsad.parts.prompts import embed_text, insert_vectors
from zsad.parts.result_cache import ResultCache


def test_vectors_that_are_words_give_the_features_of_the_sentence() -> None:
    clip = frozen()
    for before, middle, after in (
        ("a photo of a", "damaged", "metal nut."),
        ("", "flawless", ""),
        ("a", "big red", ""),
    ):
        ours = clip.text(insert_vectors(clip, before, embed_text(clip, middle)[None], after))
        torch.testing.assert_close(ours, clip.encode_prompts([f"{before} {middle} {after}"]), rtol=1e-5, atol=1e-6)


def test_a_long_text_is_cut_before_the_end_token() -> None:
    clip = frozen()
    context = clip.config.text.context
    prompts = insert_vectors(clip, "", torch.randn(3, 12, clip.config.text.width), "nut " * 200)
    assert prompts.shape == (3, context, clip.config.text.width)
    torch.testing.assert_close(prompts[0, -1], clip.text.token_embedding.weight[clip.tokenizer.end], rtol=0, atol=0)
    filled = insert_vectors(clip, "", torch.randn(1, context - 2, clip.config.text.width), "nut")
    assert filled.shape[1] == context


def test_gradients_reach_the_vectors() -> None:
    clip, vectors = frozen(), nn.Parameter(torch.randn(1, 2, 32))
    clip.text(insert_vectors(clip, "a", vectors, "nut")).sum().backward()
    assert vectors.grad is not None
    assert vectors.grad.abs().sum() > 0


def test_remembered_computes_once_until_a_parameter_changes() -> None:
    layer, calls = nn.Linear(2, 2), []
    remembered = ResultCache(layer)

    def compute() -> torch.Tensor:
        calls.append(1)
        return layer.weight.sum()

    with torch.inference_mode():
        first = remembered("a", compute)
        assert remembered("a", compute) is first
        remembered("b", compute)
    assert len(calls) == 2
    with torch.no_grad():
        layer.weight.add_(1)
        torch.testing.assert_close(remembered("a", compute), first + 4)
    assert len(calls) == 3
    layer.double()
    with torch.no_grad():
        assert remembered("a", compute).dtype == torch.float64


def test_remembered_computes_every_time_while_gradients_are_recorded() -> None:
    layer = nn.Linear(2, 2)
    remembered = ResultCache(layer)
    with torch.no_grad():
        remembered("a", lambda: layer.weight.sum())
    assert remembered("a", lambda: layer.weight.sum()).requires_grad
