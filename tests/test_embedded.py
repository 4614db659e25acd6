"""The embedded backbones: what ships, and that it has learned to see drawn damage that it never saw."""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zsad
from zsad import shipped
from zsad.backbones import weights
from zsad.backbones.config import get
from zsad.data.synthetic import draw_defect, part, surface
from zsad.methods import FewShot
from zsad.metrics import auroc
from zsad.parts.prompts import ANOMALOUS_STATES, NORMAL_STATES, TEMPLATES, compose
from zsad.tools.pretrain.export import TERMS
from zsad.tools.pretrain.recipe import read

ASSETS = files("zsad") / "assets"
BACKBONES = ("tiny", "tiny-research")
OPEN_TERMS = re.compile(r"CC0|MIT|Apache-2\.0|CC BY [34]\.0")
UNSEEN_SEED = 20_000_000
"""No recipe draws images from it."""


def card(backbone: str) -> dict[str, Any]:
    return json.loads((ASSETS / backbone / "card.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_it_is_small_half_precision_and_described(backbone: str) -> None:
    model = ASSETS / backbone / "model.safetensors"
    assert len(model.read_bytes()) <= 20_000_000
    described = card(backbone)
    assert described["name"] == backbone
    assert "for trying out and for tests" in described["what"]
    assert "real CLIP" in described["not_for"]
    trained = {name: one for name, one in described["sources"].items() if one["trained"]}
    assert all(one["terms"] and one["repository"] for one in described["sources"].values())
    assert not trained.keys() & {"casting", "crack-surfaces", "dtd10"}


def test_what_trained_the_default_may_be_used_for_anything_and_is_attributed() -> None:
    described = card("tiny")
    trained = {name: one for name, one in described["sources"].items() if one["trained"]}
    assert trained.keys() == set(described["recipe"]["sources"])
    assert sum(one["images"] for one in trained.values()) == 3128
    notice = (Path(__file__).parents[1] / "NOTICE").read_text(encoding="utf-8")
    for name, one in trained.items():
        assert OPEN_TERMS.search(one["terms"]), name
        assert one["repository"] in notice, name
    former = [one["terms"] for one in card("tiny-research")["sources"].values() if one["trained"]]
    assert not all(OPEN_TERMS.search(terms) for terms in former)
    assert "any use" in get("tiny").terms
    assert "research" in get("tiny-research").terms


def test_its_card_tells_the_recipe_that_is_in_the_repository() -> None:
    recipe = read(Path(__file__).parents[1] / "recipes" / "tiny" / "tiny.toml")
    assert json.loads(json.dumps(vars(recipe))) == card("tiny")["recipe"]
    assert card("tiny")["terms"] == TERMS


@pytest.mark.parametrize("backbone", BACKBONES)
def test_its_vocabulary_fits_and_knows_the_words_of_the_methods(backbone: str) -> None:
    clip = weights.load(backbone)
    assert len(clip.tokenizer) <= clip.config.text.vocabulary <= 8192
    assert len(clip.tokenizer.encode("photo")) == 3
    prompts = compose(NORMAL_STATES + ANOMALOUS_STATES, TEMPLATES, "rectangular metal nut")
    assert max(map(clip.tokenizer.count, prompts)) <= clip.config.text.context


def test_it_is_named_as_what_it_is() -> None:
    assert "small, project-trained; for trying out and for tests" in weights.load("tiny").weights
    assert "the former tiny; for research and tests" in weights.load("tiny-research").weights


@pytest.mark.parametrize("backbone", BACKBONES)
def test_random_weights_have_the_vocabulary_of_the_embedded_ones(backbone: str) -> None:
    random, embedded = weights.load(backbone, "random"), weights.load(backbone)
    assert random.tokenizer.encode("a damaged leather") == embedded.tokenizer.encode("a damaged leather")
    others = {weights.load(name, "random").fingerprint for name in BACKBONES}
    assert len(others) == 2


HEADS = ("acd-clip", "adaclip", "afr-clip", "anomalyclip", "coop", "fe-clip", "inctrl", "kanoclip", "wmoe-clip")


@pytest.mark.parametrize("name", HEADS)
def test_a_method_with_a_head_works_by_its_name(name: str) -> None:
    head = shipped.head(name, "tiny")
    assert head is not None
    assert sum(file.stat().st_size for file in head.iterdir() if file.suffix == ".safetensors") <= 3 * 2**20
    detector = zsad.load(name)
    assert detector.training_record.is_on_record
    image = surface(np.random.default_rng(UNSEEN_SEED), (224, 224))[0]
    if isinstance(detector.method, FewShot) and detector.method.needs_normal:
        detector.fit_normal([surface(np.random.default_rng(UNSEEN_SEED + 1), (224, 224))[0]])
    prediction = detector.predict(image)
    assert 0 <= prediction.score <= 1
    assert prediction.anomaly_map.shape == (224, 224)


@pytest.mark.parametrize(
    ("backbone", "chosen", "least", "most"),
    [("tiny", "embedded", 0.75, 1.0), ("tiny-research", "embedded", 0.75, 1.0), ("tiny", "random", 0.0, 0.6)],
)
def test_it_finds_drawn_damage_that_it_never_saw_and_random_weights_do_not(
    backbone: str, chosen: str, least: float, most: float
) -> None:
    detector = zsad.load("clip", backbone=backbone, weights=chosen, batch_size=8)
    rng = np.random.default_rng(UNSEEN_SEED)
    images, masks = [], []
    for number in range(16):
        if number % 2:
            image, foreground = surface(rng, (224, 224))[0], None
        else:
            image, _, foreground = part(rng, (224, 224))
        defect = draw_defect(rng, image, foreground)
        images.append(defect.image)
        masks.append(defect.mask)
    maps = [prediction.anomaly_map for prediction in detector.predict(images, "object")]
    each = [auroc(one.ravel(), mask.ravel()) for one, mask in zip(maps, masks, strict=True)]
    assert least <= float(np.mean(each)) <= most, np.mean(each)
