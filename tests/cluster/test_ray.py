"""A run with Ray's workers: the shards are those of one process. ``python -m benchmarks.cluster kills`` ends them."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zsad.cluster import Counts, Job, Manifest, predict_manifest, ray_engine, shards
from zsad.errors import ConfigError, DependencyError, InputError
from zsad.remote import Output

JOB = Job("clip", {"image_size": 64}, shard_size=2)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    for number in range(3):
        Image.fromarray(np.full((32, 40, 3), 50 * number, np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "list.csv").write_text("path\n0.png\n1.png\nnone.png\n2.png\n")
    return Manifest(str(tmp_path / "list.csv"))


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.filterwarnings("ignore")
def test_shards_of_ray_are_those_of_one_process(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_worker_niceness", "0")  # Ray's own choice, 15, waits for everything else on the machine
    totals = [
        predict_manifest(manifest, str(tmp_path / "ray"), JOB, engine="ray", workers=2),
        predict_manifest(manifest, str(tmp_path / "local"), JOB),
    ]
    assert totals == [Counts(4, 1, 0, 0)] * 2
    assert files(tmp_path / "ray") == files(tmp_path / "local")
    assert len(files(tmp_path / "ray")) == 4


def rows_of(manifest: Manifest, plan: shards.Plan, done: dict[int, Counts]) -> list[dict[str, Any]]:
    """As Ray gives them to a worker, one a block."""
    return [row for block in ray_engine._blocks(manifest.table, plan, done) for row in block.to_pylist()]


def test_a_worker_says_what_is_wrong_and_writes_nothing(manifest: Manifest, tmp_path: Path) -> None:
    predict_manifest(manifest, str(tmp_path / "out"), JOB)
    plan = shards.Plan(**shards.read_json_object(Output(tmp_path / "out").read("plan.json") or b""))  # type: ignore[arg-type]
    assert [row["number"] for row in rows_of(manifest, plan, {0: Counts()})] == [1]
    row = rows_of(manifest, plan, {})[1]
    assert [Path(path).name for path in row["path"]] == ["none.png", "2.png"]
    other = ray_engine.ShardWorker(Job("clip", {"image_size": 48}), plan, str(tmp_path / "other"))(row)
    with pytest.raises(ConfigError, match=r"all machines have the detector of the run; got .* another detector under"):
        ray_engine._checked(other)
    missing = ray_engine.ShardWorker(Job(str(tmp_path / "nowhere")), plan, str(tmp_path / "other"))(row)
    with pytest.raises(ConfigError, match=r"all machines have the detector of the run; got .*nowhere"):
        ray_engine._checked(missing)
    (tmp_path / "file").write_text("")
    unwritable = ray_engine.ShardWorker(JOB, plan, str(tmp_path / "file"))(row)
    with pytest.raises(InputError, match=r"must be writable; got .*\(in shard 1\)"):
        ray_engine._checked(unwritable)
    assert not (tmp_path / "other").exists()
    right = ray_engine.ShardWorker(JOB, plan, str(tmp_path / "again"))(row)
    assert ray_engine._checked(right) == Counts(2, 1, 0, 0)
    assert files(tmp_path / "again").items() <= files(tmp_path / "out").items()


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DependencyError, match=r"pip install 'zsad\[cluster\]'"):
        ray_engine.require_ray()
