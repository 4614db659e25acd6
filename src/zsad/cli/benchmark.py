"""``zsad benchmark RECIPE``: detectors by data sets by seeds, and a leaderboard with the papers' numbers."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

from zsad.cli.evaluate import Bars
from zsad.cli.options import command_line
from zsad.runtime import RuntimeConfig
from zsad.wording import say

if TYPE_CHECKING:
    from zsad.benchmark.plan import BenchmarkRun, Plan
    from zsad.evaluator.class_evaluator import Progress

DESCRIPTION = """Train and evaluate detectors on data sets as a recipe says, and write a leaderboard together with
published results. The same command again resumes where it was interrupted; data sets, detectors and seeds may be
added."""


def configure(parser: ArgumentParser) -> None:
    """Add description and options."""
    parser.description = DESCRIPTION
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="e.g. recipes/benchmark/small.toml")
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data-root", type=Path, default=Path(), metavar="DIR", help="of the paths in the recipe (default: .)"
    )
    data.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="NAME=LAYOUT:PATH",
        help="another place of a data set; repeatable",
    )
    data.add_argument("--skip-missing", action="store_true", help="leave out data sets that are not found")
    runs = parser.add_argument_group("runs")
    runs.add_argument("--only", nargs="+", metavar="DETECTOR", help="default: all")
    runs.add_argument("--shard", type=shard, metavar="I/N", help="every N-th run, for one of N machines")
    runs.add_argument("--dry-run", action="store_true", help="only print what would be done")
    runs.add_argument("--collect", action="store_true", help="only write the leaderboard of finished runs")
    fields = ("device", "batch_size", "micro_batch", "workers", "cache", "cache_gb")
    RuntimeConfig.add_options(parser, *fields, batch_size=8)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for runs and leaderboard")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Check the recipe and the folder, then execute or print the plan."""
    from zsad.benchmark import data_sets, plan, recipe, running

    benchmark = recipe.read(options.recipe)
    entrants = recipe.entrants(benchmark, options.recipe.parent)
    written = data_sets.read(options.out) if options.collect else {}
    data = plan.find(benchmark, options.data_root, options.data, options.skip_missing, without=written)
    planned = plan.plan(benchmark, entrants, *data, written)
    chosen = plan.share(planned.runs, options.shard, options.only)
    running.check(planned, options.out)
    if not chosen and not options.collect:
        say("no runs in this shard" if options.shard else "no runs of these detectors", stderr=True)
    if options.dry_run:
        say(format_plan(planned, chosen, options.out))
        return 0
    for name, why in planned.skipped.items():
        say(f"skipped {name}: {why}", stderr=True)
    with running.alone_in(options.out, None if options.collect else options.shard, options.collect):
        return _execute(planned, chosen, options)


def _execute(planned: "Plan", chosen: Sequence["BenchmarkRun"], options: Namespace) -> int:
    """Do the runs that are not done, and write the leaderboard."""
    from zsad.benchmark import leaderboard, running
    from zsad.locks import alone_with
    from zsad.reports.leaderboard import write

    if not options.collect:
        running.keep(planned, options.out)
        screen = Screen()
        runtime = RuntimeConfig.from_options(options)
        running.do(planned, chosen, options.out, runtime, screen.say, command_line(), screen.show)
    with alone_with(options.out / "leaderboard", waiting=True):  # other shards may have just ended, too
        board = leaderboard.collect(planned, options.out, command_line())
        write(board, options.out)
    for name, why in board.failed.items():
        say(f"failed: {name}: {why}", stderr=True)
    if board.unfinished:
        say(f"not done yet: {len(board.unfinished)} of {len(planned.runs)} runs")
    say(f"leaderboard: {options.out / 'leaderboard.html'} (also .md, .csv, .json)")
    return 1 if board.failed else 0


class Screen:
    """Lines about runs, and a progress bar for each class that is evaluated."""

    def __init__(self) -> None:
        self._bars = Bars()

    def say(self, line: str) -> None:
        """Close the progress bar, and print a line."""
        self._bars.close()
        self._bars = Bars()
        say(line, stderr=True)

    def show(self, progress: "Progress") -> None:
        """Update the progress bar."""
        self._bars.show(progress)


def format_plan(planned: "Plan", chosen: Sequence["BenchmarkRun"], out: Path) -> str:
    """The runs that would be done, for a terminal of 80 columns."""
    parts = [planned.benchmark.title, _data(planned), *_splits(planned, chosen, out)]
    return "\n\n".join(part for part in parts if part)


def shard(text: str) -> tuple[int, int]:
    """``I/N``.

    >>> shard("2/3")
    (2, 3)
    """
    number, slash, of = text.partition("/")
    if not slash or not number.isdecimal() or not of.isdecimal():
        raise ArgumentTypeError(f"{text!r} is no I/N, for instance 1/2")
    return int(number), int(of)


def _data(planned: "Plan") -> str:
    from zsad.data.sampling import subset

    most = planned.benchmark.max_test_images
    lines = []
    for name, data_set in planned.data.items():
        tested = [sample for sample in data_set.samples if sample.split == "test"]
        classes = len({sample.class_name for sample in tested})
        size = f"{len(subset(tested, most))} of {len(tested)}" if most else f"{len(tested)}"
        lines.append(
            f"{name:<20} {size:>14} test images, {classes:>3} class{'es' * (classes != 1):<2}  {data_set.layout}"
        )
    lines += [f"{name:<20} missing: skipped" for name in planned.skipped if name in planned.benchmark.data]
    return "\n".join(lines)


def _splits(planned: "Plan", chosen: Sequence["BenchmarkRun"], out: Path) -> Iterator[str]:
    from zsad.benchmark.running import undone

    for split in planned.benchmark.split:
        runs = [run for run in chosen if run.split is split]
        lines = [f"{split.name}: trained on {' + '.join(split.train) or 'nothing'}"]
        for run in runs:
            missing, recipe = undone(run, out), run.entrant.recipe
            seeds = "" if run.seed is None else f", seed {run.seed}"
            seeds += "" if run.shots_seed is None else f", {run.shots_seed}"
            what = shorten(run.entrant.name, 30) + seeds
            state = f"{len(missing)} of {len(run.test)} sets to do" if missing else "done"
            lines.append(f"  {what:<37} {recipe.backbone:<19} {state:>20}")
        yield "\n".join(lines)
