"""MuSc: the unlabelled images of a folder score one another.

Li et al., "MuSc: Zero-Shot Industrial Anomaly Classification and Segmentation with Mutual Scoring of the Unlabeled
Images", ICLR 2024. No text and no training; transductive: the test images themselves are the references. What was
decided beyond the paper is in ``docs/methods/musc.md``.

    images -> patch tokens of 4 blocks [4][images, width, rows, cols], layer-normalised over (width, rows, cols)
    LNAMD   -> means over 1x1, 3x3 and 5x5 patches, of unit length
    MSM     -> distance of each patch from its nearest patch in each other image; mean of the lowest 30 % of these
    map      = mean over blocks and neighbourhoods [images, 1, rows, cols]
    RsCIN   -> score: maximum of the enlarged map, scaled to [0, 1] over the folder, averaged over the 1, 2 and 3 images
               of the most similar class tokens

Images are compared within groups of bounded size, every n-th image in one group, so that memory does not grow with the
folder. On a hybrid backbone, three stages of its CNN take the place of the blocks. What MuSc cannot judge, one image or
images of several kinds, is given the answer of CLIP-AC, by text, and the explanation says so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zsad.backbones.clip import Clip
from zsad.backbones.transformer import l2_normalize, level_index
from zsad.config import check_within
from zsad.errors import ConfigError, InputError
from zsad.methods._base import Config, Paper
from zsad.methods._transductive import FolderScores, LoadImages, TransductiveMethod, scored_alone
from zsad.methods.clip_ac import ClipAc
from zsad.parts.maps import pixel_maps
from zsad.passes import forward_passes
from zsad.references import (
    FeatureSource,
    RandomProjection,
    has_cnn,
    level_widths,
    mutual_scores,
    similarity_smoothed_scores,
    tower_features,
)
from zsad.references.features import LARGEST_NEIGHBOURHOOD
from zsad.references.statistics import Distance
from zsad.types import Evidence, Size

MAPS_AT_ONCE = 16
"""Maps that are enlarged together for their maximum; bounds memory, changes nothing else."""
OF_ONE_KIND = 0.6
"""Mean cosine between class tokens below which images are hardly of one kind. On the embedded backbone folders of one
kind have 0.67 to 0.93, of two kinds 0.28 to 0.57, and of unrelated photographs 0.33."""
BY_TEXT = "Scored by text alone (clip-ac):"


@dataclass(frozen=True)
class MuScConfig(Config):
    """Constants of the paper and its code.

    Attributes:
        levels: blocks whose patch tokens are compared, counted from 1 as for a tower of 24 blocks.
        neighbourhoods: r, sides of the squares of patches that are averaged; odd.
        share: X, of the other images, those of the lowest distances, which count: the lowest 30 %.
            Rounded up to whole images, so that two images are enough.
        distance: of unit vectors: "euclidean" as the paper, halved to lie in [0, 1], or "cosine".
        neighbours: k of RsCIN: with how many images of the most similar class tokens, itself among them, the score
            of an image is averaged: 1, 2 and 3 for MVTec AD, 1, 8 and 9 for VisA (code). Without any,
            scores are only scaled to [0, 1].
        images_together: images that are compared with one another, at most; a larger folder is divided into groups. The
            published numbers compared all images of a class, up to 201.
        directions: random orthogonal directions to which the tokens of blocks are reduced; None for all of their width,
            as the paper.
        features: "blocks" of the transformer as the paper; "cnn", stages of the CNN of a hybrid backbone; "auto", those
            of the CNN where there is one.
        cnn_directions: as ``directions``, for each stage of the CNN that is wider.
    """

    sigma: float = 0.0
    align_corners: bool = True
    levels: tuple[int, ...] = (6, 12, 18, 24)
    neighbourhoods: tuple[int, ...] = (1, 3, 5)
    share: float = 0.3
    distance: Distance = "euclidean"
    neighbours: tuple[int, ...] = (1, 2, 3)
    images_together: int = 256
    directions: int | None = None
    features: FeatureSource = "auto"
    cnn_directions: int | None = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.levels or not self.neighbourhoods:
            raise ConfigError("MuSc compares at least one block and one neighbourhood", "none", "name some")
        for level in self.levels:
            level_index(level, 24, 24)
        for side in self.neighbourhoods:
            check_within("the side of a neighbourhood in patches", side, 1, LARGEST_NEIGHBOURHOOD)
            if side % 2 == 0:
                raise ConfigError("the side of a neighbourhood is odd", side, f"say {side + 1}")
        check_within("the share of the other images", self.share, 1e-6, 1)
        check_within("the number of images that are compared with one another", self.images_together, 2, 1024)
        for k in self.neighbours:
            check_within("the number of images that a score is averaged over", k, 1, 1024)
        for directions in (self.directions, self.cnn_directions):
            if directions is not None:
                check_within("the number of directions", directions, 1, 1024)


@dataclass
class _Group:
    """Features of images that are compared with one another.

    Attributes:
        indices: of the images in their folder.
        levels: features of their patches; in half precision, which changes distances by 1e-5, where they are reduced.
        class_tokens: unit vectors, batch by batch.
        size: (rows, cols) of the images in px.
    """

    indices: list[int]
    levels: list[Float[Tensor, "images _ rows cols"]]
    class_tokens: list[Float[Tensor, "_ embed"]]
    size: Size

    def preceded_by(self, other: "_Group | None") -> "_Group":
        """Both together."""
        if other is None:
            return self
        levels = [torch.cat(pair) for pair in zip(other.levels, self.levels, strict=True)]
        return _Group(other.indices + self.indices, levels, other.class_tokens + self.class_tokens, self.size)


class MuSc(TransductiveMethod):
    """Mutual scoring of unlabelled images."""

    paper = Paper(
        title="MuSc: Zero-Shot Industrial Anomaly Classification and Segmentation with Mutual Scoring of the Unlabeled "
        "Images",
        authors="X. Li, Z. Huang, F. Xue, Y. Zhou",
        venue="ICLR",
        year=2024,
        url="https://arxiv.org/abs/2401.16753",
    )
    config_type = MuScConfig
    needs_text = False

    def __init__(self, clip: Clip, config: MuScConfig | None = None) -> None:
        self.config: MuScConfig
        super().__init__(clip, config or MuScConfig())
        widths = level_widths(clip.vision, self.config.levels, self.config.features)
        is_cnn = has_cnn(clip.vision, self.config.features)
        directions = self.config.cnn_directions if is_cnn else self.config.directions
        self.held_in = torch.float32 if directions is None else torch.float16
        self.projections = nn.ModuleList(
            nn.Identity() if directions is None or directions >= width else RandomProjection(width, directions, number)
            for number, width in enumerate(widths)
        )

    def scores_folder(self, count: int) -> bool:
        """From two images on."""
        return count >= 2

    def forward(self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]) -> Evidence:
        """Evidence of CLIP-AC: an image alone has no other to be compared with.

        Raises:
            InputError: on a backbone without text.
        """
        if not self.clip.has_text:
            raise _too_few(self.clip.name)
        evidence: Evidence = ClipAc(self.clip)(images, class_names)  # which has no weights of its own
        return evidence

    def explain(self, count: int) -> str:
        """What judges images one by one."""
        return f"{BY_TEXT} MuSc compares at least two images with one another. Give several images of one kind."

    def score_folder(self, load: LoadImages, count: int, class_name: str) -> FolderScores:
        """Maps by the other images of the group, scores by all images of the folder.

        Evidence of CLIP-AC where fewer than two images can be read, or where they are of several kinds and the backbone
        has text.

        Raises:
            InputError: one image alone can be read, on a backbone without text.
        """
        indices: list[int] = []
        maps, peaks, tokens = [], [], []
        for group in self._groups(load, count):
            known = set(indices)
            new = [row for row, index in enumerate(group.indices) if index not in known]
            maps.append(self._maps(group)[new].cpu())
            peaks.append(self._peaks(maps[-1], group.size))
            tokens.append(torch.cat(group.class_tokens)[new].cpu())
            indices += [group.indices[row] for row in new]
            del group  # before the next is loaded
        if not indices:
            return scored_alone(self, load, range(count), class_name, self.explain(1))
        class_tokens = torch.cat(tokens)
        if self.clip.has_text and mean_similarity(class_tokens) < OF_ONE_KIND:
            reason = "the images seem to be of several kinds, which MuSc cannot judge: put each in a folder of its own."
            return scored_alone(self, load, sorted(indices), class_name, f"{BY_TEXT} {reason}")
        scores = similarity_smoothed_scores(torch.cat(peaks), class_tokens, self.config.neighbours)
        return FolderScores(Evidence(torch.cat(maps), scores), indices, self.explanation(count, class_tokens))

    def _groups(self, load: LoadImages, count: int) -> Iterator[_Group]:
        """Groups of at least two readable images, together all of them; none where fewer are in the folder.

        An image that alone of its group can be read joins the next group; after the last one it comes with another
        group that was given before.
        """
        number = -(-count // self.config.images_together)
        alone: _Group | None = None
        before: list[int] = []
        for first in range(number):
            group = self._load(load, range(first, count, number))
            if group is None:
                continue
            group, alone = group.preceded_by(alone), None
            if len(group.indices) == 1:
                alone = group
                continue
            before = group.indices
            yield group
            del group  # before the next is loaded
        if alone is not None:
            others = self._load(load, before)
            if others is not None:
                yield alone.preceded_by(others)

    def _load(self, load: LoadImages, indices: Sequence[int]) -> _Group | None:
        """The features of those images that can be read; None where none can."""
        held: _Group | None = None
        filled = 0

        def look(batch: tuple[list[int], Tensor]) -> tuple[list[int], Size, list[Tensor], Tensor]:
            numbers, images = batch
            return numbers, (images.shape[-2], images.shape[-1]), *self._features(images)

        for numbers, size, levels, class_tokens in forward_passes(look, load(indices), self.clip.device.type):
            if held is None:
                held = _Group([], [level.new_empty(len(indices), *level.shape[1:]) for level in levels], [], size)
            for room, level in zip(held.levels, levels, strict=True):
                room[filled : filled + len(numbers)] = level
            filled += len(numbers)
            held.indices.extend(numbers)
            held.class_tokens.append(class_tokens)
        if held is not None:
            held.levels = [level[:filled] for level in held.levels]
        return held

    def _features(
        self, images: Float[Tensor, "batch 3 rows cols"]
    ) -> tuple[list[Float[Tensor, "batch _ grid_rows grid_cols"]], Float[Tensor, "batch embed"]]:
        """Layer-normalised features of the patches at each level, reduced where asked for, and class tokens."""
        found = tower_features(self.clip.vision, images, self.config.levels, self.config.features)
        levels = []
        for level, projection in zip(found.levels, self.projections, strict=True):
            normalised = F.layer_norm(level.float(), level.shape[1:])
            levels.append(projection(normalised.movedim(1, -1)).movedim(-1, 1).to(self.held_in))
        return levels, l2_normalize(found.class_token.float())

    def _maps(self, group: _Group) -> Float[Tensor, "images 1 rows cols"]:
        config = self.config
        return mutual_scores(group.levels, config.neighbourhoods, share=config.share, distance=config.distance)[:, None]

    def _peaks(self, maps: Float[Tensor, "images 1 rows cols"], size: Size) -> Float[Tensor, "images"]:
        """The maximum of each map as it is shown, at the size at which the method runs."""
        return torch.cat(
            [pixel_maps(part, size, **self.config.upsampling).amax((1, 2)) for part in maps.split(MAPS_AT_ONCE)]
        )

    def explanation(self, count: int, class_tokens: Float[Tensor, "images embed"]) -> str:
        """What is said of so many images, of which those with class tokens could be read."""
        together = self.config.images_together
        groups = f", in {-(-count // together)} groups," if count > together else ""
        text = (
            f"{len(class_tokens):,} images judged one another{groups} by MuSc: a patch is anomalous where even the "
            f"most similar of the other images have none like it."
        )
        if mean_similarity(class_tokens) < OF_ONE_KIND:
            text += (
                " They seem to be of several kinds, for which this is no measure: put each kind in a folder of its own."
            )
        return text


def mean_similarity(class_tokens: Float[Tensor, "images embed"]) -> float:
    """Mean cosine between unit vectors of different images."""
    count = len(class_tokens)
    return float((class_tokens.double().sum(0).square().sum() - count) / (count * (count - 1)))


def _too_few(backbone: str) -> InputError:
    return InputError(
        "MuSc scores at least two images by one another, and one alone by text",
        f"one on {backbone}, which has no text tower",
        "give more images of the same kind, or use a CLIP as the backbone",
    )
