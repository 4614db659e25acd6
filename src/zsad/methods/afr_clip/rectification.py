"""Cross-modal feature rectification: each patch moves the stateless text feature towards a state."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class Rectification(nn.Module):
    """CMFR of AFR-CLIP (Yuan et al. 2025), equations 3-6.

    The convolutions over pairs of a patch and the text are 1×1, that is linear layers on every patch. The text is the
    same at every patch of an image, so its half of the first layer is computed once per image and the pairs are never
    formed. Of the two maps that equation 5 splits, only the visual M_v is used by equation 6; the rows of
    the other, M_t, are omitted.

    All layers have PyTorch's default initialisation: M_v starts not at 0 but as one random gate per channel, of about
    0.3, nearly the same at all tokens.

    Args:
        embed: width of visual and text features.
    """

    def __init__(self, embed: int) -> None:
        super().__init__()
        self.first = nn.Linear(2 * embed, embed)
        self.second = nn.Linear(embed, 2 * embed)
        self.last = nn.Linear(2 * embed, embed)

    def forward(
        self, visual: Float[Tensor, "batch cells embed"], text: Float[Tensor, "batch embed"]
    ) -> Float[Tensor, "batch cells embed"]:
        """The text rectified by each patch: F_t + F_v ⊙ M_v (equation 6)."""
        return torch.addcmul(text[:, None], visual, self.weights(visual, text))

    def weights(
        self, visual: Float[Tensor, "batch cells embed"], text: Float[Tensor, "batch embed"]
    ) -> Float[Tensor, "batch cells embed"]:
        """M_v, unbounded, since the linear layer comes after the sigmoid (equations 3-5)."""
        of_visual, of_text = self.first.weight.chunk(2, dim=1)
        mixed = F.linear(visual, of_visual) + F.linear(text, of_text, self.first.bias)[:, None]
        return self.last(self.second(mixed.relu()).sigmoid())
