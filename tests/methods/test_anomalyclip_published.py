"""Checkpoints that the authors' code of AnomalyCLIP saves (commit 45ed4dd): what each tensor of theirs is here."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.small import CONFIG, frozen, register
from zsad import checkpoint
from zsad.config import from_mapping
from zsad.errors import ImportRefused
from zsad.importing import ImportSettings, import_detector
from zsad.methods.anomalyclip import AnomalyClip, AnomalyClipConfig


def published(length: int = 12, layers: int = 8, deep: int = 4, width: int = 768) -> dict[str, Any]:
    """``epoch_15.pth``: also embeddings and ids of the fixed words, and projections that their forward does not use."""
    random = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random) * 0.1

    learner: dict[str, Tensor] = {}
    for state in ("pos", "neg"):
        learner[f"ctx_{state}"] = draw(1, 1, length, width)
        learner[f"token_prefix_{state}"] = draw(1, 1, 1, width)
        learner[f"token_suffix_{state}"] = draw(1, 1, 76 - length, width)
        learner[f"tokenized_prompts_{state}"] = torch.zeros(1, 1, 77, dtype=torch.int32)
    for layer in range(layers):
        learner[f"compound_prompts_text.{layer}"] = draw(deep, width)
        learner[f"compound_prompt_projections.{layer}.weight"] = draw(896, width)
        learner[f"compound_prompt_projections.{layer}.bias"] = draw(896)
    return {"prompt_learner": learner}


def test_the_published_form_is_read_with_its_quirks() -> None:
    found = AnomalyClip.from_published(published())
    assert (found.backbone, found.image_size) == ("ViT-L-14-336", 518)
    assert (found.activation, found.position_resize) == ("quick_gelu", "bilinear")
    assert from_mapping(AnomalyClipConfig, found.options, "options") == AnomalyClipConfig()
    assert {name: tuple(one.shape) for name, one in found.tensors.items()} == {
        "prompts.contexts": (2, 12, 768),
        **{f"prompts.deep.{layer}": (4, 768) for layer in range(8)},
    }


def test_each_tensor_is_where_it_acts() -> None:
    state, text = published(5, 3, 2, 32), replace(CONFIG.text, depth=12)
    found = AnomalyClip.from_published(state)
    method = AnomalyClip(frozen(replace(CONFIG, text=text)), from_mapping(AnomalyClipConfig, found.options, "options"))
    method.load_state_dict(checkpoint.trained_state(method) | found.tensors, strict=False)
    learner = state["prompt_learner"]
    assert list(method.prompts.blocks) == [1, 2, 3]
    for position, name in enumerate(("ctx_pos", "ctx_neg")):
        torch.testing.assert_close(method.prompts.contexts[position], learner[name][0, 0], rtol=0, atol=0)
    for layer, one in enumerate(method.prompts.deep):
        torch.testing.assert_close(one, learner[f"compound_prompts_text.{layer}"], rtol=0, atol=0)


def test_a_checkpoint_without_deep_prompts_has_depth_1() -> None:
    options = AnomalyClip.from_published(published(layers=0)).options
    assert options == {"prompt_length": 12, "prompt_depth": 1, "deep_length": 1}


def remove(name: str) -> Callable[[dict[str, Tensor]], object]:
    return lambda learner: learner.pop(name)


def put(name: str, *shape: int) -> Callable[[dict[str, Tensor]], object]:
    return lambda learner: learner.update({name: torch.zeros(shape)})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (remove("ctx_pos"), "the checkpoint has the tensor ctx_pos"),
        (remove("ctx_neg"), r"has the tensor ctx_neg of shape \(1, 1, 12, 768\)"),
        (put("ctx_neg", 1, 1, 11, 768), r"ctx_neg has the shape \(1, 1, 12, 768\); got \(1, 1, 11, 768\)"),
        (put("compound_prompts_text.3", 5, 768), r"compound_prompts_text.3 has the shape \(4, 768\)"),
        (remove("compound_prompts_text.3"), "every tensor of the checkpoint is known; got compound_prompts_text.4"),
        (put("mystery", 1), "every tensor of the checkpoint is known; got mystery"),
        (lambda learner: learner["ctx_pos"].fill_(torch.nan), "the numbers of ctx_pos are finite"),
    ],
)
def test_another_form_is_refused_with_what_was_expected(
    change: Callable[[dict[str, Tensor]], object], said: str
) -> None:
    state = published()
    change(state["prompt_learner"])
    with pytest.raises(ImportRefused, match=said):
        AnomalyClip.from_published(state)


def test_deep_prompts_longer_than_those_of_the_input_are_refused() -> None:
    with pytest.raises(ImportRefused, match="deep prompts replace learned vectors of the input; got 4 of 3"):
        AnomalyClip.from_published(published(length=3))


def test_an_imported_detector_resizes_positions_as_its_authors_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch)
    torch.save(published(5, 1, 2, 32), tmp_path / "epoch_15.pth")
    settings = ImportSettings(backbone="small", weights="random", image_size=32, options={"prompt_depth": 9})
    card = import_detector(tmp_path / "epoch_15.pth", "anomalyclip", tmp_path / "out", settings)
    assert (card.activation, card.position_resize, card.image_size) == ("quick_gelu", "bilinear", 32)
