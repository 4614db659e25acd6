"""Do the methods learn? Trained on some data sets, tested on others, beside two controls.

Each method is trained with several seeds on the embedded backbone, on the same architecture with random weights, and
tested after its last epoch on data that it never saw; ``clip-ac``, which is not trained, stands beside them. Metrics
are of maps at each image's own size, per class, and averaged over the classes of a test set without weights.

    python -m benchmarks.learning --train mvtec:DATA/mtd --test mvtec:DATA/mvtec --out runs/learning

A run that is done is not done again: its figures are kept in OUT/results.jsonl.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev

import zsad
from zsad.data.sampling import subset
from zsad.data.specification import data_set, samples_of
from zsad.runtime import RuntimeConfig
from zsad.trainer.recipe import Recipe
from zsad.trainer.training import prepare_run, start_or_resume

EPOCHS = {"acd-clip": 4, "afr-clip": 3, "fe-clip": 5, "kanoclip": 6, "wmoe-clip": 20}
"""Some hundred steps each, as many as two cores do in minutes; all else is as the papers say. Chosen by the clock."""
METRICS = ("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "pixel_pro")
CONTROL = "clip-ac"


@dataclass(frozen=True)
class Result:
    """One training, tested on one data set; ``None`` where a metric is not defined."""

    method: str
    weights: str
    seed: int
    test: str
    epochs: int
    training_s: float
    metrics: dict[str, float | None]

    @property
    def key(self) -> tuple[str, str, int, str]:
        """What makes it another run."""
        return self.method, self.weights, self.seed, self.test


def main() -> None:
    """Train, test, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", nargs="+", required=True, metavar="LAYOUT:PATH")
    parser.add_argument("--test", nargs="+", required=True, metavar="LAYOUT:PATH")
    parser.add_argument("--methods", nargs="+", default=[CONTROL, *EPOCHS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--weights", nargs="+", default=["embedded", "random"])
    parser.add_argument(
        "--max-train-images", type=int, help="training images of each class and state, drawn with seed 0"
    )
    parser.add_argument("--max-test-images", type=int, help="test images of each class and state, drawn with seed 0")
    parser.add_argument("--precision", default="bf16", choices=("fp32", "bf16"), help="of training; tests are fp32")
    parser.add_argument("--epochs", type=int, help="of every method, instead of those named above")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    options = parser.parse_args()
    file = options.out / "results.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    keep_setting(options)
    done = [Result(**json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []
    known = {one.key for one in done}
    for name, weights, seed in wanted(options):
        missing = [test for test in options.test if (name, weights, seed, test) not in known]
        for result in measure(name, weights, seed, missing, options) if missing else ():
            done.append(result)
            with file.open("a") as stream:
                stream.write(json.dumps(asdict(result)) + "\n")
    print(table(done))


def wanted(options: argparse.Namespace) -> Iterator[tuple[str, str, int]]:
    """What is to be measured; what is not trained needs no seeds."""
    for seed in options.seeds:
        for weights in options.weights:
            for name in options.methods:
                if name != CONTROL or seed == options.seeds[0]:
                    yield name, weights, seed


def keep_setting(options: argparse.Namespace) -> None:
    """One folder holds results of one setting."""
    names = ("train", "max_train_images", "max_test_images", "precision", "epochs")
    setting = {name: getattr(options, name) for name in names} | {"default_epochs": EPOCHS}
    file = options.out / "setting.json"
    if file.exists() and json.loads(file.read_text()) != setting:
        raise SystemExit(f"{options.out} holds results of another setting: choose another folder")
    file.write_text(json.dumps(setting, indent=2) + "\n")


def measure(name: str, weights: str, seed: int, tests: Sequence[str], options: argparse.Namespace) -> Iterator[Result]:
    """Train once, test on each set."""
    began, epochs = time.perf_counter(), 0
    if name == CONTROL:
        detector = zsad.load(name, weights=weights, batch_size=8)
    else:
        folder = options.out / f"{name}-{weights}-{seed}"
        epochs = options.epochs or EPOCHS[name]
        recipe = Recipe(name, weights=weights, training={"epochs": epochs})
        samples = subset(samples_of(options.train, "test"), options.max_train_images)
        runtime = RuntimeConfig("cpu", options.precision, cache=options.out / "cache")
        run = prepare_run(recipe, samples, folder, seed=seed, runtime=runtime)
        done = start_or_resume(run, resume=True)
        list(run.extract_features())
        for epoch in run.epochs(done):
            print(f"{folder.name} {epoch.number}/{epoch.of}: {epoch.seconds:.0f} s, {epoch.terms}", flush=True)
        detector = zsad.load(folder, batch_size=8)
    seconds = time.perf_counter() - began
    for test in tests:
        out = options.out / "evaluations" / f"{name}-{weights}-{seed}"
        metrics = means(detector, test, out, options.max_test_images)
        print(f"{name} {weights} {seed} {test}: {seconds:.0f} s, {metrics}", flush=True)
        yield Result(name, weights, seed, test, epochs, seconds, metrics)


def means(detector: zsad.Detector, test: str, out: Path, most: int | None) -> dict[str, float | None]:
    """Metrics of a data set, in percent: the mean over its classes."""
    data = data_set(test)
    found = zsad.evaluate(detector, [data], out / data.name, resolution=None, max_images=most, resamples=0).data_sets[0]
    values = {name: found.means[name].value for name in METRICS}
    return {name: None if value is None else 100 * value for name, value in values.items()}


def table(results: list[Result]) -> str:
    """Mean and standard deviation over seeds, as Markdown."""
    lines = [
        "| test | method | backbone | " + " | ".join(METRICS) + " |",
        "|---|---|---|" + "---|" * len(METRICS),
    ]
    groups: defaultdict[tuple[str, str, str], list[Result]] = defaultdict(list)
    for one in results:
        groups[one.test.partition(":")[2].strip("/").rpartition("/")[2], one.method, one.weights].append(one)
    for (test, method, weights), group in sorted(groups.items()):
        cells = [cell([one.metrics[key] for one in group]) for key in METRICS]
        lines.append(f"| {test} | {method} | {weights} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(values: list[float | None]) -> str:
    """``mean ± deviation``, or why there is none."""
    numbers = [value for value in values if value is not None]
    if not numbers:
        return "n/a"
    return f"{mean(numbers):.1f}" + (f" ± {stdev(numbers):.1f}" if len(numbers) > 1 else "")


if __name__ == "__main__":
    main()
