"""Compressed DICOM: frames by independent encoders come out as they went in, or are refused by name."""

import sys
from contextlib import suppress
from io import BytesIO

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from tests.data.making import dicom, saved
from tests.data.test_decode import assert_pixels, pixels_of, refusal
from tests.data.test_decode_dicom import TWELVE_BITS, grey
from zsad.data.decode import decode
from zsad.errors import DependencyError, InputError

RNG = np.random.default_rng(5)
GREY = RNG.integers(0, 4096, (21, 18), dtype=np.uint16)
COLOURS = RNG.integers(0, 4096, (21, 18, 3), dtype=np.uint16)
RGB = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
LOSSLESS = {
    "JPEGLSLossless": imagecodecs.jpegls_encode,
    "JPEGLosslessSV1": lambda samples: imagecodecs.ljpeg_encode(samples, bitspersample=12),
    "JPEG2000Lossless": lambda samples: imagecodecs.jpeg2k_encode(
        samples, level=0, codecformat="j2k", bitspersample=12, mct=samples.ndim == 3
    ),
    "HTJ2KLossless": imagecodecs.htj2k_encode,
}


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_grey(syntax: str) -> None:
    content = dicom(GREY, syntax, LOSSLESS[syntax](GREY), **TWELVE_BITS)
    assert_pixels(content, grey((GREY / 4095).tolist()))


@pytest.mark.parametrize(("syntax", "said"), [("JPEGLSLossless", "RGB"), ("JPEG2000Lossless", "YBR_RCT")])
def test_lossless_colours(syntax: str, said: str) -> None:
    content = dicom(
        COLOURS, syntax, LOSSLESS[syntax](COLOURS), **(RGB | {"PhotometricInterpretation": said}), **TWELVE_BITS
    )
    assert_pixels(content, np.rint(COLOURS / 4095 * 65535).astype(np.uint16))


def test_run_lengths() -> None:
    from pydicom import dcmread
    from pydicom.uid import RLELossless

    dataset = dcmread(BytesIO(dicom(GREY, **TWELVE_BITS)))
    dataset.compress(RLELossless)
    stream = BytesIO()
    dataset.save_as(stream)
    assert_pixels(stream.getvalue(), grey((GREY / 4095).tolist()))


def test_jpeg_of_8_bits() -> None:
    shown = (COLOURS >> 4).astype(np.uint8)
    frame = saved(shown, "JPEG", quality=95)
    content = dicom(shown, "JPEGBaseline8Bit", frame, **(RGB | {"PhotometricInterpretation": "YBR_FULL_422"}))
    np.testing.assert_allclose(
        pixels_of(content).astype(int), np.asarray(Image.open(BytesIO(frame))).astype(int), atol=2
    )


def test_jpeg_of_12_bits() -> None:
    smooth = np.add.outer(np.arange(40) * 40, np.arange(50) * 40).astype(np.uint16)
    frame = imagecodecs.jpeg_encode(smooth, level=100, bitspersample=12)
    decoded = pixels_of(dicom(smooth, "JPEGExtended12Bit", frame, **TWELVE_BITS))[..., 0]
    np.testing.assert_allclose(decoded / 65535, smooth / 4095, atol=0.003)


@pytest.mark.parametrize("syntax", [*LOSSLESS, "JPEGExtended12Bit"])
@pytest.mark.parametrize("kept", [0.3, 0.9, 0.99])
def test_truncated_frames_are_refused(syntax: str, kept: float) -> None:
    encode = LOSSLESS.get(syntax, lambda samples: imagecodecs.jpeg_encode(samples, bitspersample=12))
    frame = encode(GREY)
    refusal(dicom(GREY, syntax, frame[: int(len(frame) * kept)], **TWELVE_BITS))


def test_a_frame_of_another_size_is_refused() -> None:
    frame = imagecodecs.jpegls_encode(GREY)
    assert "(21, 18)" in refusal(dicom(GREY[:20], "JPEGLSLossless", frame, **TWELVE_BITS)).value


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_frames_are_refused_by_their_own_size_before_they_are_decoded(syntax: str) -> None:
    frame = LOSSLESS[syntax](np.zeros((300, 200), np.uint16))
    assert "a frame of (300, 200) pixels" in refusal(dicom(GREY, syntax, frame, **TWELVE_BITS)).value


def test_a_frame_of_other_channels_is_refused() -> None:
    content = dicom(COLOURS, "JPEGLSLossless", imagecodecs.jpegls_encode(GREY), **RGB, **TWELVE_BITS)
    assert "(21, 18, 3) is expected" in refusal(content).value


def test_damaged_frames_never_raise_anything_else() -> None:
    rng = np.random.default_rng(3)
    for syntax, encode in LOSSLESS.items():
        content = dicom(GREY, syntax, encode(GREY), **TWELVE_BITS)
        for _ in range(30):
            damaged = bytearray(content)
            for position in rng.integers(len(content) // 3, len(content), 3):
                damaged[position] = rng.integers(256)
            with suppress(InputError):
                decode(bytes(damaged), "part.x")


@pytest.mark.parametrize("syntax", ["MPEG2MPML", "HEVCMP51"])
def test_video_is_refused_by_name(syntax: str) -> None:
    from pydicom import uid

    assert getattr(uid, syntax).name in refusal(dicom(GREY, syntax, b"\0\0\1\xb3" * 9, **TWELVE_BITS)).value


def test_compression_that_is_not_named_is_refused() -> None:
    content = dicom(GREY, "JPEGLSLossless", imagecodecs.jpegls_encode(GREY), **TWELVE_BITS)
    bare = content[144 + int.from_bytes(content[140:144], "little") :]
    assert "without a transfer syntax" in refusal(bare).value


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    content = dicom(GREY, "JPEGLosslessSV1", LOSSLESS["JPEGLosslessSV1"](GREY), **TWELVE_BITS)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(DependencyError, match=r"DICOM in JPEG Lossless.*zsad\[codecs\]"):
        decode(content, "part.dcm")
