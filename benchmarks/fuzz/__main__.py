"""Damage files of every kind in thousands of ways, and see that each command uses the file or refuses it in words.

    python -m benchmarks.fuzz --cases 5000 --seed 0

A case is a seed and a number: ``--seed 0 --first 1234 --cases 1`` makes the same one again, and ``--keep DIR`` leaves
its files there. What may not happen: a traceback, no end within 20 s, more than 2 GB of memory, a score outside [0, 1]
or nan, an exit status other than 0, 1 or 2, a failure without a word, and another score from a damaged cache.
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
from benchmarks.fuzz.doors import Door, doors, prepare
from benchmarks.fuzz.mutations import mutate
from benchmarks.fuzz.trial import OFTEN, Outcome, Trial

ARGUMENTS = Door("arguments", (), ())
"""No file is damaged: the command itself is absurd."""


def main() -> int:
    """Run the cases; the exit status is 1 where one of them ended as none may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=5000)
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
    with open(os.devnull, "w") as nowhere:
        prepare_quietly(base, nowhere.fileno())
    known = [one for one in (*doors(base), ARGUMENTS) if (options.door or "") in one.name]
    right = Cases(base, work, known, options.seed).undamaged()
    counts: Counter[tuple[str, str]] = Counter()
    faults = 0
    for number, door, damaged, outcome in Cases(base, work, known, options.seed).outcomes(options):
        judged = judge(door, outcome, right)
        counts[door.name, judged.what] += 1
        if judged.is_fault:
            faults += 1
            print(f"--- case {number}: {door.name}, {damaged}: {judged.what}\n{judged.said}", flush=True)
    print_table(counts)
    print(f"{sum(counts.values())} cases, seed {options.seed}, from {options.first}: {faults} faults")
    return 1 if faults else 0


def prepare_quietly(base: Path, nowhere: int) -> None:
    """Without what the commands print."""
    sys.stdout.flush()
    kept = os.dup(1), os.dup(2)
    os.dup2(nowhere, 1)
    try:
        prepare(base)
    finally:
        sys.stdout.flush()
        os.dup2(kept[0], 1)


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

    def undamaged(self) -> dict[str, Outcome]:
        """Each door with nothing damaged: it must be used, or what damage does would say nothing."""
        found = {}
        for door in self._known:
            if door is not ARGUMENTS:
                trial = Trial(door.command, self._copy(f"whole {door.name}"))
                while (outcome := trial.poll()) is None:
                    time.sleep(OFTEN)
                found[door.name] = outcome
                if outcome.is_fault:
                    raise SystemExit(f"{door.name}, undamaged: {outcome}")
        return found

    def outcomes(self, options: argparse.Namespace) -> Iterator[tuple[int, Door, str, Outcome]]:
        """Number, door, damaged file and outcome of each case, in the order in which they end."""
        ends = time.monotonic() + options.seconds
        waiting = iter(range(options.first, options.first + options.cases))
        running: list[tuple[int, Door, str, Path, Trial]] = []
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

    def _begin(self, number: int) -> tuple[int, Door, str, Path, Trial]:
        draw = Random(f"{self._seed} {number}")
        door = draw.choice(self._known)
        folder = self._copy(str(number))
        if door is ARGUMENTS:
            command = absurd(draw)
            return number, door, " ".join(command)[:200], folder, Trial(command, folder)
        name = draw.choice(door.files)
        content = (self._base / name).read_bytes()
        (folder / name).unlink()
        (folder / name).write_bytes(mutate(content, Path(name).suffix, draw))
        return number, door, name, folder, Trial(door.command, folder)

    def _copy(self, name: str) -> Path:
        """Of the good files: those that are opened for writing are new ones, so that links will do."""
        folder = self._work / name
        shutil.copytree(self._base, folder, copy_function=_link)
        return folder

    def _leave(self, number: int, folder: Path, outcome: Outcome, keep: Path | None) -> None:
        if outcome.is_fault and keep is not None:
            shutil.copytree(folder, keep / str(number), dirs_exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


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
