"""Encoded prompts on disk, found by content: the same prompts under the same weights are never encoded twice."""

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from zsad.files import write_atomically

REVISION = 1
"""Raised whenever the same prompt under the same weights comes out otherwise (tokenizer or text tower mended)."""


def cache_dir() -> Path:
    """``$ZSAD_CACHE``, else ``$XDG_CACHE_HOME/zsad``, else ``~/.cache/zsad``; without a home, a temporary folder."""
    if override := os.environ.get("ZSAD_CACHE"):
        return Path(override)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zsad"
    except RuntimeError:  # a user without a home, as in some containers
        return Path(tempfile.gettempdir()) / "zsad-cache"


def key(weights: str, prompts: Sequence[str]) -> str:
    """The name under which the features of these prompts are kept, given a content hash of the weights."""
    return hashlib.sha256(json.dumps([REVISION, weights, *prompts]).encode("ascii")).hexdigest()


def read(key: str) -> Float[Tensor, "prompts embed"] | None:
    """The features, or ``None`` where there are none or the file is damaged."""
    try:
        return load(_path(key).read_bytes())["features"]
    except (OSError, SafetensorError, KeyError):
        return None


def write(key: str, features: Float[Tensor, "prompts embed"]) -> None:
    """Keep the features; a cache that cannot be written is no error, only slower."""
    try:
        write_atomically(_path(key), save({"features": features.detach().cpu().contiguous()}))
    except OSError:
        return


def _path(key: str) -> Path:
    return cache_dir() / "prompts" / f"{key}.safetensors"
