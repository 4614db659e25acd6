"""Whether this version answers as the one did that saved ``tests/saved``: scores to the bit, maps up to rounding.

Maps are enlarged in one step since, instead of two. Bits are owed on one machine with one version of PyTorch: on
another, run the older version's ``--write`` first, into a folder of your own. Exit status 1 where anything differs.

    OMP_NUM_THREADS=1 python -m benchmarks.unchanged
"""

import argparse
import json
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import zsad
from benchmarks.command import HERE
from benchmarks.command import zsad as run
from zsad.backbones.config import FORMER
from zsad.errors import ZsadWarning

SAVED = HERE / "tests" / "saved"
NAMED = ("clip", "clip-ac", "winclip")
"""Detectors that need no training, named alone."""
TRAINED = ("acd-clip", "afr-clip", "fe-clip", "kanoclip", "wmoe-clip")
FOLDERS = tuple(f"detectors/{name}" for name in (*TRAINED, "fe-clip-normal"))
BACKBONE = FORMER["tiny"]
"""The name that the embedded weights of that version have today."""
RESUMED = "acd-clip after one more epoch"
CLASS_NAME = "metal nut"
LEARNED, JUDGED = f"mvtec:{SAVED}/images/learned", f"mvtec:{SAVED}/images/judged"
PROTOCOL: dict[str, Any] = {"resolution": 48, "max_images": 2, "resamples": 20}
ROUNDING = 1e-6
"""Differences of maps, and of metrics of their pixels, that are none."""
SEED = 5
"""Of every training run in the folder."""


@dataclass(frozen=True)
class Answer:
    """What a detector says of an image: its score, and its map in fp32 at the size of the image."""

    score: float
    anomaly_map: np.ndarray


Answers = dict[str, Answer]
"""By the name of the image."""


def images() -> dict[str, np.ndarray]:
    """Three images that integers make alike everywhere: RGB rings, a grey plate with a spot, RGB noise."""
    rows, cols, channels = np.ogrid[:24, :16, :3]
    rings = (rows * rows + 2 * cols * cols + 40 * channels) // 3 % 256
    plate = 150 + (3 * np.arange(20)[:, None] + 5 * np.arange(28)) % 23
    plate[6:11, 15:21] = 30
    rows, cols, channels = (axis.astype(np.uint64) for axis in np.ogrid[:22, :22, :3])
    noise = (rows * 7919 + cols * 104729 + channels * 1299709) * 2654435761 % 2**32 >> 24
    return {name: image.astype(np.uint8) for name, image in (("rings", rings), ("plate", plate), ("noise", noise))}


def answers(detector: str | Path) -> Answers:
    """Of the detector with that name or in that folder."""
    loaded = zsad.load(detector, backbone=BACKBONE, device="cpu") if detector in NAMED else saved(Path(detector))
    found = {name: loaded.predict(image, CLASS_NAME) for name, image in images().items()}
    return {name: Answer(one.score, np.asarray(one.anomaly_map)) for name, one in found.items()}


