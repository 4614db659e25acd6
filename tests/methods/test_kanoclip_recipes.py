"""The rows of KAnoCLIP's tables: each is a configuration that trains what it should, and differs from the others."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.methods.test_kanoclip import NAMES, judge, target
from tests.small import frozen, images
from zsad.config import from_mapping
from zsad.methods._trainable import TrainingConfig
from zsad.methods.kanoclip.method import KanoClip, KanoClipConfig

FOLDER = Path(__file__).parents[2] / "recipes" / "kanoclip"
TRAINED = {
    "paper": {"prompts", "stages", "adapter"},
    "row_1_baseline": set(),
    "row_2_knpl": {"prompts"},
    "row_3_clip_vv": {"prompts"},
    "row_4_bi_cmci": {"prompts", "stages"},
    "row_5_full": {"prompts", "stages", "adapter"},
    "equations": {"prompts", "stages", "adapter"},
    "margin": {"prompts", "stages", "adapter"},
    "without_knowledge": {"prompts", "stages", "adapter"},
    "layer_scale": {"prompts", "stages", "adapter"},
}
OPTIONS = {
    "equations": {"global_token": "vv", "norm": "sum"},  # "S_l[0] is used for image-level detection" (2.3); equation 9
    "margin": {"margin": 0.5},
    "without_knowledge": {"knowledge_weight": 0.0},
    "layer_scale": {"layer_scale": 0.1},
}
TRAINED_ALIKE = {"paper", "margin", "without_knowledge"}
"""Of one answer before training: their losses differ."""


def read(name: str) -> dict[str, Any]:
    (path,) = FOLDER.rglob(f"{name}.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def make(name: str) -> KanoClip:
    recipe = read(name)
    config = from_mapping(KanoClipConfig, recipe.get("options", {}), name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return KanoClip(frozen(), config)


def test_every_recipe_is_here() -> None:
    assert {path.stem for path in FOLDER.rglob("*.toml")} == set(TRAINED)


@pytest.mark.parametrize("name", TRAINED)
def test_a_recipe_names_its_row(name: str) -> None:
    recipe = read(name)
    assert recipe["method"] == "kanoclip"
    assert (recipe["backbone"], recipe["weights"], recipe["image_size"]) == ("ViT-L-14-336", "openai", 518)
    assert "Table" in recipe["paper"]
    assert {"mvtec", "visa"} <= set(recipe["published"])
    for numbers in recipe["published"].values():
        assert set(numbers) <= {"image_auroc", "pixel_auroc"}
        assert all(0 < number < 100 for number in numbers.values())


@pytest.mark.parametrize("name", TRAINED)
def test_a_recipe_trains_its_modules_and_no_others(name: str) -> None:
    method = make(name)
    pixels = images(2).requires_grad_()
    terms = method.loss(method(pixels, NAMES), target())
    torch.stack(list(terms.values())).sum().backward()
    assert pixels.grad is not None
    assert pixels.grad.isfinite().all()
    trained = {name: one for name, one in method.named_parameters() if one.requires_grad}
    assert {name.split(".")[0] for name in trained} == TRAINED[name]
    for one in trained.values():
        assert one.grad is not None
        assert one.grad.isfinite().all()


def test_every_row_answers_differently() -> None:
    scores = [judge(make(name)).score for name in TRAINED if name not in TRAINED_ALIKE]
    for number, one in enumerate(scores):
        for other in scores[number + 1 :]:
            assert (one - other).abs().max() > 1e-3


def test_the_full_row_is_the_papers_and_the_defaults() -> None:
    assert make("row_5_full").config == make("paper").config == KanoClipConfig()
    assert read("row_5_full")["published"] == {key: read("paper")["published"][key] for key in ("mvtec", "visa")}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_recipe_beside_the_rows_says_what_is_other(name: str) -> None:
    assert read(name)["options"] == OPTIONS[name]
    assert read(name)["published"] == read("row_5_full")["published"]


def test_the_losses_of_recipes_of_one_answer_differ() -> None:
    plain, going_on, without = (make(name) for name in ("paper", "margin", "without_knowledge"))
    terms, longer, fewer = (one.loss(judge(one), target()) for one in (plain, going_on, without))
    assert longer["knowledge"] > terms["knowledge"] + 0.1
    assert fewer.keys() == {"global", "local"}


def test_the_optimisation() -> None:
    expected = TrainingConfig(epochs=15, batch_size=8, learning_rate=1e-3, betas=(0.5, 0.999), rates={"stages": 1e-4})
    assert KanoClip.training_defaults == expected
    names = [name for name, one in make("paper").named_parameters() if one.requires_grad]
    assert any("stages" in name for name in names)
    assert {name.split(".")[0] for name in names if "stages" not in name} == {"prompts", "adapter"}
