"""Prediction for all images of a manifest, from wherever it was left."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from zsad.cluster import ray_engine, shards
from zsad.cluster.job import Job
from zsad.cluster.manifest import Manifest
from zsad.cluster.shards import Counts, Plan
from zsad.locks import alone
from zsad.remote import Output

if TYPE_CHECKING:
    from zsad.export import ExportedDetector
    from zsad.predictor import Detector

Engine = Literal["local", "ray"]
Observer = Callable[[Counts], None]


def predict_manifest(
    manifest: Manifest,
    out: str,
    job: Job,
    *,
    engine: Engine = "local",
    workers: int | None = None,
    observer: Observer = lambda counts: None,
) -> Counts:
    """Score the images of a manifest into shards; a run that was interrupted goes on where it was.

    Args:
        manifest: the images.
        out: folder or URL.
        job: detector, thresholds and shards.
        engine: ``"local"`` scores one shard after another in this process, ``"ray"`` several at a time.
        workers: processes of Ray that score; by default one a GPU, or one a CPU where the detector runs on these.
        observer: called with the counts of every shard that is done, those of earlier runs first.

    Returns:
        How many images there are, how many have no score, and how many are anomalous.

    Raises:
        ConfigError: another run is in the folder, or the detector scores images by one another.
        InputError: the folder cannot be written, or has files of a run's names that no run wrote.
        DependencyError: Ray, or a file system, is not installed.
        ZsadError: an object store does not answer, or a worker dies again and again. What was finished is kept.
    """
    if engine == "ray":
        ray_engine.require_ray()
    detector, output = job.load(), Output(out)
    plan = _plan(manifest, detector, job)
    with ExitStack() as stack:
        if output.folder is not None:
            stack.enter_context(alone(output.folder, shards.FOLDER, "maps/*"))
        shards.begin(plan, output)
        done = shards.finished(plan, output)
        for counts in done.values():
            observer(counts)
        total = sum(done.values(), Counts())
        for counts in _scored(engine, detector, manifest, plan, job, out, done, workers):
            observer(counts)
            total += counts
        summary = {"format": shards.FORMAT, "shards": plan.shards, **asdict(total)}
        output.write(shards.SUMMARY, (json.dumps(summary, indent=2) + "\n").encode())
    return total


def _plan(manifest: Manifest, detector: "Detector | ExportedDetector", job: Job) -> Plan:
    return Plan(
        manifest.fingerprint,
        len(manifest),
        detector.fingerprint,
        _decisions(detector, manifest),
        job.shard_size,
        job.min_area,
        job.maps,
    )


def _decisions(detector: "Detector | ExportedDetector", manifest: Manifest) -> str:
    """SHA-256 of all that decides, apart from the scores."""
    values = {name: asdict(detector.decision(name)) for name in manifest.class_names}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _scored(
    engine: Engine,
    detector: "Detector | ExportedDetector",
    manifest: Manifest,
    plan: Plan,
    job: Job,
    out: str,
    done: Mapping[int, Counts],
    workers: int | None,
) -> Iterator[Counts]:
    """The counts of shards as they are written."""
    if len(done) == plan.shards:
        return
    if engine == "ray":
        device = detector.identity.device.partition(":")[0]
        yield from ray_engine.scored(manifest.table, plan, job, out, done, workers, device)
        return
    for shard in shards.shards_of(manifest.table, plan, done):
        yield shards.score(detector, shard, plan, Output(out))
