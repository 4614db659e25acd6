"""A process that is killed before the n-th time that it changes a file, or finds the disk full from then on."""

import errno
import os
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink")
"""Audit events of Python, beside ``open``, that change what is on the disk; ``os.replace`` is a rename."""

TAKES_ROOM = ("open", "os.mkdir", "os.link", "os.symlink")


@dataclass
class Killer:
    """Counts what a process does to files below a folder, and kills the process before one of these.

    Python asks its audit hooks before it changes a file, and raises what they raise.

    Attributes:
        below: the folder.
        at: number of the operation, from 1, before which it is killed; 0 kills never.
        torn: a file that would be opened to be written is first made, empty: the kill falls before it is written.
        full: instead of a kill, nothing can be opened to be written or made from this operation on.
        log: file descriptor into which every operation is written, a line each; -1 for none.
        versions: folder, outside of ``below``, into which every file is copied that gets its name; None for none.
    """

    below: Path
    at: int = 0
    torn: bool = False
    full: bool = False
    log: int = -1
    versions: Path | None = None

    def __post_init__(self) -> None:
        self._count, self._below = 0, os.path.realpath(self.below)

    def watch(self) -> None:
        """From now on, and until the process ends."""
        sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if not (isinstance(flags, int) and flags & WRITES):
                return
        elif event in CHANGES:
            path = arguments[event in ("os.link", "os.symlink")]  # the second is what is made
        else:
            return
        if not isinstance(path, str | bytes | os.PathLike):  # a descriptor that is open already
            return
        if os.path.abspath(os.fsdecode(path)).startswith(self._below):
            self._changes(event, os.fsdecode(path))
            if event == "os.rename" and self.versions is not None:
                self._keep(os.fsdecode(path), os.fsdecode(arguments[1]))  # type: ignore[arg-type]

    def _changes(self, event: str, path: str) -> None:
        self._count += 1
        if self.log >= 0:
            os.write(self.log, f"{event} {os.path.relpath(path, self._below)}\n".encode())
        if self.full:
            if self._count >= self.at and event in TAKES_ROOM:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        elif self._count == self.at:
            self.at = 0  # what follows is ours
            if self.torn and event == "open":
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
            os.kill(os.getpid(), signal.SIGKILL)

    def _keep(self, path: str, name: str) -> None:
        """Copy what is about to get a name: a file of one of these contents is whole."""
        target = os.path.join(self.versions or "", str(self._count), os.path.relpath(name, self._below))
        copy = shutil.copytree if os.path.isdir(path) else shutil.copy
        os.makedirs(os.path.dirname(target))
        copy(path, target)
