"""Methods with a few-shot mode: a memory bank of the patches of a few normal images."""

from abc import abstractmethod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zsad.backbones.clip import Clip
from zsad.backbones.transformer import l2_normalize
from zsad.methods._base import Config, Method

MAX_SIMILARITIES = 2**26
"""Cosine similarities that are computed at once, to bound memory; results do not depend on it."""


class FewShot(Method):
    """A method with a memory bank of normal patches; while it is empty, the method is zero-shot.

    The memory bank is a buffer: it is saved and loaded with the method, whatever its number of entries.

    Attributes:
        memory: unit vectors of the patches of normal images, at each level that the method compares.
    """

    memory: Float[Tensor, "levels entries width"]

    def __init__(self, clip: Clip, config: Config, *, levels: int, width: int) -> None:
        super().__init__(clip, config)
        self.register_buffer("memory", torch.empty(levels, 0, width))

    @abstractmethod
    def normal_features(self, images: Float[Tensor, "batch 3 rows cols"]) -> Float[Tensor, "batch levels cells width"]:
        """The features of normalised images that the memory bank holds and compares."""

    @property
    def is_few_shot(self) -> bool:
        """Whether the memory bank has entries."""
        return self.memory.shape[1] > 0

    # The memory bank may be used in training as well, and tensors made in inference mode cannot.
    @torch.inference_mode(False)
    @torch.no_grad()
    def fit_normal(self, images: Float[Tensor, "batch 3 rows cols"]) -> None:
        """Add the patches of normal images, resized and normalised, to the memory bank."""
        features = l2_normalize(self.normal_features(images).float()).transpose(0, 1).flatten(1, 2)
        self.memory = torch.cat([self.memory, features.to(self.memory)], 1)

    def forget_normal(self) -> None:
        """Empty the memory bank, for instance between classes."""
        self.memory = self.memory[:, :0]

    def nearest(self, features: Float[Tensor, "batch levels cells width"]) -> Float[Tensor, "batch levels cells"]:
        """Distance of each feature from the most similar entry of the memory bank at its level.

        Returns:
            1 - max(cosine similarity, 0), in [0, 1].
        """
        query, images = l2_normalize(features.float()), features.shape[0]
        at_once = max(1, MAX_SIMILARITIES // (images * query.shape[1] * query.shape[2]))
        greatest = query.new_full(query.shape[:3], -1.0)
        for entries in self.memory.split(at_once, 1):
            cosines = query @ entries.to(query.dtype).mT
            greatest = torch.maximum(greatest, cosines.amax(-1))
        return (1 - greatest).clamp(0, 1)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """As in PyTorch, except that the memory bank is resized to the number of entries in the state."""
        saved = state_dict.get(f"{prefix}memory")
        if isinstance(saved, Tensor) and saved.ndim == 3:
            levels, _, width = self.memory.shape
            self.memory = self.memory.new_empty(levels, saved.shape[1], width)
        super()._load_from_state_dict(state_dict, prefix, *rest)
