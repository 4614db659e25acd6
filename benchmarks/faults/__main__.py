"""Kill commands at any moment, give each again, and see that it ends as if nothing had been.

    python -m benchmarks.faults                                            # before every file operation: hours
    python -m benchmarks.faults --command predict fit --kills 50 --seed 1  # 50 of these
    python -m benchmarks.faults --moments 50 --seed 1                      # at 50 moments of its time
    python -m benchmarks.faults --moments 10 --cold                        # of a new process, imports included
    python -m benchmarks.faults --full 20                                  # the disk is full, from some operation on

A kill (SIGKILL) falls before the n-th time that the command makes, opens, renames or removes a file or a folder, or
between the opening of a file and the writing; or, with ``--moments``, at moments that are spread evenly over the time
that it takes. Every file that it leaves must be whole. Then the same command must end with 0 and leave the same files,
also in the cache, byte for byte but for times; files of somebody else's must be as they were, and no process may be
left. Of a detector that was replaced, the kill must leave the old one, the new one, or one that cannot be loaded. On a
full disk the command must end in words. A service (only with ``--moments``) is killed while it starts, answers and
stops; what it answered must be right, and so must what it answers when it is started again.

Commands run in forked children of one process that has imported everything, so that a kill takes a second and not ten.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}  # before torch: a process with threads cannot be forked

import torch

from benchmarks.faults.commands import Command, commands, prepare
from benchmarks.faults.serving import Services
from benchmarks.faults.trial import Fault, Reference, Trials, moments

SERVE = "serve"


def main() -> int:
    """Disturb, compare, print; the exit status is 1 where something was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", nargs="+", default=[], help="only these, by the beginnings of their names")
    parser.add_argument("--exactly", action="store_true", help="by their whole names")
    parser.add_argument("--kills", type=int, help="of each command, drawn (default: all, if nothing else is asked for)")
    parser.add_argument("--moments", type=int, default=0, metavar="N", help="at which each command is killed")
    parser.add_argument("--full", type=int, default=0, metavar="N", help="operations from which on the disk is full")
    parser.add_argument("--cold", action="store_true", help="moments are those of a new process of Python")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=7200, help="begin no further kill after that long")
    options = parser.parse_args()
    if options.cold and not options.moments:
        parser.error("--cold needs --moments")
    chosen = [one for one in commands() if _is_wanted(one.name, options)]
    serves = options.moments and _is_wanted(SERVE, options)
    warm_up({word for one in chosen for word in one.words[:2]} | ({SERVE} if serves else set()))
    end, failed = time.monotonic() + options.seconds, 0
    print(f"{'command':<24}{'operations':>12}{'faults':>8}{'wrong':>8}{'seconds':>9}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "data").mkdir()
        prepare(work / "data")
        for command in chosen:
            failed += _disturbed(command, work, options, end)
        if serves:
            failed += _killed_services(work, options, end)
    return int(failed > 0)


def _is_wanted(name: str, options: argparse.Namespace) -> bool:
    wanted = tuple(options.command)
    return not wanted or (name in wanted if options.exactly else name.startswith(wanted))


def warm_up(words: set[str]) -> None:
    """Import what commands import when they run; start no thread, for children are forked."""
    import scipy.ndimage  # noqa: F401

    import zsad.cli.main
    import zsad.data.synthetic.dataset
    import zsad.evaluator.evaluation
    import zsad.reports.leaderboard
    import zsad.reports.predictions
    import zsad.trainer.training

    if "data/manifest.csv" in words:
        import pandas  # noqa: F401  # which pyarrow imports, against the clock that stands still

        import zsad.cluster.manifest

        zsad.cluster.manifest.require_arrow()
    if SERVE in words:
        import zsad.service.server
    if "export" in words:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        from torch import _dynamo  # noqa: F401
    torch.set_num_threads(1)


def _disturbed(command: Command, work: Path, options: argparse.Namespace, end: float) -> int:
    """Disturb a command wherever that is to be; returns at how many of these something was wrong."""
    with tempfile.TemporaryDirectory(dir=work) as own:
        began = time.monotonic()
        trials = Trials(command, work / "data", Path(own), cold=options.cold)
        faults = _drawn(command, trials.expected, options)
        count, failed = _counted(command.name, faults, trials.tried, end)
    _tell(command.name, len(trials.expected.operations), count, failed, began)
    return failed


def _drawn(command: Command, expected: Reference, options: argparse.Namespace) -> list[Fault]:
    """The faults of a command; of one that changes files in other processes, at moments alone."""
    draw = random.Random(f"{options.seed} {command.name}")
    found = moments(expected.seconds, options.moments, draw)
    if command.is_watched:
        asked = options.kills if options.kills is not None else 0 if options.moments or options.full else None
        for faults, count in ((expected.kills(), asked), (expected.full(), options.full)):
            found += faults if count is None or count >= len(faults) else draw.sample(faults, count)
    return found


def _killed_services(work: Path, options: argparse.Namespace, end: float) -> int:
    with tempfile.TemporaryDirectory(dir=work) as own:
        began = time.monotonic()
        services = Services(Path(own), cold=options.cold)
        kills = moments(services.seconds, options.moments, random.Random(f"{options.seed} {SERVE}"))
        count, failed = _counted(SERVE, kills, services.tried, end)
    _tell(SERVE, 0, count, failed, began)
    print(f"serve: {services.right} answers before the kills", flush=True)
    return failed


def _counted(name: str, faults: list[Fault], tried: Callable[[Fault], list[str]], end: float) -> tuple[int, int]:
    """How many faults there were until the time was over, and after how many something was wrong."""
    count = failed = 0
    for fault in faults:
        if time.monotonic() > end:
            break
        count += 1
        wrong = tried(fault)
        failed += bool(wrong)
        for what in wrong:
            print(f"! {name}, {fault}: {what}", file=sys.stderr, flush=True)
    return count, failed


def _tell(name: str, operations: int, count: int, failed: int, began: float) -> None:
    spent = time.monotonic() - began
    print(f"{name:<24}{operations:>12}{count:>8}{failed:>8}{spent:>9.0f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
