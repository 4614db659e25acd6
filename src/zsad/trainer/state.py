"""The state from which an interrupted run resumes, in one file that is replaced atomically."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from zsad.config import from_mapping
from zsad.documents import DocumentError, read_json
from zsad.errors import ConfigError, InputError, WeightsError
from zsad.files import write_atomically
from zsad.methods import Method
from zsad.tensors.reading import check_finite, read_safetensors

FILE = "resume.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True)
class TrainingState:
    """A run after a whole number of epochs.

    Attributes:
        epochs: how many are complete.
        run: all that determines the result, see :attr:`zsad.trainer.loop.TrainingRun.identity`.
        history: mean of each term of the loss, by epoch.
        tensors: parameters (``model.``), moments of Adam (``adam.``) and running statistics of batch normalisation
            (``running.``) by name.
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


def write(state: TrainingState, folder: Path) -> None:
    """Replace the state in the folder.

    Raises:
        InputError: the folder cannot be written.
    """
    metadata = {"epochs": state.epochs, "run": state.run, "history": state.history}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()}
    try:
        # Not save_file: it writes into a temporary file of its own name beside the target, which a kill would leave.
        content = save(tensors, {key: json.dumps(value) for key, value in metadata.items()})
        write_atomically(folder / FILE, content, lasting=True)
    except (OSError, SafetensorError) as error:
        raise InputError("the folder of a run must be writable", error, "choose another folder") from error


def read(folder: Path) -> TrainingState:
    """Read a state.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    path = folder / FILE
    try:
        tensors, header = read_safetensors(path)
        check_finite(tensors, path, "train anew")
        values = {key: read_json(value, file_names=True) for key, value in header.items()}
        metadata = from_mapping(_StateMetadata, values, "its metadata")
    except WeightsError as error:
        raise _unreadable(f"{path}: {error.value}") from error
    except (DocumentError, ConfigError) as error:
        raise _unreadable(f"{path}: {error}") from error
    if metadata.epochs != len(metadata.history):
        raise _unreadable(f"{path}: {metadata.epochs} epochs, but losses of {len(metadata.history)}")
    return TrainingState(metadata.epochs, metadata.run, list(metadata.history), tensors)


def running_statistics(method: Method) -> dict[str, Tensor]:
    """The buffers, by name, that batch normalisation changes in training; none of the backbone's are."""
    foreign = tuple(f"{child}." for child in method.foreign)
    norms = ((name, one) for name, one in method.named_modules() if isinstance(one, _BatchNorm))
    buffers = ((f"{name}.{key}", buffer) for name, norm in norms for key, buffer in norm.named_buffers())
    return {name: buffer for name, buffer in buffers if not name.startswith(foreign)}


def state_tensors(
    parameters: Mapping[str, Tensor], optimiser: torch.optim.Optimizer, statistics: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Parameters by name, Adam's moments of each, and the :func:`running_statistics`."""
    tensors = {f"model.{name}": parameter for name, parameter in parameters.items()}
    tensors |= {f"running.{name}": buffer for name, buffer in statistics.items()}
    for name, parameter in parameters.items():
        for moment in MOMENTS:
            if moment in optimiser.state[parameter]:
                tensors[f"adam.{moment}.{name}"] = optimiser.state[parameter][moment]
    return tensors


def restore(
    state: TrainingState,
    parameters: Mapping[str, Tensor],
    optimiser: torch.optim.Optimizer,
    statistics: Mapping[str, Tensor],
) -> None:
    """Copy the tensors of :func:`state_tensors` back, in the memory layout of the parameters.

    Raises:
        InputError: the state holds other tensors than these.
    """
    try:
        with torch.no_grad():
            for name, buffer in statistics.items():
                buffer.copy_(state.tensors[f"running.{name}"])
            for name, parameter in parameters.items():
                parameter.copy_(state.tensors[f"model.{name}"])
                if f"adam.step.{name}" not in state.tensors:  # it has had no gradient yet
                    continue
                saved = {moment: state.tensors[f"adam.{moment}.{name}"] for moment in MOMENTS}
                step = saved.pop("step")
                moments = {moment: torch.empty_like(parameter).copy_(value) for moment, value in saved.items()}
                optimiser.state[parameter].update(moments, step=step)
    except (KeyError, RuntimeError) as error:
        raise _unreadable(f"other tensors: {error}") from error


def _unreadable(value: str) -> InputError:
    return InputError("a run is resumed from a readable resume.safetensors", value, "train anew into another folder")
