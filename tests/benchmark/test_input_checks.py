"""Means are over one data set: what is done is held against the images that are there now."""

import json
import shutil
from pathlib import Path

import pytest

from tests.benchmark.making import HEAD, copy, planned, run, write
from tests.data.trees import image
from zsad.benchmark import leaderboard, running
from zsad.benchmark.plan import Plan
from zsad.errors import ConfigError
from zsad.results import store
from zsad.results.leaderboard import Leaderboard

Finished = tuple[Plan, Path, Leaderboard]


def test_the_same_images_elsewhere_are_the_same(finished: Finished, root: Path, tmp_path: Path) -> None:
    running.check(planned(write(tmp_path), Path(shutil.copytree(root, tmp_path / "moved"))), finished[1])


def test_another_test_image_is_another_data_set(finished: Finished, root: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(root, tmp_path / "moved"))
    image(next((moved / "tubes" / "tubes" / "test" / "good").iterdir()), 5)
    with pytest.raises(ConfigError, match="masks of its data sets: those that are there now") as caught:
        running.check(planned(write(tmp_path), moved), finished[1])
    assert "evaluations/nuts/clip/mpdd" in str(caught.value)
    assert "evaluations/plates/toy-editor-2/mpdd" in str(caught.value)
    assert "plates\n" not in str(caught.value)  # what was tested on plates still holds
    assert "training" not in str(caught.value)


def test_other_training_images_make_another_detector(finished: Finished, root: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(root, tmp_path / "moved"))
    next((moved / "nuts" / "metal_nut" / "test" / "good").iterdir()).unlink()
    with pytest.raises(ConfigError, match="others in training/nuts/toy-reader-1\n  others in evaluations/nuts/toy-r"):
        running.check(planned(write(tmp_path), moved), finished[1])


def test_what_two_machines_did_on_different_images_is_not_averaged(finished: Finished, tmp_path: Path) -> None:
    out = copy(finished[1], tmp_path / "out")
    path = out / "evaluations" / "nuts" / "toy-reader-2" / "mpdd" / store.PLAN
    words = store.read_json(path)
    words["data"]["mpdd"]["classes"]["tubes"]["content"] = "0" * 64
    path.write_text(json.dumps(words))
    with pytest.raises(ConfigError, match=r"the same for all; got \n  others in evaluations/nuts/toy-reader-2/mpdd"):
        leaderboard.collect(finished[0], out)


def test_an_evaluation_that_was_cut_off_on_other_images_is_begun_anew(
    finished: Finished, root: Path, tmp_path: Path
) -> None:
    out = copy(finished[1], tmp_path / "out")
    folder = out / "evaluations" / "nuts" / "clip" / "mpdd"
    (folder / store.EVALUATION).unlink()
    words = store.read_json(folder / store.PLAN)
    (folder / store.PLAN).write_text(json.dumps(words | {"version": "0.0.1"}))
    board = run(finished[0], out)
    assert not board.failed
    assert board.tables == finished[2].tables


def test_a_damaged_training_names_the_folder_to_delete(finished: Finished, root: Path, tmp_path: Path) -> None:
    out = copy(finished[1], tmp_path / "out")
    training = out / "training" / "nuts" / "toy-reader-1"
    (training / "resume.safetensors").write_bytes(b"damaged")
    shutil.rmtree(out / "evaluations" / "nuts" / "toy-reader-1")
    board = run(finished[0], out)
    assert f"Remedy: delete {training} to train anew" in board.failed["nuts/toy-reader-1"]
    shutil.rmtree(training)
    assert run(planned(write(tmp_path, HEAD), root), out).tables == finished[2].tables
