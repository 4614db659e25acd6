"""Runs: each once, whatever happens in between."""

import json
from pathlib import Path
from statistics import mean, stdev

import pytest
import torch

from tests.benchmark.making import HEAD, REST, copy, planned, run, write
from tests.trainer.toys import ToyEditor
from zsad.benchmark import leaderboard, plan, running
from zsad.benchmark.plan import Plan
from zsad.errors import ConfigError, InputError
from zsad.locks import LOCK
from zsad.results import store
from zsad.results.leaderboard import Leaderboard
from zsad.results.schema import METRICS
from zsad.runtime import RuntimeConfig

Finished = tuple[Plan, Path, Leaderboard]


def stamps(out: Path) -> dict[str, int]:
    """When each file of training and evaluations was written."""
    files = [path for path in out.rglob("*") if path.is_file() and path.parent != out]
    return {path.relative_to(out).as_posix(): path.stat().st_mtime_ns for path in files}


def test_every_detector_is_trained_on_every_split_with_every_seed(finished: Finished) -> None:
    plan, out, board = finished
    keys = [one.key for one in plan.runs]
    trained = [f"{name}-{seed}" for name in ("toy-reader", "toy-editor") for seed in (1, 2)]
    assert keys == [*(f"nuts/{name}" for name in ("clip", *trained)), *(f"plates/{name}" for name in trained)]
    for one in plan.runs:
        card = out / "training" / one.key / "training.json"
        assert card.exists() == one.entrant.trained
        if one.entrant.trained:
            words = json.loads(card.read_text())
            assert (words["seed"], words["epochs_done"]) == (one.seed, 1)
            assert list(words["classes"]) == {"nuts": ["metal nut"], "plates": ["a", "b"]}[one.split.name]
    assert not board.failed
    assert not board.unfinished
    tables = [(table.split, table.data_set, [line.detector for line in table.lines]) for table in board.tables]
    names = ["clip", "toy-reader", "toy-editor"]
    assert tables == [("nuts", "mpdd", names), ("nuts", "plates", names), ("plates", "mpdd", names)]


def test_what_is_not_trained_is_evaluated_once(finished: Finished) -> None:
    _, out, board = finished
    first, _, second = (table.lines[0] for table in board.tables)
    assert first == second
    assert (first.seeds, first.of, first.evaluations) == (("-",), 1, ("evaluations/nuts/clip/mpdd",))
    assert not (out / "evaluations" / "plates" / "clip").exists()


def test_mean_and_deviation_are_over_the_seeds(finished: Finished) -> None:
    _, out, board = finished
    line = board.tables[1].lines[1]
    assert line.seeds == ("1", "2")
    found = [store.read(out / folder).data_sets[0] for folder in line.evaluations]
    for name in METRICS:
        values = [one.means[name].value for one in found]
        score = line.means[name]
        assert (score.value, score.std, score.n) == (mean(values), stdev(values), 2)  # type: ignore[type-var]
        assert score.values == dict(zip(("1", "2"), values, strict=True))
        of_class = [one.classes[1].metrics[name].value for one in found]
        assert line.classes["b"][name].value == mean(of_class)  # type: ignore[type-var]
    evaluations = [store.read(out / folder) for folder in line.evaluations]
    assert len({evaluation.detector.fingerprint for evaluation in evaluations}) == 2


def test_a_second_start_does_nothing_again(finished: Finished, tmp_path: Path) -> None:
    plan, made, board = finished
    out, said = copy(made, tmp_path / "out"), list[str]()
    before = stamps(out)
    again = run(plan, out, said)
    assert said == ["9 of 9 runs are done already"]
    assert stamps(out) == before
    assert again.tables == board.tables


