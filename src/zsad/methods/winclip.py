"""WinCLIP: windows of patches, each scored as a small image of its own.

Jeong et al., "WinCLIP: Zero-/Few-Shot Anomaly Classification and Segmentation", CVPR 2023 (zero-shot part). No official
code was published; what was decided is in ``docs/methods.md``.

    images -> embedding -> tokens [batch, 1 + rows·cols, width]
    every k×k window (k = 2, 3; stride 1) -> class token + its k² tokens -> tower -> class token -> P(anomalous)
    cell   = harmonic mean of the windows that cover it, one map per scale
    map    = harmonic mean over {scales, whole image}
    score  = P(anomalous) of the whole image

The windows of a scale are one batch through the tower, not one pass per window.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsad.backbones.clip import Clip
from zsad.errors import ConfigError
from zsad.methods._base import Config, Method, Paper, check_temperature
from zsad.parts.prompts import ANOMALOUS_STATES, NORMAL_STATES, TEMPLATES, compose
from zsad.parts.similarity import anomaly_probability, class_states
from zsad.types import Evidence, Size

MAX_TOKENS = 16384
"""Maximum number of window tokens per pass through the tower; only limits memory."""


@dataclass(frozen=True)
class WinClipConfig(Config):
    """Constants of the paper.

    Attributes:
        scales: window sides in patches.
        temperature: τ of the softmax.
    """

    sigma: float = 0.0
    scales: tuple[int, ...] = (2, 3)
    temperature: float = 0.07

    def __post_init__(self) -> None:
        super().__post_init__()
        check_temperature(self.temperature)
        if not self.scales or min(self.scales) < 1:
            raise ConfigError("WinCLIP has at least one window of at least 1 patch", self.scales, "for instance (2, 3)")


class WinClip(Method):
    """Zero-shot WinCLIP with 7 normal and 4 anomalous states in 22 templates."""

    paper = Paper(
        title="WinCLIP: Zero-/Few-Shot Anomaly Classification and Segmentation",
        authors="J. Jeong et al.",
        venue="CVPR",
        year=2023,
        url="https://arxiv.org/abs/2303.14814",
    )
    config_type = WinClipConfig
    paper_backbone = "ViT-B-16-plus-240"

    def __init__(self, clip: Clip, config: WinClipConfig | None = None) -> None:
        self.config: WinClipConfig
        super().__init__(clip, config or WinClipConfig())

    def forward(self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]) -> Evidence:
        states = class_states(self.clip, class_names, len(images), self.prompts, len(TEMPLATES))
        tokens, grid = self.clip.vision.embed(images)
        score = self._probability(tokens, grid, states)
        maps = [score[:, None, None].expand(-1, *grid)]
        for side in self.config.scales:
            windows = window_tokens(grid, side).to(tokens.device)
            maps.append(harmonic_aggregate(self._windows(tokens, windows, states), windows, grid))
        fused = 1 / torch.stack([1 / scale for scale in maps], 1).mean(1, keepdim=True)
        return Evidence(maps=fused, score=score)

    def prompts(self, class_name: str) -> tuple[list[str], list[str]]:
        """The normal and the anomalous prompts of a class."""
        return compose(NORMAL_STATES, TEMPLATES, class_name), compose(ANOMALOUS_STATES, TEMPLATES, class_name)

    def _windows(
        self,
        tokens: Float[Tensor, "batch tokens width"],
        windows: Int[Tensor, "windows window_tokens"],
        states: Float[Tensor, "batch 2 embed"],
    ) -> Float[Tensor, "batch windows"]:
        """P(anomalous) of every window, in as few passes as memory allows."""
        at_once = max(1, MAX_TOKENS // (windows.shape[1] * len(tokens)))
        scores = []
        for chunk in windows.split(at_once):
            chosen = tokens[:, chunk].flatten(0, 1)
            grid = (1, windows.shape[1] - 1)
            scores.append(
                self._probability(chosen, grid, states.repeat_interleave(len(chunk), 0)).unflatten(0, (-1, len(chunk)))
            )
        return torch.cat(scores, 1)

    def _probability(
        self, tokens: Float[Tensor, "batch tokens width"], grid: tuple[int, int], states: Float[Tensor, "batch 2 embed"]
    ) -> Float[Tensor, "batch"]:
        trace = self.clip.vision.run(tokens, grid)
        return anomaly_probability(self.clip.vision.project(trace.last[:, 0]), states, self.config.temperature)


def window_tokens(grid: Size, side: int) -> Int[Tensor, "windows tokens"]:
    """Token indices of every side×side window at stride 1, each preceded by the class token (index 0).

    Windows are limited to the grid.

    >>> window_tokens((2, 3), 2)
    tensor([[0, 1, 2, 4, 5],
            [0, 2, 3, 5, 6]])
    """
    rows, cols = grid
    height, width = min(side, rows), min(side, cols)
    cells = torch.arange(1, rows * cols + 1).reshape(rows, cols)
    windows = cells.unfold(0, height, 1).unfold(1, width, 1).reshape(-1, height * width)
    return torch.cat([torch.zeros(len(windows), 1, dtype=torch.long), windows], 1)


def harmonic_aggregate(
    scores: Float[Tensor, "batch windows"], windows: Int[Tensor, "windows tokens"], grid: Size
) -> Float[Tensor, "batch rows cols"]:
    """The harmonic mean of the scores of all windows that cover a cell (WinCLIP, Jeong et al. 2023)."""
    members = windows[:, 1:] - 1
    cells = members.flatten().to(scores.device)
    inverse = (1 / scores).repeat_interleave(members.shape[1], 1)
    total = inverse.new_zeros(len(scores), grid[0] * grid[1]).index_add_(1, cells, inverse)
    count = inverse.new_zeros(grid[0] * grid[1]).index_add_(0, cells, torch.ones_like(inverse[0]))
    return (count / total).unflatten(1, grid)
