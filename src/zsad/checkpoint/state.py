"""The trained tensors of a method: which they are, their content hash, and loading them."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from zsad.checkpoint.records import (
    MEMORY,
    NEWER,
    TRAINED_STATE,
    Card,
    file_of,
)
from zsad.errors import WeightsError
from zsad.methods._base import Method
from zsad.methods._few_shot import FewShot
from zsad.tensors.reading import check_finite, read_safetensors


def trained_state(method: Method) -> dict[str, Tensor]:
    """The tensors of a method that do not come from elsewhere, by name: trained parameters, and banks with entries."""
    empty = [name for name, bank in method.banks().items() if not len(bank)] if isinstance(method, FewShot) else []
    prefixes = tuple(f"{name}." for name in empty)
    return {name: tensor for name, tensor in _own_state(method).items() if not name.startswith(prefixes)}


def _own_state(method: Method) -> dict[str, Tensor]:
    """As :func:`trained_state`, with empty banks."""
    elsewhere = tuple(f"{child}." for child in method.foreign)
    return {name: tensor.detach() for name, tensor in method.state_dict().items() if not name.startswith(elsewhere)}


def state_fingerprint(card: Card, method: Method, image_size: int, precision: str) -> str:
    """Content hash of all that decides the answers: method and its configuration, size, backbone, trained tensors.

    Args:
        card: of the detector.
        method: with its trained tensors.
        image_size: side in px at which it runs.
        precision: in which it runs.
    """
    identity: list[object] = [card.method, asdict(method.config), image_size, precision, method.fingerprint]
    newer = {key: value for key in NEWER if (value := getattr(card, key))}
    identity += [newer] if newer else []
    digest = sha256(json.dumps(identity, sort_keys=True).encode())
    for tensor_name, tensor in sorted(trained_state(method).items()):
        content = tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        digest.update(f"{tensor_name} {tuple(tensor.shape)} {tensor.dtype}".encode() + content)
    return digest.hexdigest()


def load_trained_state(method: Method, folder: Path) -> None:
    """Load the trained tensors of a folder into a method, and convert them to the precision of the method.

    Raises:
        WeightsError: they are missing, unreadable, not finite, or of another type or shape than the method needs on
            this backbone.
    """
    path, wanted = file_of(folder, TRAINED_STATE), _own_state(method)
    remedy = "copy the folder again, or train again"
    if not wanted:
        return
    tensors = method.current_state(_read_tensors(path, remedy) if _is_needed(path, method, wanted) else {})
    if tensors.keys() != wanted.keys():
        odd = sorted(tensors.keys() ^ wanted.keys())
        raise WeightsError(f"{path} holds the tensors of its method", f"differences in {odd[:3]}", "check the options")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() != wanted[name].is_floating_point() or tensor.is_complex():
            raise WeightsError(f"{path} holds the tensors of its method", f"{name} of {tensor.dtype}", remedy)
    try:
        method.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise WeightsError(
            f"{path} fits the backbone and the options",
            str(error).splitlines()[-1].strip(" \t."),
            "name those it was made for, or train again",
        ) from error
    check_finite(trained_state(method), path, "train again, at a lower learning rate")


def _is_needed(path: Path, method: Method, wanted: Mapping[str, Tensor]) -> bool:
    """Whether a detector needs its file of tensors: an untrained one without a memory has none."""
    has_memory = (path.parent / MEMORY).exists()
    return os.path.lexists(path) or has_memory or method.current_state({}).keys() != wanted.keys()


def _read_tensors(path: Path, remedy: str) -> dict[str, Tensor]:
    try:
        return read_safetensors(path)[0]
    except WeightsError as error:
        raise WeightsError(f"{path} must be readable", error.value, remedy) from error
