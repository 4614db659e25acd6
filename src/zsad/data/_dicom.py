"""DICOM -> RGB pixels, as a viewer would show it first. Needs the extra ``dicom``."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Shaped

from zsad.data._pixels import from_unit, full_range, to_rgb
from zsad.data._reading import Stream, check_size, reading, require
from zsad.errors import InputError
from zsad.types import Picture

if TYPE_CHECKING:
    import pydicom

EVERYTHING = np.array([-1e30, 1e30])
"""Stands for values left and right of any window."""


def read(stream: Stream, name: str) -> Picture:
    """Decode a DICOM file with one frame: rescaled, windowed, MONOCHROME1 inverted; grey is uint16 over the window."""
    require("pydicom", "dicom", "a DICOM file", name)
    from pydicom import dcmread
    from pydicom.errors import BytesLengthException, InvalidDicomError

    with reading(name, BytesLengthException, InvalidDicomError):
        dataset = dcmread(stream)
        _check_frames(dataset, name)
        check_size(int(dataset.Rows), int(dataset.Columns), name)
        samples = _samples(dataset)
    return Picture(to_rgb(samples), name)


def _check_frames(dataset: "pydicom.Dataset", name: str) -> None:
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise InputError(
            "a DICOM picture has one frame", f"{name} with {frames} frames", "export the frames one by one"
        )


def _samples(dataset: "pydicom.Dataset") -> Shaped[np.ndarray, "rows cols *channels"]:
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    stored = pixel_array(dataset)  # YBR comes out as RGB
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        return apply_color_lut(stored, dataset)
    if dataset.SamplesPerPixel > 1:
        return full_range(stored, 2**dataset.BitsStored - 1)
    return _grey(stored, dataset)


def _grey(stored: Shaped[np.ndarray, "rows cols"], dataset: "pydicom.Dataset") -> Shaped[np.ndarray, "rows cols"]:
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    shown = apply_voi_lut(apply_modality_lut(stored, dataset), dataset)
    low, high = _window_range(dataset)
    if low == high:
        raise ValueError("its rescale slope is 0")
    grey = from_unit(np.clip((shown.astype(np.float64) - low) / (high - low), 0, 1))
    return ~grey if dataset.PhotometricInterpretation == "MONOCHROME1" else grey


def _window_range(dataset: "pydicom.Dataset") -> Float[np.ndarray, "2"]:
    """What black and white are after the window: from the file's description alone, never from its pixels."""
    from pydicom.pixels.processing import apply_modality_lut, apply_windowing

    if dataset.get("VOILUTSequence"):
        return _table_range(dataset.VOILUTSequence[0])
    if dataset.get("WindowCenter") is not None:
        with np.errstate(over="ignore"):  # the far end of a sigmoid
            return apply_windowing(EVERYTHING, dataset)
    if dataset.get("ModalityLUTSequence"):
        return _table_range(dataset.ModalityLUTSequence[0])
    return np.sort(apply_modality_lut(_stored_range(dataset), dataset)).astype(np.float64)


def _table_range(table: "pydicom.Dataset") -> Float[np.ndarray, "2"]:
    return np.array([0.0, 2.0 ** table.LUTDescriptor[2] - 1])


def _stored_range(dataset: "pydicom.Dataset") -> Float[np.ndarray, "2"]:
    low = -(2.0 ** (dataset.BitsStored - 1)) if dataset.PixelRepresentation else 0.0
    return np.array([low, low + 2.0**dataset.BitsStored - 1])
