"""Masks of every kind that drawing tools and converters leave: each is read right, and says what is doubtful in it."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image

from tests.data.making import png, tiff
from zsad.data.masks.ground_truth import read_ground_truth, read_mask
from zsad.errors import InputError

ROWS, COLS = np.mgrid[:64, :72]
TRUTH = (ROWS - 30) ** 2 + (COLS - 33) ** 2 < 15**2
WHITE = np.where(TRUTH, 255, 0).astype(np.uint8)


def coloured(inside: tuple[int, ...], outside: tuple[int, ...]) -> np.ndarray:
    pixels = np.full((*TRUTH.shape, len(inside)), outside, np.uint8)
    pixels[TRUTH] = inside
    return pixels


def file(image: Image.Image | np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    stream = BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(stream, kind, **options)
    return stream.getvalue()


def indexed(*colours: tuple[int, int, int], marked: int = 1, rest: int = 0) -> bytes:
    image = Image.fromarray(np.where(TRUTH, marked, rest).astype(np.uint8), "L").convert("P")
    image.putdata(np.where(TRUTH, marked, rest).ravel().tolist())
    image.putpalette([value for colour in colours for value in colour])
    return file(image)


def ppm(maximum: int, marked: int) -> bytes:
    samples = np.zeros((*TRUTH.shape, 3), ">u2")
    samples[TRUTH, 1] = marked
    return b"P6 72 64 %d\n" % maximum + samples.tobytes()


def deep(channels: int, marked: int) -> np.ndarray:
    samples = np.zeros((*TRUTH.shape, channels), np.uint16)
    samples[TRUTH, 0] = marked
    return samples


def with_opacity(samples: np.ndarray, opaque: np.ndarray) -> np.ndarray:
    return np.concatenate([samples, opaque[..., None].astype(samples.dtype) * np.iinfo(samples.dtype).max], axis=2)


KINDS: dict[str, tuple[bytes, list[str]]] = {
    # depths: any value above 0 is a mark
    "1 of 65535 in grey": (png(deep(1, 1), 0), []),
    "1 of 65535 in RGB": (png(deep(3, 1), 2), []),
    "255 of 65535 in RGB": (png(deep(3, 255), 2), []),
    "1 of 65535 in RGBA, opaque": (png(with_opacity(deep(3, 1), np.ones_like(TRUTH)), 6), []),
    "16-bit RGBA, told by opacity": (png(with_opacity(deep(3, 0), TRUTH), 6), ["transparent-mask"]),
    "16-bit grey, told by opacity": (png(with_opacity(deep(1, 0), TRUTH), 4), ["transparent-mask"]),
    "1 of 65535 in PPM": (ppm(65535, 1), []),
    "1 of 1000 in PPM": (ppm(1000, 1), []),
    "1 of 65535 in a colour TIFF": (tiff(deep(3, 1), photometric="rgb"), []),
    "1 of 65535 in planes of a TIFF": (tiff(np.moveaxis(deep(3, 1), 2, 0), photometric="rgb", planarconfig=2), []),
    "32-bit labels in a TIFF": (tiff(np.where(TRUTH, 70_000, 0).astype(np.uint32)), []),
    "signed labels in a TIFF": (tiff(np.where(TRUTH, 1, 0).astype(np.int16)), []),
    "floats in a TIFF": (tiff(np.where(TRUTH, 0.001, 0).astype(np.float32)), []),
    "64-bit floats in a TIFF": (tiff(np.where(TRUTH, 1e-9, 0)), []),
    "0 and 1": (file(TRUTH.astype(np.uint8)), []),
    "0 and 2": (file(TRUTH.astype(np.uint8) * 2), []),
    "0, 1 and 2": (file(TRUTH.astype(np.uint8) + (TRUTH & (COLS > 33))), ["grey-mask"]),
    "1 bit": (file(Image.fromarray(TRUTH)), []),
    "1 bit, white is zero": (tiff(~TRUTH, photometric="miniswhite"), []),
    "8 bits, white is zero": (tiff(255 - WHITE, photometric="miniswhite"), []),
    "16 bits, white is zero": (tiff(65535 - deep(1, 9)[..., 0], photometric="miniswhite"), []),
    "fax": (file(Image.fromarray(TRUTH), "TIFF", compression="group4"), []),
    # transparency
    "white, told by opacity": (file(with_opacity(coloured((255,) * 3, (255,) * 3), TRUTH)), ["transparent-mask"]),
    "grey and opacity": (file(with_opacity(coloured((90,), (90,)), TRUTH)), ["transparent-mask"]),
    "black, told by opacity": (file(with_opacity(coloured((0,) * 3, (0,) * 3), TRUTH)), ["transparent-mask"]),
    "red on nothing": (file(with_opacity(coloured((255, 0, 0), (0, 0, 0)), TRUTH)), []),
    "red over red that is transparent": (
        file(with_opacity(coloured((255, 0, 0), (255, 0, 0)), TRUTH)),
        ["transparent-mask"],
    ),
    "white on black, opaque": (file(with_opacity(coloured((255,) * 3, (0,) * 3), np.ones_like(TRUTH))), []),
    "white on black, half transparent everywhere": (
        file(np.dstack([*[WHITE] * 3, np.full_like(WHITE, 128)])),
        [],
    ),
    "white on opaque black, in a transparent frame": (
        file(with_opacity(coloured((255,) * 3, (0,) * 3), (COLS > 2) & (COLS < 69))),
        [],
    ),
    "WebP, told by opacity": (
        file(with_opacity(coloured((9,) * 3, (9,) * 3), TRUTH), "WEBP", lossless=True, exact=True),
        ["transparent-mask"],
    ),
    # backgrounds
    "red on brown": (file(coloured((255, 0, 0), (112, 48, 32))), ["coloured-background"]),
    "2 on 1": (file(TRUTH.astype(np.uint8) + np.uint8(1)), ["coloured-background"]),
    "black is a mark": (file(coloured((0, 0, 0), (255, 255, 255))), ["mostly-anomalous"]),
    "red on brown, JPEG": (
        file(coloured((255, 0, 0), (112, 48, 32)), "JPEG", quality=95, subsampling=0),
        ["coloured-background", "lossy-mask"],
    ),
    # palettes
    "palette of VOC": (indexed((0, 0, 0), (128, 0, 0)), []),
    "palette without black": (indexed((70, 0, 90), (250, 240, 30)), ["coloured-background"]),
    "palette in another order": (indexed((255, 255, 255), (0, 0, 0), marked=0, rest=1), ["palette-mask"]),
    "palette of one colour": (indexed((0, 0, 0), (0, 0, 0)), ["palette-mask"]),
    "255 of a palette": (indexed(*[(0, 0, 0)] * 255, (224, 224, 192), marked=255), []),
    # lossy containers
    "JPEG": (file(WHITE, "JPEG", quality=75), ["lossy-mask"]),
    "JPEG of colour 128": (file(coloured((128, 0, 0), (0, 0, 0)), "JPEG", quality=95), ["lossy-mask"]),
    "JPEG of grey 100": (file((WHITE > 0).astype(np.uint8) * np.uint8(100), "JPEG", quality=75), ["lossy-mask"]),
    "JPEG in TIFF": (file(Image.fromarray(WHITE), "TIFF", compression="jpeg"), ["lossy-mask"]),
    "two JPEG": (file(WHITE, "MPO", quality=75, save_all=True, append_images=[Image.fromarray(WHITE)]), ["lossy-mask"]),
    "WebP": (file(Image.fromarray(WHITE).convert("RGB"), "WEBP", quality=75), ["lossy-mask"]),
    "WebP with a head": (
        file(Image.fromarray(WHITE).convert("RGB"), "WEBP", quality=75, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"),
        ["lossy-mask"],
    ),
    "JPEG 2000, a tenth": (
        file(WHITE, "JPEG2000", quality_mode="rates", quality_layers=[10], irreversible=True),
        ["lossy-mask"],
    ),
    "JPEG 2000, lossless": (file(TRUTH.astype(np.uint8), "JPEG2000"), []),
    "AVIF": (file(Image.fromarray(WHITE).convert("RGB"), "AVIF", quality=30), ["lossy-mask"]),
    "WebP, lossless, 0 and 1": (
        file(Image.fromarray(TRUTH.astype(np.uint8)).convert("RGB"), "WEBP", lossless=True),
        [],
    ),
    "WebP, lossless, 0 to 2": (
        file(Image.fromarray(TRUTH.astype(np.uint8) + (TRUTH & (COLS > 33))).convert("RGB"), "WEBP", lossless=True),
        ["grey-mask"],
    ),
}
INVERTED = {"black is a mark"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_of_every_kind(kind: str, tmp_path: Path) -> None:
    content, doubts = KINDS[kind]
    (tmp_path / "mask.any").write_bytes(content)
    found = read_ground_truth([tmp_path / "mask.any"], TRUTH.shape)
    assert list(found.warnings) == doubts
    wrong = (found.pixels != (~TRUTH if kind in INVERTED else TRUTH)).sum()
    assert wrong <= (3 if "lossy-mask" in doubts else 0)  # a pixel of an edge may flip


@pytest.mark.parametrize("lossless", [True, False])
def test_a_mask_that_marks_nothing_or_everything(lossless: bool, tmp_path: Path) -> None:
    suffix = "png" if lossless else "jpg"
    for value, doubts in ((0, ()), (255, ("mostly-anomalous",)), (130, ("mostly-anomalous",))):
        Image.new("L", (72, 64), value).save(tmp_path / f"mask.{suffix}")
        found = read_ground_truth([tmp_path / f"mask.{suffix}"], (64, 72))
        assert (found.pixels.mean(), found.warnings) == (value > 0, doubts)


def test_what_any_of_several_masks_marks_is_anomalous(tmp_path: Path) -> None:
    """The values of MVTec LOCO AD say which defect it is."""
    for name, value, rows in (("0.png", 251, slice(2, 8)), ("1.png", 236, slice(20, 24))):
        pixels = np.zeros((64, 72), np.uint8)
        pixels[rows, 4:10] = value
        Image.fromarray(pixels).save(tmp_path / name)
    found = read_ground_truth([tmp_path / "0.png", tmp_path / "1.png"], (64, 72))
    assert (found.pixels.sum(), found.pixels[2:8, 4:10].all(), found.pixels[20:24, 4:10].all()) == (60, True, True)


def test_a_mark_along_the_border_is_told_like_most_of_the_pixels(tmp_path: Path) -> None:
    frame = np.full((64, 72), 255, np.uint8)
    frame[1:-1, 1:-1] = 0
    Image.fromarray(frame).save(tmp_path / "mask.png")
    assert read_ground_truth([tmp_path / "mask.png"], (64, 72)).warnings == ("mostly-anomalous",)


def several_pages() -> bytes:
    return tiff(np.stack([WHITE, WHITE]), photometric="minisblack")


def animated() -> bytes:
    return file(Image.fromarray(WHITE), "GIF", save_all=True, append_images=[Image.fromarray(255 - WHITE)])


def array() -> bytes:
    stream = BytesIO()
    np.save(stream, TRUTH)
    return stream.getvalue()


NOISE = np.random.default_rng(0).integers(1, 256, (64, 72, 3), dtype=np.uint8)
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "pages": (several_pages, "a mask file holds one mask; got .*page 1 of 2"),
    "frames": (animated, "a mask file holds one mask; got .*2 frames"),
    "two PPM": (lambda: ppm(65535, 1) * 2, "a mask file holds one mask; got .*an image after the first"),
    "NumPy": (array, r"a mask is an image, or JSON of labelme; got .*a NumPy file"),
    "PDF": (lambda: b"%PDF-1.7", r"a mask is an image, or JSON of labelme; got .*a PDF document"),
    "PostScript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n", "a mask is an image, or JSON of labelme; got .*PostScript"),
    "DICOM": (lambda: bytes(128) + b"DICM", "a mask is an image, or JSON of labelme; got .*DICOM"),
    "CMYK": (lambda: file(Image.new("CMYK", (72, 64)), "JPEG"), "a mask is grey, RGB or indexed; got .*CMYK"),
    "complex": (lambda: tiff(TRUTH.astype(np.complex64)), "a mask is grey or RGB; got .*complex64"),
    "inverted floats": (
        lambda: tiff(TRUTH.astype(np.float32), photometric="miniswhite"),
        "a mask is grey or RGB; got .*photometric",
    ),
    "negative": (lambda: tiff(TRUTH.astype(np.int16) - 1), "finite, and not negative; got .* from -1 to 0"),
    "not finite": (
        lambda: tiff(np.where(TRUTH, np.nan, 0).astype(np.float32)),
        "finite, and not negative; got .* from nan to nan",
    ),
    "photograph": (lambda: file(NOISE), "the background of a mask is black; got .*neither black nor a colour"),
    "two halves": (
        lambda: file(np.where(COLS < 36, 9, 200).astype(np.uint8)),
        "the background of a mask is black; got .*neither black nor a colour",
    ),
    "labels in JPEG": (
        lambda: file(TRUTH.astype(np.uint8) * np.uint8(20), "JPEG", quality=95),
        r"brighter than noise; got .*no value above 2\d of 255",
    ),
    "colours that nobody sees": (
        lambda: file(np.dstack([*[WHITE] * 3, np.zeros_like(WHITE)])),
        "a mask has visible marks; got .*transparent everywhere",
    ),
    "cut off": (lambda: file(WHITE)[:-60], "a whole image file"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_no_mask_can_be_read_from_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    make, message = REFUSED[kind]
    (tmp_path / "mask.any").write_bytes(make())
    with pytest.raises(InputError, match=message) as caught:
        read_mask(tmp_path / "mask.any", TRUTH.shape)
    assert str(tmp_path / "mask.any") in str(caught.value)


def test_a_folder_is_no_mask(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a mask is a file; got .*a folder or a device"):
        read_mask(tmp_path, TRUTH.shape)


# --- images that are turned by EXIF ---


def turned_image(path: Path, orientation: int, pixels: np.ndarray) -> Path:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return path


SHOWN = np.random.default_rng(1).normal(100, 2, (64, 72, 3)).clip(0, 255).astype(np.uint8)
SHOWN[TRUTH] = (200, 30, 30)
PLAIN = np.full((64, 72, 3), 90, np.uint8)
STORED = {2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1]}
"""What is stored, where an image is shown as it should be after a mirror or a half turn."""


@pytest.mark.parametrize("orientation", STORED)
def test_which_way_a_mask_was_drawn_is_told_by_the_image(orientation: int, tmp_path: Path) -> None:
    image = turned_image(tmp_path / "1.png", orientation, STORED[orientation](SHOWN))
    Image.fromarray(STORED[orientation](WHITE)).save(tmp_path / "stored.png")
    Image.fromarray(WHITE).save(tmp_path / "upright.png")
    stored = read_ground_truth([tmp_path / "stored.png"], (64, 72), image)
    np.testing.assert_array_equal(stored.pixels, TRUTH)
    assert stored.warnings == ("turned-mask",)
    upright = read_ground_truth([tmp_path / "upright.png"], (64, 72), image)
    assert upright.warnings == ("turned-otherwise",)
    np.testing.assert_array_equal(upright.pixels, STORED[orientation](TRUTH))
    even = turned_image(tmp_path / "2.png", orientation, PLAIN)
    assert read_ground_truth([tmp_path / "upright.png"], (64, 72), even).warnings == ("turned-mask",)


def test_a_mask_that_is_its_own_mirror_image_is_not_doubtful(tmp_path: Path) -> None:
    pixels = np.zeros((64, 72), np.uint8)
    pixels[20:44, 30:42] = 255
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    image = turned_image(tmp_path / "1.png", 3, PLAIN)
    assert read_ground_truth([tmp_path / "mask.png"], (64, 72), image).warnings == ()


@pytest.mark.parametrize("own", [1, 3])
def test_a_mask_that_says_how_it_is_turned_is_upright(own: int, tmp_path: Path) -> None:
    image = turned_image(tmp_path / "1.png", 3, STORED[3](SHOWN))
    pixels = WHITE if own == 1 else STORED[own](WHITE)
    mask = turned_image(tmp_path / "mask.png", own, pixels)
    found = read_ground_truth([mask], (64, 72), image)
    np.testing.assert_array_equal(found.pixels, TRUTH)
    assert found.warnings == ()


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_that_says_how_it_is_turned_is_upright(bits: int, tmp_path: Path) -> None:
    image = turned_image(tmp_path / "1.png", 3, STORED[3](SHOWN))
    stored = STORED[3](WHITE).astype(f"u{bits // 8}")
    tifffile.imwrite(tmp_path / "mask.tif", stored, extratags=[(274, 3, 1, 3, True)])
    found = read_ground_truth([tmp_path / "mask.tif"], (64, 72), image)
    np.testing.assert_array_equal(found.pixels, TRUTH)
    assert found.warnings == ()
