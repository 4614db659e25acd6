"""Kill commands before every file operation, give each again, and see that it ends as if nothing had been.

    python -m benchmarks.faults                              # all commands, all kills: about an hour
    python -m benchmarks.faults --command predict fit-normal --kills 50 --seed 1

A kill falls before the n-th time that the command makes, opens, renames or removes a file or a folder, or between the
opening of a file and the writing. Then the same command must end with 0 and leave the same files, byte for byte but for
times; files of somebody else's must be as they were, and no process may be left. Of a detector that was replaced, what
the kill left must be the old one, the new one, or one that cannot be loaded.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}  # before torch: a process with threads cannot be forked

import torch

from benchmarks.faults.commands import Command, commands, prepare
from benchmarks.faults.trial import reference, tried


def main() -> int:
    """Kill, compare, print; the exit status is 1 where something was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", nargs="+", default=[], help="only these, by the beginnings of their names")
    parser.add_argument("--exactly", action="store_true", help="by their whole names")
    parser.add_argument("--kills", type=int, help="of each command, drawn by the seed (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=7200, help="begin no further kill after that long")
    options = parser.parse_args()
    warm_up()
    wanted = tuple(options.command)
    chosen = [
        one
        for one in commands()
        if not wanted or (one.name in wanted if options.exactly else one.name.startswith(wanted))
    ]
    end, failed = time.monotonic() + options.seconds, 0
    print(f"{'command':<24}{'operations':>12}{'kills':>8}{'faults':>8}{'seconds':>9}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "data").mkdir()
        prepare(work / "data")
        for command in chosen:
            failed += killed(command, work, options, end)
    return int(failed > 0)


def warm_up() -> None:
    """Import what commands import when they run; start no thread, for children are forked."""
    import onnx  # noqa: F401
    import onnxruntime  # noqa: F401
    import pandas  # noqa: F401  # which pyarrow imports, against the clock that stands still
    import scipy.ndimage  # noqa: F401

    import zsad.cli.main
    import zsad.cluster.manifest
    import zsad.data.synthetic.dataset
    import zsad.evaluator.evaluation
    import zsad.reports.leaderboard
    import zsad.reports.predictions
    import zsad.trainer.training

    zsad.cluster.manifest.require_arrow()
    torch.set_num_threads(1)


def killed(command: Command, work: Path, options: argparse.Namespace, end: float) -> int:
    """Kill a command wherever it is to be killed; returns at how many of these something was wrong."""
    began, count, failed = time.monotonic(), 0, 0
    expected = reference(command, work / "data", work)
    kills = expected.kills()
    if options.kills is not None and options.kills < len(kills):
        kills = random.Random(options.seed).sample(kills, options.kills)
    for kill in kills:
        if time.monotonic() > end:
            break
        count += 1
        faults = tried(command, kill, expected, work / "data", work)
        failed += bool(faults)
        for fault in faults:
            torn = " (torn)" if kill.torn else ""
            print(f"! {command.name}, before {kill.at}{torn}, {kill.what}: {fault}", file=sys.stderr, flush=True)
    spent = time.monotonic() - began
    print(f"{command.name:<24}{len(expected.operations):>12}{count:>8}{failed:>8}{spent:>9.0f}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
