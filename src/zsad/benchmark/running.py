"""Runs, one after another: trained, evaluated, and written down. What is done is not done again."""

import gc
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from zsad.benchmark import data_sets, input_checks
from zsad.benchmark.plan import BenchmarkRun, Plan, folder_of, training_of
from zsad.benchmark.recipe import Benchmark
from zsad.config import from_mapping
from zsad.errors import ConfigError, InputError, ZsadError
from zsad.evaluator.class_evaluator import Watch
from zsad.evaluator.evaluation import evaluate
from zsad.loading import load
from zsad.locks import alone, alone_with
from zsad.predictor import Detector
from zsad.results import store
from zsad.runtime import RuntimeConfig
from zsad.trainer import state
from zsad.trainer.loop import TrainingRun
from zsad.trainer.observers import ProgressLog, clock
from zsad.trainer.training import prepare_run, start_or_resume

State = Literal["begun", "done", "failed"]
Say = Callable[[str], None]
RECIPE = "benchmark.json"
TABLES = tuple(f"leaderboard.{ending}" for ending in ("md", "csv", "json", "html"))


@dataclass(frozen=True)
class Record:
    """What is written down of a run.

    Attributes:
        made_of: all that decides its numbers, see :meth:`zsad.benchmark.plan.Plan.made_of`.
        state: how its last start ended; ``"begun"`` where it was cut off.
        errors: why it failed, by data set; what failed before any was reached is under ``""``.
        traces: where in the code, of errors that have no remedy.
        training_s: seconds that its last start trained.
    """

    made_of: dict[str, Any]
    state: State = "begun"
    errors: dict[str, str] = field(default_factory=dict)
    traces: dict[str, str] = field(default_factory=dict)
    training_s: float = 0.0


def check(plan: Plan, out: Path) -> None:
    """Make sure, before any work, that the folder holds no runs of another benchmark or of other images.

    Raises:
        ConfigError: a run in it was made otherwise than the recipe now says, or of other data than are found now.
        InputError: a record cannot be read, or the folder has files of a benchmark's names that no benchmark wrote.
    """
    _check_ours(out)
    changed = []
    for run in plan.runs:
        record, made_of = read_record(run, out), plan.made_of(run)
        if record is not None and record.made_of != made_of:
            words = sorted(key for key in made_of | record.made_of if record.made_of.get(key) != made_of.get(key))
            changed.append(f"{run.key} ({', '.join(words)})")
    if changed:
        raise ConfigError(
            f"the runs of {out} are made as the recipe says; data sets, detectors and seeds may only be added",
            f"another {'; another '.join(changed)}",
            "choose another --out, or put the recipe back",
        )
    input_checks.check(plan, out, plan.data)


def _check_ours(out: Path) -> None:
    """The recipe is there before all else, or at least what is known of the data."""
    existing = [name for name in (RECIPE, *TABLES) if (out / name).exists()]
    if RECIPE in existing:
        ours = store.read_json(out / RECIPE).keys() >= {"title", "data", "split"}
    else:
        ours = (out / data_sets.FILE).exists()
    if existing and not ours:
        rule = "a benchmark goes on with a benchmark and writes over no other file"
        raise InputError(
            rule, f"{', '.join(existing)} from elsewhere in {out}", "choose another --out, or move them away"
        )


@contextmanager
def alone_in(out: Path, shard: tuple[int, int] | None = None, collects: bool = False) -> Iterator[None]:
    """Be the only process that does these runs: all of them, or a shard beside others; or one that only collects.

    Raises:
        ConfigError: another process does them.
        InputError: the folder cannot be made or written.
    """
    own = alone_with(out / "shard-{}-of-{}".format(*shard)) if shard else nullcontext()
    with alone(out, "runs", "runs/*", "runs/*/*", shared=collects or shard is not None), own:
        yield


def keep(plan: Plan, out: Path) -> None:
    """Write the recipe as it was read, and what is known of the data."""
    with alone_with(out / data_sets.FILE, waiting=True):
        store.write_json(out / RECIPE, asdict(plan.benchmark))
        data_sets.write(plan.known, out)


def read_record(run: BenchmarkRun, out: Path) -> Record | None:
    """What is written down of a run; None before it began.

    Raises:
        ConfigError, InputError: it cannot be read.
    """
    path = _record_path(run, out)
    if not path.exists():
        return None
    record = from_mapping(Record, store.read_json(path), str(path))
    return replace(
        record, made_of={Benchmark.OLDER_NAMES.get(key, key): value for key, value in record.made_of.items()}
    )


def undone(run: BenchmarkRun, out: Path) -> list[str]:
    """The data sets that a run is still to be evaluated on."""
    return [name for name in run.test if not (folder_of(run, name, out) / store.EVALUATION).exists()]


