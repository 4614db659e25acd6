"""Masks, whatever they were drawn with."""

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from zsad.data.decode import decode
from zsad.data.masks.ground_truth import read_mask, read_mask_file, resize_mask
from zsad.errors import InputError

TRUTH = np.zeros((24, 32), bool)
TRUTH[9:15, 10:21] = True


def saved(path: Path, kind: str) -> Path:
    """The truth, drawn in some way."""
    grey = Image.fromarray(TRUTH.astype(np.uint8) * 255)
    if kind == "transparent":
        image = Image.new("RGBA", grey.size, (0, 0, 0, 0))
        image.paste((255, 0, 0, 255), mask=grey)
    elif kind == "labels":
        image = Image.fromarray(TRUTH.astype(np.uint8))
    elif kind == "palette":
        image = Image.new("P", grey.size)
        image.paste(1, mask=grey)
        image.putpalette([0, 0, 0, 128, 0, 0])
    elif kind == "deep":
        image = Image.fromarray(TRUTH.astype(np.uint16))
    else:
        image = grey.convert("1") if kind == "one bit" else grey
    image.save(path, **({"quality": 60} if path.suffix == ".jpg" else {}))
    return path


@pytest.mark.parametrize("kind", ["grey", "one bit", "transparent", "labels", "palette", "deep"])
def test_every_drawing_of_a_mask_is_read(kind: str, tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_mask(saved(tmp_path / "mask.png", kind), (24, 32)), TRUTH)


def test_the_noise_of_a_lossy_file_is_no_anomaly(tmp_path: Path) -> None:
    path = saved(tmp_path / "mask.jpg", "grey")
    assert (np.asarray(Image.open(path))[~TRUTH] > 0).any()
    np.testing.assert_array_equal(read_mask(path, (24, 32)), TRUTH)


def test_the_values_of_a_mask_and_where_they_are_cut(tmp_path: Path) -> None:
    mask = read_mask_file(saved(tmp_path / "mask.png", "palette"))
    assert (mask.values.tolist(), mask.threshold, mask.count) == ((TRUTH * 128).tolist(), 0, 2)
    assert read_mask_file(saved(tmp_path / "mask.jpg", "grey")).threshold == 127


def test_a_mask_of_another_size_names_itself(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mask\.png of 24×32 px for 32×24 px"):
        read_mask(saved(tmp_path / "mask.png", "grey"), (32, 24))


@pytest.mark.parametrize(
    ("content", "rule"), [(None, "a mask is a file"), (b"", "whole image file"), (b"no image", "whole image file")]
)
def test_a_mask_that_cannot_be_read_names_itself(content: bytes | None, rule: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "mask.png").write_bytes(content)
    with pytest.raises(InputError, match=rf"{rule}.*; got .*mask\.png"):
        read_mask(tmp_path / "mask.png", (24, 32))


def test_a_mask_of_another_size_is_cut_where_half_of_a_pixel_is_anomalous() -> None:
    half = np.zeros((40, 40), bool)
    half[:, 21:] = True
    # 40 columns to 10 are weighted by triangles over 8 columns; that of column 5 has its centre at 22.
    small = resize_mask(half, (20, 10))
    assert small.shape == (20, 10)
    assert (small == (np.arange(10) > 4)).all()
    # The same in floating point.
    grey = Image.fromarray(half.astype(np.float32)).resize((10, 20), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(small, np.asarray(grey) > 0.5)
    assert resize_mask(half, (40, 40)) is half
    dot = np.zeros((40, 40), bool)
    dot[20, 20] = True
    assert not resize_mask(dot, (10, 10)).any()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(6, 6), (4, 6)])
def test_a_mask_is_turned_with_its_image(tmp_path: Path, orientation: int, size: tuple[int, int]) -> None:
    """Drawn on the stored pixels: whatever the image asks for, the mask stays on the bright corner."""
    stored = np.zeros(size, np.uint8)
    stored[0, :2] = 255
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(stored).convert("RGB").save(tmp_path / "image.png", exif=exif)
    Image.fromarray(stored).save(tmp_path / "mask.png")
    shown = decode(tmp_path / "image.png").pixels[..., 0]
    found = read_mask(tmp_path / "mask.png", shown.shape, tmp_path / "image.png")
    np.testing.assert_array_equal(found, shown > 0)


def test_a_mask_that_was_drawn_on_the_turned_image_stays(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (6, 4)).save(tmp_path / "image.png", exif=exif)
    drawn = np.zeros((6, 4), np.uint8)
    drawn[0, 0] = 255
    Image.fromarray(drawn).save(tmp_path / "mask.png")
    assert decode(tmp_path / "image.png").size == (6, 4)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", (6, 4), tmp_path / "image.png"), drawn > 0)
