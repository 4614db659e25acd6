"""Damage files of every kind in thousands of ways, and see that each command uses the file or refuses it in words.

    python -m benchmarks.fuzz --cases 1700 --seed 0    # more than 5,000 damaged files

A case is one command, with one damaged file or with several images or requests. It is a seed and a number:
``--seed 0 --first 1234 --cases 1`` makes the same one again, and ``--keep DIR`` leaves its files there. What may not
happen: a traceback, a crash, no end within 20 s of computing, more than 2 GB of memory, a score outside [0, 1] or nan,
an exit status other than 0, 1 or 2, a failure without a word, and another score from a damaged cache.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}  # before torch: a process with threads cannot be forked

import torch

from benchmarks.fuzz.arguments import absurd
from benchmarks.fuzz.doors import FILE, Door, doors, prepare
from benchmarks.fuzz.mutations import mutate
from benchmarks.fuzz.requests import application
from benchmarks.fuzz.trial import OFTEN, Outcome, Trial

ARGUMENTS = Door("arguments", (), ())
"""No file is damaged: the command itself is absurd."""


def main() -> int:
    """Run the cases; the exit status is 1 where one of them ended as none may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1700)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seconds", type=float, default=3600, help="begin no further case after that long")
    parser.add_argument("--processes", type=int, default=2, help="at a time")
    parser.add_argument("--door", help="only doors whose name has this in it")
    parser.add_argument("--keep", type=Path, help="leave the files of faulty cases below this folder")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        return run(options, Path(name))


def run(options: argparse.Namespace, work: Path) -> int:
    """Prepare, run, count."""
    base = work / "base"
    base.mkdir()
    os.environ["ZSAD_CACHE"] = str(base / "cache")
    os.chdir(base)
    known = [one for one in (*doors(), ARGUMENTS) if (options.door or "") in one.name]
    cases = Cases(base, work, known, options.seed)
    drawn = cases.drawn(options.first, options.cases)
    with open(os.devnull, "w") as nowhere:
        prepare_quietly(base, {door.needs for door in drawn}, nowhere.fileno())
    right = cases.undamaged(drawn)
    counts: Counter[tuple[str, str]] = Counter()
    began = time.monotonic()
    faults = files = 0
    for number, door, damaged, outcome in cases.outcomes(options):
        judged = judge(door, outcome, right)
        counts[door.name, judged.what] += 1
        files += len(damaged)
        if judged.is_fault:
            faults += 1
            print(f"--- case {number}: {door.name}, {', '.join(damaged)}: {judged.what}\n{judged.said}", flush=True)
    print_table(counts)
    print(f"{sum(counts.values())} cases, seed {options.seed}, from {options.first}: {faults} faults")
    print(f"{files} damaged files and absurd commands in {time.monotonic() - began:.0f} s")
    return 1 if faults else 0


