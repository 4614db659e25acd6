"""Plant deliberate faults, one at a time, and count those that the tests notice.

    python -m benchmarks.mutants --faults 200 --seed 0

The faults: all of ``named.py``, which somebody thought of, and as many more as are wanted, drawn with the seed from
what ``operators.py`` makes of the code (a sign, a missing term, a detached gradient, another constant, order, option
or case, swapped words), spread over methods, their parts, trainer, scoring, evaluator and recipes. The tests are those
about the file, the nearest first, without the ones that fail as it is; a fault that passes them all is printed as a
survivor.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}  # before torch: a process with threads cannot be forked

import torch

from benchmarks.mutants.named import NAMED
from benchmarks.mutants.operators import Fault, of_python, of_recipe
from benchmarks.mutants.running import Planted, Verdict, copy_of, failing, preload

ROOT = Path(__file__).parents[2]
SHARES = {
    "src/zsad/methods": 0.4,
    "src/zsad/parts": 0.18,
    "src/zsad/references": 0.06,
    "src/zsad/trainer": 0.12,
    "src/zsad/scoring.py": 0.03,
    "src/zsad/evaluator": 0.05,
    "src/zsad/calibration": 0.04,
    "src/zsad/statistics": 0.03,
    "recipes": 0.09,
}
"""Of the faults that are drawn."""
OTHERS = ("benchmark", "tiny")
"""Folders of recipes that are of no method."""
NOT_COMPUTING = {"progress.py"}
"""Files that lay out what was computed elsewhere."""
OFTEN = 0.2


def main() -> int:
    """Plant, test, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=1, help="begin with this one, where a run was broken off")
    parser.add_argument("--only", default="", help="faults whose description has this in it")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3 * 3600, help="plant no further fault after that long")
    parser.add_argument("--list", action="store_true", help="print the faults and plant none")
    options = parser.parse_args()
    torch.set_num_threads(1)
    preload()
    chosen = [fault for fault in faults(options.faults, options.seed) if options.only in described(fault)]
    chosen = chosen[options.first - 1 :]
    if options.list:
        print("\n".join(described(fault) for fault in chosen))
        return 0
    with tempfile.TemporaryDirectory() as name:
        return run(chosen, options, Path(name))


def faults(count: int, seed: int) -> list[Fault]:
    """The named ones, then drawn ones; of a larger number, the same and more."""
    named = [one.at(ROOT) for one in NAMED]
    drawn = []
    for place, share in SHARES.items():
        drawn += drawing(all_of(ROOT / place), seed)[: round(share * (count - len(named)))]
    return [*named, *drawn]


def drawing(made: list[Fault], seed: int) -> list[Fault]:
    """In an order that hangs on the seed and on what each fault is, so that other code leaves the rest where it is."""
    met: Counter[tuple[str, ...]] = Counter()
    order = []
    for fault in made:
        what = (
            fault.path,
            fault.kind,
            (ROOT / fault.path).read_text(encoding="utf-8")[fault.start : fault.stop],
            fault.new,
        )
        met[what] += 1
        order.append((sha256(f"{seed} {what} {met[what]}".encode()).hexdigest(), fault))
    return [fault for _, fault in sorted(order, key=lambda pair: pair[0])]


def all_of(place: Path) -> list[Fault]:
    """Every fault of a file, or of the files of a folder."""
    made = []
    for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
        if path.name in NOT_COMPUTING or path.parent.name in OTHERS or path.suffix not in (".py", ".toml"):
            continue
        make = of_python if path.suffix == ".py" else of_recipe
        made += make(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
    return made


def described(fault: Fault) -> str:
    """In one line."""
    return fault.described((ROOT / fault.path).read_text(encoding="utf-8"))


def run(chosen: list[Fault], options: argparse.Namespace, work: Path) -> int:
    """All of them, a table at the end; the exit status is 1 where more than 8 % survive."""
    copies = [copy_of(ROOT, work / str(number)) for number in range(options.processes)]
    found = verdicts(chosen, copies, options.seconds)
    noticed = {verdict.test for verdict in found.values()} - {""}
    if broken := failing(copies[0], sorted(noticed)) if noticed else []:
        print("These fail without a fault as well, and notice nothing:", *broken, sep="\n  ")
        again = [fault for fault, verdict in found.items() if verdict.test in broken]
        found |= verdicts(again, copies, options.seconds, broken)
    caught = Counter(group(fault) for fault, verdict in found.items() if verdict.caught_by)
    survivors = Counter(group(fault) for fault, verdict in found.items() if not verdict.caught_by)
    print(f"{'':<26}{'faults':>8}{'caught':>8}{'%':>7}")
    for name in sorted(caught.keys() | survivors.keys()):
        print_row(name, caught[name], survivors[name])
    print_row("all", caught.total(), survivors.total())
    return 1 if survivors.total() > 0.08 * (caught.total() + survivors.total()) else 0


def print_row(name: str, caught: int, survived: int) -> None:
    """A line of the table."""
    print(f"{name:<26}{caught + survived:>8}{caught:>8}{100 * caught / (caught + survived):>7.1f}")


def group(fault: Fault) -> str:
    """Room of the file."""
    return next((place for place in SHARES if fault.path.startswith(place)), "src/zsad")


def verdicts(
    chosen: list[Fault], copies: list[Path], seconds: float, without: Sequence[str] = ()
) -> dict[Fault, Verdict]:
    """The verdict on each fault, told as it comes; none is planted after so many seconds."""
    waiting, running = list(reversed(chosen)), dict[Path, Planted]()
    found, ends = dict[Fault, Verdict](), time.monotonic() + seconds
    while waiting or running:
        for copy in copies:
            if copy not in running and waiting and time.monotonic() < ends:
                running[copy] = Planted(waiting.pop(), copy, without)
            if copy in running and (verdict := running[copy].poll()) is not None:
                fault = running.pop(copy).fault
                found[fault] = verdict
                word = "caught  " if verdict.caught_by else "SURVIVED"
                print(f"{word} {verdict.seconds:5.0f} s  {described(fault)}  [{verdict.caught_by}]", flush=True)
        if not running and time.monotonic() > ends:
            break
        time.sleep(OFTEN)
    return found


if __name__ == "__main__":
    sys.exit(main())
