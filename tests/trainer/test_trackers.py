"""Trainings in MLflow and Weights & Biases: what was logged, as these tools read it."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.trainer.toys import draw, register_toys
from zsad.cli.main import main
from zsad.errors import DependencyError
from zsad.methods import TrainingConfig
from zsad.trainer.observers import Epoch
from zsad.trainer.trackers import MlflowRun, WandbRun


def test_a_training_is_logged_to_both_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register_toys(monkeypatch)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_ALLOW_FILE_STORE", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    out = tmp_path / "out"
    small = ["--backbone", "small", "--weights", "random", "--device", "cpu", "--batch-size", "4", "--epochs", "2"]
    words = ["train", "toy-editor", "--data", draw(tmp_path / "data"), *small, "--seed", "7", "--out", str(out)]
    assert main([*words, "--mlflow", "--wandb"]) == 0
    (params,) = out.glob("mlruns/*/*/params")
    assert {name: (params / name).read_text() for name in ("method", "epochs", "seed", "images")} == {
        "method": "toy-editor",
        "epochs": "2",
        "seed": "7",
        "images": "8",
    }
    losses = [line.split() for line in (params.parent / "metrics" / "train" / "loss").read_text().splitlines()]
    assert [int(step) for _, _, step in losses] == [1, 2]
    (written,) = out.glob("wandb/offline-run-*/*.wandb")
    content = written.read_bytes()  # records of protocol buffers, in which texts stand as they are
    assert b"toy-editor" in content
    for _, value, _ in losses:
        assert re.search(rb"train/loss[^a-z]{1,9}" + re.escape(value[:9].encode()), content)


def test_a_resumed_training_goes_on_in_its_run_and_a_new_one_begins_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "runs").as_uri())
    card = SimpleNamespace(method="toy", backbone="small", image_size=64, options={"noise": 0.5})
    run = SimpleNamespace(card=card, seed=1, images=[0] * 3, training=TrainingConfig(3, 2, 0.1))
    for numbers in ((1,), (2, 3), (1,)):
        sitting = MlflowRun(tmp_path / "out")
        sitting.begun(run)  # type: ignore[arg-type]  # what it reads of one
        for number in numbers:
            sitting.epoch(Epoch(number, 3, {"dice": 0.25}, 1.0))
    client = MlflowClient()
    (experiment,) = (one for one in client.search_experiments() if one.name == "zsad")
    found = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    steps = [[metric.step for metric in client.get_metric_history(one.info.run_id, "train/dice")] for one in found]
    assert sorted(steps) == [[1], [1, 2, 3]]
    assert sorted(one.info.status for one in found) == ["FINISHED", "RUNNING"]
    assert {one.data.params["noise"] for one in found} == {"0.5"}


@pytest.mark.parametrize(("tracker", "module"), [(MlflowRun, "mlflow.tracking"), (WandbRun, "wandb")])
def test_without_the_package_it_is_said_what_to_install(
    tracker: type[MlflowRun | WandbRun], module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(DependencyError, match=rf"zsad\[{module.partition('.')[0]}\]"):
        tracker(tmp_path)
