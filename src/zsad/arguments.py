"""Checks of the arguments of ``zsad.load`` and ``predict``, before anything is computed."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zsad import checkpoint, methods
from zsad.backbones import config as architectures
from zsad.errors import ConfigError, InputError


@dataclass(frozen=True)
class LoadArguments:
    """The arguments of :func:`zsad.load` and their types."""

    device: str
    precision: str
    batch_size: int
    options: dict[str, Any]
    backbone: str | None = None
    weights: str | None = None
    image_size: int | None = None
    threshold: float | None = None
    activation: str | None = None
    position_resize: str | None = None
    value_range: tuple[float, float] | None = None
    tiling: tuple[int, int, float] | None = None


def check_detector(detector: object) -> str | os.PathLike[str]:
    """The name of a method, also of one that is given as a class, or a folder.

    Raises:
        ConfigError: it is neither; it says what to name instead.
    """
    rule = "a detector is the name or class of a method, or the folder of a saved detector"
    names = f"say one of {', '.join(methods.names())}, or name a folder"
    if isinstance(detector, type) and issubclass(detector, methods.Method):
        return methods.name_of(detector)
    if not isinstance(detector, str | os.PathLike):
        what = f"the class {detector.__name__}" if isinstance(detector, type) else f"{detector!r:.60}"
        raise ConfigError(rule, what, names)
    if not os.fspath(detector):
        raise ConfigError(rule, "an empty name", names)
    if detector in architectures.names():
        remedy = f"say --backbone {detector}, in Python backbone={detector!r}, and which weights"
        raise ConfigError(rule, f"the backbone {detector}", remedy)
    if detector not in methods.names() and os.path.isfile(detector):
        remedy = "weights go with a backbone: --backbone NAME --weights FILE, in Python backbone= and weights="
        if Path(detector).name in (checkpoint.CARD, checkpoint.TRAINED_STATE, *checkpoint.OLDER_NAMES.values()):
            remedy = "name its folder"
        raise ConfigError(rule, f"the file {os.fspath(detector)}", remedy)
    return detector


def check_folder(folder: object) -> Path:
    """The folder that something is saved to.

    Raises:
        ConfigError: it is no path, or an empty one.
    """
    if isinstance(folder, str | os.PathLike) and os.fspath(folder):
        return Path(folder)
    raise ConfigError("a detector is saved into a folder", repr(folder), 'name it, for instance "runs/nuts"')


def several(images: object) -> list[Any]:
    """The images of a list, a tuple or an iterator; one alone would be taken for its letters or rows.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(images, list | tuple | Iterator):
        return list(images)
    raise InputError(
        "images are one path, bytes, PIL image or array, or a list of these",
        type(images).__name__,
        "name them in a list; of a PyTorch tensor, pass its rows × cols × RGB as an array: tensor.numpy()",
    )


def plain(value: Any) -> Any:
    """A number of NumPy as Python's own."""
    return value.item() if isinstance(value, np.generic) else value
