"""DICOM -> RGB pixels, as a viewer would show it first. Needs the extra ``dicom``."""

import zlib
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Shaped

from zsad.data._dicom_codecs import decompress
from zsad.data._dicom_display import display_of, show_grey
from zsad.data._pixels import full_range, to_rgb
from zsad.data._reading import MAX_PIXELS, Stream, check_size, reading, require
from zsad.errors import InputError
from zsad.types import DecodedImage

if TYPE_CHECKING:
    import pydicom

COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
GREYS = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
DEFLATED = b"1.2.840.10008.1.2.1.99"
META_LENGTH_AT, META_AT = 140, 144
"""Where a file says how long its meta information is, and where that begins (PS3.10, 7.1)."""


def read(stream: Stream, name: str) -> DecodedImage:
    """Decode a DICOM file with one frame: rescaled, windowed, MONOCHROME1 inverted; grey is uint16 over the window."""
    require("pydicom", "dicom", "a DICOM file", name)
    from pydicom import dcmread
    from pydicom.errors import BytesLengthException, InvalidDicomError

    with reading(name, BytesLengthException, InvalidDicomError):
        _check_inflated(stream)
        dataset = dcmread(stream, force=True)  # also without the preamble that a file begins with
        _check_object(dataset, name)
        check_size(int(dataset.Rows), int(dataset.Columns), name)
        _check_samples(dataset, name)
        decompress(dataset, name)
        samples = _samples(dataset)
    return DecodedImage(to_rgb(samples), name)


def _check_inflated(stream: Stream) -> None:
    """pydicom unpacks what is deflated whatever its size."""
    head = stream.read(1024)
    if DEFLATED in head:
        stream.seek(META_AT + int.from_bytes(head[META_LENGTH_AT:META_AT], "little"))
        inflate, limit = zlib.decompressobj(-zlib.MAX_WBITS), 6 * MAX_PIXELS
        inflate.decompress(stream.read(), limit)
        if inflate.unconsumed_tail:
            raise ValueError(f"it unpacks to more than {limit} bytes")
    stream.seek(0)


def _check_object(dataset: "pydicom.Dataset", name: str) -> None:
    """Refuse what is no image, and what is several."""
    if "PixelData" not in dataset:
        raise InputError(
            "a DICOM image has pixel data of whole numbers",
            f"{name} ({_object_name(dataset)})",
            "name the files that hold images",
        )
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise InputError("a DICOM image has one frame", f"{name} with {frames} frames", "export the frames one by one")


def _object_name(dataset: "pydicom.Dataset") -> str:
    """What it is by its class, such as Basic Text SR Storage."""
    from pydicom.uid import UID

    said = dataset.get("SOPClassUID") or getattr(dataset, "file_meta", {}).get("MediaStorageSOPClassUID")
    return UID(said).name if said else "no class of DICOM objects"


def _check_samples(dataset: "pydicom.Dataset", name: str) -> None:
    """Refuse colours, and places of bits, that pydicom would take for others."""
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


def _samples(dataset: "pydicom.Dataset") -> Shaped[np.ndarray, "rows cols *channels"]:
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    stored = pixel_array(dataset)  # YBR comes out as RGB
    if dataset.PhotometricInterpretation == PALETTE:
        return apply_color_lut(stored, dataset)
    if dataset.SamplesPerPixel > 1:
        return full_range(stored, 2**dataset.BitsStored - 1)
    return show_grey(stored, display_of(dataset))
