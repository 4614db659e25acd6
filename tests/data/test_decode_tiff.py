"""Every kind of TIFF: the file's own samples, by whichever library reads it faithfully."""

import lzma
import subprocess
import sys
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from tests.data.making import saved, tiff, with_tag
from tests.data.test_decode import as_rgb, assert_pixels, refusal

RNG = np.random.default_rng(11)
GREY = RNG.integers(0, 65536, (21, 18), dtype=np.uint16)
COLOURS = RNG.integers(0, 65536, (21, 18, 3), dtype=np.uint16)
PLANES = np.ascontiguousarray(np.moveaxis(COLOURS, 2, 0))
WIDTH, LENGTH, STRIP_OFFSETS, STRIP_BYTES = 256, 257, 273, 279


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_16_bit_grey(order: str, photometric: str) -> None:
    shown = GREY if photometric == "minisblack" else 65535 - GREY
    assert_pixels(tiff(GREY, byteorder=order, photometric=photometric), as_rgb(shown))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_16_bit_grey_compressed(compression: str) -> None:
    assert_pixels(saved(GREY, "TIFF", compression=compression), as_rgb(GREY))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "zlib"}, {"compression": "zlib", "predictor": True, "rowsperstrip": 5}, {"tile": (16, 16)}],
    ids=str,
)
def test_16_bit_colours(order: str, options: dict[str, object]) -> None:
    assert_pixels(tiff(COLOURS, byteorder=order, photometric="rgb", **options), COLOURS)


