"""One process at a time in a folder that is written, and an end of what one that was killed left there."""

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
"""What file systems without locks answer."""
_held: set[tuple[int, Path]] = set()


@contextmanager
def alone(folder: Path, *below: str, shared: bool = False) -> Iterator[None]:
    """Be the only process that writes into a folder, which is made where it does not exist.

    The operating system gives the lock back when the process ends, however it ends. On a file system without locks a
    warning says that nobody is kept out. A thread that has the lock may ask for it again.

    Temporary files and folders that a killed process left are removed: those of our names, in the folder and in
    ``below``, and nothing else.

    Args:
        folder: that is written.
        below: patterns of folders in it that are written as well.
        shared: keep out only those who do not share. (On Windows nobody is kept out then.)

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
            with suppress(OSError):  # it stays where something is in it
                folder.rmdir()


@contextmanager
def alone_with(file: Path, waiting: bool = False) -> Iterator[None]:
    """Be the only process that writes a file; the lock lies beside it. Otherwise as :func:`alone`.

    Args:
        file: that is written.
        waiting: for what takes a moment: others are waited for, and not refused.
    """
    own = f".{mark(file)}"
    with _alone(file.with_name(f"{own}.lock"), waiting=waiting):
        sweep([file.parent], own)
        yield


def sweep(folders: Iterable[Path], beginning: str = "") -> None:
    """Remove the temporary files and folders of ours that lie there; nobody may be writing them."""
    for path in (path for folder in folders for path in folder.iterdir()):
        if TEMPORARY.fullmatch(path.name) and path.name.startswith(beginning):
            if path.is_dir() and not path.is_symlink():
                _remove(path)
            else:
                path.unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    """Processes of the one that was killed may write into it for a moment longer."""
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
    except OSError as error:
        raise InputError("the output folder must be writable", error, "choose another --out") from error
    if file is None:  # by this thread, further out
        yield
        return
    _held.add(key)
    try:
        yield
    finally:
        _held.discard(key)
        _give_back(file, lock, shared)


def _taken(lock: Path, shared: bool, waiting: bool) -> FileIO:
    """The locked file. Whoever had it before may have removed it between our opening and our locking."""
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
    """Whether nobody else has it."""
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
    """A byte far behind what is written, which others may still read."""
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
    """Say who has it, for people."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    words = f"process {os.getpid()} on {socket.gethostname()}, since {now}"
    with suppress(OSError):  # a full disk is the business of what is written next
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
    """Leave nothing behind, unless others share it."""
    with file, suppress(OSError):
        if os.name == "nt":
            file.close()  # which gives it back: an open file cannot be removed
            lock.unlink()
        elif not shared or _lock(file):
            lock.unlink()
