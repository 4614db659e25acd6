"""Training on at most so many images of each class and state."""

import json
from pathlib import Path

import pytest

from tests.trainer.toys import draw, register_toys
from zsad.benchmark.plan import Plan
from zsad.benchmark.recipe import Benchmark, Split
from zsad.cli.main import main
from zsad.data.specification import DataSet, data_set
from zsad.errors import ConfigError
from zsad.trainer import state
from zsad.trainer.training import TrainingData

SMALL = ["toy-editor", "--backbone", "small", "--weights", "random", "--device", "cpu", "--epochs", "1"]


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    register_toys(monkeypatch)


@pytest.fixture
def two(tmp_path: Path) -> list[DataSet]:
    """Two data sets with a class of the same name, the first with another one."""
    draw(tmp_path / "first", count=5)
    draw(tmp_path / "first", count=5, class_name="tile")
    draw(tmp_path / "second", count=5)
    return [data_set(f"{name}=mvtec:{tmp_path / name}") for name in ("first", "second")]


def test_so_many_of_each_class_and_state_of_each_data_set_are_drawn(two: list[DataSet]) -> None:
    chosen = TrainingData(two, max_images=2).samples()
    kinds = [(sample.image.parents[3].name, sample.class_name, sample.label) for sample in chosen]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        (*place, label): 2
        for place in (("first", "metal_nut"), ("first", "tile"), ("second", "metal_nut"))
        for label in (0, 1)
    }
    every = TrainingData(two).samples()
    assert chosen == [sample for sample in every if sample in chosen]
    assert TrainingData(two, max_images=5).samples() == every
    alone = TrainingData(two, classes=["tile"], max_images=3).samples()
    assert [(sample.class_name, sample.label) for sample in alone] == [("tile", 0)] * 3 + [("tile", 1)] * 3
    assert TrainingData(two[0], split="all", max_images=2).samples() == chosen[:8]


def test_they_are_those_of_a_benchmark(two: list[DataSet]) -> None:
    split = Split("both", ("first", "second"), ("other",))
    places = dict.fromkeys(("first", "second", "other"), "mvtec:x")
    benchmark = Benchmark("Few", ("clip",), places, (split,), max_train_images=3)
    plan = Plan(benchmark, (), {one.name: one for one in two}, {}, {}, ())
    assert TrainingData(two, max_images=3).samples() == plan.images(split)


def test_no_image_at_all_is_refused(two: list[DataSet]) -> None:
    with pytest.raises(ConfigError, match="a subset has at least one image; got 0"):
        TrainingData(two, max_images=0).samples()


def test_a_run_tells_its_limit_and_goes_on_with_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    words = ["train", *SMALL, "--data", draw(tmp_path / "data", count=3), "--out", str(out)]
    assert main([*words, "--max-images", "2"]) == 0
    card = json.loads((out / "training.json").read_text())
    assert (card["max_images"], card["classes"]) == (2, {"metal nut": 4})
    assert len((out / "images.txt").read_text().split()) == 4
    for other in ([], ["--max-images", "1"]):
        assert main([*words, "--resume", *other]) == 2
        assert "max_images. Remedy: repeat the first settings" in capsys.readouterr().err
    assert main([*words, "--resume", "--epochs", "2", "--max-images", "2"]) == 0
    assert json.loads((out / "training.json").read_text())["epochs_done"] == 2


def test_a_limit_that_leaves_nothing_out_is_another_setting_too_but_not_for_runs_that_never_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["train", *SMALL, "--data", draw(tmp_path / "data", count=2), "--out", str(out)]
    assert main(words) == 0
    assert main([*words, "--resume", "--max-images", "2"]) == 2
    assert "got another max_images." in capsys.readouterr().err
    saved = state.read(out)
    assert saved.run.pop("max_images") is None
    state.write(saved, out)  # as earlier versions did
    assert main([*words, "--resume", "--max-images", "2"]) == 0
    assert main([*words, "--resume", "--max-images", "1"]) == 2
    assert "got another data and classes." in capsys.readouterr().err
