"""What is to be done: every run of a benchmark, with its data found and its folders known, before any work.

    OUT/benchmark.json                                the recipe as it was read
    OUT/data.json                                     what its data sets hold
    OUT/training/<split>/<detector>-<seed>/           as zsad train leaves it
    OUT/evaluations/<split>/<detector>-<seed>/<data>/ as zsad evaluate leaves it; of few-shot detectors
                   /<split>/<detector>-4-shots-<seed>-<seed of shots>/<data>/
    OUT/runs/<split>/<detector>-<seed>.json           what made the run, and how it ended
    OUT/leaderboard.{md,csv,json,html}

A detector that is not trained has no seed, and is evaluated once on each data set, in the first split that names it.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from zsad.benchmark.data_sets import ClassListing, known
from zsad.benchmark.recipe import Benchmark, BenchmarkDetector, Split
from zsad.data.layouts import Sample
from zsad.data.sampling import subset
from zsad.data.specification import DataSet, data_set
from zsad.errors import ConfigError, InputError, unknown_name

NOTHING: Mapping[str, ClassListing] = MappingProxyType({})


@dataclass(frozen=True)
class BenchmarkRun:
    """One detector, trained with one seed on one split.

    Attributes:
        split: what is trained on.
        entrant: the detector.
        seed: of its training; None where it is not trained.
        test: data sets on which it is evaluated, without those skipped or done in an earlier split.
        shots_seed: of the draw of what it is shown; None where it is shown nothing.
    """

    split: Split
    entrant: BenchmarkDetector
    seed: int | None
    test: tuple[str, ...]
    shots_seed: int | None = None

    @property
    def key(self) -> str:
        """Where it lies below ``evaluations`` and ``runs``."""
        seeds = [str(seed) for seed in (self.seed, self.shots_seed) if seed is not None]
        return "-".join([f"{self.split.name}/{self.entrant.name}", *seeds])

    @property
    def training(self) -> str:
        """What it shares with all runs of one training: where that lies below ``training``."""
        return f"{self.split.name}/{self.entrant.base}" + ("" if self.seed is None else f"-{self.seed}")


@dataclass(frozen=True)
class Plan:
    """A benchmark whose data are found.

    Attributes:
        benchmark: the recipe.
        entrants: its detectors.
        data: what was found, by name.
        known: what is known of the data sets, by name, also of those that need not be found to collect what is done.
        skipped: data sets that were not found, and detectors that have nothing to train on for it, and why, by name.
        runs: in the order of the recipe.
    """

    benchmark: Benchmark
    entrants: tuple[BenchmarkDetector, ...]
    data: Mapping[str, DataSet]
    known: Mapping[str, ClassListing]
    skipped: Mapping[str, str]
    runs: tuple[BenchmarkRun, ...]

    def images(self, split: Split) -> list[Sample]:
        """What is trained on: as many of the test images of each data set as the recipe says."""
        found = [self.data[name].samples for name in split.train]
        return [
            sample
            for samples in found
            for sample in subset([one for one in samples if one.split == "test"], self.benchmark.max_train_images)
        ]

    def made_of(self, run: BenchmarkRun) -> dict[str, Any]:
        """All that decides the numbers of a run, beside the images, the code and the machine."""
        recipe, benchmark = asdict(run.entrant.recipe), self.benchmark
        for key in ("paper", "published"):
            del recipe[key]
        identity = {
            "detector": recipe,
            "resolution": benchmark.resolution,
            "max_test_images": benchmark.max_test_images,
        }
        if run.entrant.trained:
            identity |= {
                "train": run.split.train,
                "seed": run.seed,
                "precision": benchmark.precision,
                "max_train_images": benchmark.max_train_images,
            }
        if run.entrant.shots:
            identity |= {"shots": run.entrant.shots, "shots_seed": run.shots_seed}
        return json.loads(json.dumps(identity))


def find(
    benchmark: Benchmark,
    root: Path,
    instead: Sequence[str] = (),
    skip_missing: bool = False,
    without: Collection[str] = (),
) -> tuple[dict[str, DataSet], dict[str, str]]:
    """The data sets of a benchmark by name, and why others are missing.

    Args:
        benchmark: what names them.
        root: of the paths in the recipe.
        instead: ``NAME=LAYOUT:PATH`` of data sets that lie elsewhere.
        skip_missing: go on without those that are not found.
        without: names of those that need not be found, and are not looked for.

    Raises:
        ConfigError: a name or a layout does not exist.
        InputError: data sets are missing; one message names all.
    """
    found, missing = {}, {}
    wanted = {
        name: specification
        for name, specification in _specifications(benchmark, root, instead).items()
        if name not in without
    }
    for name, specification in wanted.items():
        try:
            found[name] = data_set(specification)
        except InputError as error:
            missing[name] = f"{specification.partition('=')[2]}: {error.rule}; got {error.value}"
    if missing and (not skip_missing or not (found or without)):
        rule = "all data sets of a benchmark are where it says"
        remedy = "say --data-root DIR or --data NAME=LAYOUT:PATH" + (", or --skip-missing" if found else "")
        raise InputError(rule, "".join(f"\n  {name}: {why}" for name, why in missing.items()), remedy)
    return found, missing


def plan(
    benchmark: Benchmark,
    entrants: tuple[BenchmarkDetector, ...],
    data: Mapping[str, DataSet],
    skipped: Mapping[str, str],
    written: Mapping[str, ClassListing] = NOTHING,
) -> Plan:
    """All runs of a benchmark on the data that were found.

    Args:
        benchmark: the recipe.
        entrants: its detectors.
        data: what was found, by name.
        skipped: what was not found, and why, by name.
        written: what is known of data sets that were not looked for.

    Raises:
        ConfigError: a detector is trained on nothing.
    """
    listings = {**written, **{name: known(found) for name, found in data.items()}}
    runs: list[BenchmarkRun] = []
    untrained: dict[str, str] = {}
    evaluated: dict[str, set[str]] = {one.name: set() for one in entrants if not one.trained}
    for split in benchmark.split:
        tests = tuple(name for name in split.test if name in listings)
        absent = [name for name in split.train if name not in listings]
        for entrant in (one for one in entrants if takes_part(one, split)):
            draws = benchmark.shots_seeds if entrant.shots else (None,)
            if not entrant.trained:
                new = tuple(name for name in tests if name not in evaluated[entrant.name])
                evaluated[entrant.name].update(new)
                runs += [BenchmarkRun(split, entrant, None, new, draw) for draw in draws] if new else []
            elif absent:
                untrained[f"{split.name}/{entrant.name}"] = f"it is trained on {', '.join(absent)}, which is missing"
            elif tests:
                runs += [BenchmarkRun(split, entrant, seed, tests, draw) for seed in benchmark.seeds for draw in draws]
    for run in runs:
        if run.entrant.trained and not run.split.train:
            raise ConfigError(
                f"split {run.split.name} trains {run.entrant.name}", "on nothing", "name data under train"
            )
    return Plan(benchmark, entrants, data, listings, {**skipped, **untrained}, tuple(runs))


def takes_part(entrant: BenchmarkDetector, split: Split) -> bool:
    """Whether a split is for a detector, whatever that is shown; a control takes part wherever its detector does."""
    return split.detectors is None or (entrant.control_of or entrant.base) in split.detectors


def share(
    runs: Sequence[BenchmarkRun], shard: tuple[int, int] | None = None, only: Sequence[str] | None = None
) -> list[BenchmarkRun]:
    """The runs that this machine does.

    Args:
        runs: of the plan.
        shard: number, from 1, and how many there are; each takes every N-th training of these detectors, with all
            runs of it.
        only: names of detectors; all where not given.

    Raises:
        ConfigError: the shard does not exist, or a detector does not take part.
    """
    number, of = shard or (1, 1)
    if not 1 <= number <= of:
        raise ConfigError("a shard I/N is one of 1 to N", f"{number}/{of}", "say 1/2 and 2/2 for two machines")
    known = {run.entrant.name for run in runs} | {run.entrant.base for run in runs}
    for name in only or ():
        if name not in known:
            raise unknown_name("detector of this benchmark", name, known)
    chosen = [run for run in runs if not only or {run.entrant.name, run.entrant.base} & {*only}]
    ours = [*dict.fromkeys(run.training for run in chosen)][number - 1 :: of]
    return [run for run in chosen if run.training in ours]


def folder_of(run: BenchmarkRun, data_set: str, out: Path) -> Path:
    """Where the evaluation of a run on a data set lies."""
    return out / "evaluations" / run.key / data_set


def training_of(run: BenchmarkRun, out: Path) -> Path:
    """Where a detector that is trained lies."""
    return out / "training" / run.training


def _specifications(benchmark: Benchmark, root: Path, instead: Sequence[str]) -> dict[str, str]:
    """``NAME=LAYOUT:PATH`` of the data sets that a split names."""
    elsewhere = {one.partition("=")[0]: one for one in instead}
    for name, one in elsewhere.items():
        if name not in benchmark.data or "=" not in one.partition(":")[0]:
            raise unknown_name("data set of this benchmark (NAME=LAYOUT:PATH)", name, benchmark.data)
    used = {name for split in benchmark.split for name in (*split.train, *split.test)}
    return {
        name: elsewhere.get(name) or f"{name}={_below(root, place, name)}"
        for name, place in benchmark.data.items()
        if name in used
    }


def _below(root: Path, place: str, name: str) -> str:
    layout, colon, path = place.partition(":")
    if not colon or not path:
        raise ConfigError(f"data set {name} is LAYOUT:PATH", repr(place), "for instance mvtec:mvtec")
    return f"{layout}:{root / path}"