def prepare_quietly(base: Path, needs: set[str], nowhere: int) -> None:
    """Without what the commands print; and make the service, which all cases of it share."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(nowhere, 1)
    try:
        prepare(base, needs)
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
    if "requests" in needs:
        application()


def judge(door: Door, outcome: Outcome, right: dict[str, Outcome]) -> Outcome:
    """The outcome, where a damaged cache may also not change the answer."""
    if door.same and not outcome.is_fault and outcome.scores != right[door.name].scores:
        return Outcome("another answer", f"{outcome.scores} instead of {right[door.name].scores}: {outcome.said}")
    return outcome


class Cases:
    """The cases of a seed, by their numbers.

    Args:
        base: what :func:`benchmarks.fuzz.doors.prepare` filled.
        work: where the files of a case lie while it runs.
        known: the doors.
        seed: of all that is drawn.
    """

    def __init__(self, base: Path, work: Path, known: list[Door], seed: int) -> None:
        self._base, self._work, self._known, self._seed = base, work, known, seed

    def drawn(self, first: int, count: int) -> list[Door]:
        """The doors of some cases."""
        found = {door.name: door for door in (self._door(number)[1] for number in range(first, first + count))}
        return [*found.values()]

    def undamaged(self, drawn: list[Door]) -> dict[str, Outcome]:
        """Doors with nothing damaged: they must open, or what damage does would say nothing."""
        found = {}
        for door in drawn:
            if door is not ARGUMENTS:
                folder = self._copy(f"whole {door.name}".replace("/", "-"))
                trial = Trial(_named(door.command, self._files(door)[: door.at_once]), folder)
                while (outcome := trial.poll()) is None:
                    time.sleep(OFTEN)
                found[door.name] = outcome
                shutil.rmtree(folder)
                if outcome.is_fault:
                    raise SystemExit(f"{door.name}, undamaged: {outcome}")
        return found

    def _door(self, number: int) -> tuple[Random, Door]:
        """The random numbers of a case, and its door."""
        draw = Random(f"{self._seed} {number}")
        return draw, draw.choice(self._known)

    def _files(self, door: Door) -> list[str]:
        """What is damaged: a file that is named twice is drawn twice as often."""
        found = [path for pattern in door.files for path in sorted(self._base.glob(pattern)) if path.is_file()]
        return [path.relative_to(self._base).as_posix() for path in found]

    def outcomes(self, options: argparse.Namespace) -> Iterator[tuple[int, Door, list[str], Outcome]]:
        """Number, door, damaged files and outcome of each command, in the order in which they end."""
        ends = time.monotonic() + options.seconds
        waiting = iter(range(options.first, options.first + options.cases))
        running: list[tuple[int, Door, list[str], Path, Trial]] = []
        more = True
        while more or running:
            while more and len(running) < options.processes:
                number = next(waiting, None)
                more = number is not None and time.monotonic() < ends
                if more and number is not None:
                    running.append(self._begin(number))
            for case in list(running):
                if (outcome := case[-1].poll()) is not None:
                    running.remove(case)
                    self._leave(case[0], case[3], outcome, options.keep)
                    yield *case[:3], outcome
            time.sleep(OFTEN)

    def _begin(self, number: int) -> tuple[int, Door, list[str], Path, Trial]:
        draw, door = self._door(number)
        folder = self._copy(str(number))
        if door is ARGUMENTS:
            command = absurd(draw)
            return number, door, [" ".join(command)[:200]], folder, Trial(command, folder)
        names = draw.choices(self._files(door), k=door.at_once)
        for count, name in enumerate(names):
            content = (self._base / name).read_bytes()
            if door.at_once > 1:  # several may be of one file
                names[count] = f"{Path(name).parent}/{count}-{Path(name).name}"
            (folder / names[count]).unlink(missing_ok=True)
            (folder / names[count]).write_bytes(mutate(content, Path(name).suffix, draw))
        return number, door, names, folder, Trial(_named(door.command, names), folder)

    def _copy(self, name: str) -> Path:
        """Of the good files: those that are opened for writing are new ones, so that links will do."""
        folder = self._work / name
        shutil.copytree(self._base, folder, copy_function=_link)
        return folder

    def _leave(self, number: int, folder: Path, outcome: Outcome, keep: Path | None) -> None:
        if outcome.is_fault and keep is not None:
            shutil.copytree(folder, keep / str(number), dirs_exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def _named(command: tuple[str, ...], files: list[str]) -> tuple[str, ...]:
    return tuple(name for word in command for name in (files if word == FILE else [word]))


def _link(source: str, target: str) -> None:
    """A hard link, where there are such; memory-mapped and appended files are copied."""
    if source.endswith((".npy", ".log")):
        shutil.copy(source, target)
        return
    with suppress(OSError):
        os.link(source, target)
        return
    shutil.copy(source, target)


def print_table(counts: Counter[tuple[str, str]]) -> None:
    """A line a door: used, refused, and what may not happen."""
    wrong = sorted({what for _, what in counts} - {"used", "refused"})
    columns = ("used", "refused", *wrong)
    print("".join((f"{'':<26}", *(f"{name[:24]:>{max(len(name[:24]) + 2, 9)}}" for name in columns))))
    for name in sorted({name for name, _ in counts}):
        cells = (f"{counts[name, what]:>{max(len(what[:24]) + 2, 9)}}" for what in columns)
        print("".join((f"{name:<26}", *cells)))


if __name__ == "__main__":
    sys.exit(main())
