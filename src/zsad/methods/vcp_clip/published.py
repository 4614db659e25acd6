"""Checkpoints of VCP-CLIP's authors: three sets of tensors, and beside them the deep prompts of their text tower."""

from collections.abc import Mapping
from typing import Any

from zsad.methods._published import PublishedDetector, checked, linear_levels, size, tensor_set

SIZE = 518
"""Of images, in px."""
UNUSED = ("prompt_text_projection",)
"""A parameter that the authors' code makes and saves, and does not use."""
ATTENTION = {"q_proj_pre": "query", "k_proj_pre_1": "key", "v_proj_pre_1": "value", "proj_post_t": "out"}


def read(state: Mapping[str, Any], backbone: str, levels: int) -> PublishedDetector:
    """What a checkpoint is here.

    Args:
        state: content of the file.
        backbone: of the paper.
        levels: whose patches the authors read.

    Raises:
        ImportRefused: names or shapes are not those of the authors' code.
    """
    layers = tensor_set(state, "trainable_linearlayer")
    tensors, (embed, width) = linear_levels(layers, levels, "VCP-CLIP", "patch_layers.")
    context, attention, deep = tensor_set(state, "New_Lan_Embed"), tensor_set(state, "Zero_try"), tensor_set(state)
    length, text_width = (size(context, "prompt_query", axis) for axis in (1, 2))
    found = checked(
        context,
        {
            "prompt_query": (1, length, text_width),
            "prompt_linear1.fc.weight": (length, 1, 3),
            "prompt_linear1.fc.bias": (length,),
            "prompt_temp": (),
        },
    )
    tensors |= {
        "prompts.queries": found["prompt_query"][0],
        "prompts.context.weight": found["prompt_linear1.fc.weight"],
        "prompts.context.bias": found["prompt_linear1.fc.bias"],
        "raw_log_scale": found["prompt_temp"],
    }
    shapes: dict[str, tuple[int, ...]] = {"prompt_temp_l1": ()}
    for theirs in ATTENTION:
        inputs = embed if theirs == "q_proj_pre" else width
        shapes |= {f"{theirs}.weight": (width, inputs, 1), f"{theirs}.bias": (width,)}
    found = checked(attention, shapes)
    tensors["refined_log_scale"] = found["prompt_temp_l1"]
    for theirs, ours in ATTENTION.items():
        tensors[f"attention.{ours}.weight"] = found[f"{theirs}.weight"][..., 0]
        tensors[f"attention.{ours}.bias"] = found[f"{theirs}.bias"]
    blocks, deep_length = (size(deep, "deep_prompt_embeddings", axis) for axis in (0, 1))
    found = checked(
        deep,
        {
            "prompt_embeddings": (1, deep_length, text_width),
            "deep_prompt_embeddings": (blocks, deep_length, text_width),
            "prompt_proj.weight": (text_width, text_width),
            "prompt_proj.bias": (text_width,),
            "prompt_norm.weight": (text_width,),
            "prompt_norm.bias": (text_width,),
        },
        UNUSED,
    )
    prompts = [found["prompt_embeddings"][0], *found["deep_prompt_embeddings"]]
    tensors |= {f"prompts.deep.{block}": vectors for block, vectors in enumerate(prompts)}
    for part, ours in (("prompt_proj", "project"), ("prompt_norm", "norm")):
        tensors |= {f"prompts.{ours}.{kind}": found[f"{part}.{kind}"] for kind in ("weight", "bias")}
    options = {"prompt_length": length, "deep_length": deep_length, "deep_layers": blocks}
    return PublishedDetector(options, tensors, backbone, SIZE, "gelu")
