"""Atomic writes, safe file names, and content hashes."""

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from uuid import uuid4

from zsad.errors import InputError

RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
"""Reserved file names on Windows, with any suffix."""

TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.tmp")
"""Names of temporary files, by which leftovers of killed processes are recognised."""

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def temporary(path: Path) -> Path:
    """A new name next to ``path`` that matches ``TEMPORARY``; its first half is derived from the final name."""
    return path.with_name(f".{mark(path)}{uuid4().hex[:16]}.tmp")


def mark(path: Path) -> str:
    """16 letters derived from the name of a file."""
    return hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]


@contextmanager
def replacing(path: Path, lasting: bool = False) -> Iterator[Path]:
    """A temporary path next to ``path``: renamed to it if the block succeeds, else removed.

    If the process is killed or the disk is full, the old file is unchanged. With ``lasting`` this also holds for power
    failures: content and directory are flushed to disk (fsync) before this returns. That takes milliseconds and is for
    files on which others depend or that cannot be quickly recreated.
    """
    staged = temporary(path)
    try:
        yield staged
        if lasting:
            flush(staged)
        os.replace(staged, path)
        if lasting:
            flush(path.parent)
    finally:
        staged.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes, lasting: bool = False) -> None:
    """Write a file, and create its folder if needed; ``lasting`` as in :func:`replacing`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, lasting) as staged:
        staged.write_bytes(content)


def flush(path: Path) -> None:
    """Flush a file or a directory to disk."""
    if os.name == "nt" and path.is_dir():  # not needed on Windows
        return
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_file(path: Path) -> BufferedReader:
    """Open a regular file for reading bytes. Never blocks on a pipe, a socket or a device.

    Raises:
        InputError: it is no regular file, does not exist or cannot be read.
    """
    try:
        # Without O_NONBLOCK, opening a pipe blocks until somebody writes to it.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        mode = stat.S_IFMT(os.fstat(descriptor).st_mode)
        if mode == stat.S_IFREG:
            return os.fdopen(descriptor, "rb")
        os.close(descriptor)
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
        raise InputError("a file must be readable", f"{path} ({getattr(error, 'strerror', error)})", _LOOK) from error
    kind = KINDS.get(mode, "something else")
    raise InputError("a file must be a regular file", f"{path} ({kind})", "take it out, or name a file")


_LOOK = "check the path and its permissions"


def check_file(path: Path) -> None:
    """Check that a path is a regular file and can be read.

    Raises:
        InputError: as :func:`open_file`.
    """
    open_file(path).close()


def content_hash(path: Path) -> str:
    """SHA-256 of a file, which identifies images in any folder.

    Raises:
        InputError: as :func:`open_file`.
    """
    with open_file(path) as file:
        try:
            return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputError("a file must be readable", f"{path} ({error.strerror})", _LOOK) from error


def contents_hash(paths: Sequence[Path]) -> str:
    """SHA-256 of several files (of their hashes); of one file its own, of none an empty string."""
    hashes = [content_hash(path) for path in paths]
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest() if len(hashes) > 1 else "".join(hashes)


def unique_name(text: str, taken: set[str], fallback: str) -> str:
    """A file name without suffix from a text, valid on all systems and unique (case-insensitively).

    Args:
        text: with any characters.
        taken: names in use, case-folded; the new one is added.
        fallback: for a text without a usable character.

    >>> names = set()
    >>> [unique_name(text, names, "image") for text in ("a/b?", "A_b", "...", "con")]
    ['a_b', 'A_b-2', 'image', 'image-con']
    """
    stem = re.sub(r"[^\w.-]+", "_", text).strip("._")[:60] or fallback  # 60 letters: up to 240 bytes
    if stem.split(".")[0].casefold() in RESERVED:
        stem = f"{fallback}-{stem}"
    name, number = stem, 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.casefold())
    return name
