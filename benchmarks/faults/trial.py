"""One fault: a command is disturbed, given again, and what it leaves is held against what it leaves undisturbed."""

import json
import os
import re
import shutil
import signal
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from benchmarks.faults.commands import Command
from benchmarks.faults.killing import TAKES_ROOM, Killer
from benchmarks.faults.running import Child, run
from zsad.files import TEMPORARY

MINE = b"mine"
TIMES = re.compile(rb'"training_s": [0-9.e+-]+')
DETECTOR = ("detector.json", "trained_state.safetensors", "images.txt")
UNFINISHED = re.compile(rf"(^|/)({TEMPORARY.pattern}(/|$)|\.(zsad|[0-9a-f]{{16}})\.lock$)")
"""Files that have no name of their own yet, and locks."""
GROW = ("out/predictions.csv", "out/regions.csv")
"""Files to which lines are added as the work goes on."""
STATUSES = (0, 1, 2)
"""Of a command on a full disk, which may be full too late to matter."""
EARLIER = 0.8
"""Of a moment at which the command had ended already, the part at which it is killed instead."""


@dataclass(frozen=True)
class Fault:
    """What happens to a command: a kill, before a file operation or at a moment, or a full disk.

    Attributes:
        what: the operation or the moment, for people.
        at: number of the file operation, from 1; 0 for a moment.
        torn: whether the file that would be opened is there, empty.
        full: whether the disk is full from then on, and nothing is killed.
        after: seconds, where it is killed at a moment: of computing, or by the clock if the command waits for others.
    """

    what: str
    at: int = 0
    torn: bool = False
    full: bool = False
    after: float = 0.0

    def __str__(self) -> str:
        if self.after:
            return f"killed at {self.what}"
        return f"{'disk full' if self.full else 'killed'} before {self.at}{' (torn)' * self.torn}, {self.what}"


@dataclass(frozen=True)
class Reference:
    """What a command does undisturbed.

    Attributes:
        operations: on files, in order.
        before, after: the files of its folder and of the cache.
        versions: what each file was, once it had its name.
        seconds: how long it takes, see :class:`Fault`.
    """

    operations: tuple[str, ...]
    before: Mapping[str, bytes]
    after: Mapping[str, bytes]
    versions: Mapping[str, frozenset[bytes]]
    seconds: float

    def kills(self) -> list[Fault]:
        """Before every file operation."""
        numbered = list(enumerate(self.operations, 1))
        whole = [Fault(what, number) for number, what in numbered]
        return whole + [Fault(what, number, torn=True) for number, what in numbered if what.startswith("open ")]

    def full(self) -> list[Fault]:
        """A disk that is full when a file is to be written."""
        numbered = enumerate(self.operations, 1)
        return [Fault(what, number, full=True) for number, what in numbered if what.startswith(TAKES_ROOM)]


def moments(seconds: float, count: int, draw: Random) -> list[Fault]:
    """So many moments, one drawn in each of equal parts of the time that a command takes."""
    drawn = (seconds * (number + draw.random()) / count for number in range(count))
    return [Fault(f"{100 * after / seconds:.0f} % of its time", after=after) for after in drawn]


