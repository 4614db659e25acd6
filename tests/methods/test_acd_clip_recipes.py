"""The rows of ACD-CLIP's tables: each recipe is a method that trains, and each differs from the others."""

import tomllib
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.methods.test_acd_clip import DEEP, apart, judge, loss, make
from tests.methods.test_kanoclip import copy_common
from zsad.backbones import config as configs
from zsad.config import from_mapping
from zsad.methods.acd_clip.method import AcdClip, AcdClipConfig

RECIPES = sorted((Path(__file__).parents[2] / "recipes" / "acd-clip").rglob("*.toml"))


def recipe(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def from_recipe(path: Path) -> AcdClip:
    return make(from_mapping(AcdClipConfig, recipe(path).get("options", {}), path.name), DEEP)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_names_what_exists(path: Path) -> None:
    values = recipe(path)
    known = {"method", "paper", "backbone", "weights", "activation", "image_size", "options", "training", "published"}
    assert set(values) <= known
    assert values["method"] == "acd-clip"
    assert values["paper"].startswith("ACD-CLIP, ")
    assert values["weights"] in configs.weight_names(values["backbone"])
    variant = values.get("options", {}).get("variant", "code")
    assert values.get("activation") == ("gelu" if variant == "code" else None)
    assert all(0 < number < 100 for row in values["published"].values() for number in row.values())


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_trains_every_parameter_that_it_has(path: Path) -> None:
    method = from_recipe(path)
    sum(loss(method).values(), torch.zeros(())).backward()
    trained = {name: one for name, one in method.named_parameters() if one.requires_grad}
    assert {name for name, one in trained.items() if one.grad is None or one.grad.abs().sum() == 0} == set()
    assert all(one.grad.isfinite().all() for one in trained.values())


def test_the_papers_tables_have_a_recipe_a_row() -> None:
    sizes = [from_recipe(path).config.groups for path in RECIPES if path.stem.startswith("groups_")]
    assert sizes == [2, 2, 3, 3, 4, 4, 6, 6]
    rows = [from_recipe(path) for path in RECIPES if path.stem.startswith("table_2")]
    assert [(one.config.adapter, one.config.fusion) for one in rows] == [
        ("lora", "static"),
        ("conv-lora", "static"),
        ("lora", "gateway"),
        ("conv-lora", "gateway"),
    ]
    for ours, theirs in combinations(rows, 2):
        copy_common(ours, theirs)
    answers = [judge(one) for one in rows]
    for number, ours in enumerate(answers):
        assert all(apart(ours, theirs) > 1e-4 for theirs in answers[:number])
