"""Every number of a pretraining run, read from a TOML file."""

from dataclasses import dataclass
from pathlib import Path

from zsad.backbones import config as configs
from zsad.config import check_seed, check_within, from_mapping
from zsad.documents import DocumentError, read_toml
from zsad.errors import ConfigError

MOST = {
    **dict.fromkeys(("images", "validation", "steps"), 10**7),
    **dict.fromkeys(("merges", "damage_weight"), 10**6),
    **dict.fromkeys(("batch", "learning_rate", "weight_decay", "distil", "align", "state", "noise", "jitter"), 4096),
}
"""Greatest values of a recipe's numbers; the least is 0."""


@dataclass(frozen=True)
class PretrainingRecipe:
    """What determines the weights, beside the images.

    Attributes:
        backbone: name of the architecture.
        seed: of the images, the initial weights and the order.
        images: number of training images prepared.
        validation: number of validation images prepared; procedural ones, and corpus images that never train.
        procedural: share of the images that is drawn; the rest comes from the corpus.
        sources: of the corpus, those that train; any where none is named.
        damaged: share of the images that gets drawn defects.
        merges: number of the byte-pair merges of CLIP that the vocabulary has, the most frequent first.
        steps, batch: length and size of the optimisation.
        learning_rate, weight_decay, warmup: AdamW with linear warm-up (steps), then a cosine to zero.
        distil, align, state: weights of the three losses.
        temperature: of the state loss, as the detectors use it.
        damage_weight: how many normal patches a damaged one counts for. Damage is rare: at 1 maps stay near 0 where
            nothing is known, at the inverse of its share they begin at one half.
        noise: deviation of the noise on the CNN's standardised features in training.
        jitter: deviation of the scale and of the shift of each of these features, drawn for each image in training.
        window, window_until: side in patches of the window that is trained on, and the share of the steps for
            which it is; the rest trains on whole images.
        save_every: steps between checkpoints.
        average: numbers of steps after which weights are kept; their mean is the model (stochastic weight averaging,
            Izmailov et al., UAI 2018). The last is the number of all steps.
    """

    backbone: str
    seed: int
    images: int
    validation: int
    procedural: float
    sources: tuple[str, ...]
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
    temperature: float
    damage_weight: float
    noise: float
    jitter: float
    window: int
    window_until: float
    save_every: int
    average: tuple[int, ...]

    def __post_init__(self) -> None:
        vision = configs.get(self.backbone).vision
        check_seed(self.seed)
        for name, most in MOST.items():
            check_within(f"{name} of a recipe", getattr(self, name), 0, most)
        check_within("warmup of a recipe", self.warmup, 0, self.steps)
        rules = {
            "images are at least one batch": self.images >= self.batch >= 1,
            "validation images are at least one batch": self.validation >= self.batch,
            "the window lies within the grid": 0 < self.window <= vision.grid,
            "the backbone has the stem of a CNN": vision.stem != "patches",
            "what is averaged ends with the last step": self.average[-1:] == (self.steps,),
            "what is averaged ascends from 1": self.average == tuple(sorted({*self.average} - {0})),
            "checkpoints are at least one step apart": self.save_every >= 1,
            "the temperature is greater than 0": self.temperature > 0,
            "shares lie in [0, 1]": all(0 <= it <= 1 for it in (self.procedural, self.damaged, self.window_until)),
        }
        for rule, holds in rules.items():
            if not holds:
                raise ConfigError(f"in a recipe {rule}", self, "correct the recipe")


def read(path: Path) -> PretrainingRecipe:
    """Read and check a recipe.

    Raises:
        ConfigError: the file is missing, is no TOML, or has a wrong or missing key.
    """
    try:
        values = read_toml(path)
    except (OSError, DocumentError) as error:
        raise ConfigError("a recipe is a readable TOML file", f"{path}: {error}", "see recipes/tiny/") from error
    return from_mapping(PretrainingRecipe, values, f"recipe {path.name}")
