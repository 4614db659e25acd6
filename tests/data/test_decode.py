"""Decoding that never lies: values exactly, or an InputError that names the file."""

import inspect
import os
import struct
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import ExifTags, Image

from tests.data.making import adobe_segment, chunk, png, png_header, saved, tiff
from zsad.data.decode import MAX_PIXELS, decode
from zsad.data.decoding import guard
from zsad.errors import InputError

RNG = np.random.default_rng(7)
COLOURS = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY_16 = RNG.integers(0, 65536, (5, 7), dtype=np.uint16)
COLOURS_16 = RNG.integers(0, 65536, (5, 7, 3), dtype=np.uint16)


def pixels_of(source: object) -> np.ndarray:
    return decode(source, "part.x").pixels


def assert_pixels(source: object, expected: np.ndarray) -> None:
    """Exactly these pixels, of exactly this type."""
    np.testing.assert_array_equal(pixels_of(source), expected, strict=True)


def as_rgb(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=2)


def refusal(source: object) -> InputError:
    """The error, which must name the file."""
    with pytest.raises(InputError, match=r"part\.x") as caught:
        decode(source, "part.x")
    return caught.value


# --- what images look like ---


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
def test_lossless_files_give_their_pixels(tmp_path: Path, kind: str, options: dict[str, object]) -> None:
    path = tmp_path / f"part.{kind.lower()}"
    path.write_bytes(saved(COLOURS, kind, **options))
    image = decode(path)
    np.testing.assert_array_equal(image.pixels, COLOURS, strict=True)
    assert image.source == str(path)
    assert image.size == (5, 7)
    assert image.pixels.flags.c_contiguous


def test_jpeg_gives_what_pillow_gives() -> None:
    content = saved(COLOURS, "JPEG")
    assert_pixels(content, np.asarray(Image.open(BytesIO(content))))


def test_grey_and_one_bit() -> None:
    grey = COLOURS[..., 0]
    assert_pixels(saved(grey, "PNG"), as_rgb(grey))
    assert_pixels(saved(Image.fromarray(grey > 99), "PNG"), as_rgb(np.where(grey > 99, 255, 0).astype(np.uint8)))


def test_palette() -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8), "P")
    image.putpalette([9, 8, 7, 0, 255, 0, 1, 2, 3])
    assert_pixels(saved(image, "PNG"), np.array([[[9, 8, 7], [0, 255, 0], [1, 2, 3]]], dtype=np.uint8))


