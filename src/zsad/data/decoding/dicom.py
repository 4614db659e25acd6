"""DICOM -> RGB pixels, with the default display of a viewer. Needs the extra ``dicom``.

The display of greyscale images is read from the data set or from its functional groups. PS3.3:
C.7.6.16.2.9 and C.7.6.16.2.10 (rescale and window of a frame), C.11.1 and C.11.2 (modality and VOI), C.7.5.1.1.2
(padding). Elements that are there but empty count as absent, as type 3 elements may be so (PS3.5, 7.4.5).
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt16

from zsad.data.decoding.dicom_codecs import decompress
from zsad.data.decoding.dicom_frames import one_frame
from zsad.data.decoding.guard import MAX_PIXELS, Stream, check_size, reading, require
from zsad.data.decoding.pixels import from_unit, full_range, to_rgb
from zsad.data.decoding.ranges import Range, in_range
from zsad.errors import InputError
from zsad.types import DecodedImage

if TYPE_CHECKING:
    import pydicom

COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
GREYS = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
DEFLATED = b"1.2.840.10008.1.2.1.99"
META_LENGTH_AT, META_AT = 140, 144
"""Offsets of the length of the file meta information, and of the file meta information itself (PS3.10, 7.1)."""


def read(stream: Stream, name: str, value_range: Range | None = None) -> DecodedImage:
    """Decode the first frame: rescaled, windowed, MONOCHROME1 inverted; grey is uint16 over the window.

    Args:
        stream: of the file.
        name: of the file.
        value_range: instead of the window, after the rescale.
    """
    with _reading(name):
        _check_inflated(stream)
        header = _header(stream)
        count = _count(header)
        image = _decoded(one_frame(stream, header, 0, name), name, value_range)
    return image if count == 1 else DecodedImage(image.pixels, name, (f"frame 1 of {count} was read",))


def frame_count(stream: Stream, name: str) -> int:
    """How many frames a file has, by its header."""
    with _reading(name):
        _check_inflated(stream)
        return _count(_header(stream))


def read_frame(stream: Stream, name: str, index: int, value_range: Range | None = None) -> DecodedImage:
    """Decode one frame, from 0; the others are not read."""
    with _reading(name):
        _check_inflated(stream)
        return _decoded(one_frame(stream, _header(stream), index, name), name, value_range)


def _decoded(dataset: "pydicom.Dataset", name: str, value_range: Range | None) -> DecodedImage:
    _check_object(dataset, name)
    check_size(int(dataset.Rows), int(dataset.Columns), name)
    _check_samples(dataset, name)
    decompress(dataset, name)
    return DecodedImage(to_rgb(_samples(dataset, value_range)), name)


def _count(header: "pydicom.Dataset") -> int:
    return max(1, int(header.get("NumberOfFrames") or 1))


@contextmanager
def _reading(name: str) -> Iterator[None]:
    require("pydicom", "dicom", "a DICOM file", name)
    from pydicom.errors import BytesLengthException, InvalidDicomError

    with reading(name, BytesLengthException, InvalidDicomError):
        yield


def _header(stream: Stream) -> "pydicom.Dataset":
    """All before the pixel data; also without the preamble that a file begins with."""
    from pydicom import dcmread

    return dcmread(stream, force=True, stop_before_pixels=True)


def _check_inflated(stream: Stream) -> None:
    """Limit the size of deflated data, which pydicom inflates without a limit."""
    head = stream.read(1024)
    if DEFLATED in head:
        stream.seek(META_AT + int.from_bytes(head[META_LENGTH_AT:META_AT], "little"))
        inflate, limit = zlib.decompressobj(-zlib.MAX_WBITS), 6 * MAX_PIXELS
        inflate.decompress(stream.read(), limit)
        if inflate.unconsumed_tail:
            raise ValueError(f"it decompresses to more than {limit} bytes")
    stream.seek(0)


def _check_object(dataset: "pydicom.Dataset", name: str) -> None:
    """Refuse objects that are no image."""
    if "PixelData" not in dataset:
        raise InputError(
            "a DICOM image has pixel data of whole numbers",
            f"{name} ({_object_name(dataset)})",
            "name the files that hold images",
        )


def _object_name(dataset: "pydicom.Dataset") -> str:
    """The name of its SOP class, such as Basic Text SR Storage."""
    from pydicom.uid import UID

    uid = dataset.get("SOPClassUID") or getattr(dataset, "file_meta", {}).get("MediaStorageSOPClassUID")
    return UID(uid).name if uid else "no class of DICOM objects"


def _check_samples(dataset: "pydicom.Dataset", name: str) -> None:
    """Refuse colour spaces and bit layouts that pydicom would misread."""
    allowed = COLOURS if int(dataset.SamplesPerPixel) > 1 else (*GREYS, PALETTE)
    if dataset.PhotometricInterpretation not in allowed:
        raise InputError(
            f"a DICOM image of {dataset.SamplesPerPixel} samples a pixel is in {', '.join(allowed)}",
            f"{name} in {dataset.PhotometricInterpretation}",
            "export it in one of these, or as PNG or TIFF",
        )
    high, stored = dataset.get("HighBit"), int(dataset.BitsStored)
    if high is not None and int(high) != stored - 1:
        raise InputError(
            "the high bit of a DICOM sample is the last of the bits stored (PS3.5, 8.1.1)",
            f"{name} with high bit {high} and {stored} bits stored",
            "export it as PNG or TIFF",
        )


def _samples(dataset: "pydicom.Dataset", value_range: Range | None) -> Shaped[np.ndarray, "rows cols *channels"]:
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    stored = pixel_array(dataset)  # YBR comes out as RGB
    if dataset.PhotometricInterpretation == PALETTE:
        return apply_color_lut(stored, dataset)
    if dataset.SamplesPerPixel > 1:
        return in_range(full_range(stored, 2**dataset.BitsStored - 1), value_range)
    return show_grey(stored, display_of(dataset), value_range)


DESCRIPTION = ("PhotometricInterpretation", "BitsStored", "PixelRepresentation", "SamplesPerPixel")
STAGES = (
    ("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    ("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    ("PixelPaddingValue", "PixelPaddingRangeLimit"),
    ("PresentationLUTShape",),
)
"""Each group of elements is read from the last place that has any of them."""
FUNCTIONAL_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
MACROS = ("PixelValueTransformationSequence", "FrameVOILUTSequence")
EVERYTHING = np.array([-1e30, 1e30])
"""Values below and above any window."""


def display_of(dataset: "pydicom.Dataset") -> "pydicom.Dataset":
    """The display elements of the frame, collected from all places, without empty ones."""
    from pydicom import Dataset

    shown = Dataset()
    for keyword in DESCRIPTION:
        if keyword in dataset:
            shown[keyword] = dataset[keyword]
    for stage in STAGES:
        for place in _places(dataset):
            if elements := _elements_in(place, stage):
                _replace(shown, stage, elements)
    return shown


def show_grey(
    stored: Shaped[np.ndarray, "rows cols"], shown: "pydicom.Dataset", value_range: Range | None = None
) -> UInt16[np.ndarray, "rows cols"]:
    """Stored samples -> rescaled, windowed, inverted where white is low, over the full range; padding is black."""
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    values = apply_modality_lut(stored, shown)
    if value_range is None:
        values = apply_voi_lut(values, shown)
    low, high = value_range or _window_range(shown)
    if low == high:
        raise ValueError("its rescale slope is 0")
    grey = from_unit(np.clip((values.astype(np.float64) - low) / (high - low), 0, 1))
    if shown.PhotometricInterpretation == "MONOCHROME1" or shown.get("PresentationLUTShape") == "INVERSE":
        grey = ~grey
    grey[_is_padding(stored, shown)] = 0
    return grey


def _places(dataset: "pydicom.Dataset") -> Iterator["pydicom.Dataset"]:
    """Where elements may be: the data set, then the shared functional groups, then those of the frame."""
    yield dataset
    for name in FUNCTIONAL_GROUPS:
        for group in (dataset.get(name) or [])[:1]:
            for macro in MACROS:
                yield from (group.get(macro) or [])[:1]


def _elements_in(place: "pydicom.Dataset", stage: tuple[str, ...]) -> dict[str, object]:
    """The elements of a stage in one place: complete tables, and windows and rescales with both of their values."""
    from pydicom import Sequence

    elements: dict[str, object] = {}
    for keyword in stage:
        value = place.get(keyword)
        if keyword.endswith("Sequence"):
            value = Sequence([table for table in value or [] if _is_table(table)][:1]) or None
        if not _is_empty(value):
            elements[keyword] = value
    if not {"WindowCenter", "WindowWidth"} <= elements.keys():
        elements = {keyword: value for keyword, value in elements.items() if not keyword.startswith("Window")}
    if elements.keys() & {"RescaleSlope", "RescaleIntercept"}:
        elements = {"RescaleSlope": 1, "RescaleIntercept": 0} | elements
    return {} if elements.keys() == {"VOILUTFunction"} else elements


def _is_table(item: "pydicom.Dataset") -> bool:
    return not (_is_empty(item.get("LUTDescriptor")) or _is_empty(item.get("LUTData")))


def _is_empty(value: object) -> bool:
    """None, "", or several values of which the first is empty."""
    from pydicom.multival import MultiValue

    return value in (None, "", b"") or (isinstance(value, MultiValue) and (not value or _is_empty(value[0])))


def _replace(shown: "pydicom.Dataset", stage: tuple[str, ...], elements: dict[str, object]) -> None:
    for keyword in stage:
        if keyword in shown:
            delattr(shown, keyword)
    for keyword, value in elements.items():
        setattr(shown, keyword, value)


def _window_range(shown: "pydicom.Dataset") -> Float[np.ndarray, "2"]:
    """The values of black and white after the window: from the description in the file, never from its pixels."""
    from pydicom.pixels.processing import apply_modality_lut, apply_windowing

    if "VOILUTSequence" in shown:
        return _table_range(shown.VOILUTSequence[0])
    if "WindowCenter" in shown:
        with np.errstate(over="ignore"):  # the far end of a sigmoid
            return apply_windowing(EVERYTHING, shown)
    if "ModalityLUTSequence" in shown:
        return _table_range(shown.ModalityLUTSequence[0])
    return np.sort(apply_modality_lut(_stored_range(shown), shown)).astype(np.float64)


def _table_range(table: "pydicom.Dataset") -> Float[np.ndarray, "2"]:
    return np.array([0.0, 2.0 ** table.LUTDescriptor[2] - 1])


def _stored_range(shown: "pydicom.Dataset") -> Float[np.ndarray, "2"]:
    low = -(2.0 ** (shown.BitsStored - 1)) if shown.PixelRepresentation else 0.0
    return np.array([low, low + 2.0**shown.BitsStored - 1])


def _is_padding(stored: Shaped[np.ndarray, "rows cols"], shown: "pydicom.Dataset") -> Bool[np.ndarray, "rows cols"]:
    if "PixelPaddingValue" not in shown:
        return np.zeros(stored.shape, bool)
    value = int(shown.PixelPaddingValue)
    low, high = sorted((value, int(shown.get("PixelPaddingRangeLimit", value))))
    return (stored >= low) & (stored <= high)
