"""State dicts from a file or from shards, in every published layout and wrapper, under our names.

Those of CLIP are renamed here, those of vision towers without text in :mod:`zsad.backbones.vision_layouts`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from zsad.backbones import vision_layouts
from zsad.documents import DocumentError, read_json_object
from zsad.errors import WeightsError
from zsad.tensors.pickled import UnreadableTensor
from zsad.tensors.reading import read_sets

INDEX = ".index.json"
"""Suffix of the index file, which says which tensor is in which shard."""
SHARD = re.compile(r"-\d{5}-of-\d{5}\.")
PLAIN_NAME = re.compile(r"[\w-][\w.-]*\.(safetensors|bin|pt|pth)", re.ASCII)
NUMBERS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def read_state(path: Path, *, vision_only: bool = False) -> dict[str, Tensor]:
    """The tensors of a file, or of the shards that an index names, under our names. No code in them runs.

    Args:
        path: of the file or the index.
        vision_only: whether a DINOv2 or DINOv3 is looked for in it, and not a CLIP.

    Raises:
        WeightsError: they are not the weights of exactly one CLIP, or one vision tower.
    """
    state = _joined(path) if path.name.endswith(INDEX) else _alone(path, vision_only)
    unreadable = [f"{name} is {tensor.what}" for name, tensor in state.items() if type(tensor) is UnreadableTensor]
    if unreadable:
        raise WeightsError(f"{path} holds dense tensors", unreadable[0], "save its dense, unquantised weights")
    dense = {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    ours = to_our_names(dense, vision_only=vision_only)
    for name, tensor in ours.items():
        if tensor.dtype not in NUMBERS:
            remedy = "use the weights in fp32, fp16 or bf16, not a quantised copy"
            raise WeightsError(
                f"the weights of {path} are floating-point numbers", f"{tensor.dtype} for {name}", remedy
            )
    return ours


def shards(index: Path) -> dict[str, str]:
    """The file, next to the index, that holds each tensor.

    Raises:
        WeightsError: it is no index, or contains something else than plain file names.
    """
    try:
        places = read_json_object(index).get("weight_map")
    except (OSError, DocumentError) as error:
        raise _no_index(index, error) from error
    if not isinstance(places, dict) or not places:
        raise _no_index(index, "no weight_map")
    for file in places.values():
        if not isinstance(file, str) or not PLAIN_NAME.fullmatch(file):
            raise _no_index(index, f"{ascii(file)[:100]}, which is no name of a weights file next to it")
    return {str(name): str(file) for name, file in places.items()}


def _no_index(index: Path, value: object) -> WeightsError:
    return WeightsError(f"{index} must say in which file each tensor is", value, "copy it and its shards again")


def _alone(path: Path, vision_only: bool) -> Mapping[str, Tensor | UnreadableTensor]:
    """The one set of tensors in a file that is what is looked for."""
    names: list[str] = []

    def is_it(tensor_names: set[str]) -> bool:
        names.extend(sorted(tensor_names)[:3])
        return bool(roots(tensor_names, vision_only))

    sets = read_sets(path, is_it)
    distinct = list(_distinct(sets))
    if len(distinct) > 1:
        raise several_models((place or "the file itself" for place in distinct), vision_only)
    if not distinct:
        raise _one_shard(path) if SHARD.search(path.name) else unknown_layout(names, f"{path} holds ", vision_only)
    return sets[distinct[0]]


def _one_shard(path: Path) -> WeightsError:
    return WeightsError("weights in shards are read together", path, f"name their folder, or the {INDEX} next to them")


def _distinct(sets: Mapping[str, Mapping[str, Tensor | UnreadableTensor]]) -> Iterable[str]:
    """Places of distinct sets; a checkpoint may hold the same tensors under two names."""
    known: set[tuple[tuple[str, int], ...]] = set()
    for place, names in sets.items():
        tensors = sorted(
            (name, tensor.data_ptr() if isinstance(tensor, Tensor) else 0) for name, tensor in names.items()
        )
        if tuple(tensors) not in known:
            known.add(tuple(tensors))
            yield place


def _joined(index: Path) -> dict[str, Tensor | UnreadableTensor]:
    places = shards(index)
    state: dict[str, Tensor | UnreadableTensor] = {}
    for file in sorted(set(places.values())):
        state |= _shard(index.with_name(file), {name for name, where in places.items() if where == file}, index)
    return state


def _shard(path: Path, expected: set[str], index: Path) -> Mapping[str, Tensor | UnreadableTensor]:
    if not path.is_file():
        raise WeightsError(f"all shards are next to {index}", f"no {path.name}", "copy or download it too")
    tensors = read_sets(path, lambda _: True).get("", {})
    if mismatched := sorted(tensors.keys() ^ expected):
        where = "that the index places elsewhere" if mismatched[0] in tensors else "missing"
        raise WeightsError(
            f"{path} holds what {index.name} says", f"{mismatched[0]} {where}", "copy index and shards again"
        )
    return tensors


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
"""Parts of names inserted by torch.compile, sharded training and gradient checkpointing."""
# Other tensors in OpenAI's archive and old Hugging Face files.
IGNORED = re.compile(r"(input_resolution|context_length|vocab_size|attn_mask|.*\.position_ids)$")


def to_our_names(state: Mapping[str, Tensor], *, vision_only: bool = False) -> dict[str, Tensor]:
    """Rename and reshape a state dict of any of the layouts (OpenAI, open_clip, Hugging Face, or our own).

    Prefixes and parts of names from wrappers ("module.", "model.", "student.") are removed.

    Raises:
        WeightsError: unknown layout, several models, or a tensor that the model does not have.
    """
    unwrapped = _unwrapped(state, vision_only)
    state = {name: tensor for name, tensor in unwrapped.items() if not IGNORED.match(name)}
    if "vision.class_embedding" in state:
        return state
    if vision_only and any(anchor in state for anchor in vision_layouts.ANCHORS):
        return vision_layouts.to_our_names(state)
    if vision_only:
        raise unknown_layout(state, vision_only=True)
    if "visual.conv1.weight" in state:
        # open_clip's models with a separate text module add "text.".
        return {_rename(name.removeprefix("text."), OPENAI, _openai_block): tensor for name, tensor in state.items()}
    if "vision_model.embeddings.class_embedding" in state:
        joined = _join_qkv(state)
        return {_rename(name, HUGGING_FACE, _hf_block): _transpose(name, tensor) for name, tensor in joined.items()}
    raise unknown_layout(state)


def roots(names: Iterable[str], vision_only: bool = False) -> list[str]:
    """The prefix of the names of each CLIP, or vision tower, among these tensors; ``[""]`` is one without prefix.

    >>> roots(["module._orig_mod.visual.conv1.weight", "module._orig_mod.visual.proj"])
    ['module.']
    """
    plain = [INSERTED.sub("", name) for name in names]
    anchors = vision_layouts.ANCHORS if vision_only else ANCHORS
    prefixes = {name.removesuffix(anchor) for name in plain for anchor in anchors if name.endswith(anchor)}
    return sorted(root for root in prefixes if not root or root.endswith("."))


def _unwrapped(state: Mapping[str, Tensor], vision_only: bool) -> dict[str, Tensor]:
    prefixes = roots(state, vision_only)
    if len(prefixes) > 1:
        raise several_models((root.rstrip(".") or "the file itself" for root in prefixes), vision_only)
    root = prefixes[0] if prefixes else ""
    plain = {INSERTED.sub("", name).removeprefix(root): tensor for name, tensor in state.items()}
    if len(plain) < len(state):
        raise WeightsError("every tensor is there once", "two of one name", "save the state dict without its wrappers")
    return plain


def unknown_layout(names: Iterable[str], where: str = "", vision_only: bool = False) -> WeightsError:
    """The error for tensors of another model, or none at all."""
    examples = ", ".join(sorted(names)[:3])
    found = f"tensors {examples} …" if examples else "no tensors"
    if vision_only:
        rule = f"{where}weights of DINOv2 or DINOv3 in the layout of their authors or Hugging Face (vision transformer)"
        return WeightsError(rule, found, "use their weights, or name a CLIP with --backbone")
    return WeightsError(
        f"{where}weights of CLIP in the layout of OpenAI, open_clip or Hugging Face (vision transformer)",
        found,
        "use a CLIP checkpoint with a ViT vision tower",
    )


def several_models(places: Iterable[str], vision_only: bool = False) -> WeightsError:
    """The error for a file with several models, where only its owner knows which is meant."""
    return WeightsError(
        f"a file of weights holds one {'vision tower' if vision_only else 'CLIP'}",
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
    """Join query, key and value, separate in Hugging Face, into one matrix."""
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
