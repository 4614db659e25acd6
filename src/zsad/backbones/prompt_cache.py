"""Encoded prompts on disk, found by content: the same prompts under the same weights are never encoded twice.

An entry counts only if it is what was written: its checksum, shape, type and finiteness are looked at, and what does
not fit is made anew. ``$ZSAD_PROMPT_CACHE_GB`` says how much room all entries have together (1 GB where it is not set);
what has not been used for longest makes room.
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
"""Most bytes of an entry beside its numbers, and seconds after which an unfinished one is nobody's any more."""
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


def read(key: str, shape: tuple[int, int], dtype: torch.dtype) -> Float[Tensor, "prompts embed"] | None:
    """The features, or ``None`` where there are none or the file is not what was written.

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
    """Keep the features; a cache that cannot be written is no error, only slower.

    Raises:
        ConfigError: the room that the environment gives the cache is no number.
    """
    kept, path, room = features.detach().cpu().contiguous(), _path(key), _room()
    if not room:
        return
    with suppress(OSError):
        write_atomically(path, save({"features": kept}, {"sha256": _checksum(key, kept)}))
        trim(path.parent, room)


def trim(folder: Path, room: int) -> None:
    """Remove files that have not been used for longest until the others fit into that many bytes.

    What a killed process left unfinished goes too. Other processes may do the same at the same time.
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
        raise ConfigError(f"{ROOM} is a number of gigabytes", ascii(value)[:80], "say 1, or 0 to keep nothing")
    return int(gigabytes * 1e9)


def _checksum(key: str, features: Float[Tensor, "prompts embed"]) -> str:
    return hashlib.sha256(key.encode() + features.view(torch.uint8).numpy().tobytes()).hexdigest()


def _path(key: str) -> Path:
    return cache_dir() / "prompts" / f"{key}.safetensors"
