"""What a benchmark found: ours as mean and deviation over seeds, read off the evaluations that are there."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from statistics import mean, stdev

from zsad.benchmark import input_checks
from zsad.benchmark.plan import BenchmarkRun, Plan, folder_of, takes_part
from zsad.benchmark.published_results import others, printed
from zsad.benchmark.recipe import BenchmarkDetector, Split
from zsad.benchmark.running import read_record, undone
from zsad.results import store
from zsad.results.leaderboard import Leaderboard, LeaderboardRow, Score, Table
from zsad.results.schema import METRICS, Evaluation, Metric

UNTRAINED = "-"


def collect(plan: Plan, out: Path, command: str = "") -> Leaderboard:
    """Read what the folder of a benchmark holds, however many machines wrote it.

    Args:
        plan: the benchmark.
        out: its folder.
        command: what the user typed.

    Raises:
        ConfigError, InputError: an evaluation or a record cannot be read, or evaluations are of different images.
    """
    input_checks.check(plan, out, {})
    found = _found(plan, out)
    tables = tuple(
        _table(plan, split, data_set, found)
        for split in plan.benchmark.split
        for data_set in split.test
        if data_set in plan.known
    )
    said = [one.warnings for one in tables if one.lines]
    everywhere = tuple(words for words in dict.fromkeys(chain(*said)) if all(words in one for one in said))
    failed, unfinished = _not_done(plan, out)
    return Leaderboard(
        title=plan.benchmark.title,
        about=plan.benchmark.about,
        facts=tuple(_facts(plan, found)),
        differs=_differs(tables),
        warnings=everywhere,
        tables=tuple(
            replace(one, warnings=tuple(words for words in one.warnings if words not in everywhere)) for one in tables
        ),
        skipped=plan.skipped,
        failed=failed,
        unfinished=unfinished,
        version=version("zsad"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
    )


Found = dict[tuple[str, str, str], list[tuple[str, str, Evaluation]]]
"""Seed, folder and evaluation of each run that is done, by split, detector and data set."""


def _found(plan: Plan, out: Path) -> Found:
    found: Found = {}
    for run in plan.runs:
        for data_set in run.test:
            folder = folder_of(run, data_set, out)
            if (folder / store.EVALUATION).exists():
                one = seed_of(run), folder.relative_to(out).as_posix(), store.read(folder)
                for split in _splits(plan, run):
                    found.setdefault((split.name, run.entrant.name, data_set), []).append(one)
    return found


def seed_of(run: BenchmarkRun) -> str:
    """The seeds of a run in words: of its training, and of the draw of what it is shown."""
    seed = UNTRAINED if run.seed is None else str(run.seed)
    return seed if run.shots_seed is None else f"{seed}, shots {run.shots_seed}"


def _splits(plan: Plan, run: BenchmarkRun) -> list[Split]:
    """What is not trained is evaluated once for all splits."""
    every = [split for split in plan.benchmark.split if takes_part(run.entrant, split)]
    return [run.split] if run.entrant.trained else every


def _table(plan: Plan, split: Split, data_set: str, found: Found) -> Table:
    lines, beside, warnings = [], [], dict[str, None]()
    entrants = [one for one in plan.entrants if takes_part(one, split)]
    for entrant in entrants:
        runs = found.get((split.name, entrant.name, data_set), [])
        if runs:
            lines.append(_line(plan, entrant, runs))
            warnings |= dict.fromkeys(words for _, _, one in runs for words in one.data_sets[0].warnings)
        beside += printed(plan, split, entrant, data_set)
    theirs = others(data_set, {entrant.shots for entrant in entrants})
    return Table(split.name, split.train, data_set, tuple(lines), tuple(beside), tuple(theirs), tuple(warnings))


def _line(plan: Plan, entrant: BenchmarkDetector, runs: Sequence[tuple[str, str, Evaluation]]) -> LeaderboardRow:
    results = {seed: one.data_sets[0] for seed, _, one in runs}
    classes = list(dict.fromkeys(one.class_name for result in results.values() for one in result.classes))
    by_class = {
        name: {
            seed: one.metrics for seed, result in results.items() for one in result.classes if one.class_name == name
        }
        for name in classes
    }
    detector = runs[0][2].detector
    return LeaderboardRow(
        detector=entrant.name,
        title=entrant.title,
        method=detector.method,
        backbone=detector.backbone,
        weights=detector.weights,
        seeds=tuple(results),
        of=(len(plan.benchmark.seeds) if entrant.trained else 1)
        * (len(plan.benchmark.shots_seeds) if entrant.shots else 1),
        means=_scores({seed: result.means for seed, result in results.items()}),
        classes={name: _scores(metrics) for name, metrics in by_class.items()},
        evaluations=tuple(folder for _, folder, _ in runs),
    )


def _scores(runs: Mapping[str, Mapping[str, Metric]]) -> dict[str, Score]:
    return {name: score({seed: metrics[name] for seed, metrics in runs.items()}) for name in METRICS}


def score(runs: Mapping[str, Metric]) -> Score:
    """Mean and sample standard deviation of a metric over runs, by their seeds.

    >>> found = score({"1": Metric(0.25), "2": Metric(0.75), "3": Metric(None, reason="one class only")})
    >>> found.value, round(found.std or 0, 4), found.n
    (0.5, 0.3536, 2)
    """
    values = {seed: metric.value for seed, metric in runs.items()}
    known = [metric for metric in runs.values() if metric.value is not None]
    numbers = [value for value in values.values() if value is not None]
    if not numbers:
        reasons = dict.fromkeys(metric.reason for metric in runs.values())
        return Score(None, reason="; ".join(reasons), values=values)
    if len(numbers) == 1:
        return Score(numbers[0], n=1, low=known[0].low, high=known[0].high, values=values)
    return Score(mean(numbers), stdev(numbers), len(numbers), values=values)


def _differs(tables: Sequence[Table]) -> tuple[str, ...]:
    """Each phrase once, after the detectors that it is about."""
    beside = [one for table in tables for one in table.printed]
    everyone = dict.fromkeys(one.title for one in beside)
    about: dict[str, dict[str, None]] = {}
    for one in beside:
        for words in one.differs:
            about.setdefault(words, {})[one.title] = None
    return tuple(
        words if titles.keys() == everyone.keys() else f"{', '.join(titles)}: {words}"
        for words, titles in about.items()
    )


def _not_done(plan: Plan, out: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    failed, unfinished = {}, []
    for run in plan.runs:
        record, missing = read_record(run, out), undone(run, out)
        errors = {
            data_set: words
            for data_set, words in (record.errors if record is not None else {}).items()
            if missing and data_set in ("", *missing)
        }
        for data_set, words in errors.items():
            failed[f"{run.key}{' on ' * bool(data_set)}{data_set}"] = words
        untried = [name for name in missing if name not in errors]
        if untried and "" not in errors:
            unfinished.append(run.key if untried == list(run.test) else f"{run.key} on {', '.join(untried)}")
    return failed, tuple(unfinished)


def _facts(plan: Plan, found: Found) -> list[str]:
    told, evaluations = plan.benchmark, [one for runs in found.values() for _, _, one in runs]
    said = []
    if any(one.trained for one in plan.entrants):
        seeds = ", ".join(map(str, told.seeds))
        said.append(
            f"Trained in {told.precision} with seed{'s' * (len(told.seeds) > 1)} {seeds}; the last epoch is evaluated, "
            f"in fp32. Nothing is chosen by a test."
        )
    if shots := [number for number in told.shots if number]:
        seeds = ", ".join(map(str, told.shots_seeds))
        said.append(
            f"With shots, each class is judged by a memory of {' or '.join(map(str, shots))} normal images of its "
            f"own train split, drawn with seed{'s' * (len(told.shots_seeds) > 1)} {seeds}."
        )
    if len(told.seeds) > 1 or (shots and len(told.shots_seeds) > 1):
        said.append("± is the sample standard deviation over seeds. What is not trained has none.")
    if any(metric.low is not None for one in evaluations for metric in one.data_sets[0].means.values()):
        said.append("Where a detector has one run, the range is its 95 % bootstrap interval over the images.")
    size = f"{told.resolution} × {told.resolution} px" if told.resolution else "each image's own size"
    said.append(f"Percent; maps and masks are compared at {size}; means count each class alike.")
    said.append(
        "PRO is exact; PRO-200 is taken at 200 thresholds, as published code does: papers' PRO stands beside it."
    )
    if told.max_train_images is not None:
        said.append(f"Trained on at most {told.max_train_images} images of each class and state, drawn with seed 0.")
    if len(versions := sorted({one.version for one in evaluations})) > 1:
        said.append(f"Evaluated by different versions of zsad, which may differ: {', '.join(versions)}.")
    return said
