"""Checkpoints that the authors' code of AdaCLIP saves (commit e27ee32): what each tensor of theirs is here."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.small import CONFIG, frozen
from zsad import checkpoint
from zsad.config import from_mapping
from zsad.errors import ImportRefused
from zsad.methods.adaclip.method import AdaClip, AdaClipConfig

SMALL = replace(CONFIG, embed=32)
"""In AdaCLIP the texts are as wide as the joint space."""


def published(
    kind: str = "SD", sides: str = "VL", length: int = 5, depth: int = 4, width: int = 1024, embed: int = 768
) -> dict[str, Tensor]:
    """All tensors of their trainer whose names have those of a trained module."""
    random = torch.Generator().manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {}
    for side, name, channels in (("L", "text", embed), ("V", "visual", width)):
        if "S" in kind and side in sides:
            shapes |= {f"{name}_prompter.static_prompts.{block}": (length, channels) for block in range(depth)}
        if "D" in kind:
            for head in (f"dynamic_{name}_prompt_generator.head.{number}" for number in range(length)):
                shapes |= {f"{head}.weight": (channels, embed), f"{head}.bias": (channels,)}
    for head, inputs in (
        *((f"patch_token_layer.head.{n}", width) for n in range(4)),
        ("cls_token_layer.head.0", embed),
    ):
        shapes |= {f"{head}.weight": (embed, inputs), f"{head}.bias": (embed,)}
    return {f"clip_model.{name}": torch.randn(shape, generator=random) / 8 for name, shape in shapes.items()}


def test_the_published_form_is_read_with_its_quirks() -> None:
    """Prompts of 4 and of 3 blocks, five layers of two generators, one layer for each level and for the class."""
    found = AdaClip.from_published(published())
    numbers = sum(tensor.numel() for tensor in found.tensors.values())
    assert numbers == 5 * 4 * 1024 + 5 * 3 * 768 + 5 * 769 * (1024 + 768) + 4 * 768 * 1025 + 768 * 769
    assert (found.backbone, found.image_size) == ("ViT-L-14-336", 518)
    assert (found.activation, found.position_resize) == ("gelu", "bicubic")
    assert from_mapping(AdaClipConfig, found.options, "options") == AdaClipConfig()


@pytest.mark.parametrize(
    ("kind", "sides", "prompts", "branches"),
    [
        ("SD", "VL", "both", "both"),
        ("S", "VL", "static", "both"),
        ("SD", "V", "both", "vision"),
        ("S", "L", "static", "text"),
        ("D", "VL", "dynamic", "both"),
    ],
)
def test_what_is_switched_off_is_told_by_what_is_missing(kind: str, sides: str, prompts: str, branches: str) -> None:
    found = AdaClip.from_published(published(kind, sides, 3, 2, 32, 32))
    depth = 4 if kind == "D" else 2
    assert found.options == {"prompt_length": 3, "prompt_depth": depth, "prompts": prompts, "branches": branches}
    method = AdaClip(frozen(SMALL), from_mapping(AdaClipConfig, found.options, "options"))
    wanted = checkpoint.trained_state(method)
    assert {name: one.shape for name, one in wanted.items()} == {n: t.shape for n, t in found.tensors.items()}


@torch.no_grad()
def test_each_tensor_is_where_it_acts() -> None:
    state = {name.removeprefix("clip_model."): one for name, one in published("SD", "VL", 3, 2, 32, 32).items()}
    found = AdaClip.from_published(state)
    method = AdaClip(frozen(SMALL), from_mapping(AdaClipConfig, found.options, "options"))
    method.load_state_dict(found.tensors, strict=False)
    image = torch.randn(2, 32, generator=torch.Generator().manual_seed(1))
    for ours, name, blocks in ((method.visual_prompts, "visual", (0, 1)), (method.text_prompts, "text", (1,))):
        assert ours is not None
        vectors = ours(image)
        assert tuple(vectors) == blocks
        heads = [f"dynamic_{name}_prompt_generator.head.{number}" for number in range(3)]
        made = torch.stack([F.linear(image, state[f"{head}.weight"], state[f"{head}.bias"]) for head in heads], 1)
        for block in blocks:
            expected = made + state[f"{name}_prompter.static_prompts.{block}"]
            torch.testing.assert_close(vectors[block], expected, rtol=0, atol=1e-5)
    for level, layer in enumerate(method.patch_layers):
        assert torch.equal(layer.weight, state[f"patch_token_layer.head.{level}.weight"])
        assert torch.equal(layer.bias, state[f"patch_token_layer.head.{level}.bias"])
    assert torch.equal(method.class_layer.weight, state["cls_token_layer.head.0.weight"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("clip_model.patch_token_layer.head.2.bias"), "patch_token_layer.head.2.bias"),
        (lambda state: state.pop("clip_model.text_prompter.static_prompts.1"), "text_prompter.static_prompts.1"),
        (lambda state: state.update({"clip_model.logit": torch.zeros(1)}), "got logit, one of 1"),
        (lambda state: [state.pop(name) for name in list(state) if "prompt" in name], "static or dynamic prompts"),
        (lambda state: state.update({"clip_model.visual_prompter.static_prompts.0": torch.zeros(3, 30)}), r"\(3, 32\)"),
    ],
)
def test_another_checkpoint_is_refused(change: Callable[[dict[str, Tensor]], object], message: str) -> None:
    state = published("SD", "VL", 3, 2, 32, 32)
    change(state)
    with pytest.raises(ImportRefused, match=message):
        AdaClip.from_published(state)
