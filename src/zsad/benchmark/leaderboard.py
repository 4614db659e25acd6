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
from zsad.results.schema import METRICS, SETTINGS, Evaluation, Metric, Setting

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
    evaluations = _evaluations(plan, out)
    tables = tuple(table for split in plan.benchmark.split for table in _tables(plan, split, evaluations))
    warnings = [table.warnings for table in tables if table.lines]
    everywhere = tuple(
        warning for warning in dict.fromkeys(chain(*warnings)) if all(warning in table for table in warnings)
    )
    failed, unfinished = _not_done(plan, out)
    return Leaderboard(
        title=plan.benchmark.title,
        about=plan.benchmark.about,
        facts=tuple(_facts(plan, evaluations)),
        differs=_differs(tables),
        warnings=everywhere,
        tables=tuple(
            replace(table, warnings=tuple(warning for warning in table.warnings if warning not in everywhere))
            for table in tables
        ),
        skipped=plan.skipped,
        failed=failed,
        unfinished=unfinished,
        version=version("zsad"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
    )


Evaluations = dict[tuple[str, str, str], list[tuple[str, str, Evaluation]]]
"""Seed, folder and evaluation of each run that is done, by split, detector and data set."""


def _evaluations(plan: Plan, out: Path) -> Evaluations:
    evaluations: Evaluations = {}
    for run in plan.runs:
        for data_set in run.test:
            folder = folder_of(run, data_set, out)
            if (folder / store.EVALUATION).exists():
                entry = seed_of(run), folder.relative_to(out).as_posix(), store.read(folder)
                for split in _splits(plan, run):
                    evaluations.setdefault((split.name, run.entrant.name, data_set), []).append(entry)
    return evaluations


def seed_of(run: BenchmarkRun) -> str:
    """The seeds of a run in words: of its training, and of the draw of what it is shown."""
    seed = UNTRAINED if run.seed is None else str(run.seed)
    return seed if run.shots_seed is None else f"{seed}, shots {run.shots_seed}"


def _splits(plan: Plan, run: BenchmarkRun) -> list[Split]:
    """What is not trained is evaluated once for all splits."""
    splits = [split for split in plan.benchmark.split if takes_part(run.entrant, split)]
    return [run.split] if run.entrant.trained else splits


def _tables(plan: Plan, split: Split, evaluations: Evaluations) -> list[Table]:
    """One for each setting and data set."""
    by_setting: dict[Setting, list[BenchmarkDetector]] = {setting: [] for setting in SETTINGS}
    for entrant in plan.entrants:
        if takes_part(entrant, split):
            by_setting[_setting(split, entrant, evaluations)].append(entrant)
    taken = {setting: entrants for setting, entrants in by_setting.items() if entrants} or {"zero-shot": []}
    return [
        _table(plan, split, data_set, setting, entrants, evaluations)
        for setting, entrants in taken.items()
        for data_set in split.test
        if data_set in plan.known
    ]


def _setting(split: Split, entrant: BenchmarkDetector, evaluations: Evaluations) -> Setting:
    """That of its runs; before one is done, what the recipe says."""
    found = [
        evaluation.detector.setting
        for data_set in split.test
        for _, _, evaluation in evaluations.get((split.name, entrant.name, data_set), [])
    ]
    return found[0] if found else "few-shot" if entrant.shots else "zero-shot"


def _table(
    plan: Plan,
    split: Split,
    data_set: str,
    setting: Setting,
    entrants: Sequence[BenchmarkDetector],
    evaluations: Evaluations,
) -> Table:
    lines, numbers, warnings = [], [], dict[str, None]()
    for entrant in entrants:
        runs = evaluations.get((split.name, entrant.name, data_set), [])
        if runs:
            lines.append(_line(plan, entrant, runs))
            warnings |= dict.fromkeys(
                warning for _, _, evaluation in runs for warning in evaluation.data_sets[0].warnings
            )
        numbers += [] if entrant.control_of else printed(plan, split, entrant, data_set)
    # No paper's tables have transductive numbers.
    shots = set() if setting == "transductive" else {entrant.shots for entrant in entrants}
    return Table(
        split=split.name,
        train=split.train,
        data_set=data_set,
        lines=tuple(lines),
        printed=tuple(numbers),
        others=tuple(others(data_set, shots)),
        warnings=tuple(warnings),
        setting=setting,
    )


def _line(plan: Plan, entrant: BenchmarkDetector, runs: Sequence[tuple[str, str, Evaluation]]) -> LeaderboardRow:
    results = {seed: evaluation.data_sets[0] for seed, _, evaluation in runs}
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
    defined = [metric for metric in runs.values() if metric.value is not None]
    numbers = [value for value in values.values() if value is not None]
    if not numbers:
        reasons = dict.fromkeys(metric.reason for metric in runs.values())
        return Score(None, reason="; ".join(reasons), values=values)
    if len(numbers) == 1:
        return Score(numbers[0], n=1, low=defined[0].low, high=defined[0].high, values=values)
    return Score(mean(numbers), stdev(numbers), len(numbers), values=values)


def _differs(tables: Sequence[Table]) -> tuple[str, ...]:
    """Each phrase once, after the detectors that it is about."""
    numbers = [number for table in tables for number in table.printed]
    all_titles = dict.fromkeys(number.title for number in numbers)
    detectors_of: dict[str, dict[str, None]] = {}
    for number in numbers:
        for phrase in number.differs:
            detectors_of.setdefault(phrase, {})[number.title] = None
    return tuple(
        phrase if titles.keys() == all_titles.keys() else f"{', '.join(titles)}: {phrase}"
        for phrase, titles in detectors_of.items()
    )


def _not_done(plan: Plan, out: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    failed, unfinished = {}, []
    for run in plan.runs:
        record, missing = read_record(run, out), undone(run, out)
        errors = {
            data_set: error
            for data_set, error in (record.errors if record is not None else {}).items()
            if missing and data_set in ("", *missing)
        }
        for data_set, error in errors.items():
            failed[f"{run.key}{' on ' * bool(data_set)}{data_set}"] = error
        untried = [name for name in missing if name not in errors]
        if untried and "" not in errors:
            unfinished.append(run.key if untried == list(run.test) else f"{run.key} on {', '.join(untried)}")
    return failed, tuple(unfinished)


def _facts(plan: Plan, evaluations_of: Evaluations) -> list[str]:
    benchmark, evaluations = (
        plan.benchmark,
        [evaluation for runs in evaluations_of.values() for _, _, evaluation in runs],
    )
    facts = []
    if any(detector.trained for detector in plan.entrants):
        seeds = ", ".join(map(str, benchmark.seeds))
        facts.append(
            f"Trained in {benchmark.precision} with seed{'s' * (len(benchmark.seeds) > 1)} {seeds}; the last epoch is "
            f"evaluated, in fp32. Nothing is chosen by a test."
        )
    if shots := [number for number in benchmark.shots if number]:
        seeds = ", ".join(map(str, benchmark.shots_seeds))
        facts.append(
            f"With shots, each class is judged by a memory of {' or '.join(map(str, shots))} normal images of its "
            f"own train split, drawn with seed{'s' * (len(benchmark.shots_seeds) > 1)} {seeds}."
        )
    if benchmark.controls:
        facts.append(
            "Rows of random weights are controls: the same detector on a backbone that was never trained, one draw for "
            "all seeds."
        )
    if len(benchmark.seeds) > 1 or (shots and len(benchmark.shots_seeds) > 1):
        facts.append("± is the sample standard deviation over seeds. What is not trained has none.")
    if any(metric.low is not None for evaluation in evaluations for metric in evaluation.data_sets[0].means.values()):
        facts.append("Where a detector has one run, the range is its 95 % bootstrap interval over the images.")
    size = f"{benchmark.resolution} × {benchmark.resolution} px" if benchmark.resolution else "each image's own size"
    facts.append(f"Percent; maps and masks are compared at {size}; means count each class alike.")
    facts.append(
        "PRO is exact; PRO-200 is taken at 200 thresholds, as published code does: papers' PRO stands beside it."
    )
    if benchmark.max_train_images is not None:
        facts.append(
            f"Trained on at most {benchmark.max_train_images} images of each class and state, drawn with seed 0."
        )
    if len(versions := sorted({evaluation.version for evaluation in evaluations})) > 1:
        facts.append(f"Evaluated by different versions of zsad, which may differ: {', '.join(versions)}.")
    return facts
