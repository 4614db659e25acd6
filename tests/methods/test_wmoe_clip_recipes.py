"""The rows of WMoE-CLIP's tables: each recipe trains all that it has, and each answers differently."""

import tomllib
from dataclasses import replace
from itertools import combinations
from math import inf
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.methods.test_kanoclip import copy_common
from tests.methods.test_wmoe_clip import ALL, NONE, judge, make, target
from tests.small import images
from zsad.config import from_mapping
from zsad.methods._trainable import TrainingConfig
from zsad.methods.wmoe_clip.method import WMoEClip, WMoEClipConfig

RECIPES = sorted((Path(__file__).parents[2] / "recipes" / "wmoe-clip").rglob("*.toml"))
SEEDS = 8
"""Enough for the noise at the gate to choose every expert."""


def read(path: Path) -> tuple[dict[str, Any], WMoEClipConfig]:
    recipe = tomllib.loads(path.read_text())
    return recipe, from_mapping(WMoEClipConfig, recipe.get("options", {}), path.name)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_train_and_answer(path: Path) -> None:
    recipe, options = read(path)
    assert recipe["method"] == "wmoe-clip"
    assert recipe["backbone"] == WMoEClip.paper_backbone
    from_mapping(
        TrainingConfig, {"epochs": 20, "batch_size": 32, "learning_rate": 2e-4} | recipe.get("training", {}), "x"
    )
    assert all(0 < value <= 100 for table in recipe["published"].values() for value in table.values())
    method = make(options).train()
    if method.aggregation:
        torch.nn.init.zeros_(method.aggregation.experts.gate.weight)  # as training starts: noise alone chooses
        torch.nn.init.zeros_(method.aggregation.experts.gate.bias)
    trained = {key: one for key, one in method.named_parameters() if one.requires_grad}
    pulls = dict.fromkeys(trained, 0.0)
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        method.zero_grad()
        sum(method.loss(method(images(4), ["nut"] * 4), target(4)).values()).backward()
        for key, one in trained.items():
            pulls[key] += 0.0 if one.grad is None else float(one.grad.abs().sum())
    idle = {key for key, pull in pulls.items() if not 0 < pull < inf}
    if options.gate_noise == 0:  # what no image chooses gets no gradient
        idle -= {key for key in idle if ".experts." in key and ".gate." not in key}
    assert idle == set()
    assert judge(method.eval()).score.isfinite().all()


def test_there_is_a_recipe_for_every_row_and_each_answers_differently() -> None:
    rows = {path.stem: read(path)[1] for path in RECIPES}
    assert len(rows) == 10
    assert rows["paper"] == rows["table_2_5_all"] == ALL
    assert rows["table_2_1_none"] == NONE
    assert rows["residual"] == replace(ALL, residual=True)
    assert rows["sample_latent"] == replace(ALL, sample="latent")  # section 2.1: "sampled from the latent space"
    assert rows["sample_scaled"] == replace(ALL, sample="scaled")
    assert rows.pop("equations") == replace(ALL, gate_noise=0.0)  # equation 8 has none; it answers as the default does
    assert len(set(rows.values())) == 8
    methods = [make(options) for options in dict.fromkeys(rows.values())]
    for ours, theirs in combinations(methods, 2):
        copy_common(ours, theirs)
    answers = [judge(method).score for method in methods]
    for number, one in enumerate(answers):
        assert all((one - other).abs().max() > 1e-5 for other in answers[:number])
