"""Shards scored by the workers of Ray Data: an actor loads the detector once and scores one shard after another.

Nothing but the lists of images and the counts travel through Ray: workers read images and write shards themselves. A
shard is written whole by whoever scores it, with the same content each time, so that it does not matter if a worker
died in the middle, or if Ray scores a shard twice.
"""

import logging
import os
import signal
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from zsad.cluster import shards
from zsad.cluster.job import Job
from zsad.cluster.manifest import CLASS_NAME, PATH, ROW, require_arrow
from zsad.cluster.shards import Counts, Plan, Shard
from zsad.config import check_workers
from zsad.errors import ConfigError, DependencyError, InputError, ZsadError
from zsad.remote import Output

if TYPE_CHECKING:
    import pyarrow as pa

RETRIES = 3
"""How often a shard is given to another worker where one dies of it."""
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DEDUP_LOGS": "0",
}
"""Settings of Ray's own, where the user has set none: it sends no statistics, and leaves the terminal to us."""
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


def require_ray() -> Any:
    """The modules ray and ray.data.

    Raises:
        DependencyError: they are not installed.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise DependencyError("--engine ray needs Ray", error, "run: pip install 'zsad[cluster]'") from error
    return ray


class ShardWorker:
    """What Ray runs in each worker.

    Args:
        job, plan, out: of the run.
    """

    def __init__(self, job: Job, plan: Plan, out: str) -> None:
        self._plan, self._output = plan, Output(out)
        self._detector, self._refusal = None, ""
        try:
            detector = job.load()
            if detector.fingerprint == plan.detector:
                self._detector = detector
            else:
                self._refusal = f"{os.uname().nodename} has another detector under {job.detector}"
        except ZsadError as error:
            self._refusal = f"{os.uname().nodename}: {error}"

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Score the shard of a row; the counts, or what is wrong."""
        shard = Shard(int(row["number"]), *(list(row[name]) for name in (ROW, PATH, CLASS_NAME)))
        if self._detector is None:
            return _row(shard.number, refusal=self._refusal)
        try:
            return _row(shard.number, shards.score(self._detector, shard, self._plan, self._output))
        except ZsadError as error:
            return _row(shard.number, error=f"{error.rule}\n{error.value}\n{error.remedy}")


def _row(number: int, counts: Counts | None = None, *, refusal: str = "", error: str = "") -> dict[str, Any]:
    return {"number": number, "refusal": refusal, "error": error, **asdict(counts or Counts())}


def scored(
    table: "pa.Table", plan: Plan, job: Job, out: str, done: Mapping[int, Counts], workers: int | None, device: str
) -> Iterator[Counts]:
    """Score all shards that are not done; yields the counts of each as it is written.

    Args:
        table: of the manifest.
        plan, job, out: of the run.
        done: the shards that are there.
        workers: how many at a time; by default one a GPU of the cluster, or one a CPU.
        device: kind of device that the detector runs on.

    Raises:
        ConfigError: a machine has another detector, or cannot load it.
        InputError, ZsadError: a shard could not be scored or written.
    """
    ray = require_ray()
    check_workers(workers or 0)
    with _cluster(ray, workers):
        resource = "GPU" if device == "cuda" else "CPU"
        at_hand = int(ray.cluster_resources().get(resource, 0))
        count = min(workers or max(at_hand, 1), plan.shards - len(done))
        found = _scored(ray, _blocks(table, plan, done), (job, plan, out), count, gpus=int(device == "cuda"))
        try:
            for row in found.iter_rows():
                yield _checked(row)
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1][:500]
            remedy = "look at memory and logs of the machines, and run the same command again: what is finished is kept"
            raise ZsadError("the workers of Ray stay alive", reason, remedy) from error


def _scored(ray: Any, blocks: "list[pa.Table]", arguments: tuple[Job, Plan, str], count: int, gpus: int) -> Any:
    """The data set of what the workers say, which is computed when it is read."""
    retries = {"max_restarts": -1, "max_task_retries": RETRIES}
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of 2.60 on: this argument goes in 2.64, and nothing else bounds the retries yet
        return ray.data.from_arrow(blocks).map(
            ShardWorker,
            fn_constructor_args=arguments,
            compute=ray.data.ActorPoolStrategy(size=count),
            num_cpus=1,
            num_gpus=gpus,
            ray_remote_args_fn=lambda: retries,
        )


def _checked(row: Mapping[str, Any]) -> Counts:
    if row["refusal"]:
        remedy = "give every machine the same detector under the same path"
        raise ConfigError("all machines have the detector of the run", row["refusal"], remedy)
    if row["error"]:
        rule, value, remedy = row["error"].split("\n", 2)
        raise InputError(rule, f"{value} (in shard {row['number']})", remedy)
    return Counts(**{one.name: int(row[one.name]) for one in fields(Counts)})


def _blocks(table: "pa.Table", plan: Plan, done: Mapping[int, Counts]) -> "list[pa.Table]":
    """A block of one row for each shard, whose columns are lists: Ray neither splits a row nor joins two."""
    arrow = require_arrow()
    blocks = []
    for number in range(plan.shards):
        if number in done:
            continue
        piece = table.slice(number * plan.shard_size, plan.shard_size).combine_chunks()
        ends = arrow.array([0, len(piece)], arrow.int32())
        columns = {name: arrow.ListArray.from_arrays(ends, _whole(piece[name])) for name in (ROW, PATH, CLASS_NAME)}
        blocks.append(arrow.table({"number": arrow.array([number], arrow.int64()), **columns}))
    return blocks


def _whole(column: Any) -> Any:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


@contextmanager
def _cluster(ray: Any, workers: int | None) -> Iterator[None]:
    """The cluster of ``RAY_ADDRESS``, the one that the program is connected to, or a new one on this machine."""
    if ray.is_initialized():
        yield
        return
    handlers = {name: signal.getsignal(getattr(signal, name)) for name in SIGNALS if hasattr(signal, name)}
    size = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **size)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise ConfigError(
            "Ray starts, or answers at RAY_ADDRESS", error, "check RAY_ADDRESS, memory and /tmp"
        ) from error
    try:
        for name, handler in handlers.items():  # Ray installs its own
            signal.signal(getattr(signal, name), handler)
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        yield
    finally:
        ray.shutdown()
