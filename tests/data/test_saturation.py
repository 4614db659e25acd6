"""Saturation thresholds: the configuration as it is published, masks of several defects, another size."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zsad.data.masks.saturation import read_saturations, saturated_defects
from zsad.errors import InputError

KINDS = [
    {"defect_name": "missing", "pixel_value": 255, "saturation_threshold": 0.35, "relative_saturation": True},
    {"defect_name": "cut", "pixel_value": 251, "saturation_threshold": 6, "relative_saturation": False},
]


def write(folder: Path, kinds: Any) -> Path:
    path = folder / "defects_config.json"
    path.write_text(json.dumps(kinds))
    return path


def draw(path: Path, value: int, rows: slice, colour: bool = False) -> Path:
    """Of 10×20 px."""
    mask = np.zeros((10, 20), np.uint8)
    mask[rows, 2:12] = value
    Image.fromarray(np.stack([mask] * 3, -1) if colour else mask).save(path)
    return path


@pytest.mark.parametrize("colour", [False, True])
def test_each_mask_is_a_defect_with_its_own_threshold(colour: bool, tmp_path: Path) -> None:
    masks = [draw(tmp_path / "0.png", 255, slice(0, 3), colour), draw(tmp_path / "1.png", 251, slice(5, 7), colour)]
    image = draw(tmp_path / "image.png", 90, slice(0, 10))
    found = saturated_defects(masks, write(tmp_path, KINDS), (10, 20), (10, 20), image)
    assert [(int(mask.sum()), pixels) for mask, pixels in found] == [(30, 10), (20, 6)]  # int(0.35 · 30)
    halved = saturated_defects(masks, write(tmp_path, KINDS), (10, 20), (5, 10), image)
    assert [pixels for _, pixels in halved] == [2.5, 1.5]
    assert {mask.shape for mask, _ in halved} == {(5, 10)}


def test_no_more_pixels_suffice_than_there_are(tmp_path: Path) -> None:
    kinds = read_saturations(write(tmp_path, KINDS))
    assert (kinds[251].pixels(4), kinds[255].pixels(2)) == (4, 1)


def test_a_value_that_is_not_configured_is_refused(tmp_path: Path) -> None:
    mask = draw(tmp_path / "0.png", 250, slice(0, 3))
    with pytest.raises(InputError, match=r"have a value of .*; got 250 in .*0\.png, not one of 251, 255"):
        saturated_defects([mask], write(tmp_path, KINDS), (10, 20), (10, 20), mask)


@pytest.mark.parametrize(
    "kinds",
    [
        {"defect_name": "missing"},
        [3],
        [{**KINDS[0], "pixel_value": "x"}],
        [{key: value for key, value in KINDS[0].items() if key != "saturation_threshold"}],
        [{**KINDS[0], "saturation_threshold": 0}],
        [{**KINDS[0], "saturation_threshold": 1.5}],
    ],
)
def test_a_configuration_that_is_none_is_refused_by_name(kinds: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"defects_config\.json"):
        read_saturations(write(tmp_path, kinds))
