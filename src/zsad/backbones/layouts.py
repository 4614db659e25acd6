"""The three layouts in which CLIP's weights are published, as tables from their tensor names to ours."""

import re
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from zsad.errors import WeightsError

_BLOCK = {
    "ln_1.": "norm_1.",
    "ln_2.": "norm_2.",
    "attn.in_proj_": "attention.qkv.",
    "attn.out_proj.": "attention.out.",
    "mlp.c_fc.": "mlp.up.",
    "mlp.c_proj.": "mlp.down.",
}
_HF_BLOCK = {
    "layer_norm1.": "norm_1.",
    "layer_norm2.": "norm_2.",
    "self_attn.qkv_proj.": "attention.qkv.",
    "self_attn.out_proj.": "attention.out.",
    "mlp.fc1.": "mlp.up.",
    "mlp.fc2.": "mlp.down.",
}
OPENAI = {
    "visual.conv1.": "vision.patch_embedding.",
    "visual.class_embedding": "vision.class_embedding",
    "visual.positional_embedding": "vision.position_embedding",
    "visual.ln_pre.": "vision.norm_pre.",
    "visual.ln_post.": "vision.norm_post.",
    "visual.proj": "vision.projection",
    "token_embedding.": "text.token_embedding.",
    "positional_embedding": "text.position_embedding",
    "ln_final.": "text.norm_final.",
    "text_projection": "text.projection",
    "logit_scale": "logit_scale",
}
HUGGING_FACE = {
    "vision_model.embeddings.patch_embedding.": "vision.patch_embedding.",
    "vision_model.embeddings.class_embedding": "vision.class_embedding",
    "vision_model.embeddings.position_embedding.weight": "vision.position_embedding",
    "vision_model.pre_layrnorm.": "vision.norm_pre.",
    "vision_model.post_layernorm.": "vision.norm_post.",
    "visual_projection.weight": "vision.projection",
    "text_model.embeddings.token_embedding.": "text.token_embedding.",
    "text_model.embeddings.position_embedding.weight": "text.position_embedding",
    "text_model.final_layer_norm.": "text.norm_final.",
    "text_projection.weight": "text.projection",
    "logit_scale": "logit_scale",
}
ANCHORS = ("visual.conv1.weight", "vision_model.embeddings.class_embedding", "vision.class_embedding")
"""A tensor that every CLIP of a layout has: OpenAI and open_clip, Hugging Face, our own."""
INSERTED = re.compile(r"(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""What torch.compile, sharded training and gradient checkpointing put into names, wherever they are applied."""
# Not weights: what OpenAI's archive and old Hugging Face files carry besides.
IGNORED = re.compile(r"(input_resolution|context_length|vocab_size|attn_mask|.*\.position_ids)$")


def to_ours(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename and reshape a state dict of any of the layouts (OpenAI, open_clip, Hugging Face, or our own).

    What wrappers put before all names ("module.", "model.", "student.") or into them is taken away.

    Raises:
        WeightsError: the layout is not known, there are several CLIPs, or it holds a tensor that CLIP does not have.
    """
    state = {name: tensor for name, tensor in _unwrapped(state).items() if not IGNORED.match(name)}
    if "vision.class_embedding" in state:
        return state
    if "visual.conv1.weight" in state:
        # open_clip's models with a separate text module add "text.".
        return {_rename(name.removeprefix("text."), OPENAI, _openai_block): tensor for name, tensor in state.items()}
    if "vision_model.embeddings.class_embedding" in state:
        joined = _join_qkv(state)
        return {_rename(name, HUGGING_FACE, _hf_block): _transpose(name, tensor) for name, tensor in joined.items()}
    raise unknown(state)


def roots(names: Iterable[str]) -> list[str]:
    """What stands before the names of each CLIP among these tensors; ``[""]`` is one that stands alone.

    >>> roots(["module._orig_mod.visual.conv1.weight", "module._orig_mod.visual.proj"])
    ['module.']
    """
    plain = [INSERTED.sub("", name) for name in names]
    found = {name.removesuffix(anchor) for name in plain for anchor in ANCHORS if name.endswith(anchor)}
    return sorted(root for root in found if not root or root.endswith("."))


def _unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = roots(state)
    if len(found) > 1:
        raise several(root.rstrip(".") or "the file itself" for root in found)
    root = found[0] if found else ""
    plain = {INSERTED.sub("", name).removeprefix(root): tensor for name, tensor in state.items()}
    if len(plain) < len(state):
        raise WeightsError("every tensor is there once", "two of one name", "save the state dict without its wrappers")
    return plain


def unknown(names: Iterable[str], where: str = "") -> WeightsError:
    """The error for tensors that are those of another model, or none at all."""
    some = ", ".join(sorted(names)[:3])
    return WeightsError(
        f"{where}weights of CLIP in the layout of OpenAI, open_clip or Hugging Face (vision transformer)",
        f"tensors {some} …" if some else "no tensors",
        "use a CLIP checkpoint with a ViT vision tower",
    )


def several(places: Iterable[str]) -> WeightsError:
    """The error for a file in which there is a choice, which nobody but its owner can make."""
    return WeightsError(
        "a file of weights holds one CLIP",
        f"several: {', '.join(sorted(places))}",
        "save the state dict that is meant in a file of its own",
    )


def _openai_block(name: str) -> str | None:
    match = re.match(r"(visual\.)?transformer\.resblocks\.(\d+)\.(.+)", name)
    return match and _block("vision" if match[1] else "text", match[2], match[3], _BLOCK)


def _hf_block(name: str) -> str | None:
    match = re.match(r"(vision|text)_model\.encoder\.layers\.(\d+)\.(.+)", name)
    return match and _block(match[1], match[2], match[3], _HF_BLOCK)


def _block(tower: str, number: str, rest: str, table: Mapping[str, str]) -> str | None:
    for theirs, ours in table.items():
        if rest.startswith(theirs):
            return f"{tower}.transformer.blocks.{number}.{ours}{rest.removeprefix(theirs)}"
    return None


def _rename(name: str, table: Mapping[str, str], block: Callable[[str], str | None]) -> str:
    for theirs, ours in table.items():
        if name == theirs or (theirs.endswith(".") and name.startswith(theirs)):
            return ours + name.removeprefix(theirs)
    if renamed := block(name):
        return renamed
    raise WeightsError("every tensor of the weights belongs to CLIP", name, "use an unmodified CLIP checkpoint")


def _transpose(name: str, tensor: Tensor) -> Tensor:
    """Hugging Face keeps the projections as linear layers, CLIP as matrices on the right."""
    return tensor.T if name in ("visual_projection.weight", "text_projection.weight") else tensor


def _join_qkv(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Join query, key and value, which Hugging Face keeps apart, into one matrix."""
    joined = {}
    for name, tensor in state.items():
        if ".q_proj." in name:
            parts = [_part(state, name.replace(".q_proj.", f".{part}_proj.")) for part in "qkv"]
            joined[name.replace(".q_proj.", ".qkv_proj.")] = torch.cat(parts)
        elif ".k_proj." not in name and ".v_proj." not in name:
            joined[name] = tensor
    return joined


def _part(state: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in state:
        raise WeightsError("the weights hold query, key and value", f"no {name}", "check that the download is whole")
    return state[name]
