"""One kill: a command is killed, given again, and what it leaves is held against what it leaves undisturbed."""

import datetime
import itertools
import json
import os
import re
import shutil
import signal
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.commands import Command
from benchmarks.faults.killing import Killer
from zsad.benchmark import leaderboard
from zsad.cli.main import main
from zsad.evaluator import class_evaluator, runs

LIMIT = 120.0
"""Seconds that a command may take; far more than it does."""
MINE = b"mine"
TIMES = re.compile(rb'"training_s": [0-9.e+-]+')
DETECTOR = ("detector.json", "trained_state.safetensors", "images.txt")


class FixedTime(datetime.datetime):
    """A clock that stands still: what two runs leave can be compared to the byte."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> "FixedTime":
        return cls(2026, 1, 1, tzinfo=tz)


@dataclass(frozen=True)
class Kill:
    """Where a command is killed.

    Attributes:
        at: number of the file operation, from 1.
        torn: whether the file that would be opened is there, empty.
        what: the operation, for people.
    """

    at: int
    torn: bool
    what: str


@dataclass(frozen=True)
class Reference:
    """What a command does undisturbed.

    Attributes:
        operations: on files, in order.
        before, after: the files of the folder.
    """

    operations: tuple[str, ...]
    before: dict[str, bytes]
    after: dict[str, bytes]

    def kills(self) -> list[Kill]:
        """Everywhere that it can be killed."""
        numbered = list(enumerate(self.operations, 1))
        whole = [Kill(number, False, what) for number, what in numbered]
        return whole + [Kill(number, True, what) for number, what in numbered if what.startswith("open ")]


def reference(command: Command, data: Path, work: Path) -> Reference:
    """Run a command to its end.

    Raises:
        RuntimeError: it fails.
    """
    folder = set_up(command, data, work / "undisturbed")
    before = files(folder / "out")
    log = work / "operations"
    status, said = run(
        command.words, folder, lambda: Killer(folder, log=os.open(log, os.O_WRONLY | os.O_CREAT)).watch()
    )
    if status != 0:
        raise RuntimeError(f"{command.name} ends with {status} undisturbed: {said}")
    operations = tuple(log.read_text().splitlines())
    log.unlink()
    after = files(folder / "out")
    shutil.rmtree(folder)
    return Reference(operations, before, after)


def tried(command: Command, kill: Kill, expected: Reference, data: Path, work: Path) -> list[str]:
    """Kill a command and give it again; returns what is wrong then."""
    folder = set_up(command, data, work / "killed")
    faults = []
    try:
        status, said = run(command.words, folder, Killer(folder, kill.at, kill.torn).watch)
        if status != -signal.SIGKILL:
            return [f"it was to be killed and ended with {status}: {said}"]
        if command.is_detector and (mixed := _mixed(files(folder / "out"), expected)):
            faults.append(mixed)
        status, said = run(command.words, folder)
        if status != 0:
            faults.append(f"given again, it ends with {status}: {said}")
        faults += different(files(folder / "out"), expected.after)
        faults += [f"{name} is not as it was" for name in command.others if not _is_mine(folder / name)]
    except TimeoutError as error:
        faults.append(str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return faults


def set_up(command: Command, data: Path, folder: Path) -> Path:
    """A folder in which the command is to be run, with what was there before."""
    folder.mkdir()
    (folder / "data").symlink_to(data)
    for words in command.before:
        status, said = run(words, folder)
        if status != 0:
            raise RuntimeError(f"{words} ends with {status}: {said}")
    for name in command.others:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(MINE)
    return folder


def run(words: tuple[str, ...], folder: Path, first: Callable[[], None] = lambda: None) -> tuple[int, str]:
    """Run a command in a child of this process, which has imported everything.

    Returns:
        Its exit status, negative for a signal, and the end of what it printed.

    Raises:
        TimeoutError: it, or a process that it began, does not end.
    """
    printed = folder / "printed"
    child = os.fork()
    if child == 0:
        _become(words, folder, printed, first)
    status = _waited(child)
    _wait_for_group(child)
    said = printed.read_text(errors="replace").strip()[-300:] if printed.exists() else ""
    printed.unlink(missing_ok=True)
    return status, said


def _become(words: tuple[str, ...], folder: Path, printed: Path, first: Callable[[], None]) -> None:
    """In the child: be the command, in a group of processes of its own."""
    status = 70
    try:
        os.setpgid(0, 0)
        os.chdir(folder)
        os.environ["ZSAD_CACHE"] = str(folder / "cache")
        output = os.open(printed, os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.argv = ["zsad", *words]
        _stop_clocks()
        first()
        status = main(words)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException as error:
        os.write(2, repr(error).encode())
    finally:
        os._exit(status)


def _stop_clocks() -> None:
    """In the child: durations are of one second, and dates those of ``FixedTime``."""
    ticks = itertools.count()
    time.perf_counter = lambda: float(next(ticks))  # type: ignore[assignment]
    datetime.datetime = FixedTime  # type: ignore[misc]
    for module in (leaderboard, runs):
        module.datetime = FixedTime  # type: ignore[attr-defined]
    class_evaluator._peak_memory = lambda device: 0.0


def _waited(child: int) -> int:
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise TimeoutError(f"it does not end within {LIMIT:g} s")


def _wait_for_group(group: int) -> None:
    """For processes that the child began and left behind."""
    end = time.monotonic() + LIMIT / 4
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    os.killpg(group, signal.SIGKILL)
    raise TimeoutError("a process is left")


def files(folder: Path) -> dict[str, bytes]:
    """What lies in a folder, by path: content but for times and arbitrary order; of archives the members' checksums."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            found[f"{name}/"] = b""
        elif path.suffix == ".npz" and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as members:
                found[name] = repr([(one.filename, one.CRC) for one in members.infolist()]).encode()
        elif path.suffix == ".safetensors" and path.stat().st_size:
            found[name] = _of_safetensors(path.read_bytes())
        else:
            found[name] = TIMES.sub(b"", path.read_bytes())
    return found


def _of_safetensors(content: bytes) -> bytes:
    """With its metadata in order: safetensors writes them in any."""
    end = 8 + int.from_bytes(content[:8], "little")
    return json.dumps(json.loads(content[8:end]), sort_keys=True).encode() + content[end:]


def different(found: dict[str, bytes], expected: dict[str, bytes]) -> list[str]:
    """In what a folder is not as it should be, in words."""
    return [
        *(f"{name} is missing" for name in expected.keys() - found.keys()),
        *(f"{name} is too much" for name in found.keys() - expected.keys()),
        *(f"{name} is another" for name in expected.keys() & found.keys() if expected[name] != found[name]),
    ]


def _mixed(found: dict[str, bytes], expected: Reference) -> str:
    """What is wrong with the detector that a kill left: it is the old one, the new one, or cannot be loaded."""
    if "method" not in found.get(DETECTOR[0], b"").decode():
        return ""
    sides = [[side.get(name) for name in DETECTOR] for side in (expected.before, expected.after)]
    return (
        "" if [found.get(name) for name in DETECTOR] in sides else "a detector is neither the old one nor the new one"
    )


def _is_mine(path: Path) -> bool:
    return path.is_file() and path.read_bytes() == MINE
