"""The authors' checkpoints of MVFA-AD: what ``train_zero.py`` and ``train_few.py`` save (commit a30bf7b).

    {"seg_adapters", "det_adapters"}: fc1 and fc2 of each level, without biases

The second layers of the last level are saved too, and read by nothing.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from zsad.errors import ImportRefused
from zsad.methods._published import REMEDY, PublishedDetector, checked, numbered, size, tensor_set

PARTS = {"seg_adapters": "segment", "det_adapters": "detect"}
IMAGE_SIZE = 240


def read(state: Mapping[str, Any], levels: int) -> PublishedDetector:
    """The detector of a checkpoint.

    Args:
        state: content of the file.
        levels: that the authors' code has.

    Raises:
        ImportRefused: names or shapes are not those of the authors' code.
    """
    tensors: dict[str, Tensor] = {}
    first = tensor_set(state, "seg_adapters")
    embed, width = size(first, "0.fc1.0.weight", 0), size(first, "0.fc1.0.weight", 1)
    for entry, ours in PARTS.items():
        adapters = tensor_set(state, entry)
        if (count := numbered(adapters, "{}.fc1.0.weight")) != levels:
            rule = f"{entry} of a checkpoint of MVFA-AD are {levels}, one for each level that the authors read"
            raise ImportRefused(rule, count, REMEDY)
        shapes = {"fc1": ("down", (embed, width)), "fc2": ("up", (width, embed))}
        expected = {
            f"{level}.{theirs}.0.weight": shape for level in range(levels) for theirs, (_, shape) in shapes.items()
        }
        found = checked(adapters, expected)
        del found[f"{levels - 1}.fc2.0.weight"]
        for name, tensor in found.items():
            level, layer, *_ = name.split(".")
            tensors[f"adapters.{level}.{ours}.{shapes[layer][0]}.weight"] = tensor
    return PublishedDetector({}, tensors, "ViT-L-14-336", IMAGE_SIZE, "gelu")
