"""WinCLIP: windows of patches, each scored as a small image of its own; WinCLIP+ with a few normal images.

Jeong et al., "WinCLIP: Zero-/Few-Shot Anomaly Classification and Segmentation", CVPR 2023. No official code was
published; what was decided is in ``docs/methods.md`` and, of WinCLIP+, in ``docs/methods/few-shot.md``.

    images -> embedding -> tokens [batch, 1 + rows·cols, width]
    every k×k window (k = 2, 3; stride 1) -> class token + its k² tokens -> tower -> class token -> P(anomalous)
    cell   = harmonic mean of the windows that cover it, one map per scale
    map    = harmonic mean over {scales, whole image}
    score  = P(anomalous) of the whole image

    few-shot: features F of the windows of each scale and of the patches, and those R of normal images
    M      = min over R of (1 - cos(F, R)) / 2, that of windows brought to cells as above; mean over scales and patches
    map    = (map of the text + M) / 2, score = (score by the text + max M) / 2

The windows of a scale are one batch through the tower, not one pass per window.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsad.backbones.clip import Clip
from zsad.backbones.transformer import l2_normalize
from zsad.errors import ConfigError
from zsad.methods._base import Config, Paper, check_temperature
from zsad.methods._few_shot import FewShot
from zsad.parts.prompts import ANOMALOUS_STATES, NORMAL_STATES, TEMPLATES, compose
from zsad.parts.similarity import anomaly_probability, class_states
from zsad.references import PatchFeatures, nearest_cosine
from zsad.types import Evidence, Size

MAX_TOKENS = 16384
"""Maximum number of window tokens per pass through the tower; only limits memory."""


@dataclass(frozen=True)
class WinClipConfig(Config):
    """Constants of the paper.

    Attributes:
        scales: window sides in patches.
        temperature: τ of the softmax.
        patch_reference: whether patches are compared with those of normal images, beside windows; true in the paper.
        patch_features: ``"last"``, outputs of the last block (reimplementations); or ``"projected"`` into the joint
            space.
        reference_average: mean over the windows that cover a cell of their distances from normal images:
            ``"harmonic"`` as for the text (published reimplementations), or ``"arithmetic"``.
        few_shot_score: with normal images, the score of an image: the ``"mean"`` of P(anomalous) and the greatest
            distance (the paper), or one of them alone: ``"text"``, ``"reference"``.
    """

    sigma: float = 0.0
    scales: tuple[int, ...] = (2, 3)
    temperature: float = 0.07
    patch_reference: bool = True
    patch_features: Literal["last", "projected"] = "last"
    reference_average: Literal["harmonic", "arithmetic"] = "harmonic"
    few_shot_score: Literal["mean", "text", "reference"] = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_temperature(self.temperature)
        if not self.scales or min(self.scales) < 1:
            raise ConfigError("WinCLIP has at least one window of at least 1 patch", self.scales, "for instance (2, 3)")


class WinClip(FewShot):
    """WinCLIP with 7 normal and 4 anomalous states in 22 templates; WinCLIP+ once it remembers normal images."""

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
        config, embed = config or WinClipConfig(), clip.config.embed
        patches = (clip.config.vision.width if config.patch_features == "last" else embed,)
        super().__init__(clip, config, widths=(embed,) * len(config.scales) + patches * config.patch_reference)

    def forward(self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]) -> Evidence:
        states = class_states(self.clip, class_names, len(images), self.prompts, len(TEMPLATES))
        tokens, grid = self.clip.vision.embed(images)
        last, whole = self._encode(tokens, grid)
        score = self._probability(whole, states)
        maps, features = [score[:, None, None].expand(-1, *grid)], []
        for side in self.config.scales:
            windows = window_tokens(grid, side).to(tokens.device)
            chunks = list(self._windows(tokens, windows))
            scores = torch.cat([self._window_scores(chunk, states) for chunk in chunks], 1)
            maps.append(harmonic_aggregate(scores, windows, grid))
            features.append(torch.cat(chunks, 1))
        fused = 1 / torch.stack([1 / scale for scale in maps], 1).mean(1, keepdim=True)
        if not self.is_few_shot:
            return Evidence(maps=fused, score=score)
        distances = self._distances(self._streams(features, last, grid))
        joined = {"text": score, "reference": distances.amax((1, 2))}
        joined["mean"] = (joined["text"] + joined["reference"]) / 2
        return Evidence(maps=(fused + distances[:, None]) / 2, score=joined[self.config.few_shot_score])

    def prompts(self, class_name: str) -> tuple[list[str], list[str]]:
        """The normal and the anomalous prompts of a class."""
        return compose(NORMAL_STATES, TEMPLATES, class_name), compose(ANOMALOUS_STATES, TEMPLATES, class_name)

    def reference_features(self, images: Float[Tensor, "batch 3 rows cols"]) -> PatchFeatures:
        """For each cell the window of each scale that begins there, and its patch.

        Cells beyond the last window of a row or column have that window once more, which changes no minimum.
        """
        tokens, grid = self.clip.vision.embed(images)
        last, _ = self._encode(tokens, grid)
        windows = (window_tokens(grid, side).to(tokens.device) for side in self.config.scales)
        features = [torch.cat([*self._windows(tokens, of_scale)], 1) for of_scale in windows]
        return self._streams(features, last, grid)

    def _streams(
        self,
        windows: Sequence[Float[Tensor, "batch _ embed"]],
        last: Float[Tensor, "batch tokens width"],
        grid: Size,
    ) -> PatchFeatures:
        streams = [
            features[:, window_of_cell(grid, side).to(features.device)]
            for side, features in zip(self.config.scales, windows, strict=True)
        ]
        if self.config.patch_reference:
            patches = last[:, 1:]
            streams.append(patches if self.config.patch_features == "last" else self.clip.vision.project(patches))
        return PatchFeatures(tuple(l2_normalize(stream.float()) for stream in streams), grid)

    def _distances(self, features: PatchFeatures) -> Float[Tensor, "batch rows cols"]:
        """Mean of M over scales and patches."""
        streams = ((1 - nearest_cosine(features, self.bank)) / 2).clamp(0, 1)
        scales, grid = self.config.scales, features.grid
        maps = [patches.unflatten(1, grid) for patches in streams[len(scales) :]]
        aggregate = harmonic_aggregate if self.config.reference_average == "harmonic" else arithmetic_aggregate
        for side, stream in zip(scales, streams[: len(scales)], strict=True):
            windows = window_tokens(grid, side).to(stream.device)
            maps.append(aggregate(stream[:, windows[:, 1] - 1], windows, grid))  # at the first cell of each window
        return torch.stack(maps).mean(0)

    def _windows(
        self, tokens: Float[Tensor, "batch tokens width"], windows: Int[Tensor, "windows window_tokens"]
    ) -> Iterator[Float[Tensor, "batch chunk embed"]]:
        """Features of every window, in as few passes as memory allows."""
        at_once = max(1, MAX_TOKENS // (windows.shape[1] * len(tokens)))
        for chunk in windows.split(at_once):
            features = self._encode(tokens[:, chunk].flatten(0, 1), (1, windows.shape[1] - 1))[1]
            yield features.unflatten(0, (-1, len(chunk)))

    def _encode(
        self, tokens: Float[Tensor, "batch tokens width"], grid: Size
    ) -> tuple[Float[Tensor, "batch tokens width"], Float[Tensor, "batch embed"]]:
        """Outputs of the last block, and the class token in the joint space."""
        last = self.clip.vision.run(tokens, grid).last
        return last, self.clip.vision.project(last[:, 0])

    def _window_scores(
        self, features: Float[Tensor, "batch chunk embed"], states: Float[Tensor, "batch 2 embed"]
    ) -> Float[Tensor, "batch chunk"]:
        of_each = states.repeat_interleave(features.shape[1], 0)
        return self._probability(features.flatten(0, 1), of_each).unflatten(0, features.shape[:2])

    def _probability(
        self, features: Float[Tensor, "batch embed"], states: Float[Tensor, "batch 2 embed"]
    ) -> Float[Tensor, "batch"]:
        return anomaly_probability(features, states, self.config.temperature)


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


def window_of_cell(grid: Size, side: int) -> Int[Tensor, "cells"]:
    """For each cell the number, in :func:`window_tokens`, of the window that begins there, or of the last before it.

    >>> window_of_cell((2, 3), 2)
    tensor([0, 1, 1, 0, 1, 1])
    """
    rows, cols = (length - min(side, length) + 1 for length in grid)
    row, col = torch.arange(grid[0]).clamp_max(rows - 1), torch.arange(grid[1]).clamp_max(cols - 1)
    return (row[:, None] * cols + col).flatten()


def harmonic_aggregate(
    scores: Float[Tensor, "batch windows"], windows: Int[Tensor, "windows tokens"], grid: Size
) -> Float[Tensor, "batch rows cols"]:
    """The harmonic mean of the scores of all windows that cover a cell (WinCLIP, Jeong et al. 2023)."""
    total, count = _sums_and_counts(1 / scores, windows, grid)
    return (count / total).unflatten(1, grid)


def arithmetic_aggregate(
    scores: Float[Tensor, "batch windows"], windows: Int[Tensor, "windows tokens"], grid: Size
) -> Float[Tensor, "batch rows cols"]:
    """The mean of the scores of all windows that cover a cell."""
    total, count = _sums_and_counts(scores, windows, grid)
    return (total / count).unflatten(1, grid)


def _sums_and_counts(
    values: Float[Tensor, "batch windows"], windows: Int[Tensor, "windows tokens"], grid: Size
) -> tuple[Float[Tensor, "batch cells"], Float[Tensor, "cells"]]:
    """Sum over, and number of, the windows that cover each cell."""
    members = windows[:, 1:] - 1
    cells = members.flatten().to(values.device)
    spread = values.repeat_interleave(members.shape[1], 1)
    total = spread.new_zeros(len(values), grid[0] * grid[1]).index_add_(1, cells, spread)
    count = spread.new_zeros(grid[0] * grid[1]).index_add_(0, cells, torch.ones_like(spread[0]))
    return total, count