def do(
    plan: Plan,
    runs: Sequence[BenchmarkRun],
    out: Path,
    runtime: RuntimeConfig,
    say: Say,
    command: str = "",
    watch: Watch | None = None,
) -> list[BenchmarkRun]:
    """Train and evaluate what is not done yet; what fails is written down, and the rest goes on.

    Args:
        plan: the whole benchmark.
        runs: those to be done.
        out: folder of the benchmark.
        runtime: device, batch size, micro batch, workers and cache; the precision of training is the benchmark's.
        say: takes a line about how it goes.
        command: what the user typed.
        watch: called while images are evaluated.

    Returns:
        The runs that failed.
    """
    missing = [run for run in runs if undone(run, out)]
    for run in runs:
        if run not in missing:
            _settle(run, out)
    if len(missing) < len(runs):
        say(f"{len(runs) - len(missing)} of {len(runs)} runs are done already")
    start, failed = time.perf_counter(), []
    for number, run in enumerate(missing, 1):
        say(f"[{number}/{len(missing)}] {run.key}")
        record = _RunExecution(plan, run, out, runtime, lambda line: say(f"    {line}"), command, watch).do()
        failed += [run] if record.errors else []
        elapsed = time.perf_counter() - start
        say(f"    {clock(elapsed)} gone, about {clock(elapsed / number * (len(missing) - number))} left")
        gc.collect()  # the next tower needs the room of this one
    return failed


def _settle(run: BenchmarkRun, out: Path) -> None:
    """Write down that a run is done that was cut off after its last evaluation; what is done is not done again."""
    record = read_record(run, out)
    if record is not None and record.state != "done":
        for name in run.test:
            with alone(folder_of(run, name, out)):  # which takes away what the kill left
                pass
        store.write_json(_record_path(run, out), asdict(replace(record, state="done", errors={}, traces={})))


@dataclass
class _RunExecution:
    """One run while it is being done."""

    plan: Plan
    run: BenchmarkRun
    out: Path
    runtime: RuntimeConfig
    say: Say
    command: str
    watch: Watch | None

    def do(self) -> Record:
        self.record = Record(self.plan.made_of(self.run))
        self._write()
        start = time.perf_counter()
        with self._noting(""):
            detector = self._trained() if self.run.entrant.trained else self._loaded()
            self.record = replace(self.record, training_s=time.perf_counter() - start)
            for name in undone(self.run, self.out):
                with self._noting(name):
                    self._evaluate(detector, name)
        self.record = replace(self.record, state="failed" if self.record.errors else "done")
        self._write()
        return self.record

    @contextmanager
    def _noting(self, data_set: str) -> Iterator[None]:
        """Whatever goes wrong, other runs may go well: it is written down, and the exit status says so."""
        try:
            yield
        except ZsadError as error:
            self._note(data_set, str(error))
        except Exception as error:
            self._note(
                data_set, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}", traceback.format_exc()
            )

    def _note(self, data_set: str, message: str, trace: str = "") -> None:
        errors, traces = (
            self.record.errors | {data_set: message},
            self.record.traces | ({data_set: trace} if trace else {}),
        )
        self.record = replace(self.record, errors=errors, traces=traces)
        self.say(f"failed{' on ' * bool(data_set)}{data_set}: {message}")

    def _trained(self) -> Detector:
        """Trained as far as its folder does not hold it already."""
        log = ProgressLog(self.say)
        folder = training_of(self.run, self.out)
        assert self.run.seed is not None
        with alone(folder):
            training = prepare_run(
                self.run.entrant.recipe,
                self.plan.images(self.run.split),
                folder,
                seed=self.run.seed,
                runtime=replace(self.runtime, precision=self.plan.benchmark.precision),
                max_images=self.plan.benchmark.max_train_images,
            )
            done = _taken_up(training)
            if done < training.training.epochs:
                log.begun(training)
                training.train(done, [log])
        return load(folder, runtime=self.runtime)

    def _loaded(self) -> Detector:
        recipe = self.run.entrant.recipe
        detector = load(
            recipe.method,
            backbone=recipe.backbone,
            weights=recipe.weights,
            activation=recipe.activation,
            position_resize=recipe.position_resize,
            image_size=recipe.image_size,
            options=recipe.options,
            runtime=self.runtime,
        )
        if detector.training_record.training:  # its name stood for the trained one that the package brings
            raise ConfigError(
                "a detector under untrained has nothing to train",
                self.run.entrant.name,
                "change its options, or take it out of untrained",
            )
        return detector

    def _evaluate(self, detector: Detector, name: str) -> None:
        benchmark, folder, start = self.plan.benchmark, folder_of(self.run, name, self.out), time.perf_counter()
        evaluation = evaluate(
            detector,
            [self.plan.data[name]],
            folder,
            resolution=benchmark.resolution or None,
            resamples=benchmark.resamples,
            max_images=benchmark.max_test_images,
            shots=self.run.entrant.shots,
            shots_seed=self.run.shots_seed or 0,
            overwrite=True,  # what is here is not done, and may be of a detector or of images that are gone
            command=self.command,
            watch=self.watch,
        )
        (result,) = evaluation.data_sets
        images = sum(class_result.normal + class_result.anomalous for class_result in result.classes)
        self.say(f"{name}: {images} images, {clock(time.perf_counter() - start)}")

    def _write(self) -> None:
        store.write_json(_record_path(self.run, self.out), asdict(self.record))


def _taken_up(training: TrainingRun) -> int:
    """Epochs that are done; what is wrong with a folder of training is wrong with that of this benchmark."""
    try:
        return start_or_resume(training, resume=True)
    except ZsadError as error:
        if not (training.folder / state.FILE).exists():
            raise
        raise ConfigError(error.rule, error.value, f"delete {training.folder} to train anew") from error


def _record_path(run: BenchmarkRun, out: Path) -> Path:
    return out / "runs" / f"{run.key}.json"
