"""DICOM: where a file says how its grey is shown, and how its bits lie. The values are those of PS3.3 and PS3.5."""

from io import BytesIO

import numpy as np
import pytest

from tests.data.making import dicom, item, table
from tests.data.test_decode import as_rgb, assert_pixels, refusal
from tests.data.test_decode_dicom import STORED, TWELVE_BITS, WINDOWED, colours, grey
from zsad.data.decode import decode

WINDOW = {"WindowCenter": 250, "WindowWidth": 301}
WHOLE = (STORED / 4095).tolist()
EMPTY_TABLE = item(LUTDescriptor=None, LUTData=None)
EMPTY_TABLE["LUTDescriptor"].VR, EMPTY_TABLE["LUTData"].VR = "US", "OW"


def macros(window: dict[str, object] | None = None, rescale: dict[str, object] | None = None) -> list[object]:
    """The one item of a functional groups sequence."""
    said: dict[str, object] = {}
    if window:
        said["FrameVOILUTSequence"] = [item(**window)]
    if rescale:
        said["PixelValueTransformationSequence"] = [item(**rescale)]
    return [item(**said)]


# --- functional groups (PS3.3 C.7.6.16.2.9 and C.7.6.16.2.10) ---

HOUNSFIELD = {"RescaleSlope": 1, "RescaleIntercept": -1000, "RescaleType": "HU"}
WINDOW_OF_HOUNSFIELD = {"WindowCenter": 250 - 1000, "WindowWidth": 301}


