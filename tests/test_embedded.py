"""The embedded backbone: what ships, and that it has learned to see drawn damage that it never saw."""

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import zsad
from zsad import checkpoint, methods
from zsad.backbones import weights
from zsad.data.synthetic import draw_defect, part, surface
from zsad.methods._trainable import Trainable
from zsad.metrics import auroc
from zsad.tools.pretrain.recipe import read

FOLDER = files("zsad") / "assets" / "tiny"
UNSEEN_SEED = 20_000_000
"""No recipe draws images from it."""


def test_it_is_small_half_precision_and_described() -> None:
    model = FOLDER / "model.safetensors"
    assert len(model.read_bytes()) <= 20_000_000
    card = json.loads((FOLDER / "card.json").read_text(encoding="utf-8"))
    assert "for trying out and for tests" in card["what"]
    assert "real CLIP" in card["not_for"]
    trained = {name: one for name, one in card["sources"].items() if one["trained"]}
    assert sum(one["images"] for one in trained.values()) > 10_000
    assert all(one["terms"] and one["repository"] for one in card["sources"].values())
    assert not trained.keys() & {"casting", "crack-surfaces", "dtd10"}


def test_its_card_tells_the_recipe_that_is_in_the_repository() -> None:
    card = json.loads((FOLDER / "card.json").read_text(encoding="utf-8"))
    recipe = read(Path(__file__).parents[1] / "recipes" / "tiny" / "tiny.toml")
    assert json.loads(json.dumps(vars(recipe))) == card["recipe"]


def test_its_vocabulary_fits_and_knows_the_words_of_the_methods() -> None:
    clip = weights.load("tiny")
    assert len(clip.tokenizer) <= clip.config.text.vocabulary <= 8192
    for word in ("damaged", "defect", "photo", "object"):
        assert len(clip.tokenizer.encode(word)) == 3


def test_it_is_named_as_what_it_is() -> None:
    assert "small, project-trained; for trying out and for tests" in weights.load("tiny").weights


TRAINED = [name for name in methods.built_in() if issubclass(methods.get(name), Trainable)]


@pytest.mark.parametrize("name", TRAINED)
def test_every_trained_method_has_a_head_that_works_by_its_name(name: str) -> None:
    head = checkpoint.head(name, "tiny")
    assert head is not None
    assert sum(file.stat().st_size for file in head.iterdir() if file.suffix == ".safetensors") <= 3 * 2**20
    detector = zsad.load(name)
    assert detector.training_record.is_on_record
    image = surface(np.random.default_rng(UNSEEN_SEED), (224, 224))[0]
    prediction = detector.predict(image)
    assert 0 <= prediction.score <= 1
    assert prediction.anomaly_map.shape == (224, 224)


@pytest.mark.parametrize(("chosen", "least", "most"), [("embedded", 0.75, 1.0), ("random", 0.0, 0.6)])
def test_it_finds_drawn_damage_that_it_never_saw_and_random_weights_do_not(
    chosen: str, least: float, most: float
) -> None:
    detector = zsad.load("clip", weights=chosen, batch_size=8)
    rng = np.random.default_rng(UNSEEN_SEED)
    images, masks = [], []
    for number in range(48):
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