def test_a_run_that_was_cut_off_goes_on_and_nothing_finished_is_done_twice(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: Finished
) -> None:
    out, plan = tmp_path / "out", planned(write(tmp_path), root)
    evaluate, calls = running.evaluate, list[str]()

    def stopping(detector: object, data: object, folder: Path, **words: object) -> object:
        calls.append(folder.relative_to(out).as_posix())
        if len(calls) == 5:
            raise KeyboardInterrupt
        return evaluate(detector, data, folder, **words)  # type: ignore[arg-type]

    monkeypatch.setattr(running, "evaluate", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(plan, out)
    halfway, before = leaderboard.collect(plan, out), stamps(out)
    assert "nuts/toy-reader-2" in halfway.unfinished
    assert [line.seeds for line in halfway.tables[0].lines] == [("-",), ("1",)]
    assert halfway.tables[0].lines[1].of == 2
    board = run(plan, out)
    assert len(calls) == len(set(calls)) + 1  # only the one that was cut off began twice
    after = stamps(out)
    kept = [name for name in before if "toy-reader-2" not in name]
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert board.tables == finished[2].tables


def test_failures_are_named_and_the_rest_goes_on(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: Finished
) -> None:
    out, plan, said = tmp_path / "out", planned(write(tmp_path), root), list[str]()
    with monkeypatch.context() as patch:
        patch.setattr(ToyEditor, "loss", _full)
        board = run(plan, out, said)
    wrong = "RuntimeError: CUDA out of memory"
    assert board.failed == {f"{split}/toy-editor-{seed}": wrong for split in ("nuts", "plates") for seed in (1, 2)}
    assert f"    failed: {wrong}" in said
    assert [line.detector for line in board.tables[0].lines] == ["clip", "toy-reader"]
    record = running.read_record(plan.runs[3], out)
    assert record is not None
    assert record.state == "failed"
    assert "_full" in record.traces[""]
    assert run(plan, out).tables == finished[2].tables


def _full(*_: object) -> dict[str, torch.Tensor]:
    raise RuntimeError("CUDA out of memory\nmore words")


def test_one_data_set_that_fails_leaves_the_others(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(write(tmp_path), root)
    evaluate = running.evaluate

    def fussy(detector: object, data: object, folder: Path, **words: object) -> object:
        if folder.name == "mpdd":
            raise InputError("a mask is a readable image", "mpdd", "repair it")
        return evaluate(detector, data, folder, **words)  # type: ignore[arg-type]

    monkeypatch.setattr(running, "evaluate", fussy)
    failed = running.do(plan, plan.runs[:2], tmp_path / "out", RuntimeConfig("cpu", cache_gb=0), print)
    assert failed == list(plan.runs[:2])
    board = leaderboard.collect(plan, tmp_path / "out")
    assert list(board.failed) == ["nuts/clip on mpdd", "nuts/toy-reader-1 on mpdd"]
    assert [line.detector for line in board.tables[1].lines] == ["clip", "toy-reader"]


def test_things_may_be_added(finished: Finished, root: Path, tmp_path: Path) -> None:
    out = copy(finished[1], tmp_path / "out")
    head = HEAD.replace("[1, 2]", "[1, 2, 3]").replace('"clip",', '"clip", "clip-ac",')
    said = list[str]()
    board = run(planned(write(tmp_path, head), root), out, said)
    assert said[0] == "9 of 14 runs are done already"
    assert [line.seeds for line in board.tables[2].lines] == [("-",), ("-",), ("1", "2", "3"), ("1", "2", "3")]
    assert board.tables[0].lines[0] == finished[2].tables[0].lines[0]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "toy-reader]\ntraining = { epochs = 1 }",
            "toy-reader]\ntraining = { epochs = 2 }",
            r"nuts/toy-reader-1 \(det",
        ),
        ("resolution = 32", "resolution = 64", r"nuts/clip \(resolution\); another nuts/toy"),
        ("seeds", "max_train_images = 2\nseeds", r"got another nuts/toy-reader-1 \(max_train_images\)"),
        ('train = ["plates"]', 'train = ["nuts"]', r"got another plates/toy-reader-1 \(train\)"),
    ],
)
def test_another_recipe_in_the_same_folder_is_refused(
    old: str, new: str, words: str, finished: Finished, root: Path, tmp_path: Path
) -> None:
    path = write(tmp_path, *(text.replace(old, new) for text in (HEAD, REST)))
    with pytest.raises(ConfigError, match=words):
        running.check(planned(path, root), finished[1])


def test_limits_hold_for_training_and_tests(root: Path, tmp_path: Path) -> None:
    path = write(tmp_path, HEAD.replace("seeds", "max_train_images = 1\nmax_test_images = 1\nseeds"))
    whole = planned(path, root)
    running.do(whole, whole.runs[1:2], tmp_path / "out", RuntimeConfig("cpu", cache_gb=0), print)
    words = json.loads((tmp_path / "out" / "training" / "nuts" / "toy-reader-1" / "training.json").read_text())
    assert words["classes"] == {"metal nut": 2}
    board = leaderboard.collect(whole, tmp_path / "out")
    found = store.read(tmp_path / "out" / board.tables[1].lines[0].evaluations[0])
    assert [(one.normal, one.anomalous) for one in found.data_sets[0].classes] == [(1, 1), (1, 1)]


def test_shards_are_disjoint_and_complete(finished: Finished) -> None:
    runs = finished[0].runs
    shares = [plan.share(runs, (number, 4)) for number in (1, 2, 3, 4)]
    assert sorted(run.key for one in shares for run in one) == sorted(run.key for run in runs)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert [run.key for run in plan.share(runs, only=["clip"])] == ["nuts/clip"]
    with pytest.raises(ConfigError, match="one of 1 to N; got 3/2"):
        plan.share(runs, (3, 2))
    with pytest.raises(ConfigError, match="did you mean 'clip'"):
        plan.share(runs, only=["clap"])


def test_a_record_that_is_damaged_is_named(finished: Finished, tmp_path: Path) -> None:
    out = copy(finished[1], tmp_path / "out")
    (out / "runs" / "nuts" / "clip.json").write_text("{")
    with pytest.raises(InputError, match=r"clip\.json"):
        running.check(finished[0], out)


@pytest.mark.parametrize("name", ["benchmark.json", "leaderboard.html", "leaderboard.md"])
def test_files_from_elsewhere_are_not_written_over(name: str, finished: Finished, tmp_path: Path) -> None:
    (tmp_path / name).write_text('{"mine": true}')
    with pytest.raises(InputError, match=f"writes over no other file; got {name} from elsewhere"):
        running.check(finished[0], tmp_path)
    assert (tmp_path / name).read_text() == '{"mine": true}'


def test_a_run_that_was_cut_off_after_its_last_evaluation_is_done(finished: Finished, tmp_path: Path) -> None:
    made, out = finished[0], copy(finished[1], tmp_path / "out")
    first = made.runs[0]
    lock = running.folder_of(first, first.test[-1], out) / LOCK
    path, record = out / "runs" / f"{first.key}.json", running.read_record(first, out)
    assert record is not None
    done = json.loads(path.read_text())
    path.write_text(json.dumps(done | {"state": "begun"}))
    lock.write_text("process 1 on another machine")
    said: list[str] = []
    assert running.do(made, made.runs, out, RuntimeConfig(device="cpu"), said.append) == []
    assert said == [f"{len(made.runs)} of {len(made.runs)} runs are done already"]
    assert json.loads(path.read_text()) == done
    assert not lock.exists()
