"""The Dynamic Fusion Gateway: the image determines the weights of the text levels.

Ma et al., "Architectural Co-Design for Zero-Shot Anomaly Detection", 2025, section 2.2.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

STATES = 2


class Gateway(nn.Module):
    """Text features of all levels, mixed for one visual level by weights predicted from it, equations 4-5.

    Args:
        width: of visual and text features.
        hidden: width of the hidden layer of the MLP.
        groups: levels of the text.
        per_state: an MLP for each state, as in equation 4; otherwise one with the logits of both.
    """

    def __init__(self, width: int, hidden: int, groups: int, *, per_state: bool) -> None:
        super().__init__()
        self.groups = groups
        mlps = STATES if per_state else 1
        self.gates = nn.ModuleList(
            nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, groups * STATES // mlps))
            for _ in range(mlps)
        )

    def forward(
        self, visual: Float[Tensor, "batch cells width"], texts: Float[Tensor, "batch groups 2 width"]
    ) -> Float[Tensor, "batch 2 width"]:
        """T_i^s = Σ_j ω_ij^s T_j^s (equation 5), in fp32 and not normalised."""
        return (self.weights(visual)[..., None] * texts.float()).sum(1)

    def weights(self, visual: Float[Tensor, "batch cells width"]) -> Float[Tensor, "batch groups 2"]:
        """ω, equation 4: for each state, weights of the levels that sum to 1."""
        context = visual.mean(1).to(next(self.parameters()).dtype)
        logits = torch.stack([gate(context).unflatten(1, (self.groups, -1)) for gate in self.gates], -1)
        return logits.flatten(2).float().softmax(1)