@settings(deadline=None, max_examples=30)
@given(arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_16_bit_colour_round_trip(array: np.ndarray) -> None:
    assert_pixels(tiff(array, photometric="rgb"), array)


def test_separate_planes() -> None:
    assert_pixels(tiff(PLANES, photometric="rgb", planarconfig="separate"), COLOURS)
    shallow = (PLANES >> 8).astype(np.uint8)
    assert_pixels(tiff(shallow, photometric="rgb", planarconfig="separate"), (COLOURS >> 8).astype(np.uint8))


def test_big_tiff() -> None:
    assert_pixels(tiff(COLOURS, photometric="rgb", bigtiff=True), COLOURS)
    assert_pixels(tiff(GREY, photometric="minisblack", bigtiff=True), as_rgb(GREY))


def test_first_of_several_deep_pages() -> None:
    assert_pixels(tiff(np.stack([COLOURS, 65535 - COLOURS]), photometric="rgb"), COLOURS)


@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha", "unspecified"])
def test_alpha_of_deep_colours(kind: str) -> None:
    rgba = np.array([[[0, 65535, 100, 13107], [1, 2, 3, 65535]]], dtype=np.uint16)
    first = {
        "unassalpha": [52428, 65535, 52448],
        "assocalpha": [52428, 65535, 52528],
        "unspecified": [0, 65535, 100],
    }[kind]
    content = tiff(rgba, photometric="rgb", extrasamples=[kind])
    assert_pixels(content, np.array([[first, [1, 2, 3]]], dtype=np.uint16))


def test_alpha_of_deep_grey() -> None:
    grey_alpha = np.array([[[100, 65535], [100, 0]]], dtype=np.uint16)
    content = tiff(grey_alpha, photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"])
    assert_pixels(content, as_rgb(np.array([[100, 65535]], dtype=np.uint16)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("photometric", ["minisblack", "rgb"])
def test_floats(dtype: type, photometric: str) -> None:
    values = np.array([[0, 0.25, 0.5, 1]], dtype=dtype)
    expected = as_rgb(np.array([[0, 16384, 32768, 65535]], dtype=np.uint16))
    assert_pixels(tiff(as_rgb(values) if photometric == "rgb" else values, photometric=photometric), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [-0.01, 1.01, 255, np.nan])
def test_floats_out_of_range(dtype: type, value: float) -> None:
    content = tiff(np.array([[0.5, value]], dtype=dtype), photometric="minisblack")
    assert "[0, 1]" in refusal(content).value


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.uint32, np.complex64])
def test_samples_that_have_no_known_white(dtype: type) -> None:
    assert "up to 16 bits" in refusal(tiff(np.ones((4, 4), dtype=dtype), photometric="minisblack")).rule


def test_volumes_and_many_channels_are_refused() -> None:
    for dtype in (np.uint8, np.uint16):
        content = tiff(np.ones((16, 16, 16), dtype), photometric="minisblack", volumetric=True)
        assert "depth 16" in refusal(content).value
    content = tiff(np.ones((16, 16, 16, 3), np.float32), photometric="rgb", volumetric=True)
    assert "axes" in refusal(content).value
    content = tiff(np.ones((4, 4, 7), np.uint16), photometric="minisblack", planarconfig="contig")
    assert "7 channels" in refusal(content).value


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("options", [{}, {"predictor": True, "rowsperstrip": 5}, {"tile": (16, 16)}], ids=str)
def test_16_bit_colours_in_lzw(order: str, options: dict[str, object]) -> None:
    assert_pixels(tiff(COLOURS, byteorder=order, photometric="rgb", compression="lzw", **options), COLOURS)


@pytest.mark.parametrize("compression", [None, "lzw"])
def test_16_bit_inks(compression: str | None) -> None:
    inks = np.array([[[0, 65535, 0, 0], [0, 0, 0, 13107], [32768, 0, 0, 32768]]], dtype=np.uint16)
    expected = np.array([[[65535, 0, 65535], [52428] * 3, [16383, 32767, 32767]]], dtype=np.uint16)
    assert_pixels(tiff(inks, photometric="separated", compression=compression), expected)


def test_premultiplied_alpha_in_lzw() -> None:
    rgba = np.array([[[0, 13107, 100, 13107], [1, 2, 3, 65535]]], dtype=np.uint16)
    content = tiff(rgba, photometric="rgb", extrasamples=["assocalpha"], compression="lzw")
    assert_pixels(content, np.array([[[52428, 65535, 52528], [1, 2, 3]]], dtype=np.uint16))


def test_12_bit_samples_fill_the_range() -> None:
    content = tiff(np.array([[0, 1, 4095]], dtype=np.uint16), photometric="minisblack", bitspersample=12)
    assert_pixels(content, as_rgb(np.array([[0, 16, 65535]], dtype=np.uint16)))


def test_what_tifffile_alone_cannot_read_names_the_extra(tmp_path: Path) -> None:
    """In another process: tifffile keeps the codecs that it has found."""
    (tmp_path / "part.tif").write_bytes(tiff(PLANES, photometric="rgb", planarconfig="separate", compression="lzw"))
    assert_pixels(tmp_path / "part.tif", COLOURS)
    without = "import sys; sys.modules['imagecodecs'] = None; from zsad.data.decode import decode; decode('part.tif')"
    run = subprocess.run([sys.executable, "-c", without], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "DependencyError: a TIFF of 16 bits, compression LZW, needs imagecodecs; got part.tif" in run.stderr
    assert "pip install 'zsad[codecs]'" in run.stderr


BOMBS = {
    "lzw": imagecodecs.lzw_encode,
    "zlib": zlib.compress,
    "packbits": imagecodecs.packbits_encode,
    "lzma": lzma.compress,
    "zstd": imagecodecs.zstd_encode,
    "jpeg2000": lambda content: imagecodecs.jpeg2k_encode(np.frombuffer(content[:4096], np.uint16).reshape(32, 64)),
}


@pytest.mark.parametrize("compression", BOMBS)
def test_a_strip_that_unpacks_to_more_is_refused_before_it_does(compression: str) -> None:
    whole = tiff(GREY, photometric="miniswhite", compression=compression)
    assert_pixels(whole, as_rgb(65535 - GREY))
    bomb = BOMBS[compression](bytes(2 * GREY.nbytes + 4097))
    content = with_tag(with_tag(whole, STRIP_OFFSETS, len(whole)), STRIP_BYTES, len(bomb)) + bomb
    assert "decompresses to more" in refusal(content).value


def test_compressions_that_lose_are_named() -> None:
    content = tiff(GREY, photometric="miniswhite", compression="lerc")
    assert "LERC" in refusal(content).value


@pytest.mark.parametrize("pillow_limit", [89_478_485, None])
@pytest.mark.parametrize("options", [{"photometric": "rgb"}, {"photometric": "rgb", "compression": "zlib"}], ids=str)
def test_deep_bombs_are_refused_by_their_header(
    monkeypatch: pytest.MonkeyPatch, pillow_limit: int | None, options: dict[str, str]
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillow_limit)
    content = with_tag(with_tag(tiff(COLOURS, **options), WIDTH, 60_000), LENGTH, 60_000)
    assert "60000 x 60000" in refusal(content).value


def test_a_strip_without_data_is_not_filled_in() -> None:
    content = tiff(COLOURS, photometric="rgb", compression="zlib")
    assert "missing" in refusal(with_tag(content, STRIP_OFFSETS, 0)).value
