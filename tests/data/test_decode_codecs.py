"""HEIC, AVIF, JPEG 2000 and the rarer kinds of JPEG: as independent encoders wrote them, whole, or refused by name."""

import struct
import sys
from contextlib import suppress
from io import BytesIO

import imagecodecs
import numpy as np
import pillow_heif
import pytest
from PIL import ExifTags, Image

from tests.data.making import saved
from tests.data.test_decode import as_rgb, assert_pixels, pixels_of, refusal
from zsad.data.decode import decode
from zsad.data.decoding import guard
from zsad.errors import DependencyError, InputError

RNG = np.random.default_rng(9)
SMOOTH = np.add.outer(np.arange(64) * 2, np.arange(48)).astype(np.uint8)
GREY = RNG.integers(0, 4096, (21, 18), dtype=np.uint16)
COLOURS = RNG.integers(0, 4096, (21, 18, 3), dtype=np.uint16)
TEN_BITS = np.add.outer(np.arange(64) * 9, np.arange(48) * 9).astype(np.uint16)


def heic(samples: np.ndarray, mode: str, **options: object) -> bytes:
    stream = BytesIO()
    pillow_heif.from_bytes(mode, samples.shape[1::-1], samples.tobytes()).save(stream, **options)
    return stream.getvalue()


def jpeg_2000(samples: np.ndarray, bits: int, jp2: bool = True) -> bytes:
    kind = "jp2" if jp2 else "j2k"
    return imagecodecs.jpeg2k_encode(samples, level=0, codecformat=kind, bitspersample=bits, mct=samples.ndim == 3)


def range_of(bits: int, samples: np.ndarray) -> np.ndarray:
    return as_rgb(np.rint(samples / (2**bits - 1) * 65535).astype(np.uint16))


HEIC = heic(as_rgb(SMOOTH), "RGB", quality=95)
AVIF_10 = imagecodecs.avif_encode(as_rgb(TEN_BITS), bitspersample=10, level=100)
WHOLE = {
    "heic": HEIC,
    "avif": saved(as_rgb(SMOOTH), "AVIF"),
    "avif 10": AVIF_10,
    "jp2": jpeg_2000(GREY, 12),
    "j2k colours": jpeg_2000(COLOURS, 12, jp2=False),
    "jp2 of 8 bits": saved(as_rgb(SMOOTH), "JPEG2000"),
}


# --- HEIC ---


def test_heic_is_near_its_image() -> None:
    assert np.abs(pixels_of(HEIC).astype(int) - as_rgb(SMOOTH)).max() <= 3


def test_heic_of_ten_bits_keeps_them() -> None:
    content = heic(as_rgb(TEN_BITS << 6), "RGB;16", quality=-1)
    assert_pixels(content, range_of(10, TEN_BITS))


