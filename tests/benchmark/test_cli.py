"""``zsad benchmark`` as a user meets it."""

import json
import re
from pathlib import Path

import pytest

from tests.benchmark.making import HEAD, copy, data, write
from tests.data.test_layouts_industrial import visa
from tests.data.trees import mvtec_tree
from zsad.benchmark.plan import Plan
from zsad.cli.main import main
from zsad.reports import leaderboard_tables as tables
from zsad.results.leaderboard import Leaderboard

Finished = tuple[Plan, Path, Leaderboard]
RECIPES = Path(__file__).parents[2] / "recipes" / "benchmark"
QUICK = HEAD.replace("[1, 2]", "[1]")


def command(path: Path, root: Path, out: Path, *words: str) -> list[str]:
    machine = ["--device", "cpu", "--cache-gb", "0"]
    return ["benchmark", str(path), "--data-root", str(root), "--out", str(out), *machine, *words]


def test_two_machines_and_one_leaderboard(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = write(tmp_path, QUICK), tmp_path / "out"
    assert main(command(path, root, out, "--shard", "1/2")) == 0
    said = capsys.readouterr()
    assert "[3/3] plates/toy-editor-1" in said.err
    assert "gone, about 0:00 left" in said.err
    assert "not done yet: 2 of 5 runs" in said.out
    assert main(command(path, root, out, "--shard", "2/2")) == 0
    assert "not done yet" not in capsys.readouterr().out
    before = (out / "leaderboard.csv").read_bytes()
    (out / "leaderboard.csv").unlink()
    assert main(command(path, root, out, "--collect")) == 0
    said = capsys.readouterr()
    assert f"leaderboard: {out / 'leaderboard.html'}" in said.out
    assert said.err == ""
    assert (out / "leaderboard.csv").read_bytes() == before
    assert {file.name for file in out.iterdir() if file.is_file()} == {
        "benchmark.json",
        "data.json",
        *(f"leaderboard.{ending}" for ending in ("md", "csv", "json", "html")),
    }


def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    finished: Finished, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copy(finished[1], tmp_path / "out")
    files = sorted(out.rglob("*"))
    path = write(tmp_path, HEAD.replace("[1, 2]", "[1, 2, 3]"))
    assert main(command(path, root, out, "--dry-run")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    text = "\n".join(" ".join(line.split()) for line in lines)
    assert "plates 8 test images, 2 classes mvtec" in text
    assert "nuts: trained on nuts\nclip small done\ntoy-reader, seed 1 small done" in text
    assert "toy-editor, seed 3 small 2 of 2 sets to do" in text
    assert sorted(out.rglob("*")) == files
    assert main(command(path, root, tmp_path / "none", "--dry-run", "--only", "clip")) == 0
    assert "toy" not in capsys.readouterr().out
    assert not (tmp_path / "none").exists()


def test_what_is_missing_is_named_or_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, path, out = data(tmp_path / "data"), write(tmp_path, QUICK), tmp_path / "out"
    (root / "plates").rename(root / "elsewhere")
    assert main(command(path, root, out)) == 2
    assert "\n  plates: mvtec:" in capsys.readouterr().err
    assert not out.exists()
    assert main(command(path, root, out, "--skip-missing", "--only", "clip")) == 0
    assert "skipped plates: mvtec:" in capsys.readouterr().err
    assert "plates was skipped" in (out / "leaderboard.md").read_text()
    assert main(command(path, root, out, "--data", f"plates=mvtec:{root / 'elsewhere'}", "--only", "clip")) == 0
    assert "plates was skipped" not in (out / "leaderboard.md").read_text()


def test_detectors_that_have_nothing_to_train_on_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, path, out = data(tmp_path / "data"), write(tmp_path, QUICK), tmp_path / "out"
    (root / "nuts").rename(root / "elsewhere")
    assert main(command(path, root, out, "--skip-missing", "--only", "clip")) == 0
    why = "it is trained on nuts, which is missing"
    assert f"skipped nuts/toy-reader: {why}" in capsys.readouterr().err
    text = (out / "leaderboard.md").read_text()
    assert f"* nuts/toy-editor was skipped: {why}" in text
    assert "plates/toy-editor was skipped" not in text
    assert main(command(path, root, out, "--skip-missing", "--dry-run")) == 0
    assert "toy-editor missing" not in " ".join(capsys.readouterr().out.split())


def test_collecting_needs_no_data_and_says_what_failed(
    finished: Finished, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, made, board = finished
    out, path, nowhere = copy(made, tmp_path / "out"), write(tmp_path), tmp_path / "nowhere"
    assert main(command(path, nowhere, out)) == 2
    (out / "data.json").unlink(missing_ok=True)
    assert main(command(path, nowhere, out, "--collect")) == 2
    assert main(command(path, root, out)) == 0
    assert main(command(path, nowhere, out, "--collect")) == 0
    words = json.loads((out / "leaderboard.json").read_text())
    assert words["tables"] == json.loads(tables.everything(board))["tables"]
    record = out / "runs" / "nuts" / "toy-reader-1.json"
    record.write_text(record.read_text().replace('"errors": {}', '"errors": {"mpdd": "no room"}'))
    (out / "evaluations" / "nuts" / "toy-reader-1" / "mpdd" / "evaluation.json").unlink()
    capsys.readouterr()
    assert main(command(path, nowhere, out, "--collect")) == 1
    assert "failed: nuts/toy-reader-1 on mpdd: no room" in capsys.readouterr().err


def test_shards_are_of_the_detectors_that_are_wanted(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--only", "clip", "--dry-run", "--shard"]
    assert main(command(write(tmp_path), root, tmp_path / "out", *words, "1/2")) == 0
    assert "clip small" in " ".join(capsys.readouterr().out.split())
    assert main(command(write(tmp_path), root, tmp_path / "out", *words, "2/2")) == 0
    said = capsys.readouterr()
    assert "no runs in this shard" in said.err
    assert "clip" not in said.out


def test_a_run_that_fails_ends_with_1_and_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, path = data(tmp_path / "data"), write(tmp_path, QUICK)
    broken = root / "plates" / "a" / "test" / "good" / "000.png"
    broken.write_bytes(broken.read_bytes()[:60])
    out = tmp_path / "out"
    assert main(command(path, root, out, "--only", "toy-editor")) == 1
    said = capsys.readouterr().err
    assert "failed: plates/toy-editor-1: " in said
    assert str(broken) in said
    text = (out / "leaderboard.md").read_text()
    assert "plates/toy-editor-1 failed: " in text
    assert re.search(r"\* a: 1 image .*: a/test/good/000\.png\.", text)  # evaluations go on without it


@pytest.mark.parametrize("words", [["--shard", "2"], ["--shard", "a/b"]])
def test_a_shard_is_a_part_of_a_whole(words: list[str], root: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(command(write(tmp_path), root, tmp_path / "out", *words))


def test_the_papers_protocol_runs_unchanged_on_data_below_one_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    visa(tmp_path / "visa")
    mvtec_tree(tmp_path / "mvtec", ("bottle", "cable"))
    assert main(command(RECIPES / "papers-mvtec-to-visa.toml", tmp_path, tmp_path / "out", "--dry-run")) == 0
    text = "\n".join(" ".join(line.split()) for line in capsys.readouterr().out.splitlines())
    assert "mvtec 12 test images, 2 classes mvtec" in text
    assert "winclip ViT-B-16-plus-240 1 of 1 sets to do" in text
    for name in ("acd-clip", "afr-clip", "fe-clip", "kanoclip", "wmoe-clip"):
        assert f"{name}, seed 111 ViT-L-14-336 1 of 1 sets to do" in text
    assert main(command(RECIPES / "papers-visa-to-all.toml", tmp_path, tmp_path / "out", "--dry-run")) == 2
    missing = capsys.readouterr().err
    assert missing.count("(does not exist)") == 21
    assert f"brain-mri-bayes-pfl:{tmp_path / 'brain-mri'}:" in missing  # a part of Kaggle's, in whose folder it is read
    skipping = ["--dry-run", "--skip-missing"]
    assert main(command(RECIPES / "papers-visa-to-all.toml", tmp_path, tmp_path / "out", *skipping)) == 0
    assert "btad missing: skipped" in " ".join(capsys.readouterr().out.split())
