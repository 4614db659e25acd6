"""Checkpoints that the authors' code of ACD-CLIP saves (commit 2026067): what each tensor of theirs is here."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.methods.test_acd_clip import DEEP, judge, real
from tests.small import frozen
from zsad import checkpoint
from zsad.config import from_mapping
from zsad.errors import ImportRefused
from zsad.methods.acd_clip.method import AcdClip, AcdClipConfig


def published(
    groups: int = 3, width: int = 1024, joint: int = 768, kernels: Sequence[int] = (3, 5), rank: int = 16
) -> dict[str, Any]:
    """``adapter_*.pth`` of commit 2026067; low rank 8 and 256 hidden units as there."""
    random = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random) * 0.1

    def linear(name: str, out: int, of: int) -> dict[str, Tensor]:
        return {f"{name}.weight": draw(out, of), f"{name}.bias": draw(out)}

    text: dict[str, Tensor] = {}
    image: dict[str, Tensor] = {}
    for group in range(groups):
        text |= {
            f"m_t_w.{group}.i_w": draw(1, 1, joint),
            f"layer_norms.{group}.weight": draw(joint),
            f"layer_norms.{group}.bias": draw(joint),
            f"lora_adapters.{group}.lora_A": draw(joint, rank),
            f"lora_adapters.{group}.lora_B": draw(rank, joint),
        }
        image[f"m_i_w.{group}.i_w"] = draw(1, 1, width)
        for branch, kernel in enumerate(kernels):
            block = f"lora_adapters.{group}.conv_lora_blocks.{branch}"
            image |= {
                f"{block}.lora_A": draw(width, rank),
                f"{block}.lora_B": draw(rank, width),
                f"{block}.conv_lora_A.weight": draw(8, rank, kernel, kernel),
                f"{block}.conv_lora_B.weight": draw(rank, 8, kernel, kernel),
            }
        image[f"lora_adapters.{group}.fusion_conv.weight"] = draw(width, len(kernels) * width, 1, 1)
        for head in ("seg", "det"):
            image |= {
                f"{head}_layer_norms.{group}.weight": draw(joint),
                f"{head}_layer_norms.{group}.bias": draw(joint),
                **linear(f"{head}_proj.{group}.fc.0", 256, width),
                **linear(f"{head}_proj.{group}.fc.2", joint, 256),
            }
        image |= linear(f"vision_text_gate.{group}.0", 256, joint)
        image |= linear(f"vision_text_gate.{group}.2", 2 * groups, 256)
    return {"epoch": 20, "text_adapter": text, "image_adapter": image}


def test_the_checkpoint_of_acd_clip_has_the_counted_parameters_and_fits_the_true_architecture() -> None:
    state = published(3)
    for name, tensors, numbers in (("text_adapter", 15, 80_640), ("image_adapter", 78, 9_880_338)):
        assert len(state[name]) == tensors
        assert sum(tensor.numel() for tensor in state[name].values()) == numbers
    found = AcdClip.from_published(state)
    assert (found.backbone, found.image_size, found.activation) == ("ViT-L-14-336", 518, "gelu")
    wanted = checkpoint.trained_state(real(3))
    assert {name: tensor.shape for name, tensor in found.tensors.items()} == {
        name: tensor.shape for name, tensor in wanted.items()
    }
    assert from_mapping(AcdClipConfig, found.options, "options") == AcdClipConfig(groups=3)


@pytest.mark.parametrize(("groups", "kernels", "rank"), [(2, (3,), 4), (4, (1, 3, 7), 2)])
def test_groups_kernels_and_rank_of_acd_clip_follow_from_the_shapes(
    groups: int, kernels: tuple[int, ...], rank: int
) -> None:
    config = from_mapping(
        AcdClipConfig, AcdClip.from_published(published(groups, 12, 8, kernels, rank)).options, "options"
    )
    assert config == AcdClipConfig(groups=groups, kernels=kernels, rank=rank)


def test_the_modules_of_acd_clip_compute_what_those_of_the_authors_do() -> None:
    """Their Conv-LoRA, blend, head and gateway, written out with the names and factors of their code."""
    clip = frozen(DEEP)
    width, joint, groups = clip.config.vision.width, clip.config.text.width, 3
    state = published(groups, width, joint)
    found = AcdClip.from_published(state)
    method = AcdClip(clip, from_mapping(AcdClipConfig, found.options, "options")).eval()
    assert method.load_state_dict(found.tensors, strict=False).unexpected_keys == []
    ours, theirs = method.vision_groups[1], state["image_adapter"]
    random = torch.Generator().manual_seed(1)
    tokens = torch.randn(2, 12, width, generator=random)
    branches = []
    for branch in range(2):
        block = f"lora_adapters.1.conv_lora_blocks.{branch}."
        low = (tokens @ theirs[f"{block}lora_A"]).mT.unflatten(2, (3, 4))
        for name in ("conv_lora_A", "conv_lora_B"):
            low = functional.conv2d(low, theirs[f"{block}{name}.weight"], padding="same")
        branches.append(low.flatten(2).mT * (2 / 8) @ theirs[f"{block}lora_B"] * (2 / 16**0.5))
    update = torch.cat(branches, -1) @ theirs["lora_adapters.1.fusion_conv.weight"][:, :, 0, 0].T
    update = update * tokens.norm(dim=-1, keepdim=True) / update.norm(dim=-1, keepdim=True)
    blend = theirs["m_i_w.1.i_w"]
    edited = ours.adapter(torch.cat([tokens[:, :1], tokens], 1), (3, 4))[:, 1:]
    torch.testing.assert_close(edited, (1 - blend) * tokens + blend * update)

    for name, head in (("seg", ours.segment), ("det", ours.detect)):
        hidden = functional.leaky_relu(linear(theirs, f"{name}_proj.1.fc.0", tokens))
        norm = [theirs[f"{name}_layer_norms.1.{kind}"] for kind in ("weight", "bias")]
        made = functional.layer_norm(linear(theirs, f"{name}_proj.1.fc.2", hidden), (joint,), *norm)
        torch.testing.assert_close(head(tokens), functional.normalize(made, dim=-1))

    visual = torch.randn(2, 12, joint, generator=random)
    hidden = functional.gelu(linear(theirs, "vision_text_gate.1.0", visual.mean(1)))
    weights = linear(theirs, "vision_text_gate.1.2", hidden).view(2, groups, 2).softmax(1)
    torch.testing.assert_close(ours.gateway.weights(visual), weights)


def linear(tensors: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]


def test_the_text_groups_of_acd_clip_are_those_of_the_authors() -> None:
    clip = frozen(DEEP)
    joint = clip.config.text.width
    state = published(2, clip.config.vision.width, joint)
    found = AcdClip.from_published(state)
    method = AcdClip(clip, from_mapping(AcdClipConfig, found.options, "options")).eval()
    method.load_state_dict(found.tensors, strict=False)
    ours, theirs = method.text_groups[1], state["text_adapter"]
    tokens = torch.randn(3, 5, joint, generator=torch.Generator().manual_seed(1))
    update = tokens @ theirs["lora_adapters.1.lora_A"] @ theirs["lora_adapters.1.lora_B"] * (2 / 16**0.5)
    update = update * tokens.norm(dim=-1, keepdim=True) / update.norm(dim=-1, keepdim=True)
    blend = theirs["m_t_w.1.i_w"]
    torch.testing.assert_close(ours.adapter(tokens, (1, 5)), (1 - blend) * tokens + blend * update)
    norm = [theirs[f"layer_norms.1.{kind}"] for kind in ("weight", "bias")]
    torch.testing.assert_close(ours.norm(tokens), functional.layer_norm(tokens, (joint,), *norm))
    assert judge(method).score.isfinite().all()


def damaged(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    state = published(2, 12, 8)
    change(state)
    return state


NORM, GATE, BLEND = "layer_norms.0.weight", "vision_text_gate.1.2.bias", "m_i_w.0.i_w"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("text_adapter"), "has the entry text_adapter; got epoch, image_adapter"),
        (lambda state: state.update(text_adapter=3), "text_adapter .* has tensors by name; got a value of type int"),
        (lambda state: state["text_adapter"].pop(NORM), rf"has the tensor {NORM} of shape \(8,\); got none"),
        (lambda state: state["image_adapter"].pop(GATE), rf"has the tensor {GATE} of shape \(4,\); got none"),
        (lambda state: state["text_adapter"].update({NORM: torch.ones(9)}), r"has the shape \(8,\); got \(9,\)"),
        (lambda state: state["text_adapter"].update({NORM: torch.ones(8).int()}), "floating-point .* got torch.int32"),
        (lambda state: state["text_adapter"].update({NORM: torch.full((8,), torch.nan)}), "are finite"),
        (lambda state: state["text_adapter"].update(more=torch.ones(8)), "is known; got more, one of 1"),
        (lambda state: state["image_adapter"].pop("m_i_w.0.i_w"), "has m_i_w.0.i_w and so on"),
        (lambda state: state["image_adapter"].update({BLEND: torch.ones(())}), r"along axis -1; got shape \(\)"),
        (lambda state: state["text_adapter"].pop("m_t_w.1.i_w"), "as many groups in both .* got 1 of the text and 2"),
        (lambda state: state["image_adapter"].pop("seg_proj.0.fc.0.weight"), "has the tensor seg_proj.0.fc.0.weight"),
    ],
)  # fmt: skip
def test_a_damaged_checkpoint_is_refused_with_what_was_expected(
    change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(ImportRefused, match=message):
        AcdClip.from_published(damaged(change))


def test_kernels_of_even_sides_are_refused() -> None:
    with pytest.raises(ImportRefused, match=r"odd sides; got \(3, 4\)"):
        AcdClip.from_published(published(2, 12, 8, (3, 4)))
