"""Few-shot lines of a benchmark: one training, several numbers of shots, several draws of each."""

from pathlib import Path

import pytest

import zsad
from tests.benchmark.making import data, planned, run, write
from tests.benchmark.test_comparable import RECIPES, complete
from tests.evaluator.making import train
from zsad.benchmark import plan, recipe, running
from zsad.benchmark.plan import Plan
from zsad.benchmark.published_results import printed
from zsad.errors import ConfigError
from zsad.reports import leaderboard as page
from zsad.reports import leaderboard_tables
from zsad.results import store
from zsad.results.leaderboard import Leaderboard

HEAD = """
title = "Shots"
detectors = ["clip", "fe-clip"]
backbone = "small"
weights = "random"
seeds = [5]
shots = [0, 2]
shots_seeds = [0, 1]
resolution = 32
resamples = 0
"""
REST = """
[data]
nuts = "mvtec:nuts"
plates = "mvtec:plates"

[[split]]
name = "nuts"
train = ["nuts"]
test = ["plates"]
detectors = ["clip", "fe-clip"]

[change.fe-clip]
training = { epochs = 1 }
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path, Leaderboard]:
    folder = tmp_path_factory.mktemp("shots")
    root = data(folder / "data")
    for hue, name in enumerate("ab"):
        train(root / "plates" / name, 5, hue)
    one = planned(write(folder, HEAD, REST), root)
    return one, folder / "out", run(one, folder / "out")


def test_one_training_serves_all_draws(done: tuple[Plan, Path, Leaderboard]) -> None:
    one, out, board = done
    assert (board.failed, board.unfinished) == ({}, ())
    assert [run.key for run in one.runs] == [
        "nuts/clip",
        "nuts/fe-clip-5",
        "nuts/fe-clip-2-shots-5-0",
        "nuts/fe-clip-2-shots-5-1",
    ]
    assert [path.name for path in (out / "training" / "nuts").iterdir() if path.is_dir()] == ["fe-clip-5"]
    assert [run.key for run in plan.share(one.runs, (2, 2))] == [run.key for run in one.runs[1:]]
    assert plan.share(one.runs, only=["fe-clip"]) == list(one.runs[1:])
    assert plan.share(one.runs, only=["fe-clip-2-shots"]) == list(one.runs[2:])


def test_lines_are_named_by_their_shots(done: tuple[Plan, Path, Leaderboard]) -> None:
    _, _, board = done
    table, few_shot = board.tables
    assert (table.setting, few_shot.setting) == ("zero-shot", "few-shot")
    assert [(line.detector, line.title) for line in table.lines] == [("clip", "clip"), ("fe-clip", "fe-clip")]
    assert [(line.detector, line.title) for line in few_shot.lines] == [("fe-clip-2-shots", "fe-clip, 2 shots")]
    few = few_shot.lines[0]
    assert (few.seeds, few.of, few.means["image_auroc"].n) == (("5, shots 0", "5, shots 1"), 2, 2)
    (fact,) = (one for one in board.facts if one.startswith("With shots"))
    assert fact.endswith("judged by a memory of 2 normal images of its own train split, drawn with seeds 0, 1.")
    html = page.page(board)
    assert ">fe-clip, 2 shots<" in html
    assert "<h2>nuts, few-shot: trained on " in html
    assert "## nuts, few-shot: trained on " in leaderboard_tables.markdown(board)
    assert "seed 5, shots 1" in html


def test_each_is_what_evaluate_finds(done: tuple[Plan, Path, Leaderboard], tmp_path: Path) -> None:
    one, out, board = done
    for seed in (0, 1):
        theirs = store.read(out / "evaluations" / "nuts" / f"fe-clip-2-shots-5-{seed}" / "plates")
        assert (theirs.protocol.shots, theirs.protocol.shots_seed) == (2, seed)
        ours = zsad.evaluate(
            out / "training" / "nuts" / "fe-clip-5",
            [one.data["plates"]],
            tmp_path / str(seed),
            resolution=32,
            resamples=0,
            shots=2,
            shots_seed=seed,
        )
        assert [c.shots for c in ours.data_sets[0].classes] == [c.shots for c in theirs.data_sets[0].classes]
        means = board.tables[1].lines[0].means
        for name, metric in ours.data_sets[0].means.items():
            assert means[name].values[f"5, shots {seed}"] == pytest.approx(metric.value, abs=1e-3), name


def test_another_image_to_show_is_another_data_set(
    done: tuple[Plan, Path, Leaderboard], tmp_path_factory: pytest.TempPathFactory
) -> None:
    one, out, _ = done
    shown = store.read(out / "evaluations" / "nuts" / "fe-clip-2-shots-5-0" / "plates").data_sets[0].classes[0].shots
    image = one.data["plates"].root / next(iter(shown))
    before = image.read_bytes()
    other = next(path for path in sorted(image.parent.iterdir()) if path.read_bytes() != before)
    image.write_bytes(other.read_bytes())
    try:
        with pytest.raises(ConfigError, match="others in evaluations/nuts/fe-clip-2-shots-5-0/plates"):
            running.check(one, out)
    finally:
        image.write_bytes(before)
    running.check(one, out)


@pytest.mark.parametrize(
    ("shots", "message"),
    [
        ("shots = [2]", "few-shot alone have such a mode; got clip"),
        ("shots = [-1]", "not negative; got -1"),
        ("shots = []", "at least one number of shots"),
        ("shots = [2, 2]", "a number of shots is named once; got 2"),
        ("shots = [0, 2]\nshots_seeds = [1, 1]", "a seed of shots is named once; got 1"),
        ("shots = [0]\nshots_seeds = []", "at least one seed of shots"),
    ],
)
def test_what_cannot_be_shown_is_refused(shots: str, message: str, tmp_path: Path) -> None:
    head = HEAD.replace("shots = [0, 2]\nshots_seeds = [0, 1]", shots)
    path = write(tmp_path, head, REST)
    with pytest.raises(ConfigError, match=message):
        recipe.entrants(recipe.read(path), tmp_path)


def test_a_detector_that_is_few_shot_only_has_no_line_without_shots(tmp_path: Path) -> None:
    head, rest = HEAD.replace('"clip", "fe-clip"', '"clip", "patchcore"'), REST.partition("[change")[0]
    rest = rest.replace('detectors = ["clip", "fe-clip"]', "").replace('train = ["nuts"]', "train = []")
    titles = [one.title for one in recipe.entrants(recipe.read(write(tmp_path, head, rest)), tmp_path)]
    assert titles == ["clip", "patchcore, 2 shots"]
    zero = write(tmp_path, head.replace("shots = [0, 2]\nshots_seeds = [0, 1]", "shots = [0]"), rest)
    with pytest.raises(ConfigError, match=r"benchmarked with shots; got patchcore\. Remedy: say shots = \[1, 2, 4\]"):
        recipe.entrants(recipe.read(zero), tmp_path)


def test_one_draw_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD.replace("shots_seeds = [0, 1]", "shots_seeds = [3]").replace("[0, 2]", "[0, 1]"), REST)
    titles = [one.title for one in recipe.entrants(recipe.read(path), tmp_path)]
    assert titles == ["clip", "fe-clip", "fe-clip, 1 shot, seed 3"]


def test_table_5_of_fe_clip_stands_beside_its_recipe() -> None:
    """As printed: pixel AUROC / PRO and image AUROC / AP, in percent."""
    path = RECIPES / "benchmark" / "few-shot-fe-clip.toml"
    benchmark = recipe.read(path)
    names = {name: complete(name) for name in benchmark.data}
    one = plan.plan(benchmark, recipe.entrants(benchmark, path.parent), names, {})
    table_5 = {
        "visa-to-mvtec": {1: (96.1, 90.9, 95.6, 98.1), 2: (96.5, 91.5, 96.2, 98.3), 4: (96.7, 91.7, 96.6, 98.4)},
        "mvtec-to-visa": {1: (97.9, 93.9, 88.7, 90.5), 2: (98.2, 94.3, 90.3, 91.6), 4: (98.4, 95.0, 90.7, 91.9)},
    }
    for split in benchmark.split:
        for shots, row in table_5[split.name].items():
            (entrant,) = (entrant for entrant in one.entrants if entrant.shots == shots)
            found = {number.metric: number for number in printed(one, split, entrant, split.test[0])}
            metrics = ("pixel_auroc", "pixel_pro_200", "image_auroc", "image_ap")
            assert tuple(round(100 * found[name].value, 1) for name in metrics) == row
            assert {number.source for number in found.values()} == {"FE-CLIP, Table 5"}
            assert {number.differs for number in found.values()} == {()}
