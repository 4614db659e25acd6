"""Compressed DICOM: by pydicom where it can with Pillow alone, else by imagecodecs (extra ``codecs``)."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Shaped

from zsad.data.decoding import jpeg
from zsad.data.decoding.guard import require
from zsad.errors import InputError
from zsad.types import Size

if TYPE_CHECKING:
    import pydicom

JPEG_2000 = ("JPEG2000Lossless", "JPEG2000", "HTJ2KLossless", "HTJ2KLosslessRPCL", "HTJ2K")
START_OF_SCAN, END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"  # markers of JPEG, which its compressed data cannot hold
EXPORT = "export it without compression, or as PNG or TIFF"
CODECS = {
    "JPEGExtended12Bit": "jpeg_decode",
    "JPEGLossless": "ljpeg_decode",
    "JPEGLosslessSV1": "ljpeg_decode",
    "JPEGLSLossless": "jpegls_decode",
    "JPEGLSNearLossless": "jpegls_decode",
    **dict.fromkeys(JPEG_2000, "jpeg2k_decode"),
}
"""Transfer syntaxes by their keywords, and the function that decodes them."""


def decompress(dataset: "pydicom.Dataset", name: str) -> None:
    """Decompress pixel data that pydicom cannot decode, and refuse those that no decoder here supports."""
    _name_syntax(dataset)
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        return
    if syntax.keyword in CODECS or syntax.keyword == "JPEGBaseline8Bit":
        _check_frame(_frame(dataset), syntax.keyword, (int(dataset.Rows), int(dataset.Columns)))
    if _pydicom_can(dataset):
        return
    if syntax.keyword not in CODECS:
        raise InputError("a DICOM image is in a known encoding of still images", f"{name} ({syntax.name})", EXPORT)
    require("imagecodecs", "codecs", f"DICOM in {syntax.name}", name)
    _store(dataset, _decode(_frame(dataset), CODECS[syntax.keyword]))


def _name_syntax(dataset: "pydicom.Dataset") -> None:
    """Set the transfer syntax of a data set without file meta information, as found while reading."""
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if "TransferSyntaxUID" in dataset.file_meta:
        return
    if dataset["PixelData"].is_undefined_length:
        raise ValueError("compressed pixel data without a transfer syntax")
    implicit, little = dataset.original_encoding
    explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit


def _frame(dataset: "pydicom.Dataset") -> bytes:
    """The first frame, of all its fragments."""
    from pydicom.encaps import generate_frames

    return next(iter(generate_frames(dataset.PixelData, number_of_frames=1)))


def _check_frame(frame: bytes, keyword: str, size: Size) -> None:
    """Check completeness and size, since decoders fill in truncated frames and accept any size."""
    if keyword in JPEG_2000:
        codestream = jpeg.codestreams(frame)[0]
        jpeg.check_whole(codestream)
        frame_size = jpeg.size_of(codestream)
    else:
        if frame.rfind(END_OF_IMAGE) < frame.rfind(START_OF_SCAN):
            raise ValueError("image file is truncated")
        header = jpeg.frame_of(frame)
        frame_size = (header.rows, header.cols) if header else (0, 0)
    if frame_size != size:
        raise ValueError(f"a frame of {frame_size} pixels where {size} are expected")


def _pydicom_can(dataset: "pydicom.Dataset") -> bool:
    from pydicom.pixels.decoders.base import get_decoder

    syntax, deep = dataset.file_meta.TransferSyntaxUID, int(dataset.BitsStored) > 8
    if deep and (
        syntax.keyword == "JPEGExtended12Bit" or (syntax.keyword in JPEG_2000 and dataset.SamplesPerPixel > 1)
    ):
        return False  # Pillow decodes neither
    try:
        return get_decoder(syntax).is_available
    except NotImplementedError:  # video
        return False


def _decode(frame: bytes, codec: str) -> Shaped[np.ndarray, "rows cols *channels"]:
    import imagecodecs

    try:
        return getattr(imagecodecs, codec)(frame)
    except Exception as error:  # each codec has an error of its own
        raise ValueError(str(error)) from error


def _store(dataset: "pydicom.Dataset", samples: Shaped[np.ndarray, "rows cols *channels"]) -> None:
    """Store samples as uncompressed pixel data."""
    from pydicom.uid import ExplicitVRLittleEndian

    channels = int(dataset.SamplesPerPixel)
    shape = (int(dataset.Rows), int(dataset.Columns), *([channels] if channels > 1 else []))
    if samples.shape != shape:
        raise ValueError(f"pixel data of shape {samples.shape} where {shape} is expected")
    if dataset.PhotometricInterpretation in ("YBR_ICT", "YBR_RCT"):  # which JPEG 2000 undoes itself
        dataset.PhotometricInterpretation = "RGB"
    dataset.BitsAllocated, dataset.PlanarConfiguration = samples.dtype.itemsize * 8, 0
    dataset.PixelData = samples.tobytes()
    dataset["PixelData"].is_undefined_length = False
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
