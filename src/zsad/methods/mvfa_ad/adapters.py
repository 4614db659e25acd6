"""The adapters of one level of MVFA-AD, which feed the rest of the tower and are compared with the text."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class Adapter(nn.Module):
    """A bottleneck of the width of the joint space, without biases; LeakyReLU after both layers (code).

    Args:
        width: of the tokens.
        embed: of the joint space.
        returns: whether it has a way back into the tower.
    """

    def __init__(self, width: int, embed: int, *, returns: bool) -> None:
        super().__init__()
        self.down = nn.Linear(width, embed, bias=False)
        self.up = nn.Linear(embed, width, bias=False) if returns else None

    def forward(self, tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens embed"]:
        """The tokens in the joint space."""
        return F.leaky_relu(self.down(tokens))

    def back(self, features: Float[Tensor, "batch tokens embed"]) -> Float[Tensor, "batch tokens width"]:
        """The features at the width of the tower."""
        assert self.up is not None
        return F.leaky_relu(self.up(features))


class LevelAdapters(nn.Module):
    """One adapter for maps and one for the score of the image, at one level of the tower.

    What the last level would give back is read by nothing, so it has no way back.

    Args:
        width: of the tokens.
        embed: of the joint space.
        share: of each adapter in the tokens that the next block gets.
        returns: whether there is a next level.
    """

    def __init__(self, width: int, embed: int, share: float, *, returns: bool) -> None:
        super().__init__()
        self.share = share
        self.segment, self.detect = (Adapter(width, embed, returns=returns) for _ in range(2))

    def forward(
        self, tokens: Float[Tensor, "batch tokens width"]
    ) -> tuple[
        Float[Tensor, "batch tokens width"], Float[Tensor, "batch tokens embed"], Float[Tensor, "batch tokens embed"]
    ]:
        """Tokens for the next block, and those of maps and of the score in the joint space."""
        segment, detect = self.segment(tokens), self.detect(tokens)
        if self.segment.up is None:
            return tokens, segment, detect
        added = self.segment.back(segment) + self.detect.back(detect)
        return torch.add((1 - 2 * self.share) * tokens, added, alpha=self.share), segment, detect
