"""Kill Ray's workers and the process that began a run, give the run again, and compare with one process.

Twelve images in shards of one. First a worker is killed after the first shard; then the whole run, after the third, and
the same command is given again. The shards of both must be those of ``--engine local`` to the byte, with each image in
exactly one. The exit status is 1 where they are not.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pyarrow.parquet as pq

from benchmarks.faults.commands import prepare
from zsad.cluster import Counts, Job, Manifest, predict_manifest

JOB = Job("clip", {"image_size": 64, "threshold": 0.3}, pixel_threshold=0.3, maps=True, shard_size=1)
RUN = "import sys; from benchmarks.cluster.kills import begin; begin(*sys.argv[1:])"


def configure(parser: argparse.ArgumentParser) -> None:
    """It has no options."""


def run(_: argparse.Namespace) -> int:
    """Run, kill, run again, compare; returns the exit status."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        source = str(folder / "manifest.csv")
        predict_manifest(Manifest(source), str(folder / "local"), JOB)
        statuses = [
            apart(source, folder / "worker", "worker", 1),
            apart(source, folder / "whole", "whole", 3),
            apart(source, folder / "whole", "none", 0),
        ]
        expected = files(folder / "local")
        same = [files(folder / each) == expected for each in ("worker", "whole")]
        rows = pq.read_table(folder / "whole" / "shards")["row"].to_pylist()
    print(f"exit statuses {statuses}; the bytes of one process: {same}; rows once each: {rows == [*range(len(rows))]}")
    return int(statuses != [0, -signal.SIGKILL, 0] or not all(same) or rows != [*range(12)])


def apart(source: str, out: Path, what: str, after: int) -> int:
    """In a process of its own; returns its exit status."""
    done = subprocess.run([sys.executable, "-c", RUN, source, str(out), what, str(after)], check=False)
    return done.returncode


def begin(source: str, out: str, what: str, after: str) -> None:
    """Run with Ray, and kill a worker or this process after so many shards."""
    seen = 0

    def observe(counts: Counts) -> None:
        nonlocal seen
        seen += 1
        if seen != int(after):
            return
        workers = [one.pid for one in psutil.Process().children(recursive=True) if "ShardWorker" in one.cmdline()[0]]
        os.kill(os.getpid() if what == "whole" else workers[0], signal.SIGKILL)

    predict_manifest(Manifest(source), out, JOB, engine="ray", workers=2, observer=observe)


def files(folder: Path) -> dict[str, bytes]:
    """All of a run, by name."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}
