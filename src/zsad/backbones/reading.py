"""The tensors of a file of weights, in whatever form they were published. No pickled code is ever executed."""

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from zsad.backbones.layouts import to_ours
from zsad.errors import WeightsError


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, under our names. Pickles are only ever read with ``weights_only=True``.

    Raises:
        WeightsError: the file cannot be read as weights of CLIP.
    """
    try:
        state = load_file(path) if path.suffix == ".safetensors" else _read_pickle(path)
    except pickle.UnpicklingError as error:
        # PyTorch's own message is a page long, and advises to trust the file.
        reason = "damage, or content other than tensors"
        raise WeightsError(f"{path} must be a readable file of weights", reason, "download it again") from error
    except Exception as error:  # what the readers raise over a damaged file is anything, down to struct.error
        raise WeightsError(f"{path} must be a readable file of weights", error, "download it again") from error
    return to_ours(state)


def _read_pickle(path: Path) -> dict[str, Tensor]:
    """OpenAI publishes TorchScript archives, whose reader executes no pickled code; all else is ``weights_only``."""
    with path.open("rb") as file:
        if file.read(2) == b"PK" and _is_torchscript(path):
            return _read_torchscript(path)
    state = torch.load(path, map_location="cpu", weights_only=True)
    state = state.get("state_dict", state) if isinstance(state, Mapping) else {}
    return {str(name): tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}


def _read_torchscript(path: Path) -> dict[str, Tensor]:
    with warnings.catch_warnings():
        # PyTorch wants new archives made in another way; the published ones are as they are.
        warnings.simplefilter("ignore", DeprecationWarning)
        return dict(torch.jit.load(path, map_location="cpu").state_dict())


def _is_torchscript(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())
