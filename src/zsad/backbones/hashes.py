"""Content hashes of files, remembered so that gigabytes are hashed once."""

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

from zsad.backbones.prompt_cache import cache_dir, trim
from zsad.files import write_atomically

SETTLED = 2 * 10**9
"""Nanoseconds for which a file has to be unchanged before its hash is remembered: clocks of file systems are coarse."""
ROOM = 16 * 10**6
"""Most bytes of all that is remembered."""


def file_hash(path: Path) -> str:
    """SHA-256 of a file, remembered by path, place on disk, size, and times of change.

    The time of the last change of the file's entry is among them, which programs cannot set: a file that is put in
    the place of another one, with its size and its time, is hashed again.
    """
    status = path.stat()
    known = _recall(memo := _memo(path, status))
    if known:
        return known
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if time.time_ns() - max(status.st_ctime_ns, status.st_mtime_ns) > SETTLED and _memo(path, path.stat()) == memo:
        with suppress(OSError):
            write_atomically(memo, _sealed(memo, digest).encode("ascii"))
            trim(memo.parent, ROOM)
    return digest


def _memo(path: Path, status: os.stat_result) -> Path:
    parts = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    identity = "\0".join([str(path.resolve()), *map(str, parts)]).encode("utf-8", "surrogateescape")
    return cache_dir() / "hashes" / hashlib.sha256(identity).hexdigest()


def _recall(memo: Path) -> str | None:
    with suppress(OSError, UnicodeDecodeError):
        said = memo.read_bytes()[:200].decode("ascii")
        if said == _sealed(memo, said[:64]):
            return said[:64]
    return None


def _sealed(memo: Path, digest: str) -> str:
    """The hash with a checksum, which damage does not fit."""
    return digest + hashlib.sha256(f"{memo.name} {digest}".encode()).hexdigest()
