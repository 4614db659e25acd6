"""Files that appear whole or not at all, what they are called, and what they are known by."""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
"""Names that no file can have on Windows, whatever its ending."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``: it takes its place when the block ends well and is removed when it does not."""
    temporary = path.with_name(f".{uuid4().hex}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file, and its folder where that does not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def content_hash(path: Path) -> str:
    """SHA-256 of a file, by which pictures are known in any folder."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def contents_hash(paths: Sequence[Path]) -> str:
    """SHA-256 of several files, that of their hashes; of one file its own, of none empty."""
    hashes = [content_hash(one) for one in paths]
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest() if len(hashes) > 1 else "".join(hashes)


def unique_name(text: str, taken: set[str], fallback: str) -> str:
    """A file name without ending made of a text, safe everywhere and not yet taken (also where case does not count).

    Args:
        text: of any letters.
        taken: names in use, case folded; the new one is added.
        fallback: what stands for a text without a usable letter.

    >>> names = set()
    >>> [unique_name(text, names, "picture") for text in ("a/b?", "A_b", "...", "con")]
    ['a_b', 'A_b-2', 'picture', 'picture-con']
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
