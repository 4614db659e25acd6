"""State dicts of vision towers without text, in the layouts of their authors and of Hugging Face, under our names.

DINOv2 (facebookresearch/dinov2), with and without registers, and DINOv3's ViT (facebookresearch/dinov3). Neither has
all that the other has:

* A token that masks patches in training is in every file and never used afterwards; it is left out, as is DINOv3's norm
  of local crops.
* DINOv3's keys have no bias. Its authors save one with a mask of zeros (``attn.qkv.bias_mask``), Hugging Face none;
  here it is zero.
* DINOv3's authors save the periods of the rotary positions, as bf16 rounded them in training; the files of Hugging Face
  have none, and transformers computes them exactly. Both run as they came.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from zsad.errors import WeightsError

AUTHORS, DINOV2, DINOV3 = (
    "patch_embed.proj.weight",
    "embeddings.patch_embeddings.projection.weight",
    "embeddings.patch_embeddings.weight",
)
"""A tensor that every file of a layout has: the authors of both, and transformers for DINOv2 and for DINOv3."""
ANCHORS = (AUTHORS, DINOV2, DINOV3, "vision.class_embedding")
UNUSED = re.compile(r"(embeddings\.)?mask_token$|local_cls_norm\.|rope_embeddings\.inv_freq$")
BLOCK = re.compile(r"(?:encoder\.layer|model\.layer|layer|blocks(?:\.\d+(?=\.\d))?)\.(\d+)\.(.+)")
"""Of the authors' chunks of blocks, in checkpoints of trainings, only the number of the block counts."""

TABLE = {
    "cls_token": "class_embedding",
    "pos_embed": "position_embedding",
    "position_embeddings": "position_embedding",
    "register_tokens": "registers",
    "storage_tokens": "registers",
    "patch_embed.proj": "patch_embedding",
    "patch_embeddings.projection": "patch_embedding",
    "patch_embeddings": "patch_embedding",
    "norm": "norm_post",
    "layernorm": "norm_post",
    "rope_embed.periods": "transformer.periods",
}
IN_BLOCK = {
    "norm1": "norm_1",
    "norm2": "norm_2",
    "attn.qkv": "attention.qkv",
    "attn.proj": "attention.out",
    "attention.output.dense": "attention.out",
    "attention.o_proj": "attention.out",
    "ls1.gamma": "scale_1",
    "ls2.gamma": "scale_2",
    "layer_scale1.lambda1": "scale_1",
    "layer_scale2.lambda1": "scale_2",
    "mlp.fc1": "mlp.up",
    "mlp.fc2": "mlp.down",
    "mlp.up_proj": "mlp.up",
    "mlp.down_proj": "mlp.down",
}
PARTS = {"query": 0, "key": 1, "value": 2, "q_proj": 0, "k_proj": 1, "v_proj": 2}
PART = re.compile(rf"attention\.(?:attention\.)?({'|'.join(PARTS)})\.(weight|bias)")
TOKENS = {"class_embedding": 0, "position_embedding": 1, "registers": 1}
"""Our number of leading axes; published files have further axes of length 1 before them."""


def to_our_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename and reshape a state dict without wrappers in its names.

    Raises:
        WeightsError: a tensor that these towers do not have, or a query without its key.
    """
    found: dict[str, Tensor] = {}
    parts: dict[str, dict[int, Tensor]] = {}
    for name, tensor in state.items():
        if UNUSED.match(name) or name.endswith(".bias_mask"):
            continue
        ours = _our_name(name)
        if (at := re.fullmatch(r"(.+)\.qkv(\d)\.(weight|bias)", ours)) is not None:
            parts.setdefault(f"{at[1]}.qkv.{at[3]}", {})[int(at[2])] = tensor
        else:
            found[f"vision.{ours}"] = _shaped(ours, _masked(name, tensor, state))
    return found | {f"vision.{name}": _joined(name, of_name) for name, of_name in parts.items()}


def _our_name(name: str) -> str:
    block = BLOCK.fullmatch(name)
    if block is None:
        return _renamed(name.removeprefix("embeddings."), TABLE, name)
    if (part := PART.fullmatch(block[2])) is not None:
        return f"transformer.blocks.{block[1]}.attention.qkv{PARTS[part[1]]}.{part[2]}"
    return f"transformer.blocks.{block[1]}.{_renamed(block[2], IN_BLOCK, name)}"


def _renamed(name: str, table: Mapping[str, str], full: str) -> str:
    for ending in ("", ".weight", ".bias"):
        theirs = name.removesuffix(ending) if ending else name
        if theirs in table and theirs + ending == name:
            return table[theirs] + ending
    rule = "every tensor of the weights belongs to DINOv2 or DINOv3"
    raise WeightsError(rule, full, "use the backbone alone, without heads, and with an MLP (not SwiGLU)")


def _shaped(name: str, tensor: Tensor) -> Tensor:
    axes = TOKENS.get(name)
    return tensor if axes is None else tensor.reshape(tensor.shape[-1 - axes :])


def _masked(name: str, tensor: Tensor, state: Mapping[str, Tensor]) -> Tensor:
    mask = state.get(f"{name}_mask") if name.endswith(".qkv.bias") else None
    return tensor if mask is None else tensor.where(mask != 0, 0)


def _joined(name: str, parts: Mapping[int, Tensor]) -> Tensor:
    """Query, key and value, one below the other; a bias that only the key lacks is zero."""
    lacking = {0, 1, 2} - parts.keys()
    if lacking == {1} and name.endswith(".bias"):
        parts = {**parts, 1: torch.zeros_like(parts[0])}
    elif lacking:
        what = ("query", "key", "value")[min(lacking)]
        raise WeightsError("the weights hold query, key and value", f"no {what} for {name}", "download them again")
    return torch.cat([parts[number] for number in range(3)])