@pytest.mark.parametrize("place", ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"])
def test_window_and_rescale_in_functional_groups(place: str) -> None:
    groups = {place: macros(WINDOW_OF_HOUNSFIELD, HOUNSFIELD)}
    assert_pixels(dicom(STORED, NumberOfFrames=1, **groups, **TWELVE_BITS), grey(WINDOWED))


def test_rescale_that_all_frames_share_and_a_window_for_each() -> None:
    content = dicom(
        STORED,
        NumberOfFrames=1,
        SharedFunctionalGroupsSequence=macros({"WindowCenter": 9, "WindowWidth": 9}, HOUNSFIELD),
        PerFrameFunctionalGroupsSequence=macros(WINDOW_OF_HOUNSFIELD),
        **TWELVE_BITS,
    )
    assert_pixels(content, grey(WINDOWED))


def test_functional_groups_go_before_the_data_set() -> None:
    """Stage by stage: a window in a group also goes before a table in the data set."""
    content = dicom(
        STORED,
        SharedFunctionalGroupsSequence=macros(WINDOW),
        VOILUTSequence=[table([0, 1000, 4095], 12)],
        **TWELVE_BITS,
    )
    assert_pixels(content, grey(WINDOWED))
    empty = dicom(STORED, SharedFunctionalGroupsSequence=macros({"WindowCenter": None}), **WINDOW, **TWELVE_BITS)
    assert_pixels(empty, grey(WINDOWED))
    assert_pixels(dicom(STORED, SharedFunctionalGroupsSequence=[], **WINDOW, **TWELVE_BITS), grey(WINDOWED))


def test_monochrome_1_with_functional_groups() -> None:
    content = dicom(
        STORED,
        PhotometricInterpretation="MONOCHROME1",
        PerFrameFunctionalGroupsSequence=macros(WINDOW_OF_HOUNSFIELD, HOUNSFIELD),
        **TWELVE_BITS,
    )
    assert_pixels(content, 65535 - grey(WINDOWED))


def test_the_first_of_many_frames_has_the_window_of_its_functional_group() -> None:
    alone = decode(dicom(STORED, PerFrameFunctionalGroupsSequence=macros(WINDOW)))
    frames = [macros(WINDOW)[0], *[macros({"WindowCenter": 1, "WindowWidth": 2})[0]] * 2]
    content = dicom(
        np.stack([STORED] * 3), NumberOfFrames=3, Rows=2, Columns=3, PerFrameFunctionalGroupsSequence=frames
    )
    np.testing.assert_array_equal(decode(content).pixels, alone.pixels)


# --- elements that are there but empty count as absent (PS3.5 7.4.5) ---


@pytest.mark.parametrize(
    "empty",
    [
        {"VOILUTFunction": None},
        {"VOILUTSequence": []},
        {"VOILUTSequence": [EMPTY_TABLE]},
        {"ModalityLUTSequence": [EMPTY_TABLE]},
        {"RescaleSlope": None, "RescaleIntercept": None},
        {"RescaleSlope": 1, "RescaleIntercept": None},
        {"RescaleIntercept": 0},
        {"PresentationLUTShape": None},
        {"NumberOfFrames": None},
        {"PixelPaddingValue": None},
        {"SharedFunctionalGroupsSequence": [item(FrameVOILUTSequence=[])]},
    ],
    ids=str,
)
def test_empty_elements(empty: dict[str, object]) -> None:
    said = {keyword: "" if value is None else value for keyword, value in empty.items()}
    assert_pixels(dicom(STORED, **WINDOW, **said, **TWELVE_BITS), grey(WINDOWED))


@pytest.mark.parametrize("half", [{"WindowCenter": 300}, {"WindowWidth": 300}, {"WindowCenter": "", "WindowWidth": 3}])
def test_half_a_window_is_none(half: dict[str, object]) -> None:
    assert_pixels(dicom(STORED, **half, **TWELVE_BITS), grey(WHOLE))


def test_the_first_table_that_is_complete_counts() -> None:
    stored = np.array([[0, 1, 2, 9]], dtype=np.uint16)
    content = dicom(stored, VOILUTSequence=[EMPTY_TABLE, table([0, 1000, 4095], 12)])
    assert_pixels(content, grey([[0, 1000 / 4095, 1, 1]]))


# --- windows, inversion, padding ---


def test_linear_exact_window() -> None:
    """C.11.2.1.3.2: from centre - width / 2 to centre + width / 2."""
    content = dicom(STORED, WindowCenter=200, WindowWidth=400, VOILUTFunction="LINEAR_EXACT")
    assert_pixels(content, grey([[0, 0.25, 0.5], [0.75, 1, 1]]))


def test_a_window_of_one_is_a_threshold() -> None:
    content = dicom(STORED, WindowCenter=200, WindowWidth=1)
    assert_pixels(content, grey([[0, 0, 1], [1, 1, 1]]))


def test_functions_that_are_not_known_are_refused() -> None:
    assert "CUBIC" in refusal(dicom(STORED, VOILUTFunction="CUBIC", **WINDOW)).value


@pytest.mark.parametrize("colours_said", ["MONOCHROME1", "MONOCHROME2"])
def test_presentation_shape_inverse_inverts_once(colours_said: str) -> None:
    """It goes with MONOCHROME1 (C.8.11.3.1.2), and never undoes that."""
    content = dicom(
        STORED, PhotometricInterpretation=colours_said, PresentationLUTShape="INVERSE", **WINDOW, **TWELVE_BITS
    )
    assert_pixels(content, 65535 - grey(WINDOWED))


@pytest.mark.parametrize("colours_said", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black(colours_said: str) -> None:
    stored = np.array([[-2000, -1999, -1000, 0, 1000]], dtype=np.int16)
    said = {"PixelPaddingValue": -2000, "PhotometricInterpretation": colours_said}
    shown = np.array([[0, 1, 1000, 2000, 3000]]) / 3000
    window = {"WindowCenter": -500, "WindowWidth": 3000, "VOILUTFunction": "LINEAR_EXACT"}
    shown = shown if colours_said == "MONOCHROME2" else 1 - shown
    shown[0, 0] = 0
    assert_pixels(dicom(stored, **said, **window), grey(shown.tolist()))
    shown[0, 1] = 0
    assert_pixels(dicom(stored, PixelPaddingRangeLimit=-1990, **said, **window), grey(shown.tolist()))


# --- bits ---


def test_overlays_in_the_high_bits_are_not_pixels() -> None:
    overlaid = STORED | np.array([[0x8000, 0xF000, 0x1000], [0, 0x4000, 0x9000]], dtype=np.uint16)
    assert_pixels(dicom(overlaid, **TWELVE_BITS), grey(WHOLE))


def test_signed_samples_are_extended_from_their_own_sign_bit() -> None:
    stored = np.array([[0x0800, 0x0FFF, 0, 0x07FF, 0x5FFF]], dtype=np.uint16).view(np.int16)
    assert_pixels(dicom(stored, **TWELVE_BITS), grey([[0, 2047 / 4095, 2048 / 4095, 1, 2047 / 4095]]))


def test_a_high_bit_that_is_not_the_last_stored_is_refused() -> None:
    assert "high bit 15 and 12 bits" in refusal(dicom(STORED, BitsStored=12, HighBit=15)).value


@pytest.mark.parametrize("syntax", ["ImplicitVRLittleEndian", "ExplicitVRBigEndian", "DeflatedExplicitVRLittleEndian"])
def test_transfer_syntaxes_without_compression_of_pixels(syntax: str) -> None:
    assert_pixels(dicom(STORED, syntax, **WINDOW, **TWELVE_BITS), grey(WINDOWED))


def test_without_preamble_or_meta_information() -> None:
    for syntax in ("ImplicitVRLittleEndian", "ExplicitVRLittleEndian"):
        content = dicom(STORED, syntax, **WINDOW, **TWELVE_BITS)
        assert_pixels(content[132:], grey(WINDOWED))
        assert_pixels(content[144 + int.from_bytes(content[140:144], "little") :], grey(WINDOWED))


# --- colours ---


def test_colour_by_plane() -> None:
    stored = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    content = colours(stored.transpose(2, 0, 1).copy(), Rows=2, Columns=3, PlanarConfiguration=1)
    assert_pixels(content, stored)


def test_ybr_of_half_the_chroma() -> None:
    """PS3.3 C.7.6.3.1.2: two luma, then Cb and Cr of both."""
    stored = np.array([[100, 110, 128, 200]], dtype=np.uint8)
    content = colours(stored, Columns=2, PhotometricInterpretation="YBR_FULL_422")
    assert_pixels(content, np.array([[[201, 49, 100], [211, 59, 110]]], dtype=np.uint8))


@pytest.mark.parametrize("said", ["HSV", "YBR_PARTIAL_422", "CMYK"])
def test_colours_that_would_be_taken_for_others_are_refused(said: str) -> None:
    assert said in refusal(colours(np.zeros((1, 2, 3), np.uint8), PhotometricInterpretation=said)).value


def palette(
    tables: list[bytes], entries: int, start: int = 0, bits: int = 16, segmented: bool = False
) -> dict[str, object]:
    said: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, content in zip(("Red", "Green", "Blue"), tables, strict=True):
        said[f"{colour}PaletteColorLookupTableDescriptor"] = [entries, start, bits]
        said[f"{'Segmented' * segmented}{colour}PaletteColorLookupTableData"] = content
    return said


def test_palette_of_segments() -> None:
    """C.7.9.2: two discrete entries, 0 and 10, then a line over four entries to 50."""
    segments = np.array([0, 2, 0, 10, 1, 4, 50], dtype="<u2").tobytes()
    stored = np.array([[0, 1, 2, 3, 4, 5, 9]], dtype=np.uint8)
    content = dicom(stored, **palette([segments] * 3, 6, segmented=True))
    assert_pixels(content, as_rgb(np.array([[0, 10, 20, 30, 40, 50, 50]], dtype=np.uint16)))


def test_palette_that_starts_later_and_has_bytes() -> None:
    content = dicom(np.array([[0, 5, 6, 7]], np.uint8), **palette([b"\x01\x02\x03\x04"] * 3, 4, start=4, bits=8))
    assert_pixels(content, as_rgb(np.array([[1, 2, 3, 4]], dtype=np.uint8)))


# --- what is no image ---


@pytest.mark.parametrize(
    ("uid", "name"),
    [
        ("1.2.840.10008.5.1.4.1.1.88.11", "Basic Text SR Storage"),
        ("1.2.840.10008.5.1.4.1.1.104.1", "Encapsulated PDF Storage"),
        ("1.2.840.10008.1.3.10", "Media Storage Directory Storage"),
    ],
)
def test_objects_without_pixels_are_refused_by_their_names(uid: str, name: str) -> None:
    assert name in refusal(dicom(STORED, SOPClassUID=uid, PixelData=None)).value
    assert "no class" in refusal(dicom(STORED, SOPClassUID="", PixelData=None)[:132] + b"\x08\0\x05\0CS\0\0").value


def test_what_unpacks_without_end_is_refused() -> None:
    from pydicom import dcmread

    content = dicom(np.zeros((1, 2), np.uint8), "DeflatedExplicitVRLittleEndian")
    assert dcmread(BytesIO(content)).Rows == 1
    start = 144 + int.from_bytes(content[140:144], "little")
    assert "decompresses to more than" in refusal(content[:start] + zeros_deflated(2**31)).value


def zeros_deflated(length: int) -> bytes:
    import zlib

    deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    block = bytes(2**24)
    return b"".join(deflate.compress(block) for _ in range(length // 2**24)) + deflate.flush()