def saved(folder: Path) -> zsad.Detector:
    """The detector in a folder, on the weights that it was saved on, without the note that says so."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", f".*runs on them as {BACKBONE}", ZsadWarning)
        return zsad.load(folder, device="cpu")


def trained(method: str, out: Path) -> Path:
    """The folder of a detector that is trained as the saved one of that method was."""
    return _train(method, out, "--cache", str(out.parent / "cache"))


def resumed(out: Path) -> Path:
    """The folder in which the saved run of acd-clip goes on for one more epoch."""
    shutil.copytree(SAVED / "detectors" / "acd-clip", out)
    return _train("acd-clip", out, "--epochs", "2", "--resume")


def _train(method: str, out: Path, *options: str) -> Path:
    """By the command, which is the same in all versions, with the recipe on the weights of that version."""
    words = (SAVED / "recipes" / f"{method}.toml").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as temporary:
        recipe = Path(temporary) / f"{method}.toml"
        others = "".join(line for line in words.splitlines(keepends=True) if not line.startswith("backbone"))
        recipe.write_text(f'backbone = "{BACKBONE}"\n{others}', encoding="utf-8")
        told = ("--data", LEARNED, "--out", str(out), "--seed", str(SEED), "--device", "cpu", *options)
        run("train", str(recipe), *told, cwd=HERE)
    return out


def evaluated(out: Path) -> Path:
    """The folder of an evaluation that is made as the saved one was."""
    zsad.evaluate(saved(SAVED / "detectors" / "kanoclip"), [JUDGED], out, **PROTOCOL)
    return out


def metrics(evaluation: Path, beside: Path | None = None) -> dict[str, float]:
    """The metrics of an evaluation by data set, class and name, as ``zsad compare`` reads it beside another."""
    found = json.loads(
        run("compare", str(evaluation), str(beside or evaluation), "--resamples", "100", "--json", cwd=HERE)
    )
    return {
        f"{data_set['name']}/{one['class_name']}/{name}": metric["a"]
        for data_set in found["data_sets"]
        for one in data_set["classes"]
        for name, metric in one["metrics"].items()
    }


def read(folder: Path = SAVED / "expected") -> tuple[dict[str, Answers], dict[str, float]]:
    """What is expected: answers by detector, and the metrics of the evaluation."""
    scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    with np.load(folder / "maps.npz") as maps:
        found = {
            detector: {name: Answer(score, maps[f"{detector}/{name}"]) for name, score in by_image.items()}
            for detector, by_image in scores.items()
        }
    return found, json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def write(folder: Path) -> None:
    """Write what this version answers."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {name: answers(name if name in NAMED else SAVED / name) for name in (*NAMED, *FOLDERS)}
    with tempfile.TemporaryDirectory() as temporary:
        found[RESUMED] = answers(resumed(Path(temporary) / "acd-clip"))
    scores = {name: {image: one.score for image, one in by_image.items()} for name, by_image in found.items()}
    maps = {f"{name}/{image}": one.anomaly_map for name, by_image in found.items() for image, one in by_image.items()}
    _write_json(folder / "scores.json", scores)
    np.savez_compressed(folder / "maps.npz", **maps)
    _write_json(folder / "metrics.json", metrics(SAVED / "evaluation"))


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def difference(ours: Answers, theirs: Answers) -> tuple[float, float]:
    """The greatest between scores, and between values of maps; 0 is the same bits."""
    if ours.keys() != theirs.keys():
        raise ValueError(f"answers about {sorted(ours)} and about {sorted(theirs)}")
    scores = [abs(ours[name].score - theirs[name].score) for name in ours]
    maps = [np.abs(ours[name].anomaly_map - theirs[name].anomaly_map).max() for name in ours]
    return max(scores), float(max(maps))


def rows(folder: Path) -> Iterator[tuple[str, float, float]]:
    """What was compared, and the greatest differences of scores (or metrics) and of maps."""
    theirs, theirs_measured = read(folder)
    for name in (*NAMED, *FOLDERS):
        yield name, *difference(answers(name if name in NAMED else SAVED / name), theirs[name])
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        for method in TRAINED:
            again = answers(trained(method, work / method))
            yield f"{method}, trained again", *difference(again, theirs[f"detectors/{method}"])
        yield RESUMED, *difference(answers(resumed(work / "resumed")), theirs[RESUMED])
        for what, path in (("evaluation", SAVED / "evaluation"), ("evaluation, made again", evaluated(work / "eval"))):
            ours = metrics(path)
            if not theirs_measured.keys() <= ours.keys():
                raise ValueError(f"metrics {sorted(ours)} and {sorted(theirs_measured)}")
            yield what, max(abs(ours[name] - theirs_measured[name]) for name in theirs_measured), 0.0


def main() -> int:
    """Print the table, as Markdown; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--expected", type=Path, default=SAVED / "expected", metavar="DIR", help="default: the saved")
    parser.add_argument("--write", action="store_true", help="write what this version answers there, compare nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.write:
        write(options.expected)
        return 0
    print("| what | scores or metrics differ by | maps differ by |\n|---|---|---|")
    differ = 0
    for what, scores, maps in rows(options.expected):
        print(f"| {what} | {scores:.2g} | {maps:.2g} |", flush=True)
        differ += scores > (ROUNDING if what.startswith("evaluation") else 0) or maps > ROUNDING
    print(f"\n{differ} differ" if differ else f"\nscores are the same to the bit, and maps to {ROUNDING:g}")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
