"""Writing a detector, so that an interruption leaves the old one, the new one, or one that is refused as incomplete."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from zsad import methods
from zsad.calibration import Calibration
from zsad.checkpoint.reading import json_object, read
from zsad.checkpoint.records import (
    CALIBRATION,
    CARD,
    FILES,
    FORMAT,
    IMAGES,
    MEMORY,
    NEWER,
    OLDER_NAMES,
    TRAINED_STATE,
    TRAINING,
    UNFINISHED,
    Card,
    TrainingRecord,
    file_of,
)
from zsad.checkpoint.state import trained_state
from zsad.errors import ConfigError, InputError
from zsad.files import flush, replacing, write_atomically
from zsad.locks import alone
from zsad.methods._base import Method


def write(
    card: Card, method: Method, training_record: TrainingRecord, folder: Path, dtype: torch.dtype | None = None
) -> None:
    """Write card, trained tensors and the training record into the folder, which is made where it does not exist.

    All files are flushed to disk before any of them replaces an old one. The training record is replaced first and the
    card, which makes the folder loadable, last; meanwhile the card says that the detector is incomplete. After an
    interruption the folder holds the old detector, the new one, or one that is refused as incomplete.

    Args:
        card: the configuration.
        method: with the trained tensors.
        training_record: the images it was trained on or fitted to.
        folder: of the detector.
        dtype: type to which floating-point tensors are rounded; by default they are written as they are.

    Raises:
        InputError: the folder cannot be made or written, or has files of these names that are not a detector's.
        ConfigError: another process writes into the folder.
    """
    tensors = trained_state(method)
    if dtype is not None:
        tensors = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    memory, calibration = [asdict(image) for image in training_record.memory], training_record.calibration
    contents = {
        IMAGES: "".join(f"{content}\n" for content in training_record.images).encode(),
        TRAINING: _json(dict(training_record.training)) if training_record.training else b"",
        MEMORY: _json({"images": memory}) if memory else b"",
        CALIBRATION: _json(asdict(calibration)) if calibration else b"",
        TRAINED_STATE: save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}) if tensors else b"",
        CARD: _json(_entries(card)),
    }
    with alone(folder):
        try:
            _check_ours(folder)
            _replace(contents, folder)
        except OSError as error:
            raise InputError("the folder of a detector must be writable", error, "choose another folder") from error


def write_calibration(calibration: Calibration, folder: Path) -> None:
    """Calibrate a detector in its folder, whose other files stay: what an interruption leaves can always be loaded.

    The calibration replaces an earlier one, and then a threshold of the card.

    Args:
        calibration: of the detector as it is in the folder.
        folder: of the detector.

    Raises:
        ConfigError: there is no detector, or another process writes into the folder.
        InputError: the folder cannot be written.
    """
    with alone(folder):
        card = read(folder)
        try:
            write_atomically(folder / CALIBRATION, _json(asdict(calibration)), lasting=True)
            if card.threshold is not None:
                write_atomically(folder / CARD, _json(_entries(replace(card, threshold=None))), lasting=True)
        except OSError as error:
            raise InputError("the folder of a detector must be writable", error, "choose another folder") from error


def _entries(card: Card) -> dict[str, Any]:
    """The entries of the card's file; the origin of the method only where that is another package."""
    origin = methods.origin(card.method)
    entries = asdict(card if origin is None else replace(card, **asdict(origin)))
    left_out = [*(("package", "class_path") if origin is None else ())]
    left_out += [key for key in NEWER if not entries[key]]
    return {"format": FORMAT, **{key: value for key, value in entries.items() if key not in left_out}}


def _json(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=2) + "\n").encode("utf-8")


def _check_ours(folder: Path) -> None:
    """Refuse to replace files that are not a detector's. A detector has its card before any other file."""
    found = [name for name in FILES if file_of(folder, name).exists()]
    if found and not (CARD in found and _is_card(folder / CARD)):
        rule = "a detector replaces a detector and no other file"
        raise InputError(rule, f"{', '.join(found)} from elsewhere in {folder}", "choose another folder")


def _is_card(path: Path) -> bool:
    try:
        return bool(json_object(path).keys() & {"method", UNFINISHED})
    except ConfigError:
        return False


def _replace(contents: Mapping[str, bytes], folder: Path) -> None:
    """Replace the files of a detector; those without content are removed."""
    with ExitStack() as stack:  # the last one that is entered is the first that takes its place
        for name in FILES:
            if contents[name]:
                staged = stack.enter_context(replacing(folder / name, lasting=True))
                staged.write_bytes(contents[name])
                flush(staged)
        older = [folder / name for name in OLDER_NAMES.values() if (folder / name).exists()]
        if older or any(_differs(folder / name, contents[name]) for name in (CARD, IMAGES, MEMORY)):
            write_atomically(folder / CARD, _json({UNFINISHED: "it was being saved"}), lasting=True)
        for path in (*older, *(folder / name for name, content in contents.items() if not content)):
            path.unlink(missing_ok=True)


def _differs(path: Path, content: bytes) -> bool:
    return (path.read_bytes() if path.exists() else b"") != content
