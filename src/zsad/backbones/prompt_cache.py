"""On-disk cache of encoded prompts: the same prompts are encoded once with the same weights.

Entries are verified when read (checksum, shape, type, finiteness); a damaged one is computed again.
``$ZSAD_PROMPT_CACHE_GB`` is the maximum size of the cache (1 GB by default); least recently used entries are removed.
"""

import hashlib
import json
import math
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from zsad.errors import ConfigError
from zsad.files import write_atomically
from zsad.tensors.reading import is_finite

ROOM, GIGABYTES = "ZSAD_PROMPT_CACHE_GB", 1.0
HEADER, LEFTOVER = 4096, 3600
"""Maximum bytes of an entry besides its numbers, and age in seconds at which an unfinished file is abandoned."""
REVISION = 1
"""Incremented whenever features of the same prompt and weights change (fixes of tokenizer or text tower)."""


def cache_dir() -> Path:
    """``$ZSAD_CACHE``, else ``$XDG_CACHE_HOME/zsad``, else ``~/.cache/zsad``; without a home, a temporary folder."""
    if override := os.environ.get("ZSAD_CACHE"):
        return Path(override)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zsad"
    except RuntimeError:  # a user without a home, as in some containers
        return Path(tempfile.gettempdir()) / "zsad-cache"


def key(weights: str, prompts: Sequence[str]) -> str:
    """The cache key of these prompts, given a content hash of the weights."""
    return hashlib.sha256(json.dumps([REVISION, weights, *prompts]).encode("ascii")).hexdigest()


def read(key: str, shape: tuple[int, int], dtype: torch.dtype) -> Float[Tensor, "prompts embed"] | None:
    """The features, or ``None`` where there are none or the file is damaged.

    Args:
        key: of the prompts.
        shape: (prompts, embed) that the features must have.
        dtype: that they must have.
    """
    path = _path(key)
    try:
        if not path.is_file() or path.stat().st_size > math.prod(shape) * dtype.itemsize + HEADER:
            return None
        content = path.read_bytes()
        features = load(content)["features"]
        digest = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["sha256"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
    if (
        features.shape != shape
        or features.dtype != dtype
        or digest != _checksum(key, features)
        or not is_finite(features)
    ):
        return None
    with suppress(OSError):
        os.utime(path)
    return features


def write(key: str, features: Float[Tensor, "prompts embed"]) -> None:
    """Store the features; a cache that cannot be written is no error.

    Raises:
        ConfigError: the size in the environment variable is no number.
    """
    kept, path, room = features.detach().cpu().contiguous(), _path(key), _room()
    if not room:
        return
    with suppress(OSError):
        write_atomically(path, save({"features": kept}, {"sha256": _checksum(key, kept)}))
        trim(path.parent, room)


def trim(folder: Path, room: int) -> None:
    """Remove least recently used files until the others fit into that many bytes, and unfinished files of killed
    processes.

    Other processes may do the same at the same time.
    """
    known = []
    for entry in os.scandir(folder):
        with suppress(FileNotFoundError):
            status = entry.stat(follow_symlinks=False)
            is_left = entry.name.endswith(".tmp") and status.st_mtime < time.time() - LEFTOVER
            known.append((0.0 if is_left else status.st_mtime, status.st_size, Path(entry.path)))
    taken = sum(size for _, size, _ in known)
    for used, size, path in sorted(known):
        if used and taken <= room:
            break
        path.unlink(missing_ok=True)
        taken -= size


def _room() -> int:
    value = os.environ.get(ROOM, "")
    try:
        gigabytes = float(value) if value else GIGABYTES
    except ValueError:
        gigabytes = math.nan
    if not 0 <= gigabytes <= 1e6:
        raise ConfigError(f"{ROOM} is a number of gigabytes", ascii(value)[:80], "use 1, or 0 to keep nothing")
    return int(gigabytes * 1e9)


def _checksum(key: str, features: Float[Tensor, "prompts embed"]) -> str:
    return hashlib.sha256(key.encode() + features.view(torch.uint8).numpy().tobytes()).hexdigest()


def _path(key: str) -> Path:
    return cache_dir() / "prompts" / f"{key}.safetensors"
