"""Every number of a pretraining run, read from a TOML file."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from zsad.backbones import config as configs
from zsad.config import from_mapping
from zsad.errors import ConfigError


@dataclass(frozen=True)
class Recipe:
    """What determines the weights, beside the pictures.

    Attributes:
        backbone: name of the architecture.
        seed: of the pictures, the initial weights and the order.
        pictures: number of training pictures prepared.
        validation: number of validation pictures prepared; procedural ones, and corpus pictures that never train.
        procedural: share of the pictures that is drawn; the rest comes from the corpus.
        damaged: share of the pictures that gets drawn defects.
        merges: number of byte-pair merges learned from the captions.
        steps, batch: length and size of the optimisation.
        learning_rate, weight_decay, warmup: AdamW with linear warm-up (steps), then a cosine to zero.
        distil, align, state: weights of the three losses.
        distil_blocks: indices of the blocks whose patches learn the CNN's early and middle features.
        temperature: of the state loss, as the detectors use it.
        damage_weight: how many normal patches a damaged one counts for. Damage is rare: at 1 maps stay near 0 where
            nothing is known, at the inverse of its share they begin at one half.
        window, window_until: side in patches (even) of the window that is trained on, and the share of the steps for
            which it is; the rest trains on whole pictures.
        save_every: steps between checkpoints.
    """

    backbone: str
    seed: int
    pictures: int
    validation: int
    procedural: float
    damaged: float
    merges: int
    steps: int
    batch: int
    learning_rate: float
    weight_decay: float
    warmup: int
    distil: float
    align: float
    state: float
    distil_blocks: tuple[int, int]
    temperature: float
    damage_weight: float
    window: int
    window_until: float
    save_every: int

    def __post_init__(self) -> None:
        vision = configs.get(self.backbone).vision
        rules = {
            "pictures are at least one batch": self.pictures >= self.batch >= 1,
            "validation pictures are at least one batch": self.validation >= self.batch,
            "the window is an even number of patches": self.window % 2 == 0,
            "the window lies within the grid": 0 < self.window <= vision.grid,
            "distil_blocks are blocks of the backbone": all(0 <= block < vision.depth for block in self.distil_blocks),
            "shares lie in [0, 1]": all(0 <= it <= 1 for it in (self.procedural, self.damaged, self.window_until)),
        }
        for rule, holds in rules.items():
            if not holds:
                raise ConfigError(f"in a recipe {rule}", self, "correct the recipe")


def read(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        ConfigError: the file is missing, is no TOML, or has a wrong or missing key.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError("a recipe is a readable TOML file", f"{path}: {error}", "see recipes/tiny/") from error
    return from_mapping(Recipe, values, f"recipe {path.name}")