def test_heic_is_turned_once() -> None:
    """Writers put the turn into the container and leave EXIF beside it."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    content = heic(as_rgb(SMOOTH), "RGB", quality=95, exif=exif.tobytes())
    assert np.abs(pixels_of(content).astype(int) - np.rot90(as_rgb(SMOOTH), -1)).max() <= 3


def test_the_primary_image_of_several_is_read() -> None:
    file, stream = pillow_heif.HeifFile(), BytesIO()
    for shade in (50, 200):
        file.add_from_pillow(Image.new("RGB", (48, 64), (shade,) * 3))
    file.save(stream, primary_index=1)
    image = decode(stream.getvalue(), "part.x")
    assert np.abs(image.pixels.astype(int) - 200).max() <= 3
    assert "image 2 of 2 was read" in image.notes


def test_alpha_of_heic_is_composited_on_white() -> None:
    clear = np.zeros((64, 48, 4), np.uint8)
    assert pixels_of(heic(clear, "RGBA", quality=95)).min() >= 252


# --- AVIF ---


def test_avif_of_ten_bits_keeps_them() -> None:
    assert_pixels(AVIF_10, range_of(10, TEN_BITS))


def test_avif_of_twelve_bits() -> None:
    twelve = TEN_BITS * 4 + 3
    assert_pixels(imagecodecs.avif_encode(as_rgb(twelve), bitspersample=12, level=100), range_of(12, twelve))


# --- JPEG 2000 ---


@pytest.mark.parametrize("jp2", [False, True])
@pytest.mark.parametrize("bits", [10, 12, 16])
def test_jpeg_2000_keeps_its_bits(bits: int, jp2: bool) -> None:
    for stored in (GREY, COLOURS):
        stored = (stored % 1024).astype(np.uint16) if bits == 10 else stored
        expected = np.rint(stored / (2**bits - 1) * 65535).astype(np.uint16)
        assert_pixels(jpeg_2000(stored, bits, jp2), as_rgb(expected) if stored.ndim == 2 else expected)


def test_jpeg_2000_of_8_bits() -> None:
    assert_pixels(saved(as_rgb(SMOOTH), "JPEG2000"), as_rgb(SMOOTH))
    assert_pixels(saved(SMOOTH, "JPEG2000", no_jp2=True), as_rgb(SMOOTH))


def test_jpeg_2000_of_few_bits_fills_the_range() -> None:
    stored = np.arange(16, dtype=np.uint8).reshape(4, 4)
    assert_pixels(jpeg_2000(stored, 4), as_rgb(stored * 17))


def test_components_with_a_sign_or_of_several_depths_are_refused() -> None:
    content = bytearray(jpeg_2000(COLOURS, 12, jp2=False))
    content[45] = 7
    assert "12, 8, 12 bits" in refusal(bytes(content)).value
    content[42:51:3] = b"\x8b\x8b\x8b"
    assert "-1" in refusal(bytes(content)).value


def test_a_head_that_says_fewer_bits_is_refused() -> None:
    """By it Pillow would round down."""
    content = bytearray(jpeg_2000(GREY, 12))
    content[content.index(b"ihdr") + 14] = 7
    assert "fewer than its 12 bits" in refusal(bytes(content)).value


def test_several_codestreams_are_counted() -> None:
    content = jpeg_2000(GREY, 12)
    box = content[content.index(b"jp2c") - 4 :]
    if box[:4] == b"\0\0\0\0":
        box = struct.pack(">I", len(box)) + box[4:]
    whole = content[: content.index(b"jp2c") - 4] + box + box
    assert "image 1 of 2 was read" in decode(whole, "part.x").notes


@pytest.mark.parametrize(
    "content",
    [
        b"\0\0\0\x0cjP  \r\n\x87\n",
        b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\3jp2c",
        b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\1jp2c\0\0\0\0\0\0\0\x14abcd",
        b"\xff\x4f\xff\x51\0\x29",
    ],
)
def test_broken_jpeg_2000(content: bytes) -> None:
    refusal(content)


def test_a_last_tile_part_may_leave_its_length_open() -> None:
    content = bytearray(jpeg_2000(GREY, 16, jp2=False))
    at = content.index(b"\xff\x90") + 6
    content[at : at + 4] = bytes(4)
    assert_pixels(bytes(content), as_rgb(GREY))
    refusal(bytes(content[:-2]))


# --- JPEG of other kinds ---


def test_jpeg_that_is_not_of_8_bits_or_lossless_is_named() -> None:
    assert "(12 bits)" in refusal(imagecodecs.jpeg_encode(GREY, bitspersample=12)).value
    assert "(lossless JPEG)" in refusal(imagecodecs.ljpeg_encode(GREY, bitspersample=12)).value
    assert "(JPEG-LS)" in refusal(imagecodecs.jpegls_encode(GREY)).value


# --- all of them ---


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
def test_truncated_files_are_refused(kind: str, kept: float) -> None:
    assert decode(WHOLE[kind]).size in ((64, 48), (21, 18))
    refusal(WHOLE[kind][: int(len(WHOLE[kind]) * kept)])


@pytest.mark.parametrize("kind", WHOLE)
def test_damaged_files_never_raise_anything_else(kind: str) -> None:
    rng = np.random.default_rng(3)
    for _ in range(60):
        damaged = bytearray(WHOLE[kind])
        for position in rng.integers(0, min(len(damaged), rng.choice([64, 400, 10**6])), 3):
            damaged[position] = rng.integers(256)
        with suppress(InputError):
            decode(bytes(damaged), "part.x")


@pytest.mark.parametrize("kind", WHOLE)
def test_size_is_limited_by_the_header(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(guard, "MAX_PIXELS", 100)
    assert "at most 100 pixels" in refusal(WHOLE[kind]).rule


@pytest.mark.parametrize(
    ("kind", "package", "extra"),
    [("heic", "pillow_heif", "heic"), ("avif 10", "imagecodecs", "codecs"), ("j2k colours", "imagecodecs", "codecs")],
)
def test_missing_extras_are_named(monkeypatch: pytest.MonkeyPatch, kind: str, package: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DependencyError, match=rf"needs {package}.*part\.x.*pip install 'zsad\[{extra}\]'"):
        decode(WHOLE[kind], "part.x")
