"""Everything that training goes on from, in one file: it is whole or it is not there."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from zsad.config import from_mapping
from zsad.documents import DocumentError, read_json
from zsad.errors import ConfigError, InputError, WeightsError
from zsad.files import replacing
from zsad.tensors.reading import check_finite, read_safetensors

FILE = "resume.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True)
class State:
    """Where a run stands after a whole number of epochs.

    Attributes:
        epochs: how many are done.
        run: what determines the result; a run with other values is another run.
        history: mean of each term of the loss, by epoch.
        tensors: parameters (``model.``) and moments of Adam (``adam.``) by name.
    """

    epochs: int
    run: dict[str, Any]
    history: list[dict[str, float]]
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class _StateMetadata:
    epochs: int
    run: dict[str, Any]
    history: tuple[dict[str, float], ...]


def write(state: State, folder: Path) -> None:
    """Write the state in the place of the former one.

    Raises:
        InputError: the folder cannot be written.
    """
    words = {"epochs": state.epochs, "run": state.run, "history": state.history}
    tensors = {name: one.detach().cpu().contiguous() for name, one in state.tensors.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / FILE, lasting=True) as temporary:
            save_file(tensors, temporary, {key: json.dumps(value) for key, value in words.items()})
    except (OSError, SafetensorError) as error:
        raise InputError("the folder of a run must be writable", error, "choose another folder") from error


def read(folder: Path) -> State:
    """Read a state.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    path = folder / FILE
    try:
        tensors, said = read_safetensors(path)
        check_finite(tensors, path, "train anew")
        found = {key: read_json(value, file_names=True) for key, value in said.items()}
        words = from_mapping(_StateMetadata, found, "its metadata")
    except WeightsError as error:
        raise _unreadable(f"{path}: {error.value}") from error
    except (DocumentError, ConfigError) as error:
        raise _unreadable(f"{path}: {error}") from error
    if words.epochs != len(words.history):
        raise _unreadable(f"{path}: {words.epochs} epochs, and what {len(words.history)} came to")
    return State(words.epochs, words.run, list(words.history), tensors)


def tensors_of(parameters: Mapping[str, Tensor], optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Parameters by name, and what Adam remembers of each."""
    tensors = {f"model.{name}": one for name, one in parameters.items()}
    for name, one in parameters.items():
        for moment in MOMENTS:
            if moment in optimiser.state[one]:
                tensors[f"adam.{moment}.{name}"] = optimiser.state[one][moment]
    return tensors


def restore(found: State, parameters: Mapping[str, Tensor], optimiser: torch.optim.Optimizer) -> None:
    """Put everything back where :func:`tensors_of` found it, in the memory layout that it had.

    Raises:
        InputError: the state holds other tensors than these.
    """
    try:
        with torch.no_grad():
            for name, one in parameters.items():
                one.copy_(found.tensors[f"model.{name}"])
                if f"adam.step.{name}" not in found.tensors:  # nothing has reached it yet
                    continue
                kept = {moment: found.tensors[f"adam.{moment}.{name}"] for moment in MOMENTS}
                step = kept.pop("step")
                laid_out = {moment: torch.empty_like(one).copy_(value) for moment, value in kept.items()}
                optimiser.state[one].update(laid_out, step=step)
    except (KeyError, RuntimeError) as error:
        raise _unreadable(f"other tensors: {error}") from error


def _unreadable(value: str) -> InputError:
    return InputError("a run that goes on has a readable resume.safetensors", value, "train anew into another folder")
