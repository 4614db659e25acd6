"""DICOM: what a viewer shows first, over the full range of the window."""

import sys

import numpy as np
import pytest

from tests.data.making import dicom, table
from tests.data.test_decode import as_rgb, assert_pixels, refusal
from zsad.data.decode import decode
from zsad.data.decoding import guard
from zsad.errors import DependencyError, InputError

STORED = np.array([[0, 100, 200], [300, 400, 4095]], dtype=np.uint16)
TWELVE_BITS = {"BitsStored": 12, "HighBit": 11}


def grey(values: list[list[float]]) -> np.ndarray:
    """Fractions of the window as 16-bit RGB."""
    return as_rgb(np.rint(np.array(values) * 65535).astype(np.uint16))


def test_without_a_window_the_stored_bits_are_the_range() -> None:
    """Also where an image uses little of it: nothing is stretched."""
    assert_pixels(dicom(STORED, **TWELVE_BITS), grey((STORED / 4095).tolist()))
    assert_pixels(dicom(STORED // 100, **TWELVE_BITS), grey((STORED // 100 / 4095).tolist()))


def test_8_bits() -> None:
    stored = np.array([[0, 51, 255]], dtype=np.uint8)
    assert_pixels(dicom(stored), grey([[0, 0.2, 1]]))


def test_signed_samples() -> None:
    stored = np.array([[-2048, 0, 2047]], dtype=np.int16)
    assert_pixels(dicom(stored, **TWELVE_BITS), grey([[0, 2048 / 4095, 1]]))


@pytest.mark.parametrize("slope", [2, -2])
def test_rescale_without_a_window(slope: int) -> None:
    """A negative slope turns dark into bright, as the rescaled values say."""
    shown = STORED / 4095 if slope > 0 else 1 - STORED / 4095
    content = dicom(STORED, RescaleSlope=slope, RescaleIntercept=-1000, **TWELVE_BITS)
    assert_pixels(content, grey(shown.tolist()))


# LINEAR (PS3.3 C.11.2.1.2): black up to centre - 0.5 - (width - 1) / 2, white above centre - 0.5 + (width - 1) / 2.
WINDOWED = [[0, 0.5 / 300, 100.5 / 300], [200.5 / 300, 1, 1]]


@pytest.mark.parametrize("bits", [12, 16])
def test_window(bits: int) -> None:
    content = dicom(STORED, WindowCenter=250, WindowWidth=301, BitsStored=bits, HighBit=bits - 1)
    assert_pixels(content, grey(WINDOWED))


def test_window_after_rescale() -> None:
    content = dicom(STORED, WindowCenter=250 - 1000, WindowWidth=301, RescaleSlope=1, RescaleIntercept=-1000)
    assert_pixels(content, grey(WINDOWED))


def test_first_of_several_windows() -> None:
    content = dicom(STORED, WindowCenter=[250, 9], WindowWidth=[301, 9])
    assert_pixels(content, grey(WINDOWED))


def test_sigmoid_window() -> None:
    content = dicom(STORED, WindowCenter=200, WindowWidth=100, VOILUTFunction="SIGMOID")
    assert_pixels(content, grey((1 / (1 + np.exp(-4 * (STORED - 200.0) / 100))).tolist()))


def test_voi_table() -> None:
    stored = np.array([[0, 1, 2, 9]], dtype=np.uint16)
    content = dicom(stored, VOILUTSequence=[table([0, 1000, 4095], 12)])
    assert_pixels(content, grey([[0, 1000 / 4095, 1, 1]]))


def test_modality_table() -> None:
    stored = np.array([[0, 1, 2, 9]], dtype=np.uint16)
    content = dicom(stored, ModalityLUTSequence=[table([0, 1000, 65535], 16)])
    assert_pixels(content, grey([[0, 1000 / 65535, 1, 1]]))


def test_monochrome_1_is_inverted() -> None:
    content = dicom(STORED, PhotometricInterpretation="MONOCHROME1", **TWELVE_BITS)
    assert_pixels(content, 65535 - grey((STORED / 4095).tolist()))


def colours(stored: np.ndarray, **elements: object) -> bytes:
    said = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    return dicom(stored, **(said | elements))


def test_colours() -> None:
    stored = np.array([[[1, 2, 3], [255, 128, 0]]], dtype=np.uint8)
    assert_pixels(colours(stored), stored)
    deep = np.array([[[0, 2048, 4095]]], dtype=np.uint16)
    assert_pixels(colours(deep, **TWELVE_BITS), np.array([[[0, 32776, 65535]]], dtype=np.uint16))


def test_ybr_comes_out_as_rgb() -> None:
    stored = np.array([[[100, 128, 128], [100, 128, 200]]], dtype=np.uint8)
    expected = np.array([[[100, 100, 100], [201, 49, 100]]], dtype=np.uint8)
    assert_pixels(colours(stored, PhotometricInterpretation="YBR_FULL"), expected)


def test_palette() -> None:
    channel = np.array([0, 128, 65535], dtype="<u2")
    tables = {f"{colour}PaletteColorLookupTableData": channel.tobytes() for colour in ("Red", "Green", "Blue")}
    shapes = {f"{colour}PaletteColorLookupTableDescriptor": [3, 0, 16] for colour in ("Red", "Green", "Blue")}
    content = dicom(np.array([[0, 1, 2]], np.uint8), PhotometricInterpretation="PALETTE COLOR", **tables, **shapes)
    assert_pixels(content, as_rgb(channel.astype(np.uint16)[None]))


def test_of_several_frames_the_first_is_read_and_noted() -> None:
    content = dicom(np.concatenate([STORED, STORED[::-1]]), Rows=STORED.shape[0], NumberOfFrames=2)
    image = decode(content, "part.x")
    assert image.notes[0] == "frame 1 of 2 was read"
    np.testing.assert_array_equal(image.pixels, decode(dicom(STORED), "part.x").pixels)
    assert "truncated" in refusal(dicom(STORED, NumberOfFrames=17, Rows=4)).value


def test_a_bomb_is_refused_by_its_header() -> None:
    assert "60000 x 60000" in refusal(dicom(STORED, Rows=60_000, Columns=60_000)).value


def test_size_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MAX_PIXELS", 5)
    assert "2 x 3 = 6 pixels" in refusal(dicom(STORED)).value


@pytest.mark.parametrize(
    "elements",
    [{"PixelData": None}, {"Rows": None}, {"BitsStored": None}, {"WindowCenter": 9, "WindowWidth": 0}],
    ids=str,
)
def test_incomplete_files(elements: dict[str, object]) -> None:
    refusal(dicom(STORED, **elements))


def test_a_slope_of_zero() -> None:
    assert "slope" in refusal(dicom(STORED, RescaleSlope=0, RescaleIntercept=5)).value


def test_no_cut_gives_half_an_image() -> None:
    content = dicom(np.arange(900, dtype=np.uint16).reshape(30, 30))
    for length in range(0, len(content), 7):
        refusal(content[:length])


def test_damaged_files_never_raise_anything_else() -> None:
    content, rng = dicom(STORED, WindowCenter=250, WindowWidth=301), np.random.default_rng(3)
    for _ in range(200):
        damaged = bytearray(content)
        for position in rng.integers(132, len(damaged), 3):
            damaged[position] = rng.integers(256)
        try:
            assert decode(bytes(damaged), "part.x").source == "part.x"
        except InputError as error:
            assert "part.x" in str(error)  # noqa: PT017  # either outcome is right


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(DependencyError, match=r"part\.dcm.*pip install 'zsad\[dicom\]'"):
        decode(dicom_without_pydicom(), "part.dcm")


def dicom_without_pydicom() -> bytes:
    return b"\0" * 128 + b"DICM"