class Trials:
    """The faults of a command.

    Args:
        command: to kill.
        data: what no command writes.
        work: an empty folder.
        cold: whether the command is a new process of Python.

    Raises:
        RuntimeError: undisturbed, it fails, or leaves temporary files, or is not the same in a new process.
    """

    def __init__(self, command: Command, data: Path, work: Path, *, cold: bool = False) -> None:
        self._command, self._data, self._cold = command, data, cold
        self._ready, self._folder = work / "ready", work / "folder"
        self._prepare()
        self.expected = self._undisturbed(work / "operations", work / "versions")
        if cold:
            self._in_a_new_process()

    def _prepare(self) -> None:
        """What was there before, once: trials begin with a copy."""
        (self._ready / "tmp").mkdir(parents=True)
        (self._ready / "data").symlink_to(self._data)
        for words in self._command.before:
            if (ended := run(words, self._ready))[0]:
                raise RuntimeError(f"{words}: {ended}")
        for name in self._command.others:
            (self._ready / name).parent.mkdir(parents=True, exist_ok=True)
            (self._ready / name).write_bytes(MINE)

    def _set_up(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.copytree(self._ready, self._folder, symlinks=True)

    def _undisturbed(self, log: Path, versions: Path) -> Reference:
        self._set_up()
        before = kept(self._folder)
        watch = Killer(self._folder, log=os.open(log, os.O_WRONLY | os.O_CREAT), versions=versions).watch
        child = Child(self._command.words, self._folder, watch)
        self._check(*child.ended())
        whole = [files(folder).items() for folder in versions.glob("*")]
        return Reference(
            operations=tuple(log.read_text().splitlines()),
            before=before,
            after=kept(self._folder),
            versions=_gathered(pair for pairs in whole for pair in pairs),
            seconds=child.seconds if self._command.waits else child.used,
        )

    def _in_a_new_process(self) -> None:
        self._set_up()
        child = Child(self._command.words, self._folder, cold=True)
        self._check(*child.ended())
        if apart := different(kept(self._folder), self.expected.after):
            raise RuntimeError(f"{self._command.name} is not the same in a new process: {apart}")
        self.expected = replace(self.expected, seconds=child.seconds if self._command.waits else child.used)

    def _check(self, status: int, said: str) -> None:
        name, left = self._command.name, temporary(self._folder)
        if status or left:
            raise RuntimeError(f"{name} ends with {status} undisturbed, and leaves {left}: {said}")

    def tried(self, fault: Fault) -> list[str]:
        """Disturb the command and give it again; returns what is wrong then."""
        self._set_up()
        try:
            status, said = self._disturbed(fault)
            if status == 0 and fault.after:
                return self.tried(replace(fault, after=fault.after * EARLIER))
            if fault.full and (status not in STATUSES or not said):
                return [f"it ends with {status}: {said}"]
            if not fault.full and status != -signal.SIGKILL:
                return [f"it was to be killed and ended with {status}: {said}"]
            return [*self._left(), *self._again()]
        except TimeoutError as error:
            return [str(error)]

    def _disturbed(self, fault: Fault) -> tuple[int, str]:
        command, folder = self._command, self._folder
        if not fault.after:
            return run(command.words, folder, Killer(folder, fault.at, fault.torn, fault.full).watch)
        child = Child(command.words, folder, cold=self._cold)
        return child.ended(lambda one: (one.seconds if command.waits else one.computed) >= fault.after)

    def _left(self) -> Iterator[str]:
        """What is wrong with the files as they are now."""
        found, expected = kept(self._folder), self.expected
        if self._command.is_detector and (mixed := _mixed(found, expected)):
            yield mixed
        if self._command.is_watched:
            yield from (f"{name} is half-written" for name in half_written(found, expected))

    def _again(self) -> Iterator[str]:
        """What is wrong after the same command."""
        status, said = run(self._command.words, self._folder)
        if status != 0:
            yield f"given again, it ends with {status}: {said}"
        yield from different(kept(self._folder), self.expected.after)
        yield from (f"{name} is not as it was" for name in self._command.others if not _is_mine(self._folder / name))


def half_written(found: Mapping[str, bytes], expected: Reference) -> Iterator[str]:
    """The files that are neither as they were nor as the command once wrote them."""
    for name, content in found.items():
        whole = {expected.before.get(name), expected.after.get(name), *expected.versions.get(name, ())}
        grows = name in GROW and expected.after.get(name, b"").startswith(content)
        if not (content in whole or grows or name.endswith("/") or UNFINISHED.search(name)):
            yield name


def _gathered(pairs: Iterator[tuple[str, bytes]]) -> dict[str, frozenset[bytes]]:
    found: dict[str, frozenset[bytes]] = {}
    for name, content in pairs:
        found[name] = found.get(name, frozenset()) | {content}
    return found


def kept(folder: Path) -> dict[str, bytes]:
    """What lies in the output folder and in the cache; there unfinished files may stay for an hour."""
    found = {name: content for name, content in files(folder).items() if name.startswith(("out/", "cache/"))}
    return {
        name: content
        for name, content in found.items()
        if not (name.startswith("cache/") and TEMPORARY.fullmatch(Path(name).name))
    }


def temporary(folder: Path) -> list[str]:
    """Temporary files that a command left; of PyTorch there is an empty folder once its compiler is imported."""
    return [path.name for path in (folder / "tmp").iterdir() if not path.name.startswith("torchinductor_")]


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
        elif path.suffix == ".pt2" and zipfile.is_zipfile(path):  # PyTorch numbers nodes as they come
            with zipfile.ZipFile(path) as members:
                found[name] = repr((members.testzip(), sorted(members.namelist()))).encode()
        elif path.suffix == ".safetensors" and path.stat().st_size:
            found[name] = _of_safetensors(path.read_bytes())
        else:
            found[name] = TIMES.sub(b"", path.read_bytes())
    return found


def _of_safetensors(content: bytes) -> bytes:
    """With its metadata in order: safetensors writes them in any."""
    end = 8 + int.from_bytes(content[:8], "little")
    return json.dumps(json.loads(content[8:end]), sort_keys=True).encode() + content[end:]


def different(found: Mapping[str, bytes], expected: Mapping[str, bytes]) -> list[str]:
    """In what a folder is not as it should be, in words."""
    return [
        *(f"{name} is missing" for name in expected.keys() - found.keys()),
        *(f"{name} is too much" for name in found.keys() - expected.keys()),
        *(f"{name} is another" for name in expected.keys() & found.keys() if expected[name] != found[name]),
    ]


def _mixed(found: Mapping[str, bytes], expected: Reference) -> str:
    """What is wrong with the detector that a kill left: it is the old one, the new one, or cannot be loaded."""
    if "method" not in found.get(f"out/{DETECTOR[0]}", b"").decode():
        return ""
    sides = [[side.get(f"out/{name}") for name in DETECTOR] for side in (expected.before, expected.after)]
    is_one = [found.get(f"out/{name}") for name in DETECTOR] in sides
    return "" if is_one else "a detector is neither the old one nor the new one"


def _is_mine(path: Path) -> bool:
    return path.is_file() and path.read_bytes() == MINE
