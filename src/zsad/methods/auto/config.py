"""How auto compares and joins."""

from dataclasses import dataclass, field
from typing import Any

from zsad.backbones.transformer import level_index
from zsad.config import check_within
from zsad.errors import ConfigError
from zsad.methods._base import Config
from zsad.references import FeatureSource

DEPTH = 24
"""Of the tower that levels are counted for."""


@dataclass(frozen=True)
class AutoConfig(Config):
    """How text and references are compared and joined; the defaults were chosen on validation data.

    Attributes:
        text: the zero-shot method whose map is joined, by name; a trained one by its name where the package brings
            its tensors for the backbone, or by its folder. A trained method takes a second pass through the tower.
        text_options: its configuration; taken from the trained detector where there is one.
        text_weight: of the text's evidence where that of the references has the weight 1; in 0..10.
        features: what patches are compared by: "blocks" of the transformer, the "cnn" of a hybrid backbone, or "both".
        levels: blocks, counted from 1 as for a tower of 24 blocks; where none is named, the 6th on a hybrid backbone,
            and the quarter points of MuSc on others.
        neighbourhoods: sides of the squares of patches that are averaged; odd.
        directions: random orthogonal directions to which features are reduced; None for their own width.
        max_references: unlabelled images that serve as references, at most; drawn from a larger folder.
        ordinary: share of the unlabelled references that is kept: those of the lowest scores among one another.
        share: of the distances from all unlabelled references, the lowest, which are averaged.
        rotations: copies of each reference at so many angles over a full turn; 1 for none.
        window: how many rows and columns of patches apart a reference patch may lie; None for anywhere.
        unlike: median distance of patches from the other images, above which these are not of one kind and are scored
            by text alone; on the embedded backbone at most 0.116 for 16 images of one kind, 0.162 for unrelated ones.
        image_shares: an image is scored by the mean of the highest share of its patches, averaged over these shares.
    """

    text: str = "clip-ac"
    text_options: dict[str, Any] = field(default_factory=dict)
    text_weight: float = 0.5
    features: FeatureSource = "both"
    levels: tuple[int, ...] = ()
    neighbourhoods: tuple[int, ...] = (3,)
    directions: int | None = 64
    max_references: int = 64
    ordinary: float = 0.4
    share: float = 0.3
    rotations: int = 1
    window: int | None = None
    unlike: float = 0.15
    image_shares: tuple[float, ...] = (0.02, 0.2)

    def __post_init__(self) -> None:
        super().__post_init__()
        for level in self.levels:
            level_index(level, DEPTH, DEPTH)
        if not self.neighbourhoods or not self.image_shares:
            rule = "patches are compared in at least one neighbourhood, and images scored by at least one share of them"
            raise ConfigError(rule, "none", "name some")
        check_within("the weight of text", self.text_weight, 0, 10)
        check_within("the number of references", self.max_references, 2, 1024)
        check_within("the number of angles of a reference", self.rotations, 1, 72)
        for share in (self.ordinary, self.share, self.unlike, *self.image_shares):
            check_within("a share", share, 1e-6, 1)
        if self.directions is not None:
            check_within("the number of directions", self.directions, 1, 1024)
        if self.window is not None:
            check_within("the window in patches", self.window, 0, 1024)