@pytest.mark.parametrize("low", [0, 1000])
def test_16_bit_grey_png_keeps_every_value(low: int) -> None:
    """A dark or flat image stays dark and flat: no stretch, no clipping."""
    grey = (GREY_16 // 97 + low).astype(np.uint16)
    assert_pixels(png(grey, 0), as_rgb(grey))


@pytest.mark.parametrize("interlaced", [False, True])
def test_16_bit_colour_png_keeps_every_value(interlaced: bool) -> None:
    assert_pixels(png(COLOURS_16, 2, interlaced=interlaced), COLOURS_16)


def test_what_a_16_bit_png_says_of_its_display_changes_nothing() -> None:
    said = {"gAMA": struct.pack(">I", 45455), "sBIT": bytes([12, 12, 12]), "sRGB": b"\0"}
    assert_pixels(png(COLOURS_16, 2, **said), COLOURS_16)


def test_a_pil_image_that_is_not_loaded_yet_keeps_16_bits() -> None:
    with Image.open(BytesIO(png(COLOURS_16, 2))) as image:
        assert_pixels(image, COLOURS_16)


@pytest.mark.parametrize("largest", [1023, 65535])
def test_deep_netpbm(largest: int) -> None:
    """Of pnm.sourceforge.net: two bytes a sample, high byte first, white is the largest value."""
    for letter, stored in ((b"5", GREY_16[..., None]), (b"6", COLOURS_16)):
        stored = np.minimum(stored, largest)
        expected = np.rint(stored.astype(float) * 65535 / largest).astype(np.uint16) + np.zeros(3, np.uint16)
        head = b"# by hand\n7 5\n%d\n" % largest
        assert_pixels(b"P" + letter + b"\n" + head + stored.astype(">u2").tobytes(), expected)
        plain = b"\n".join(b"%d" % value for value in stored.ravel())
        assert_pixels(b"P%d " % (int(letter) - 3) + head + plain, expected)


@pytest.mark.parametrize(
    ("tuples", "maximum", "stored", "expected"),
    [
        (b"GRAYSCALE", 255, [[[3], [200]]], [[[3] * 3, [200] * 3]]),
        (b"BLACKANDWHITE", 1, [[[0], [1]]], [[[0] * 3, [255] * 3]]),
        (b"RGB", 255, [[[1, 2, 3]]], [[[1, 2, 3]]]),
        (b"RGB_ALPHA", 255, [[[1, 2, 3, 0], [1, 2, 3, 255]]], [[[255] * 3, [1, 2, 3]]]),
        (b"GRAYSCALE_ALPHA", 65535, [[[9, 65535], [9, 0]]], [[[9] * 3, [65535] * 3]]),
    ],
)
def test_pam(tuples: bytes, maximum: int, stored: list[list[list[int]]], expected: list[list[list[int]]]) -> None:
    samples = np.array(stored)
    rows, cols, depth = samples.shape
    head = b"P7\nWIDTH %d\nHEIGHT %d\n# said\nDEPTH %d\nMAXVAL %d\nTUPLTYPE %s\nENDHDR\n"
    content = head % (cols, rows, depth, maximum, tuples) + samples.astype(">u2" if maximum > 255 else "u1").tobytes()
    assert_pixels(content, np.array(expected, np.uint8 if maximum <= 255 else np.uint16))


@pytest.mark.parametrize(
    "content",
    [
        b"P7\nWIDTH 1\nHEIGHT 1\n",
        b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 7\nMAXVAL 255\nENDHDR\n1234567",
        b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 2\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n12",
        b"P7\nWIDTH 1\nHEIGHT x\nDEPTH 1\nMAXVAL 255\nENDHDR\n1",
        b"P7\nWIDTH 1\nDEPTH 1\nMAXVAL 255\nENDHDR\n1",
        b"P7\nWIDTH 60000\nHEIGHT 60000\nDEPTH 1\nMAXVAL 255\nENDHDR\n1",
        b"P5 1 1 65536\n12",
        b"P5 1 1 1000\n\xff\xff",
        b"P2 2 1 1000 5",
        b"P2 2 1 1000 5 x",
    ],
)
def test_broken_netpbm(content: bytes) -> None:
    refusal(content)


# --- transparency ---


def test_alpha_is_composited_on_white() -> None:
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 100, 255, 51]]], dtype=np.uint8)
    on_white = np.array([[[10, 20, 30], [255, 255, 255], [204, 224, 255]]], dtype=np.uint8)
    assert_pixels(saved(rgba, "PNG"), on_white)
    assert_pixels(rgba, on_white)
    assert_pixels(Image.fromarray(rgba), on_white)


def test_opaque_alpha_changes_nothing() -> None:
    opaque = np.full((5, 7, 1), 255, dtype=np.uint8)
    assert_pixels(saved(np.concatenate([COLOURS, opaque], axis=2), "PNG"), COLOURS)
    grey_alpha = Image.fromarray(np.concatenate([COLOURS[..., :1], opaque], axis=2), "LA")
    assert_pixels(saved(grey_alpha, "PNG"), as_rgb(COLOURS[..., 0]))


def test_grey_alpha() -> None:
    grey_alpha = np.array([[[100, 0], [100, 255], [0, 51]]], dtype=np.uint8)
    expected = as_rgb(np.array([[255, 100, 204]], dtype=np.uint8))
    assert_pixels(saved(Image.fromarray(grey_alpha, "LA"), "PNG"), expected)


def test_premultiplied_images() -> None:
    white_behind = np.array([[[204 + 10, 204 + 20, 204 + 30]]], dtype=np.uint8)
    image = Image.new("RGBa", (1, 1))
    image.putpixel((0, 0), (10, 20, 30, 51))
    assert_pixels(image, white_behind)
    grey = Image.fromarray(np.array([[[100, 51]]], dtype=np.uint8), "LA").convert("La")
    assert_pixels(grey, as_rgb(np.array([[204 + 20]], dtype=np.uint8)))


