"""Checkpoints of AA-CLIP's authors: the adapters of each tower, in a file of its own."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from zsad.errors import ImportRefused
from zsad.methods._published import REMEDY, PublishedDetector, checked, numbered, size, tensor_set

SIZE = 518
"""Of images, in px."""
WITH_RELU, LINEAR = "fc.0.weight", "fc.weight"
"""Name of a layer that a LeakyReLU follows, and of one alone."""


def read(state: Mapping[str, Any], backbone: str, levels: int) -> PublishedDetector:
    """What a checkpoint is here.

    Args:
        state: the entries of both files.
        backbone: of the paper.
        levels: whose patches the authors read.

    Raises:
        ImportRefused: names or shapes are not those of the authors' code.
    """
    text, image = tensor_set(state, "text_adapter"), tensor_set(state, "image_adapter")
    text_blocks = numbered(text, f"{{}}.{WITH_RELU}") - 1
    image_blocks = numbered(image, f"layer_adapters.{{}}.{WITH_RELU}")
    relu = f"det_proj.{WITH_RELU}" in image
    layer = WITH_RELU if relu else LINEAR
    found_levels = numbered(image, f"seg_proj.{{}}.{layer}")
    if found_levels != levels or text_blocks < 1:
        rule = f"a checkpoint of AA-CLIP has {levels} layers seg_proj, and text adapters before the projection"
        raise ImportRefused(rule, f"{found_levels}, and {text_blocks}", REMEDY)
    text_width, width = size(text, f"0.{WITH_RELU}", 1), size(image, f"layer_adapters.0.{WITH_RELU}", 1)
    embed = size(text, f"{text_blocks}.{WITH_RELU}", 0)

    # Their names and ours, with shapes.
    of_text = {f"{n}.{WITH_RELU}": (f"text_adapters.{n}.update", text_width) for n in range(text_blocks)}
    of_text[f"{text_blocks}.{WITH_RELU}"] = "text_projection", embed
    of_image = {f"layer_adapters.{n}.{WITH_RELU}": (f"image_adapters.{n}.update", width) for n in range(image_blocks)}
    of_image |= {f"seg_proj.{level}.{layer}": (f"segment.{level}", embed) for level in range(levels)}
    of_image[f"det_proj.{layer}"] = "detect", embed

    tensors: dict[str, Tensor] = {}
    for part, names, inputs in ((text, of_text, text_width), (image, of_image, width)):
        found = checked(part, {theirs: (outputs, inputs) for theirs, (_, outputs) in names.items()})
        tensors |= {f"{ours}.linear.weight": found[theirs] for theirs, (ours, _) in names.items()}
    options = {"text_blocks": text_blocks, "image_blocks": image_blocks, "relu": relu}
    return PublishedDetector(options, tensors, backbone, SIZE, "gelu")
