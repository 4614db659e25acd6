"""Trained methods as the text of auto: loaded by name or folder, saved with it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zsad
from zsad.errors import ConfigError, WeightsError

SIZE = 64


def images(folder: Path) -> list[Path]:
    paths = [folder / f"{seed}.png" for seed in range(3)]
    for seed, path in enumerate(paths):
        pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).resize((SIZE, SIZE)).save(path)
    return paths


def test_a_trained_method_is_joined_by_name_and_saved_with_what_joins_it(tmp_path: Path) -> None:
    detector = zsad.load("auto", image_size=SIZE, options={"text": "wmoe-clip", "unlike": 1.0})
    alone = zsad.load("wmoe-clip", image_size=SIZE)
    *normal, image = images(tmp_path)
    assert detector.predict(image).score == pytest.approx(alone.predict(image).score, abs=1e-6)
    detector.fit_normal(normal)
    detector.save(tmp_path / "saved")
    again = zsad.load(tmp_path / "saved")
    assert again.predict(image).score == detector.predict(image).score
    inner = alone.method.state_dict()
    saved = again.method.state_dict()
    names = [name for name in inner if not name.startswith("clip.")]
    assert names
    assert all(torch.equal(saved[f"text.{name}"], inner[name]) for name in names)


def test_a_trained_method_is_joined_by_its_folder(tmp_path: Path) -> None:
    trained = zsad.load("fe-clip", image_size=SIZE)
    with torch.no_grad():
        for parameter in trained.method.parameters():
            parameter += 0.01 if parameter.requires_grad else 0
    trained.save(tmp_path / "mine")
    (image, *_) = images(tmp_path)
    joined = zsad.load("auto", image_size=SIZE, options={"text": str(tmp_path / "mine")})
    assert joined.predict(image).score == pytest.approx(trained.predict(image).score, abs=1e-6)
    assert joined.predict(image).score != pytest.approx(zsad.load("fe-clip", image_size=SIZE).predict(image).score)


def test_an_untrained_method_is_refused() -> None:
    with pytest.raises(ConfigError, match="wmoe-clip is trained before it is used"):
        zsad.load("auto", backbone="tiny-research", weights="random", options={"text": "wmoe-clip"})


def test_a_method_of_another_backbone_is_refused(tmp_path: Path) -> None:
    zsad.load("fe-clip", image_size=SIZE).save(tmp_path / "mine")
    with pytest.raises(WeightsError, match="was trained on the backbone that it is joined with"):
        zsad.load("auto", backbone="tiny-research", image_size=SIZE, options={"text": str(tmp_path / "mine")})


def test_images_that_the_text_was_trained_on_are_on_record(tmp_path: Path) -> None:
    trained = zsad.load("fe-clip", image_size=SIZE)
    joined = zsad.load("auto", image_size=SIZE, options={"text": "fe-clip"})
    assert trained.training_record.images
    assert joined.training_record.images == trained.training_record.images
    assert joined.training_record.is_on_record
    joined.fit_normal(images(tmp_path)[:2])
    joined.save(tmp_path / "saved")
    again = zsad.load(tmp_path / "saved").training_record
    assert {*trained.training_record.images} < {*again.images}


def test_another_text_takes_none_of_the_options_of_the_former(tmp_path: Path) -> None:
    zsad.load("auto", image_size=SIZE, options={"text": "kanoclip"}).save(tmp_path / "saved")
    assert zsad.load(tmp_path / "saved").card.options["text_options"]
    with pytest.raises(WeightsError, match="check the options"):
        zsad.load(tmp_path / "saved", options={"text": "clip-ac"})
