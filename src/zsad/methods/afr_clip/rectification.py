"""Cross-modal feature rectification: each patch bends the words for the thing towards a state of the thing."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class Rectification(nn.Module):
    """CMFR of AFR-CLIP (Yuan et al. 2025), equations 3-6.

    The convolutions over pairs of a patch and the text are 1×1, that is linear layers on every patch. The text is the
    same at every patch of an image, so its half of the first one is computed once an image and the pairs are never
    laid out. Of the two maps that equation 5 splits, only the visual M_v is read by equation 6; the rows that would
    make the other, M_t, do not exist here.

    All layers start as PyTorch starts them: M_v begins not at 0 but as one random gate for each channel, of about 0.3,
    nearly the same at all tokens.

    Args:
        embed: length of a feature, visual or textual.
    """

    def __init__(self, embed: int) -> None:
        super().__init__()
        self.first = nn.Linear(2 * embed, embed)
        self.second = nn.Linear(embed, 2 * embed)
        self.last = nn.Linear(2 * embed, embed)

    def forward(
        self, visual: Float[Tensor, "batch cells embed"], text: Float[Tensor, "batch embed"]
    ) -> Float[Tensor, "batch cells embed"]:
        """The text as each patch rectifies it: F_t + F_v ⊙ M_v (equation 6)."""
        return torch.addcmul(text[:, None], visual, self.weights(visual, text))

    def weights(
        self, visual: Float[Tensor, "batch cells embed"], text: Float[Tensor, "batch embed"]
    ) -> Float[Tensor, "batch cells embed"]:
        """M_v, unbounded, for the linear layer comes after the sigmoid (equations 3-5)."""
        of_visual, of_text = self.first.weight.chunk(2, dim=1)
        mixed = F.linear(visual, of_visual) + F.linear(text, of_text, self.first.bias)[:, None]
        return self.last(self.second(mixed.relu()).sigmoid())
