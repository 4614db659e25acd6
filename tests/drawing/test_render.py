"""The fixed colour scale, overlays, legends and map files."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zsad.drawing.render import ANCHORS, colourise, eight_bit, legend, overlay, save_image, save_map
from zsad.errors import ConfigError, InputError
from zsad.types import DecodedImage

RNG = np.random.default_rng(0)
PHOTO = DecodedImage(RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8), "photo.png")


def constant(value: float, size: tuple[int, int] = (40, 60)) -> np.ndarray:
    return np.full(size, value, np.float32)


def test_a_value_has_the_same_colour_whatever_else_is_in_the_map() -> None:
    low = np.array([[0.1, 0.3]], np.float32)
    high = np.array([[0.9, 0.3]], np.float32)
    np.testing.assert_array_equal(colourise(low)[0, 1], colourise(high)[0, 1])


def test_the_anchors_are_the_colours_of_the_eighths() -> None:
    np.testing.assert_array_equal(colourise(np.linspace(0, 1, 9, dtype=np.float32)[None])[0], ANCHORS)


def test_the_scale_grows_in_lightness_at_every_step() -> None:
    colours = colourise(np.linspace(0, 1, 65, dtype=np.float32)[None])[0] / 255
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    assert (np.diff(linear @ [0.2126, 0.7152, 0.0722]) > 0).all()


def test_an_overlay_has_the_size_of_its_image_and_leaves_what_is_normal_recognisable() -> None:
    quiet, loud = overlay(PHOTO, constant(0.0)), overlay(PHOTO, constant(1.0))
    assert quiet.shape == PHOTO.pixels.shape
    grey = PHOTO.pixels.astype(float).mean(2)
    assert np.corrcoef(quiet.astype(float).mean(2).ravel(), grey.ravel())[0, 1] > 0.95
    np.testing.assert_allclose(loud.mean((0, 1)), 0.85 * colourise(constant(1.0))[0, 0] + 0.15 * 127, atol=12)


def test_opacity_0_shows_no_heat() -> None:
    np.testing.assert_array_equal(overlay(PHOTO, constant(1.0), opacity=0.0), overlay(PHOTO, constant(0.0)))


def test_an_overlay_is_within_three_levels_of_its_formula() -> None:
    ramp = np.float32(np.linspace(0, 1, 40 * 60).reshape(40, 60))
    grey = (PHOTO.pixels @ [0.299, 0.587, 0.114])[..., None]
    cover = (0.85 * ramp**2 * (3 - 2 * ramp))[..., None]
    blended = (1 - cover) * (grey + 0.7 * (PHOTO.pixels - grey)) + cover * colourise(ramp)
    np.testing.assert_allclose(overlay(PHOTO, ramp), blended, atol=3)


def test_an_overlay_of_many_strips_is_that_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    ramp = np.float32(np.linspace(0, 1, 40 * 60).reshape(40, 60))
    whole = overlay(PHOTO, ramp)
    monkeypatch.setattr("zsad.drawing.render.STRIP", 7 * 60)
    np.testing.assert_array_equal(overlay(PHOTO, ramp), whole)


def test_sixteen_bits_are_shown_over_their_full_range() -> None:
    deep = DecodedImage(PHOTO.pixels.astype(np.uint16) * 257, "deep.png")
    np.testing.assert_array_equal(eight_bit(deep.pixels), PHOTO.pixels)
    ramp = np.float32(np.linspace(0, 1, 40 * 60).reshape(40, 60))
    np.testing.assert_array_equal(overlay(deep, ramp), overlay(PHOTO, ramp))


def test_a_map_file_keeps_every_value_to_1_in_65535(tmp_path: Path) -> None:
    values = RNG.random((33, 47), dtype=np.float32)
    save_map(values, tmp_path / "map.png")
    with Image.open(tmp_path / "map.png") as image:
        assert image.mode == "I;16"
        np.testing.assert_allclose(np.asarray(image) / 65535, values, atol=0.5 / 65535 + 1e-7)
    assert [path.name for path in tmp_path.iterdir()] == ["map.png"]


@pytest.mark.parametrize("strip", [1, 3 * 47, 10**6])
def test_a_map_file_is_the_same_image_however_it_is_compressed(
    strip: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.sort(RNG.random((33, 47), dtype=np.float32), axis=1)
    monkeypatch.setattr("zsad.drawing.png.STRIP", strip)
    for name, has_libdeflate in (("libdeflate", True), ("zlib", False)):
        monkeypatch.setattr("zsad.drawing.png._has_libdeflate", lambda has=has_libdeflate: has)
        save_map(values, tmp_path / f"{name}.png")
        with Image.open(tmp_path / f"{name}.png") as image:
            image.verify()
        with Image.open(tmp_path / f"{name}.png") as image:
            np.testing.assert_array_equal(np.asarray(image), np.rint(values * np.float32(65535)).astype(np.uint16))


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", broken)
    with pytest.raises(OSError, match="disk full"):
        save_image(legend(), tmp_path / "legend.png")
    monkeypatch.setattr(zlib, "crc32", broken)
    with pytest.raises(OSError, match="disk full"):
        save_map(constant(0.5), tmp_path / "map.png")
    assert not list(tmp_path.iterdir())


def test_the_legend_marks_the_threshold() -> None:
    plain, marked = (np.asarray(legend(threshold)) for threshold in (None, 0.25))
    assert len(marked) > len(plain)  # there is room for the mark above the bar
    changed = np.flatnonzero((plain[-44:] != marked[-44:]).any((0, 2)))
    assert changed.size
    assert abs(changed.mean() - (24 + 0.25 * 432)) < 60


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_values_outside_the_scale_are_refused(value: float, tmp_path: Path) -> None:
    for draw in (colourise, lambda m: overlay(PHOTO, m), lambda m: save_map(m, tmp_path / "map.png")):
        with pytest.raises(InputError, match=r"lies in \[0, 1\]"):
            draw(constant(value))


def test_other_errors() -> None:
    with pytest.raises(InputError, match="size of its image"):
        overlay(PHOTO, constant(0.5, (60, 40)))
    with pytest.raises(ConfigError, match="opacity"):
        overlay(PHOTO, constant(0.5), opacity=2.0)
    with pytest.raises(ConfigError, match="threshold"):
        legend(1.5)
    with pytest.raises(ConfigError, match="at least 160"):
        legend(width=100)
