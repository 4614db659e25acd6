"""Locks: one writing process per folder, and removal of temporary files of killed processes."""

import errno
import os
import shutil
import socket
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from zsad.errors import ConfigError, InputError, ZsadWarning
from zsad.files import TEMPORARY, mark

LOCK = ".zsad.lock"
WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
"""Error codes of file systems without locks."""
_held: set[tuple[int, Path]] = set()


@contextmanager
def alone(folder: Path, *below: str, shared: bool = False) -> Iterator[None]:
    """Exclusive lock of a folder for writing; the folder is created if needed.

    The operating system releases the lock when the process ends, for whatever reason. On a file system without locks
    there is a warning and no exclusion. The lock is reentrant within a thread.

    Temporary files and folders of killed processes are removed: those with our names, in the folder and in ``below``,
    and nothing else.

    Args:
        folder: to write to.
        below: patterns of subfolders that are written too.
        shared: a shared lock, which only excludes exclusive ones. (Without effect on Windows.)

    Raises:
        ConfigError: another process has the lock.
        InputError: the folder cannot be made or written.
    """
    is_new = not folder.exists()
    try:
        with _alone(folder / LOCK, shared):
            if not shared:
                sweep([folder, *_folders(folder, below)])
            yield
    finally:
        if is_new:
            with suppress(OSError, ValueError):  # kept if not empty; a name with a NUL in it
                folder.rmdir()


@contextmanager
def alone_with(file: Path, waiting: bool = False) -> Iterator[None]:
    """Exclusive lock of a file for writing; the lock file is next to it. Otherwise as :func:`alone`.

    Args:
        file: to write.
        waiting: wait for other processes instead of raising, for short operations.
    """
    own = f".{mark(file)}"
    with _alone(file.with_name(f"{own}.lock"), waiting=waiting):
        sweep([file.parent], own)
        yield


def sweep(folders: Iterable[Path], beginning: str = "") -> None:
    """Remove our temporary files and folders; nobody may be writing them."""
    for path in (path for folder in folders for path in folder.iterdir()):
        if TEMPORARY.fullmatch(path.name) and path.name.startswith(beginning):
            if path.is_dir() and not path.is_symlink():
                _remove(path)
            else:
                path.unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    """Child processes of a killed one may still write for a moment."""
    for _ in range(20):
        with suppress(OSError):
            shutil.rmtree(folder)
            return
        time.sleep(0.1)
    shutil.rmtree(folder)


def _folders(folder: Path, patterns: Iterable[str]) -> list[Path]:
    return [path for pattern in patterns for path in folder.glob(pattern) if path.is_dir()]


@contextmanager
def _alone(lock: Path, shared: bool = False, waiting: bool = False) -> Iterator[None]:
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        key = threading.get_ident(), lock.parent.resolve() / lock.name
        file = None if key in _held else _taken(lock, shared, waiting)
    except (OSError, ValueError) as error:
        raise InputError("the output folder must be writable", error, "choose another --out") from error
    if file is None:  # by this thread, in an enclosing block
        yield
        return
    _held.add(key)
    try:
        yield
    finally:
        _held.discard(key)
        _give_back(file, lock, shared)


def _taken(lock: Path, shared: bool, waiting: bool) -> FileIO:
    """The locked file. The previous holder may have removed it between opening and locking."""
    while True:
        file = FileIO(lock, "a+")
        try:
            if not _lock(file, shared, waiting):
                raise _refusal(lock, file)
            if os.name == "nt" or _is_at(file, lock):
                _sign(file)
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _lock(file: FileIO, shared: bool = False, waiting: bool = False) -> bool:
    """Whether the lock was acquired."""
    try:
        import fcntl
    except ImportError:
        return shared or _lock_on_windows(file, waiting)
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if waiting else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        if error.errno not in WITHOUT_LOCKS:
            raise
        folder = Path(os.fsdecode(file.name)).parent
        warnings.warn(f"{folder} has no locks: make sure that no other process writes there", ZsadWarning, stacklevel=2)
    return True


def _lock_on_windows(file: FileIO, waiting: bool) -> bool:
    """A byte far beyond the content, which others may still read."""
    import msvcrt

    file.seek(1 << 30)
    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if waiting else msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError:
        return False
    return True


def _is_at(file: FileIO, lock: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), lock.stat())
    return False


def _sign(file: FileIO) -> None:
    """Write the holder into the file, for people."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    words = f"process {os.getpid()} on {socket.gethostname()}, since {now}"
    with suppress(OSError):  # a full disk is reported by the next write
        file.truncate(0)
        file.write(words.encode())


def _refusal(lock: Path, file: FileIO) -> ConfigError:
    file.seek(0)
    who = file.read(200).decode("utf-8", "replace") or "another process"
    return ConfigError(
        "one process at a time writes into a folder",
        f"{lock}, which is held by {who}",
        "wait for it to end, stop it, or choose another --out",
    )


def _give_back(file: FileIO, lock: Path, shared: bool) -> None:
    """Remove the lock file, unless others share it."""
    with file, suppress(OSError):
        if os.name == "nt":
            file.close()  # which releases it: an open file cannot be removed
            lock.unlink()
        elif not shared or _lock(file):
            lock.unlink()
