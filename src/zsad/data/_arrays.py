"""numpy arrays -> RGB pixels."""

import numpy as np
from jaxtyping import Shaped

from zsad.data._pixels import Pixels, from_unit, to_rgb
from zsad.data._reading import check_size
from zsad.errors import InputError


def from_array(array: Shaped[np.ndarray, "..."], name: str) -> Pixels:
    """RGB pixels of an array (rows, cols), (rows, cols, 1), (rows, cols, 3) or (rows, cols, 4 = RGBA).

    uint8 stays, bool becomes 0 or 255, uint16 stays, floats within [0, 1] become uint16 over its full range.
    """
    _check_shape(array, name)
    return to_rgb(_to_unsigned(array, name))


def _check_shape(array: Shaped[np.ndarray, "..."], name: str) -> None:
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (1, 3, 4)):
        raise InputError(
            "an array image has the shape (rows, cols) or (rows, cols, 1, 3 or 4)",
            f"{name} of shape {array.shape}",
            "put the channels last, and pass the images of a batch one by one",
        )
    check_size(array.shape[0], array.shape[1], name)


def _to_unsigned(array: Shaped[np.ndarray, "..."], name: str) -> Shaped[np.ndarray, "..."]:
    kind, width = array.dtype.kind, array.dtype.itemsize
    if kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if kind == "u" and width <= 2:
        return array.astype(np.uint8 if width == 1 else np.uint16, copy=False)  # in the byte order of this machine
    if kind == "f":
        return _floats(array, name)
    raise InputError(
        "an array image is of uint8, uint16, bool or float",
        f"{name} of {array.dtype}",
        "convert it, for example to float by dividing by its largest possible value",
    )


def _floats(array: Shaped[np.ndarray, "..."], name: str) -> Shaped[np.ndarray, "..."]:
    try:
        return from_unit(array)
    except ValueError as error:
        raise InputError(
            "a float image is finite and lies in [0, 1]",
            f"{name} with values from {array.min()} to {array.max()}",
            "divide it by its largest possible value",
        ) from error
