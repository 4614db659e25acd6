"""Checkpoints of AdaCLIP's authors: everything that they train, in one set under the names of their trainer."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from zsad.errors import ImportRefused
from zsad.methods._published import REMEDY, PublishedDetector, checked, numbered, size, tensor_set

PREFIX = "clip_model."
VISUAL, TEXT = "visual_prompter.static_prompts", "text_prompter.static_prompts"
DYNAMIC_VISUAL, DYNAMIC_TEXT = "dynamic_visual_prompt_generator.head", "dynamic_text_prompt_generator.head"
PATCHES, CLASS = "patch_token_layer.head", "cls_token_layer.head.0"
SIZE = 518
"""Of images, in px."""


def read(state: Mapping[str, Any], backbone: str, levels: int, depth: int) -> PublishedDetector:
    """What a checkpoint is here.

    Args:
        state: content of the file.
        backbone: of the paper.
        levels: whose patches the authors read.
        depth: of prompts, where no static ones tell it.

    Raises:
        ImportRefused: names or shapes are not those of the authors' code.
    """
    everything = {name.removeprefix(PREFIX): tensor for name, tensor in tensor_set(state).items()}
    sides = [side for side in (VISUAL, TEXT) if f"{side}.0" in everything]
    dynamic = f"{DYNAMIC_VISUAL}.0.weight" in everything
    if not sides and not dynamic:
        raise ImportRefused(
            "a checkpoint of AdaCLIP has static or dynamic prompts", ", ".join([*everything][:3]), REMEDY
        )
    length = size(everything, f"{sides[0]}.0", 0) if sides else numbered(everything, f"{DYNAMIC_VISUAL}.{{}}.weight")
    depth = numbered(everything, f"{sides[0]}.{{}}") if sides else depth
    # Static prompts are all that tells which towers have prompts; the generators are there for both.
    used = {side for side in (VISUAL, TEXT) if side in sides or not sides}
    embed, width = (size(everything, f"{PATCHES}.0.weight", axis) for axis in (0, 1))
    text_width = size(everything, f"{CLASS}.weight", 0)
    widths = {VISUAL: width, TEXT: text_width}
    shapes: dict[str, tuple[int, ...]] = {f"{side}.{n}": (length, widths[side]) for side in sides for n in range(depth)}
    for generator, outputs in ((DYNAMIC_VISUAL, width), (DYNAMIC_TEXT, text_width)):
        shapes |= _linear([f"{generator}.{n}" for n in range(length)], embed, outputs) if dynamic else {}
    shapes |= _linear([f"{PATCHES}.{level}" for level in range(levels)], width, embed) | _linear([CLASS], embed, embed)
    found = checked(everything, shapes)
    tensors = _layers(found, levels)
    for side, generator, ours in ((VISUAL, DYNAMIC_VISUAL, "visual_prompts"), (TEXT, DYNAMIC_TEXT, "text_prompts")):
        if side not in used:
            continue
        if side in sides:
            # The first static prompt of the text tower is never used, since words enter its first block unchanged.
            first = 0 if side == VISUAL else 1
            tensors |= {f"{ours}.static.{n - first}": found[f"{side}.{n}"] for n in range(first, depth)}
        if dynamic:
            for kind in ("weight", "bias"):
                parts = [found[f"{generator}.{n}.{kind}"] for n in range(length)]
                tensors[f"{ours}.dynamic.{kind}"] = torch.cat(parts)
    branches = "both" if len(used) == 2 else "vision" if VISUAL in used else "text"
    prompts = "both" if sides and dynamic else "static" if sides else "dynamic"
    options = {"prompt_length": length, "prompt_depth": depth, "prompts": prompts, "branches": branches}
    return PublishedDetector(options, tensors, backbone, SIZE, "gelu", "bicubic")


def _linear(layers: list[str], inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{layer}.{kind}": (outputs, inputs)[: 2 if kind == "weight" else 1]
        for layer in layers
        for kind in ("weight", "bias")
    }


def _layers(found: Mapping[str, Tensor], levels: int) -> dict[str, Tensor]:
    """The layers of patches and class token under our names."""
    names = {f"{PATCHES}.{level}": f"patch_layers.{level}" for level in range(levels)} | {CLASS: "class_layer"}
    return {
        f"{ours}.{kind}": found[f"{theirs}.{kind}"] for theirs, ours in names.items() for kind in ("weight", "bias")
    }
