"""The authors' checkpoints of AnomalyCLIP: names and shapes that their training saves (commit 45ed4dd, ``train.py``).

    {"prompt_learner": ctx_pos, ctx_neg [1, 1, 12, 768], compound_prompts_text.0-7 [4, 768], and what follows from CLIP}

Which levels they were trained with is not in the file: 24 alone, as in the authors' scripts. Files from before they
mended the levels (2025) gave four equal maps, so that 24 alone ranks as they did.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from zsad.errors import ImportRefused
from zsad.methods._published import PublishedDetector, checked, numbered, size, tensor_set

ENTRY = "prompt_learner"
DEEP = "compound_prompts_text.{}"
UNUSED = (
    r"token_(prefix|suffix)_(pos|neg)",
    r"tokenized_prompts_(pos|neg)",
    r"compound_prompt_projections\.\d+\.(weight|bias)",
)
"""Embeddings and ids of the fixed words, which are CLIP's, and projections that no forward pass of theirs applies."""
IMAGE_SIZE = 518


def read(state: Mapping[str, Any]) -> PublishedDetector:
    """The detector of a checkpoint.

    Raises:
        ImportRefused: names or shapes are not those of the authors' code.
    """
    tensors = tensor_set(state, ENTRY)
    length, width = size(tensors, "ctx_pos", 2), size(tensors, "ctx_pos", -1)
    layers = numbered(tensors, DEEP) if DEEP.format(0) in tensors else 0
    deep_length = size(tensors, DEEP.format(0), 0) if layers else 1
    context, names = (1, 1, length, width), [DEEP.format(layer) for layer in range(layers)]
    shapes: dict[str, tuple[int, ...]] = {"ctx_pos": context, "ctx_neg": context}
    found = checked(tensors, shapes | dict.fromkeys(names, (deep_length, width)), UNUSED)
    if deep_length > length:
        rule = "deep prompts replace learned vectors of the input"
        raise ImportRefused(rule, f"{deep_length} of {length}", "name the file that the authors' training saved")
    ours: dict[str, Tensor] = {"prompts.contexts": torch.cat([found["ctx_pos"][0], found["ctx_neg"][0]])}
    ours |= {f"prompts.deep.{layer}": found[name] for layer, name in enumerate(names)}
    options = {"prompt_length": length, "prompt_depth": layers + 1, "deep_length": deep_length}
    return PublishedDetector(options, ours, "ViT-L-14-336", IMAGE_SIZE, "quick_gelu", "bilinear")
