"""Bi-CMCI: patches and texts that attend to each other (KAnoCLIP, Li et al. 2025, section 2.4).

Self-attention of the texts, deformable self-attention of the patches, cross-attention in both directions, and an MLP
for each, in the order of Grounding DINO's feature enhancer (Liu et al. 2023); why is in ``docs/methods/kanoclip.md``.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zsad.methods.kanoclip.deformable_attention import CrossAttention, DeformableAttention
from zsad.types import Size

EXPANSION = 4
"""Ratio of the hidden width of the MLPs."""


class BiCmci(nn.Module):
    """One stage of the cross-modal interaction, in a space of its own.

    Args:
        vision_width: of the patch tokens.
        embed: of the text features.
        hidden: width of the space that both are projected to.
        heads: of every attention.
        groups: of channels in the deformable attention.
        stride: of its samples.
        start: initial LayerScale of every residual branch.
    """

    def __init__(
        self, vision_width: int, embed: int, hidden: int, heads: int, groups: int, stride: int, start: float
    ) -> None:
        super().__init__()
        self.read_patches = nn.Sequential(nn.LayerNorm(vision_width), nn.Linear(vision_width, hidden))
        self.read_states = nn.Sequential(nn.LayerNorm(embed), nn.Linear(embed, hidden))
        self.patches_themselves = Residual(DeformableAttention(hidden, heads, groups, stride), hidden, start)
        self.states_themselves = Residual(CrossAttention(hidden, heads), hidden, start)
        self.each_other = BiCrossAttention(hidden, heads, start)
        self.patches_mlp = Residual(_mlp(hidden), hidden, start)
        self.states_mlp = Residual(_mlp(hidden), hidden, start)

    def forward(
        self, patches: Float[Tensor, "batch cells width"], states: Float[Tensor, "batch 2 embed"], grid: Size
    ) -> tuple[Float[Tensor, "batch cells hidden"], Float[Tensor, "batch 2 hidden"]]:
        """Patches after attention to the texts, and texts after attention to the patches."""
        visual = self.patches_themselves(self.read_patches(patches), grid)
        text = self.states_themselves(self.read_states(states))
        visual, text = self.each_other(visual, text)
        return self.patches_mlp(visual), self.states_mlp(text)


class BiCrossAttention(nn.Module):
    """Text-to-visual and visual-to-text cross-attention; both attend to the other before its update."""

    def __init__(self, width: int, heads: int, start: float) -> None:
        super().__init__()
        self.norm_visual, self.norm_text = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_visual, self.to_text = CrossAttention(width, heads), CrossAttention(width, heads)
        self.scale_visual, self.scale_text = (nn.Parameter(torch.full((width,), start)) for _ in range(2))

    def forward(
        self, visual: Float[Tensor, "batch cells width"], text: Float[Tensor, "batch texts width"]
    ) -> tuple[Float[Tensor, "batch cells width"], Float[Tensor, "batch texts width"]]:
        normed_visual, normed_text = self.norm_visual(visual), self.norm_text(text)
        visual = visual + self.scale_visual * self.to_visual(normed_visual, normed_text)
        return visual, text + self.scale_text * self.to_text(normed_text, normed_visual)


class Residual(nn.Module):
    """x + scale · branch(norm(x)), with a scale for each channel (LayerScale, Touvron et al. 2021)."""

    def __init__(self, branch: Callable[..., Tensor], width: int, start: float) -> None:
        super().__init__()
        self.norm, self.branch = nn.LayerNorm(width), branch
        self.scale = nn.Parameter(torch.full((width,), start))

    def forward(self, x: Float[Tensor, "batch tokens width"], *context: Size) -> Float[Tensor, "batch tokens width"]:
        return x + self.scale * self.branch(self.norm(x), *context)


def _mlp(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, EXPANSION * width), nn.GELU(), nn.Linear(EXPANSION * width, width))
