"""Controls: a second row of a detector, on a backbone of random weights."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmark.making import planned, run, write
from zsad.benchmark import leaderboard, plan, recipe
from zsad.errors import ConfigError
from zsad.reports import leaderboard_tables

HEAD = """
title = "Controls"
detectors = ["clip", "toy-reader"]
backbone = "tiny"
image_size = 32
seeds = [1]
resolution = 32
resamples = 0
"""
REST = """
[data]
nuts = "mvtec:nuts"
mpdd = "mvtec:tubes"

[[split]]
name = "nuts"
train = ["nuts"]
test = ["mpdd"]
detectors = ["clip", "toy-reader"]

[change.toy-reader]
training = { epochs = 1 }
"""
CONTROLS = HEAD + 'controls = ["toy-reader", "clip"]\n'


def test_a_control_is_its_detector_on_random_weights(tmp_path: Path) -> None:
    path = write(tmp_path, CONTROLS, REST.replace("{ epochs = 1 }", '{ epochs = 1 }\nposition_resize = "bilinear"'))
    clip, reader, *controls = recipe.entrants(recipe.read(path), tmp_path)
    assert [one.name for one in controls] == ["clip-random-weights", "toy-reader-random-weights"]
    assert [one.title for one in controls] == ["clip, random weights", "toy-reader, random weights"]
    for one, control in zip((clip, reader), controls, strict=True):
        assert (one.recipe.weights, control.recipe.weights) == (None, "random")
        assert replace(control.recipe, weights=None) == one.recipe
        assert control.trained == one.trained
    assert controls[1].recipe.training == {"epochs": 1}
    assert controls[1].recipe.position_resize == "bilinear"


def test_a_control_is_shown_what_its_detector_is(tmp_path: Path) -> None:
    head = CONTROLS.replace('"clip", "toy-reader"', '"winclip"').replace('"toy-reader", "clip"', '"winclip"')
    rest = REST.partition("[change")[0].replace('"clip", "toy-reader"', '"winclip"')
    path = write(tmp_path, head + "shots = [0, 2]\n", rest)
    benchmark = recipe.read(path)
    shown = recipe.entrants(benchmark, tmp_path)
    names = ["winclip", "winclip-2-shots", "winclip-random-weights", "winclip-random-weights-2-shots"]
    assert [one.name for one in shown] == names
    assert [one.title for one in shown][2:] == [
        "winclip, random weights",
        "winclip, random weights, 2 shots, seed 0",
    ]
    assert all(plan.takes_part(one, benchmark.split[0]) for one in shown)


def test_a_folder_goes_on_with_controls_in_folders_of_their_own(root: Path, tmp_path: Path) -> None:
    out, said = tmp_path / "out", list[str]()
    first = run(planned(write(tmp_path, HEAD, REST), root), out)
    whole = planned(write(tmp_path, CONTROLS, REST), root)
    board = run(whole, out, said)
    assert said[0] == "2 of 4 runs are done already"
    assert (board.failed, board.unfinished) == ({}, ())
    keys = ["nuts/clip", "nuts/toy-reader-1", "nuts/clip-random-weights", "nuts/toy-reader-random-weights-1"]
    assert [one.key for one in whole.runs] == keys
    (table,) = board.tables
    assert table.lines[:2] == first.tables[0].lines
    assert [line.title for line in table.lines[2:]] == ["clip, random weights", "toy-reader, random weights"]
    assert [line.weights.partition(" ")[0] for line in table.lines[2:]] == ["random", "random"]
    for ours, control in zip(table.lines[:2], table.lines[2:], strict=True):
        assert ours.means["pixel_auroc"].value != control.means["pixel_auroc"].value
    trained = out / "training" / "nuts" / "toy-reader-random-weights-1"
    assert json.loads((trained / "detector.json").read_text())["weights"] == "random"
    assert table.printed == first.tables[0].printed  # no paper's numbers stand beside a control
    assert {number.detector for number in table.printed} == {"clip"}
    assert not any("random weights" in fact for fact in first.facts)
    assert any("random weights are controls" in fact for fact in board.facts)
    assert "| toy-reader, random weights | 1 |" in leaderboard_tables.markdown(leaderboard.collect(whole, out))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"toy-reader", "clip"]\n', '"clap"]\n', "did you mean 'clip'"),
        ('controls = ["toy-reader"', 'controls = ["clip"', "a control is named once; got clip"),
        ('"tiny"', '"tiny"\nweights = "random"', "other than random weights; got clip"),
        ('["clip", "toy-reader"]', '["clip", "toy-reader", "random-weights.toml"]', "named once; got clip-random-w"),
    ],
)
def test_what_cannot_be_a_control_is_said(old: str, new: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "random-weights.toml").write_text('method = "clip"')
    with pytest.raises(ConfigError, match=words):
        recipe.entrants(recipe.read(write(tmp_path, CONTROLS.replace(old, new, 1), REST)), tmp_path)


def test_a_detector_that_is_not_trained_takes_part_on_two_backbones(tmp_path: Path) -> None:
    (tmp_path / "b16.toml").write_text('method = "clip"\npaper = "CLIP on ViT-B-16"\nbackbone = "ViT-B-16"')
    head = HEAD.replace('"toy-reader"]', '"b16.toml"]').replace('backbone = "tiny"', "")
    rest = REST.partition("[change")[0].replace('"toy-reader"]', '"clip-b16"]')
    first, second = recipe.entrants(recipe.read(write(tmp_path, head, rest)), tmp_path)
    assert [first.recipe.backbone, second.recipe.backbone] == ["tiny", "ViT-B-16"]
    assert (second.name, second.title, second.trained) == ("clip-b16", "CLIP on ViT-B-16", False)
