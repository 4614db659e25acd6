"""From the folder of a training run to a head that the package brings: ``python -m zsad.tools.heads RUN...``.

A head is a saved detector without the state that training resumes from: what a method has learnt on an embedded
backbone, as ``detector.json``, ``trained_state.safetensors``, ``training.json`` and ``images.txt``. Where its tensors
take up more than :data:`MOST_MIB` in fp32, they are rounded to fp16, and ``training.json`` says under ``stored`` which
it is and by how much the number that changed most has changed. Loading makes fp32 of them, so that a head that is
loaded and saved again is the same to the bit.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import torch
from torch import Tensor

from zsad import checkpoint, shipped
from zsad.backbones.config import EMBEDDED, embedded_weights
from zsad.errors import ConfigError, ZsadError
from zsad.loading import load
from zsad.wording import say

MOST_MIB = 3.0
"""Greatest size of ``trained_state.safetensors`` in the package: all of them are no larger than the backbone."""


def ship(run: Path, to: Path | None = None, most_mib: float = MOST_MIB) -> Path:
    """Copy the trained detector of a run into the package.

    Args:
        run: folder of a ``zsad train`` run whose epochs are all done.
        to: folder of the head; by default that of the package. Its files are replaced.
        most_mib: greatest size of the tensors on disk.

    Returns:
        The folder of the head.

    Raises:
        ConfigError: the run is not finished or not on record, was trained on other weights than those that the package
            contains, names a file of this machine, or is too large even in fp16.
        WeightsError: the embedded weights are not those that it was trained on, or its tensors are damaged.
    """
    card, record = checkpoint.read(run), checkpoint.read_training_record(run)
    _check_backbone(card)
    _check_record(run, record)
    _check_options(card)
    method = load(run, device="cpu").method
    tensors = checkpoint.trained_state(method)
    half = _size(tensors, 4) > most_mib
    if half and _size(tensors, 2) > most_mib:
        raise ConfigError(
            f"a head takes up at most {most_mib:g} MiB",
            f"{_size(tensors, 2):.1f} MiB in fp16",
            "train with options that make it smaller, or raise --most-mib",
        )
    stored: dict[str, Any] = {"precision": "fp16" if half else "fp32", "greatest_rounding": _rounding(tensors, half)}
    folder = to or shipped.head(card.method, card.backbone)
    kept = replace(record, calibration=None, training={**record.training, "stored": stored})
    checkpoint.write(replace(card, weights=EMBEDDED), method, kept, folder, torch.float16 if half else None)
    return folder


def _check_backbone(card: checkpoint.Card) -> None:
    changed = [name for name in ("activation", "position_resize") if getattr(card, name) is not None]
    if card.weights not in (None, EMBEDDED) or not embedded_weights(card.backbone).is_file() or changed:
        found = ", ".join([f"{card.backbone} with {card.weights or 'no'} weights", *changed])
        raise ConfigError("a head is trained on an embedded backbone as it is", found, "train on tiny")
    if card.fingerprint is None:
        raise ConfigError("a head has the fingerprint of its backbone", "none", "train again")


def _check_record(run: Path, record: checkpoint.TrainingRecord) -> None:
    wanted, done = record.training.get("training", {}).get("epochs"), record.training.get("epochs_done")
    if wanted is None or done != wanted:
        raise ConfigError(
            "a head is made from a complete run", f"{done} of {wanted} epochs in {run}", "run zsad train --resume"
        )
    if not record.is_on_record:
        raise ConfigError("a head has the hashes of its training images", f"too few in {run}", "train again")


def _check_options(card: checkpoint.Card) -> None:
    """An absolute path in the options, such as that of other weights, exists on this machine only."""
    for name, value in card.options.items():
        if isinstance(value, str) and (PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()):
            raise ConfigError(
                "a head needs no file from outside the package", f"{name} = {value!r}", "train without it"
            )


def _size(tensors: dict[str, Tensor], width: int) -> float:
    """MiB that the tensors take up where a floating-point number has so many bytes."""
    sizes = (
        tensor.numel() * (width if tensor.is_floating_point() else tensor.element_size()) for tensor in tensors.values()
    )
    return sum(sizes) / 2**20


def _rounding(tensors: dict[str, Tensor], half: bool) -> float:
    """By how much the number that changes most is changed when it is stored.

    Raises:
        ConfigError: one of them is beyond fp16.
    """
    numbers = {
        name: tensor for name, tensor in tensors.items() if half and tensor.is_floating_point() and tensor.numel()
    }
    if beyond := [name for name, tensor in numbers.items() if not tensor.half().isfinite().all()]:
        raise ConfigError("numbers that are stored in fp16 are below 65504", f"larger in {beyond[0]}", "train again")
    return max((float((tensor - tensor.half().float()).abs().max()) for tensor in numbers.values()), default=0.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a head of each run, and print a summary."""
    parser = ArgumentParser(prog="python -m zsad.tools.heads", description="Put trained runs into the package.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a zsad train run")
    parser.add_argument(
        "--to", type=Path, metavar="DIR", help="the heads' folder, one below it each (default: package)"
    )
    parser.add_argument(
        "--most-mib", type=float, default=MOST_MIB, metavar="MIB", help=f"of a head's tensors (default: {MOST_MIB:g})"
    )
    options = parser.parse_args(arguments)
    try:
        for run in options.runs:
            method = checkpoint.read(run).method
            say(_summary(ship(run, options.to and options.to / method, options.most_mib)))
    except ZsadError as error:
        say(f"zsad: {error}", stderr=True)
        return 2
    return 0


def _summary(folder: Path) -> str:
    """Size, precision and rounding of a head."""
    stored = checkpoint.read_training_record(folder).training["stored"]
    size = (folder / checkpoint.TRAINED_STATE).stat().st_size / 2**20
    how = f", rounded by at most {stored['greatest_rounding']:.1e}" if stored["precision"] == "fp16" else ""
    return f"{folder}: {size:.2f} MiB in {stored['precision']}{how}"


if __name__ == "__main__":
    sys.exit(main())