def test_transparent_palette_entry_and_colour_key() -> None:
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), "P")
    image.putpalette([9, 8, 7, 0, 255, 0])
    expected = np.array([[[255, 255, 255], [0, 255, 0]]], dtype=np.uint8)
    assert_pixels(saved(image, "PNG", transparency=b"\0\xff"), expected)
    assert_pixels(saved(image, "GIF", transparency=0), expected)
    keyed = Image.fromarray(np.array([[[9, 8, 7], [0, 255, 0]]], dtype=np.uint8))
    assert_pixels(saved(keyed, "PNG", transparency=(9, 8, 7)), expected)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_transparent_grey_value_of_few_bits(bits: int) -> None:
    """The value is that of the stored samples, before they are spread over 8 bits (PNG specification, 11.3.2.1)."""
    header = struct.pack(">IIBBBBB", 2, 1, bits, 0, 0, 0, 0)
    stored = bytes([0b01 << (8 - 2 * bits)])  # the samples 0 and 1
    parts = [(b"IHDR", header), (b"tRNS", b"\0\1"), (b"IDAT", zlib.compress(b"\0" + stored)), (b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)
    assert_pixels(content, as_rgb(np.array([[0, 255]], dtype=np.uint8)))


def test_transparent_colour_of_16_bit_png() -> None:
    """All sixteen bits decide: the neighbour of the colour stays."""
    colours = np.array([[[1, 2, 515], [1, 2, 516]]], dtype=np.uint16)
    expected = np.array([[[65535] * 3, [1, 2, 516]]], dtype=np.uint16)
    assert_pixels(png(colours, 2, struct.pack(">HHH", 1, 2, 515)), expected)


@pytest.mark.parametrize("interlaced", [False, True])
def test_alpha_of_16_bit_png(interlaced: bool) -> None:
    rgba = np.array([[[1, 2, 3, 65535], [1, 2, 3, 0], [0, 65535, 100, 13107]]], dtype=np.uint16)
    expected = np.array([[[1, 2, 3], [65535] * 3, [52428, 65535, 52448]]], dtype=np.uint16)
    assert_pixels(png(rgba, 6, interlaced=interlaced), expected)
    grey = as_rgb(np.array([[1, 65535, 52448]], dtype=np.uint16))
    assert_pixels(
        png(rgba[..., [2, 3]] - np.array([[[2, 0], [0, 0], [0, 0]]], np.uint16), 4, interlaced=interlaced), grey
    )


def test_transparent_grey_value_of_16_bit_png() -> None:
    grey = np.array([[1, 2, 515]], dtype=np.uint16)
    assert_pixels(png(grey, 0, struct.pack(">H", 2)), as_rgb(np.array([[1, 65535, 515]], dtype=np.uint16)))


# --- CMYK ---

INKS = {(0, 255, 255, 0): (255, 0, 0), (255, 0, 0, 0): (0, 255, 255), (0, 0, 0, 51): (204, 204, 204)}


def cmyk_jpeg(inks: tuple[int, ...]) -> bytes:
    """One flat colour, stored inverted behind Adobe's marker, as Photoshop and Pillow do."""
    return saved(Image.new("CMYK", (16, 16), inks), "JPEG", quality=100)


@pytest.mark.parametrize(("inks", "colour"), INKS.items())
def test_inverted_cmyk_jpeg(inks: tuple[int, ...], colour: tuple[int, ...]) -> None:
    assert_pixels(cmyk_jpeg(inks), np.full((16, 16, 3), colour, dtype=np.uint8))


@pytest.mark.parametrize(("inks", "colour"), INKS.items())
def test_cmyk_jpeg_without_adobe_marker_stores_inks_as_they_are(inks: tuple[int, ...], colour: tuple[int, ...]) -> None:
    content = bytearray(cmyk_jpeg(tuple(255 - ink for ink in inks)))  # so that the file holds the inks themselves
    del content[adobe_segment(content)]
    assert_pixels(bytes(content), np.full((16, 16, 3), colour, dtype=np.uint8))


def test_ycck_jpeg() -> None:
    """Y, Cb, Cr = 100, 128, 200 are red, green, blue = 201, 49, 100 of the inks; there is no black."""
    content = bytearray(cmyk_jpeg((255 - 100, 255 - 128, 255 - 200, 0)))
    content[adobe_segment(content).stop - 1] = 2  # the transform: YCCK
    assert_pixels(bytes(content), np.full((16, 16, 3), (255 - 201, 255 - 49, 255 - 100), dtype=np.uint8))


def test_cmyk_tiff() -> None:
    image = Image.new("CMYK", (2, 2), (0, 255, 255, 0))
    assert_pixels(saved(image, "TIFF"), np.full((2, 2, 3), (255, 0, 0), dtype=np.uint8))


# --- orientation and frames ---

# How a camera stores an upright image under each orientation.
STORED = {
    1: lambda p: p,
    2: np.fliplr,
    3: lambda p: np.rot90(p, 2),
    4: np.flipud,
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, 1),
    7: lambda p: np.rot90(p, 2).transpose(1, 0, 2),
    8: lambda p: np.rot90(p, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = np.ascontiguousarray(STORED[orientation](COLOURS))
    content = saved(stored, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    assert_pixels(content, COLOURS)
    assert_pixels(Image.open(BytesIO(content)), COLOURS)


@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_of_jpeg(orientation: int) -> None:
    """Flat blocks of 16 pixels survive JPEG almost unchanged."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    blocks = np.kron(COLOURS[:2, :3, :1], np.ones((16, 16, 3), dtype=np.uint8))
    decoded = pixels_of(saved(np.ascontiguousarray(STORED[orientation](blocks)), "JPEG", exif=exif, quality=100))
    np.testing.assert_allclose(decoded.astype(int), blocks.astype(int), atol=2, strict=True)


@pytest.mark.parametrize("orientation", STORED)
def test_tiff_orientation_of_deep_images(orientation: int) -> None:
    tag = [(274, 3, 1, orientation, True)]
    colours = np.ascontiguousarray(STORED[orientation](COLOURS_16))
    assert_pixels(tiff(colours, photometric="rgb", extratags=tag), COLOURS_16)
    grey = np.ascontiguousarray(STORED[orientation](as_rgb(GREY_16))[..., 0])
    assert_pixels(tiff(grey, photometric="minisblack", extratags=tag), as_rgb(GREY_16))


def test_broken_exif_counts_as_none() -> None:
    assert_pixels(saved(COLOURS, "PNG", exif=b"Exif\0\0nonsense"), COLOURS)


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "PNG"])
def test_first_of_several_frames(kind: str) -> None:
    first, second = Image.new("RGB", (4, 3), (255, 0, 0)), Image.new("RGB", (4, 3), (0, 0, 255))
    content = saved(first, kind, save_all=True, append_images=[second])
    assert_pixels(content, np.full((3, 4, 3), (255, 0, 0), dtype=np.uint8))


# --- in memory ---


@settings(deadline=None, max_examples=50)
@given(arrays(st.sampled_from([np.uint8, np.uint16]), st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_any_rgb_array_is_itself(array: np.ndarray) -> None:
    assert_pixels(array, array)


@settings(deadline=None, max_examples=50)
@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_png_round_trip(array: np.ndarray) -> None:
    assert_pixels(saved(array, "PNG"), array)


@settings(deadline=None, max_examples=50)
@given(arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_16_bit_png_round_trip(array: np.ndarray) -> None:
    assert_pixels(saved(array, "PNG"), as_rgb(array))


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1)])
def test_grey_arrays(shape: tuple[int, ...]) -> None:
    assert_pixels(GREY_16.reshape(shape), as_rgb(GREY_16))
    assert_pixels(GREY_16.astype(">u2").reshape(shape), as_rgb(GREY_16))
    dark = GREY_16 < 30000
    assert_pixels(dark.reshape(shape), as_rgb(np.where(dark, 255, 0).astype(np.uint8)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float_arrays_become_16_bit(dtype: type) -> None:
    values = np.array([[0, 0.25, 0.5, 1]], dtype=dtype)
    assert_pixels(values, as_rgb(np.array([[0, 16384, 32768, 65535]], dtype=np.uint16)))


def test_16_bit_alpha() -> None:
    rgba = np.array([[[1, 2, 3, 65535], [1, 2, 3, 0], [0, 65535, 100, 13107]]], dtype=np.uint16)
    expected = [[[1, 2, 3], [65535, 65535, 65535], [52428, 65535, 52448]]]
    assert_pixels(rgba, np.array(expected, dtype=np.uint16))


@pytest.mark.parametrize("shape", [(3,), (2, 3, 5, 3), (3, 5, 7), (5, 7, 2), (0, 7), (5, 0, 3)])
def test_array_shapes_that_are_no_image(shape: tuple[int, ...]) -> None:
    refusal(np.zeros(shape, dtype=np.uint8))


@pytest.mark.parametrize("dtype", [np.int16, np.uint32, np.int64, np.complex64, object])
def test_array_types_that_are_no_image(dtype: type) -> None:
    assert np.dtype(dtype).name in refusal(np.zeros((2, 2), dtype=dtype)).value


@pytest.mark.parametrize("value", [-0.01, 1.01, 255.0, np.nan, np.inf])
def test_floats_out_of_range(value: float) -> None:
    assert "divide" in refusal(np.array([[0.5, value]])).remedy


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B"])
def test_deep_pil_images(mode: str) -> None:
    values = GREY_16.astype(">u2" if mode.endswith("B") else "<u2")
    assert_pixels(Image.frombytes(mode, (7, 5), values.tobytes()), as_rgb(GREY_16))


def test_whole_number_pil_images() -> None:
    assert_pixels(Image.fromarray(GREY_16.astype(np.int32)), as_rgb(GREY_16))
    refusal(Image.fromarray(np.array([[-1]], dtype=np.int32)))
    refusal(Image.fromarray(np.array([[65536]], dtype=np.int32)))


def test_float_pil_images() -> None:
    assert_pixels(Image.fromarray(np.array([[0, 1]], dtype=np.float32)), as_rgb(np.array([[0, 65535]], np.uint16)))
    assert "[0, 1]" in refusal(Image.fromarray(np.array([[0, 255]], dtype=np.float32))).value


def test_pil_images_that_are_no_image() -> None:
    assert "LAB" in refusal(Image.new("LAB", (2, 2))).value
    refusal(Image.new("RGB", (0, 2)))


def test_names() -> None:
    assert decode(COLOURS).source == "array"
    assert decode(saved(COLOURS, "PNG")).source == "bytes"
    assert decode(Image.fromarray(COLOURS)).source == "image"
    assert decode(COLOURS, "array 3").source == "array 3"


def test_other_types_are_refused() -> None:
    with pytest.raises(InputError, match="got int"):
        inspect.unwrap(decode)(5)  # past the type checks of the test run


# --- what cannot be read ---

LONGER = RNG.integers(0, 256, (40, 50, 3), dtype=np.uint8)
WHOLE = {
    "png": saved(LONGER, "PNG"),
    "png 16": png(LONGER[..., 0].astype(np.uint16) * 257, 0),
    "png 16 colours": png(LONGER.astype(np.uint16) * 257, 2),
    "png 16 interlaced": png(LONGER[..., :2].astype(np.uint16) * 257, 4, interlaced=True),
    "ppm 16": b"P6 50 40 65535\n" + (LONGER.astype(">u2") * 257).tobytes(),
    "pam": b"P7\nWIDTH 50\nHEIGHT 40\nDEPTH 3\nMAXVAL 255\nENDHDR\n" + LONGER.tobytes(),
    "jpeg": saved(LONGER, "JPEG"),
    "progressive jpeg": saved(LONGER, "JPEG", progressive=True),
    "bmp": saved(LONGER, "BMP"),
    "gif": saved(LONGER, "GIF"),
    "webp": saved(LONGER, "WEBP"),
    "tiff": saved(LONGER, "TIFF"),
    "tiff lzw": saved(LONGER, "TIFF", compression="tiff_lzw"),
    "tiff 16": tiff(LONGER.astype(np.uint16) * 257, photometric="rgb"),
    "tiff 16 lzw": tiff(LONGER.astype(np.uint16) * 257, photometric="rgb", compression="lzw", rowsperstrip=8),
    "tiff 16 deflated": tiff(LONGER.astype(np.uint16) * 257, photometric="rgb", compression="zlib", rowsperstrip=8),
}


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99])
def test_truncated_files_are_refused(kind: str, kept: float) -> None:
    refusal(WHOLE[kind][: int(len(WHOLE[kind]) * kept)])


@pytest.mark.parametrize("kind", WHOLE)
def test_no_cut_gives_half_an_image(kind: str) -> None:
    """Some files end in bytes that carry no pixels; a cut may only ever cost those."""
    content, whole = WHOLE[kind], pixels_of(WHOLE[kind])
    for length in [*range(1, len(content), 211), *range(len(content) - 25, len(content))]:
        try:
            found = pixels_of(content[:length])
        except InputError:
            continue
        np.testing.assert_array_equal(found, whole, strict=True, err_msg=f"cut at {length}")


@pytest.mark.parametrize("kind", WHOLE)
def test_damaged_files_never_raise_anything_else(kind: str) -> None:
    rng = np.random.default_rng(3)
    for _ in range(60):
        damaged = bytearray(WHOLE[kind])
        for position in rng.integers(0, min(len(damaged), rng.choice([64, 400, 10**6])), 3):
            damaged[position] = rng.integers(256)
        with suppress(InputError):
            decode(bytes(damaged), "part.x")


@pytest.mark.parametrize(
    "content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"\0" * 200]
)
def test_files_that_are_no_image(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "part.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"part\.png") as caught:
        decode(path)
    assert caught.value.remedy
    assert "BytesIO" not in str(caught.value)


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must exist; got .*missing\.png"):
        decode(tmp_path / "missing.png")
    with pytest.raises(InputError, match="must be a file"):
        decode(str(tmp_path))
    with pytest.raises(InputError, match="must exist"):
        decode("part\0.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_are_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "part.x")
    refusal(tmp_path / "part.x")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "part.x").write_bytes(b"x")

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert "Permission denied" in refusal(tmp_path / "part.x").value


def test_formats_that_run_programs_are_refused() -> None:
    refusal(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")


# --- limits, handles, warnings ---


@pytest.mark.parametrize("pillow_limit", [89_478_485, None])
def test_a_bomb_is_refused_by_its_header(monkeypatch: pytest.MonkeyPatch, pillow_limit: int | None) -> None:
    """Whatever limit the user gave Pillow; the file holds no pixels, so that decoding them would say something else."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillow_limit)
    assert f"at most {MAX_PIXELS} pixels" in refusal(png_header(20_000, 20_000)).rule


def test_size_limit_is_inclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MAX_PIXELS", 35)
    assert_pixels(saved(COLOURS, "PNG"), COLOURS)
    monkeypatch.setattr(guard, "MAX_PIXELS", 34)
    assert "5 x 7 = 35 pixels" in refusal(saved(COLOURS, "PNG")).value
    assert "5 x 7 = 35 pixels" in refusal(Image.fromarray(COLOURS)).value


def test_a_thread_can_have_a_lower_limit_of_pixels() -> None:
    content = png_header(20, 30)
    with guard.at_most(599):
        assert "at most 599 pixels" in refusal(content).rule
        with ThreadPoolExecutor(1) as pool:
            assert "pixels" not in pool.submit(refusal, content).result().rule
    with guard.at_most(600):
        assert "pixels" not in refusal(content).rule


def test_pillows_warning_does_not_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between one and two times Pillow's limit it warns, and warnings are errors here."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(Image.DecompressionBombWarning):
        Image.open(BytesIO(saved(COLOURS, "PNG")))
    assert_pixels(saved(COLOURS, "PNG"), COLOURS)


def test_other_warnings_still_show() -> None:
    with guard.reading("part.x"), pytest.warns(UserWarning, match="mine"):
        warnings.warn("mine", stacklevel=1)


def test_warning_filters_survive_threads() -> None:
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        for pixels in pool.map(pixels_of, [WHOLE["png"]] * 64):
            np.testing.assert_array_equal(pixels, LONGER, strict=True)
    assert warnings.filters == before


def test_warning_filters_where_python_keeps_them_per_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    class Flags:
        context_aware_warnings = True

    monkeypatch.setattr(guard, "sys", type("sys", (), {"flags": Flags}))
    test_pillows_warning_does_not_leak(monkeypatch)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
@pytest.mark.parametrize("kind", ["png", "tiff", "tiff 16"])
def test_files_are_closed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "part.x"
    open_before = len(os.listdir("/proc/self/fd"))
    for content in (WHOLE[kind], WHOLE[kind][:900]):
        path.write_bytes(content)
        try:
            decode(path)
        except InputError:
            assert len(content) == 900
    assert len(os.listdir("/proc/self/fd")) == open_before


def test_tifffile_and_pydicom_are_not_imported_for_plain_images() -> None:
    """They cost start-up time that nobody with PNG files needs to pay."""
    source = "import sys, zsad.data.decode; sys.exit(bool({'tifffile', 'pydicom'} & set(sys.modules)))"
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", source]) == 0
