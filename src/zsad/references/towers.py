"""Features of patches from a vision tower: of its blocks, or of the CNN that a hybrid has before them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from zsad.backbones.stem import DEEP, EARLY, MIDDLE, STAGES, Stem
from zsad.backbones.transformer import level_index
from zsad.backbones.vision import VisionTower
from zsad.errors import ConfigError
from zsad.types import Trace

FeatureSource = Literal["auto", "blocks", "cnn", "both"]
"""``"blocks"``: patch tokens of some blocks. ``"cnn"``: standardised features of the early, the middle and the deep
stage of a hybrid's CNN. ``"auto"``: those of the CNN where there is one. ``"both"``: blocks, and one level of all three
stages of the CNN where there is one."""
REFERENCE_DEPTH = 24
CNN_WIDTHS = tuple(STAGES[stage].channels for stage in (EARLY, MIDDLE, DEEP))


@dataclass(frozen=True)
class TowerFeatures:
    """What a tower says of a batch of images.

    Attributes:
        levels: features of the patches, on the patch grid; widths may differ.
        trace: of the pass through the tower.
        class_token: of the last block, in the joint space, or after the last norm where there is none.
    """

    levels: tuple[Float[Tensor, "batch _ grid_rows grid_cols"], ...]
    trace: Trace
    class_token: Float[Tensor, "batch embed"]


def has_cnn(vision: VisionTower, source: FeatureSource) -> bool:
    """Whether this source means the CNN of this tower.

    Raises:
        ConfigError: the CNN is asked for, and the tower has none.
    """
    is_hybrid = isinstance(vision.patch_embedding, Stem)
    if source == "cnn" and not is_hybrid:
        raise ConfigError("features of a CNN are those of a hybrid backbone", source, 'say "blocks", or a hybrid')
    return is_hybrid and source != "blocks"


def level_widths(vision: VisionTower, levels: Sequence[int], source: FeatureSource = "auto") -> tuple[int, ...]:
    """Widths of the levels that :func:`tower_features` gives."""
    of_cnn = CNN_WIDTHS if has_cnn(vision, source) else ()
    if of_cnn and source != "both":
        return of_cnn
    return (*(vision.width,) * len(levels), *((sum(of_cnn),) if of_cnn else ()))


def tower_features(
    vision: VisionTower,
    images: Float[Tensor, "batch 3 rows cols"],
    levels: Sequence[int],
    source: FeatureSource = "auto",
) -> TowerFeatures:
    """Features of normalised images.

    Args:
        vision: the tower.
        images: of any size whose patch grid is at least 2 x 2.
        levels: blocks, counted from 1 as for a tower of 24 blocks; without effect where the CNN alone is the source.
        source: where features come from.

    Raises:
        ConfigError: the CNN is asked for, and the tower has none; or a level does not exist.
        InputError: the images are too small.
    """
    grid = vision.grid(images.shape[-2], images.shape[-1])
    standardised = _standardised(vision, images) if has_cnn(vision, source) else None
    is_of_cnn_alone = standardised is not None and source != "both"
    depth = len(vision.transformer.blocks)
    blocks = [] if is_of_cnn_alone else [level_index(level, REFERENCE_DEPTH, depth) for level in levels]
    if standardised is None:
        trace = vision(images, keep=set(blocks))
    else:
        stem = vision.patch_embedding
        assert isinstance(stem, Stem)
        trace = vision.run(vision.arrange(stem.projection(standardised)), grid, keep=set(blocks))
    found = tuple(vision.patch_map(trace.kept[block], grid) for block in blocks)
    if standardised is not None:
        found = (*found, standardised) if source == "both" else _by_stage(standardised)
    return TowerFeatures(found, trace, vision.project(trace.last[:, 0]))


def level_features(
    vision: VisionTower,
    images: Float[Tensor, "batch 3 rows cols"],
    levels: Sequence[int],
    source: FeatureSource = "auto",
) -> tuple[Float[Tensor, "batch _ grid_rows grid_cols"], ...]:
    """The levels of :func:`tower_features` alone; where they are those of a CNN, no block is run.

    Args and raises as :func:`tower_features`.
    """
    if source == "both" or not has_cnn(vision, source):
        return tower_features(vision, images, levels, source).levels
    vision.grid(images.shape[-2], images.shape[-1])  # refuses what is too small
    return _by_stage(_standardised(vision, images))


def _standardised(
    vision: VisionTower, images: Float[Tensor, "batch 3 rows cols"]
) -> Float[Tensor, "batch _ grid_rows grid_cols"]:
    stem = vision.patch_embedding
    assert isinstance(stem, Stem)
    return stem.standardised(stem.features(images))


def _by_stage(standardised: Float[Tensor, "batch _ rows cols"]) -> tuple[Float[Tensor, "batch _ rows cols"], ...]:
    return tuple(standardised.split(list(CNN_WIDTHS), 1))
