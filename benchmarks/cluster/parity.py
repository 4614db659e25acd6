"""Every method: scores, maps, decisions, p-values and regions of both engines beside those of Detector.predict.

Detectors on ``tiny``, with new weights where none are trained, calibrated so that some images and pixels are anomalous,
and saved; few-shot ones also with three normal images. Maps of shards have 16 bits: half a step of these is 7.6e-6.
"""

import argparse
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image

import zsad
from benchmarks.service.parity import calibrate, photo
from zsad import checkpoint, methods
from zsad.backbones import weights
from zsad.cluster import Job, Manifest, predict_manifest, ray_engine
from zsad.errors import ConfigError
from zsad.predictor import Detector
from zsad.runtime import RuntimeConfig
from zsad.types import Prediction

TOLERANCE = 1e-4
SIDE = 112
CLASS_NAME = "nut"
QUICK: Mapping[str, dict[str, Any]] = {"promptad": {"image_epochs": 2}}
"""Options of methods that learn when they are fitted."""
NORMAL = [photo(seed) for seed in (100, 101, 102)]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add options."""
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="methods (default: all)")


def run(options: argparse.Namespace) -> int:
    """Compare, print a table; returns the exit status."""
    print(f"{'method':<26}{'engine':<8}{'score':>10}{'map':>10}{'p':>10}  decisions  regions")
    worst, faults = 0.0, 0
    with ray_engine._cluster(ray_engine.require_ray(), 2), TemporaryDirectory() as name:
        folder = Path(name)
        paths = [folder / f"{number}.png" for number in range(options.images)]
        for number, path in enumerate(paths):
            path.write_bytes(photo(number))
        folder.joinpath("list.csv").write_text("\n".join(["path", *map(str, paths)]) + "\n")
        for title, detector in detectors(options.only or methods.built_in()):
            place = folder / "detectors" / title.replace(" ", "-")
            try:
                calibrate(detector, paths)
                expected = detector.predict([*paths], CLASS_NAME)
                detector.save(place)
                for engine in ("local", "ray"):
                    difference, same = compared(expected, shards(place, folder / "list.csv", engine))
                    worst, faults = max(worst, *difference), faults + same.count(False)
                    words = ["same" if one else "DIFFER" for one in same]
                    numbers = "".join(f"{one:10.1e}" for one in difference)
                    print(f"{title:<26}{engine:<8}{numbers}  {words[0]:<9}  {words[1]}", flush=True)
            except ConfigError as error:
                print(f"{title:<26}refused: {error.rule}; got {error.value}", flush=True)
    passes = worst <= TOLERANCE and not faults
    print(f"largest difference {worst:.1e}, bar {TOLERANCE:g}: {'passes' if passes else 'FAILS'}")
    return 0 if passes else 1


def detectors(names: Sequence[str]) -> Iterator[tuple[str, Detector]]:
    """Of each method, without normal images where it scores without, and fitted to some where it can be."""
    for name in names:
        kind = methods.get(name)
        if not (issubclass(kind, methods.FewShot) and kind.needs_normal):
            yield name, made(name)
        if issubclass(kind, methods.FewShot):
            detector = made(name)
            detector.fit_normal(NORMAL, CLASS_NAME)
            yield f"{name}, fitted", detector


def made(name: str) -> Detector:
    """A detector of the method, with new weights where no trained one is at hand."""
    with suppress(ConfigError):
        return zsad.load(name, image_size=SIDE, device="cpu", options=QUICK.get(name))
    torch.manual_seed(0)
    kind = methods.get(name)
    card = checkpoint.Card(name, image_size=SIDE)
    return Detector(card, kind(weights.load("tiny"), kind.config_type()), RuntimeConfig("cpu"))


def shards(detector: Path, manifest: Path, engine: Any) -> list[dict[str, Any]]:
    """The rows of a run, with their maps."""
    out = detector / engine
    job = Job(str(detector), {"runtime": RuntimeConfig("cpu")}, maps=True, shard_size=3)
    predict_manifest(Manifest(str(manifest), CLASS_NAME), str(out), job, engine=engine, workers=2)
    rows = sorted(pq.read_table(out / "shards").to_pylist(), key=lambda row: row["row"])
    return [row | {"map": np.asarray(Image.open(out / row["map"])).astype(np.float32) / 65535} for row in rows]


def compared(
    expected: Sequence[Prediction], rows: Sequence[Mapping[str, Any]]
) -> tuple[tuple[float, float, float], list[bool]]:
    """Largest differences of score, map and p-value; whether decisions and regions are the same."""
    pairs = [*zip(expected, rows, strict=True)]
    difference = (
        max(abs(one.score - row["score"]) for one, row in pairs),
        max(float(np.abs(one.anomaly_map - row["map"]).max()) for one, row in pairs),
        max(abs(p_value(one.p_value) - p_value(row["p_value"])) for one, row in pairs),
    )
    decisions = all(one.is_anomalous is row["is_anomalous"] for one, row in pairs)
    regions = all(row["regions"] is not None and json.loads(row["regions"]) == in_json(one) for one, row in pairs)
    return difference, [decisions, regions]


def p_value(value: float | None) -> float:
    """A number, whatever it is."""
    return math.inf if value is None else value


def in_json(prediction: Prediction) -> Any:
    """The regions of a prediction as JSON has them."""
    return json.loads(json.dumps([region.as_dict() for region in prediction.regions()]))
