"""Checkpoints that the authors' code of VCP-CLIP saves (commit 4dd96ec): what each tensor of theirs is here."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.small import CONFIG, frozen
from zsad import checkpoint
from zsad.config import from_mapping
from zsad.errors import ImportRefused
from zsad.methods.vcp_clip.method import VcpClip, VcpClipConfig

SMALL = replace(CONFIG, embed=32, text=replace(CONFIG.text, depth=12))
"""In VCP-CLIP the texts are as wide as the joint space."""


def published(length: int = 2, deep: int = 1, blocks: int = 11, width: int = 1024, embed: int = 768) -> dict[str, Any]:
    """``epoch_10_group_id_0.pth``: three sets, and the parameters of their text tower with "prompt" in their names."""
    random = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random) / 8

    layers = {
        f"fc.{n}.{kind}": draw(*shape)
        for n in range(4)
        for kind, shape in (("weight", (embed, width)), ("bias", (embed,)))
    }
    context = {
        "prompt_query": draw(1, length, embed),
        "prompt_linear1.fc.weight": draw(length, 1, 3),
        "prompt_linear1.fc.bias": draw(length),
        "prompt_temp": torch.tensor(2.7),
    }
    attention = {"prompt_temp_l1": torch.tensor(2.5)}
    for name, inputs in (
        ("q_proj_pre", embed),
        ("k_proj_pre_1", width),
        ("v_proj_pre_1", width),
        ("proj_post_t", width),
    ):
        attention |= {f"{name}.weight": draw(width, inputs, 1), f"{name}.bias": draw(width)}
    return {
        "trainable_linearlayer": layers,
        "New_Lan_Embed": context,
        "Zero_try": attention,
        "prompt_embeddings": draw(1, deep, embed),
        "deep_prompt_embeddings": draw(blocks, deep, embed),
        "prompt_proj.weight": draw(embed, embed),
        "prompt_proj.bias": draw(embed),
        "prompt_norm.weight": draw(embed),
        "prompt_norm.bias": draw(embed),
        "prompt_text_projection": torch.full((embed, embed), torch.inf),  # made without values, and never used
    }


def test_the_published_form_is_read_with_its_quirks() -> None:
    found = VcpClip.from_published(published())
    layers, attention = 4 * (768 * 1024 + 768), 768 * 1024 + 3 * 1024**2 + 4 * 1024 + 1
    prompts = 2 * 768 + 2 * 3 + 2 + 1 + 12 * 768 + 768**2 + 3 * 768
    assert sum(tensor.numel() for tensor in found.tensors.values()) == layers + attention + prompts
    assert (found.backbone, found.image_size, found.activation) == ("ViT-L-14-336", 518, "gelu")
    assert from_mapping(VcpClipConfig, found.options, "options") == VcpClipConfig()
    assert VcpClip.from_published(published(3, 2)).options == {"prompt_length": 3, "deep_length": 2, "deep_layers": 11}


@torch.no_grad()
def test_each_tensor_is_where_it_acts() -> None:
    state = published(2, 1, 11, 32, 32)
    found = VcpClip.from_published(state)
    method = VcpClip(frozen(SMALL), from_mapping(VcpClipConfig, found.options, "options")).eval()
    assert found.tensors.keys() == checkpoint.trained_state(method).keys()
    method.load_state_dict(found.tensors, strict=False)
    for level, layer in enumerate(method.patch_layers):
        assert torch.equal(layer.weight, state["trainable_linearlayer"][f"fc.{level}.weight"])
        assert torch.equal(layer.bias, state["trainable_linearlayer"][f"fc.{level}.bias"])
    context, prompts = state["New_Lan_Embed"], method.prompts
    image = torch.randn(2, 32, generator=torch.Generator().manual_seed(1))
    made = F.conv1d(image[:, None], context["prompt_linear1.fc.weight"], context["prompt_linear1.fc.bias"], padding=1)
    torch.testing.assert_close(prompts.queries + prompts.context(image[:, None]), context["prompt_query"] + made)
    assert [float(method.raw_log_scale), float(method.refined_log_scale)] == pytest.approx([2.7, 2.5])
    assert torch.equal(prompts.deep[0], state["prompt_embeddings"][0])
    for block in range(11):
        assert torch.equal(prompts.deep[block + 1], state["deep_prompt_embeddings"][block])
    assert prompts.project is not None
    assert prompts.norm is not None
    assert torch.equal(prompts.project.weight, state["prompt_proj.weight"])
    assert torch.equal(prompts.norm.bias, state["prompt_norm.bias"])


@torch.no_grad()
def test_texts_attend_to_patches_as_in_their_code() -> None:
    """Four convolutions of kernel 1; eight heads, and no division by the root of the width."""
    state = published(2, 1, 11, 32, 32)
    method = VcpClip(frozen(SMALL), VcpClipConfig())
    method.load_state_dict(VcpClip.from_published(state).tensors, strict=False)
    theirs, random = state["Zero_try"], torch.Generator().manual_seed(1)
    texts, patches = torch.randn(2, 2, 32, generator=random), torch.randn(2, 5, 32, generator=random)

    def project(name: str, tokens: Tensor) -> Tensor:
        return F.conv1d(tokens.transpose(1, 2), theirs[f"{name}.weight"], theirs[f"{name}.bias"]).transpose(1, 2)

    query, key, value = (
        project(name, tokens).unflatten(2, (8, 4))
        for name, tokens in (("q_proj_pre", texts), ("k_proj_pre_1", patches), ("v_proj_pre_1", patches))
    )
    weights = torch.einsum("bnkc,bmkc->bknm", query, key).softmax(-1)
    out = project("proj_post_t", torch.einsum("bknm,bmkc->bnkc", weights, value).flatten(2))
    torch.testing.assert_close(method.attention(texts, patches), F.normalize(out, dim=-1), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("Zero_try"), "has the entry Zero_try"),
        (lambda state: state.pop("deep_prompt_embeddings"), "has the tensor deep_prompt_embeddings"),
        (lambda state: state["trainable_linearlayer"].pop("fc.3.weight"), "VCP-CLIP has 4 linear layers"),
        (lambda state: state["New_Lan_Embed"].pop("prompt_temp"), "prompt_temp"),
        (lambda state: state.update({"prompt_proj.weight": torch.zeros(32, 30)}), r"\(32, 32\)"),
        (lambda state: state.update({"another": torch.zeros(2)}), "got another, one of 1"),
    ],
)
def test_another_checkpoint_is_refused(change: Callable[[dict[str, Any]], object], message: str) -> None:
    state = published(2, 1, 11, 32, 32)
    change(state)
    with pytest.raises(ImportRefused, match=message):
        VcpClip.from_published(state)
