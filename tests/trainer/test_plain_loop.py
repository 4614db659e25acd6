"""The trainer against a plain loop: order, rates, decay, bounds, augmentation and precision written out here."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from tests.small import CONFIG
from tests.trainer.toys import PAPER, TOYS, draw, register_toys
from zsad.backbones import weights as backbone_weights
from zsad.backbones.clip import Clip
from zsad.errors import ConfigError
from zsad.methods._base import Config
from zsad.methods._trainable import FirstStage, Trainable, TrainingConfig
from zsad.runtime import RuntimeConfig
from zsad.trainer.augmentation import augment
from zsad.trainer.batch_loss import mixed
from zsad.trainer.recipe import Recipe
from zsad.trainer.training import prepare_run, samples_of
from zsad.types import Evidence, Target

SIDE, SEED, COUNT = 32, 7, 5
TRAINING: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 4,
    "learning_rate": 0.02,
    "betas": (0.6, 0.95),
    "weight_decay": 0.1,
    "schedule": "exponential",
    "decay": 0.5,
    "rates": {"head": 0.1},
    "clip_norms": {"edit": 0.05},
}


class Noted(Trainable):
    """A layer after a block, a head on the last tokens, and a number for each class name; notes what it is given."""

    paper, config_type = PAPER, Config
    training_defaults = TrainingConfig(epochs=1, batch_size=1, learning_rate=1.0)

    def __init__(self, clip: Clip, config: Config | None = None) -> None:
        super().__init__(clip, config or Config())
        width = clip.config.vision.width
        self.edit, self.head = nn.Linear(width, width), nn.Linear(width, 1)
        self.names: list[tuple[str, ...]] = []
        self.half: list[bool] = []
        self.stages: list[int] = []

    def begin_stage(self, stage: int) -> None:
        self.stages.append(stage)

    def forward(self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]) -> Evidence:
        self.names.append(tuple(class_names))
        trace = self.clip.vision(images, after={1: lambda tokens, _: tokens + self.edit(tokens)})
        linear = self.head(trace.last[:, 1:])
        self.half.append(linear.dtype == torch.bfloat16)
        shift = torch.tensor([len(name) / 10 for name in class_names])
        logits = linear[..., 0].float() - shift[:, None]
        maps = logits.sigmoid().unflatten(1, (1, *trace.grid))
        return Evidence(maps, maps.mean((1, 2, 3)))

    def loss(self, evidence: Evidence, target: Target) -> dict[str, Float[Tensor, ""]]:
        cells = target.masks.unflatten(1, (4, -1)).unflatten(3, (4, -1)).mean((2, 4))
        return {
            "pixels": ((evidence.maps[:, 0] - cells) ** 2).mean(),
            "labels": ((evidence.score - target.labels) ** 2).mean(),
        }


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TOYS, "noted", Noted)
    register_toys(monkeypatch)


@pytest.fixture
def data(tmp_path: Path) -> str:
    """Two classes of ten images; one anomalous image has an empty mask, so that a label is not read off a mask."""
    for name in ("metal_nut", "tile"):
        given = draw(tmp_path / "data", COUNT, SIDE, name)
    empty = tmp_path / "data" / "tile" / "ground_truth" / "square" / "005_mask.png"
    Image.new("L", (SIDE, SIDE)).save(empty)
    return given


def trained(data: str, folder: Path, precision: str = "fp32", **changes: Any) -> tuple[Noted, list[dict[str, float]]]:
    recipe = Recipe("noted", backbone="small", weights="random", training=TRAINING | changes)
    runtime = RuntimeConfig(precision=precision, cache_gb=0)  # type: ignore[arg-type]
    run = prepare_run(recipe, samples_of([data], "test"), folder, seed=SEED, runtime=runtime)
    history = [epoch.terms for epoch in run.epochs()]
    assert isinstance(run.method, Noted)
    return run.method, history


Changed = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]


def plain(
    data: str, half: bool = False, change: Changed | None = None, **changes: Any
) -> tuple[Noted, list[dict[str, float]]]:
    """The same, as a script would do it. The seeds of its draws are those that docs/training.md states."""
    told = TRAINING | changes
    samples = samples_of([data], "test")
    clip = backbone_weights.load("small", "random")
    torch.manual_seed(SEED)
    method = Noted(clip).train()
    groups = [
        {"params": list(method.head.parameters()), "lr": 0.1},
        {"params": list(method.edit.parameters()), "lr": told["learning_rate"]},
    ]
    kind = torch.optim.AdamW if told.get("decoupled_weight_decay") else torch.optim.Adam
    adam = kind(groups, betas=told["betas"], weight_decay=told["weight_decay"])
    firsts = [group["lr"] for group in adam.param_groups]
    history, steps = [], 0
    for epoch in range(told["epochs"]):
        first_stage = told.get("first_stage", {"epochs": 0})
        is_first = epoch < first_stage["epochs"]
        batch_size = first_stage["batch_size"] if is_first else told["batch_size"]
        order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(seed_of(SEED, epoch)))
        sums = {"pixels": 0.0, "labels": 0.0}
        for start in range(0, len(samples), batch_size):
            for group, first in zip(adam.param_groups, firsts, strict=True):
                if told["schedule"] == "exponential":
                    group["lr"] = first * told["decay"] ** epoch
                else:
                    group["lr"] = first * told["decay"] ** sum(steps >= one for one in told["milestones"])
            steps += not is_first
            numbers = order[start : start + batch_size].tolist()
            pairs = [read(samples[number]) for number in numbers]
            if change is not None:
                pairs = [change(*pair, seed_of(SEED, epoch, n)) for pair, n in zip(pairs, numbers, strict=True)]
            images = torch.stack([(pixels - MEAN) / STD for pixels, _ in pairs])
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                evidence = method(images, [samples[n].class_name.replace("_", " ") for n in numbers])
            labels = torch.tensor([1.0 if samples[n].kind == "square" else 0.0 for n in numbers])
            terms = method.loss(evidence, Target(labels, torch.stack([mask for _, mask in pairs])))
            adam.zero_grad()
            (terms["pixels"] + terms["labels"]).backward()
            edit = torch.cat([one.grad.flatten() for one in method.edit.parameters() if one.grad is not None])
            if "clip_norms" in told and edit.norm() > told["clip_norms"]["edit"]:
                for one in method.edit.parameters():
                    assert one.grad is not None
                    one.grad *= told["clip_norms"]["edit"] / (edit.norm() + 1e-6)
            adam.step()
            for name, term in terms.items():
                sums[name] += float(term.detach()) * len(numbers)
        history.append({name: total / len(samples) for name, total in sums.items()})
    return method, history


MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]


def seed_of(*numbers: int) -> int:
    seed = 0
    for number in numbers:
        seed = (seed * 1_000_003 + number + 1) % 2**62
    return seed


def read(sample: Any) -> tuple[Tensor, Tensor]:
    """Pixels in [0, 1] and mask; images have the size of the method, so that nothing is resized."""
    pixels = torch.from_numpy(np.array(Image.open(sample.image), np.float32) / np.float32(255)).permute(2, 0, 1)
    mask = np.zeros((SIDE, SIDE), np.float32) if sample.mask is None else np.array(Image.open(sample.mask)) > 0
    return pixels, torch.from_numpy(mask.astype(np.float32))


def assert_agree(ours: tuple[Noted, list[dict[str, float]]], theirs: tuple[Noted, list[dict[str, float]]]) -> None:
    pairs = zip(ours[0].named_parameters(), theirs[0].parameters(), strict=True)
    for (name, one), other in pairs:
        if one.requires_grad:
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")
    assert ours[0].names == theirs[0].names
    assert [list(terms) for terms in ours[1]] == [["pixels", "labels"]] * 3
    for mine, other in zip(ours[1], theirs[1], strict=True):
        assert mine == pytest.approx(other, rel=1e-5)


def test_training_is_a_plain_loop(data: str, tmp_path: Path) -> None:
    ours = trained(data, tmp_path / "run")
    assert_agree(ours, plain(data))
    assert {name for names in ours[0].names for name in names} == {"metal nut", "tile"}
    assert [len(names) for names in ours[0].names] == [4, 4, 4, 4, 4] * 3  # 20 images


def test_a_last_batch_that_is_smaller_is_trained_on(data: str, tmp_path: Path) -> None:
    ours = trained(data, tmp_path / "run", batch_size=7)
    assert [len(names) for names in ours[0].names] == [7, 7, 6] * 3
    assert_agree(ours, plain(data, batch_size=7))


def test_two_stages_and_milestones_are_a_plain_loop(data: str, tmp_path: Path) -> None:
    """20 images: 3 steps of up to 7 in the first epoch, then twice 5 of 4, with the rate halved twice."""
    told = {
        "first_stage": {"epochs": 1, "batch_size": 7},
        "schedule": "steps",
        "milestones": (2, 6),
    }
    ours = trained(data, tmp_path / "run", **told)
    assert [len(names) for names in ours[0].names] == [7, 7, 6] + [4] * 10
    assert ours[0].stages == [0, 1, 1]
    assert_agree(ours, plain(data, **told))
    assert trained(data, tmp_path / "other")[0].stages == []


def test_a_training_of_a_first_stage_alone_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"goes on after its first stage of 3 epochs; got 3 in all"):
        TrainingConfig(epochs=3, batch_size=4, learning_rate=0.1, first_stage=FirstStage(3, 16))
    for epochs, batch_size in ((0, 4), (4, 0)):
        with pytest.raises(ConfigError, match="of a first stage"):
            FirstStage(epochs, batch_size)


def test_augmented_training_is_a_plain_loop_over_other_images(data: str, tmp_path: Path) -> None:
    def change(pixels: Tensor, mask: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        return augment(pixels, mask, seed, CONFIG.mean, (SIDE, SIDE))

    assert_agree(trained(data, tmp_path / "run", augment=True), plain(data, change=change))


def test_decoupled_weight_decay_is_that_of_adamw(data: str, tmp_path: Path) -> None:
    ours = trained(data, tmp_path / "run", decoupled_weight_decay=True)
    assert_agree(ours, plain(data, decoupled_weight_decay=True))


def test_half_precision_is_that_of_the_forward_alone(data: str, tmp_path: Path) -> None:
    ours = trained(data, tmp_path / "run", precision="bf16")
    assert all(ours[0].half)
    assert not any(trained(data, tmp_path / "fp32")[0].half)
    assert {one.dtype for one in ours[0].parameters()} == {torch.float32}
    theirs = plain(data, half=True)
    for mine, other in zip(ours[1], theirs[1], strict=True):
        assert mine == pytest.approx(other, rel=1e-3)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("betas", (0.9, 0.999)),
        ("weight_decay", 0.0),
        ("decoupled_weight_decay", True),
        ("schedule", "constant"),
        ("decay", 0.9),
        ("learning_rate", 0.03),
        ("batch_size", 5),
        ("augment", True),
    ],
)
def test_each_constant_of_the_optimisation_counts(key: str, value: Any, data: str, tmp_path: Path) -> None:
    """So that the agreement above is one in each of them."""
    first, second = trained(data, tmp_path / "one"), trained(data, tmp_path / "two", **{key: value})
    assert (first[0].edit.weight - second[0].edit.weight).abs().max() > 1e-5


def test_the_rate_of_an_epoch_is_that_of_its_schedule() -> None:
    written = {"constant": [1.0, 1.0, 1.0], "exponential": [1.0, 0.5, 0.25], "inverse": [1.0, 1 / 2, 1 / 3]}
    for schedule, rates in written.items():
        training = replace(TrainingConfig(**asdict(Noted.training_defaults)), schedule=schedule, decay=0.5)  # type: ignore[arg-type]
        assert [training.rate(epoch) for epoch in range(3)] == pytest.approx(rates)


def test_seeds_of_several_numbers_are_mixed_as_the_docs_say() -> None:
    """Also where they are large; docs/training.md states the rule."""
    for numbers in ((0,), (7, 2), (7, 2, 19), (2**31 - 1, 99, 40_000), (2**60, 14, 3)):
        assert mixed(*numbers) == seed_of(*numbers) < 2**62
    assert mixed(7, 2) != mixed(2, 7)
