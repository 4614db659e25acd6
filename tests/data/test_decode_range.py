"""The range of samples: of tags, or asked for; never of the content."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

import zsad
from tests.data.making import dicom, png, tiff
from zsad import checkpoint
from zsad.data.decode import decode
from zsad.errors import ConfigError

TWELVE_BIT = np.random.default_rng(5).integers(0, 4096, (9, 8), dtype=np.uint16)
FULL = np.rint(TWELVE_BIT / 4095 * 65535)
SAID = ("by its tags it has 12 bits a sample: 0 to 4095 are black to white",)


def tagged(values: np.ndarray, code: int, largest: int) -> bytes:
    return tiff(values, photometric="minisblack", metadata=None, extratags=[(code, 3, 1, largest, True)])


@pytest.mark.parametrize("code", [281, 341], ids=["MaxSampleValue", "SMaxSampleValue"])
@pytest.mark.parametrize("largest", [4095, 3127], ids=["of the camera", "of the samples"])
def test_twelve_bits_of_a_tiff_by_its_tags(code: int, largest: int) -> None:
    values = np.minimum(TWELVE_BIT, largest)
    image = decode(tagged(values, code, largest))
    np.testing.assert_allclose(image.pixels[..., 0], np.rint(values / 4095 * 65535), atol=1)
    assert image.notes == SAID


def test_tags_that_a_sample_contradicts_do_not_count() -> None:
    values = TWELVE_BIT.copy()
    values[0, 0] = 4096
    image = decode(tagged(values, 281, 4095))
    np.testing.assert_array_equal(image.pixels[..., 0], values)


@pytest.mark.parametrize("largest", [255, 65535], ids=["8 bits", "16 bits"])
def test_tags_of_other_depths_change_nothing(largest: int) -> None:
    values = np.minimum(TWELVE_BIT, largest)
    np.testing.assert_array_equal(decode(tagged(values, 281, largest)).pixels[..., 0], values)


def test_twelve_bits_of_a_png_by_its_tags() -> None:
    image = decode(png(TWELVE_BIT, 0, sBIT=b"\x0c"))
    np.testing.assert_allclose(image.pixels[..., 0], FULL, atol=1)
    assert image.notes == SAID


@pytest.mark.parametrize("repeated", [True, False])
def test_a_png_that_is_stretched_as_its_format_asks_stays(repeated: bool) -> None:
    stretched = TWELVE_BIT // 16 << 4  # a dark picture
    stretched = stretched | (stretched >> 12 if repeated else 0)
    assert stretched.max() < 4096
    np.testing.assert_array_equal(decode(png(stretched, 0, sBIT=b"\x0c")).pixels[..., 0], stretched)


def test_a_range_that_is_asked_for_goes_before_tags_and_clips() -> None:
    expected = np.rint(np.clip((TWELVE_BIT - 100.0) / 900, 0, 1) * 65535)
    for content in (png(TWELVE_BIT, 0, sBIT=b"\x0c"), tagged(TWELVE_BIT, 281, 4095), tiff(TWELVE_BIT)):
        image = decode(content, value_range=(100, 1000))
        np.testing.assert_allclose(image.pixels[..., 0], expected, atol=1)
        assert image.notes == ()


def test_a_range_in_the_units_of_the_file() -> None:
    units = {"RescaleSlope": 1, "RescaleIntercept": -1000, "WindowCenter": 40, "WindowWidth": 80}
    image = decode(dicom(TWELVE_BIT, BitsStored=12, HighBit=11, **units), value_range=(-500, 1500))
    np.testing.assert_allclose(
        image.pixels[..., 0], np.rint(np.clip((TWELVE_BIT - 500.0) / 2000, 0, 1) * 65535), atol=1
    )
    floats = TWELVE_BIT.astype(np.float32) - 20
    image = decode(tiff(floats, photometric="minisblack"), value_range=(-20, 4075))
    np.testing.assert_allclose(image.pixels[..., 0], FULL, atol=1)
    packed = tiff(TWELVE_BIT, photometric="minisblack", bitspersample=12)
    np.testing.assert_allclose(decode(packed, value_range=(0, 4095)).pixels[..., 0], FULL, atol=1)


@pytest.mark.parametrize("value_range", [(5, 5), (9, 1), (0, float("nan")), (float("-inf"), 0)])
def test_an_empty_range_is_refused(value_range: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="from a number to a larger one"):
        decode(tiff(TWELVE_BIT), value_range=value_range)


def test_a_detector_keeps_its_range(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", TWELVE_BIT)
    tifffile.imwrite(tmp_path / "b.tif", FULL.astype(np.uint16))
    plain = zsad.load("clip", image_size=64)
    plain.save(tmp_path / "plain")
    assert "value_range" not in (tmp_path / "plain" / checkpoint.CARD).read_text()
    detector = zsad.load("clip", image_size=64, value_range=(0, 4095))
    detector.save(tmp_path / "kept")
    kept = zsad.load(tmp_path / "kept")
    assert kept.value_range == (0, 4095)
    assert kept.fingerprint == detector.fingerprint != plain.fingerprint
    expected = plain.predict(tmp_path / "b.tif").score
    assert kept.predict(tmp_path / "a.tif").score == pytest.approx(expected, abs=1e-6)
    answer = next(kept.stream([tmp_path / "a.tif"]))
    assert answer[1].score == pytest.approx(expected, abs=1e-6)
    assert plain.predict(tmp_path / "a.tif").score != pytest.approx(expected, abs=1e-4)
