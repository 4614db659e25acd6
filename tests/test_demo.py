"""The demonstration on real photographs."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zsad
from zsad import demo
from zsad.cli.main import main
from zsad.data.layouts import get
from zsad.errors import ConfigError, DependencyError
from zsad.metrics import auroc
from zsad.types import DecodedImage, Prediction

pytest.importorskip("elpv_dataset", reason="the demo's photographs are in the extra 'demo'")

# So few and small cells have less in common than the folder asks for.
SMALL = ["--image-size", "96", "--set", "unlike=1.0", "--images", "3", "--normal", "2"]
ROW = re.compile(r"^ *([01]\.\d{3}) +([01]\.\d{3}) +([01]\.\d{3})  (good|defective).*  (cell\d+\.png)$", re.MULTILINE)


def test_it_judges_the_same_cells_three_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", *SMALL, "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert max(len(line) for line in text.splitlines() if str(tmp_path) not in line) <= 80
    assert "for trying out and for tests" in text
    rows = ROW.findall(text)
    assert len(rows) == 6
    assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)
    found = json.loads((tmp_path / "predictions.json").read_text())
    written = {Path(entry["source"]).name: f"{entry['score']:.3f}" for entry in found["predictions"]}
    assert written == {row[4]: row[1] for row in rows}  # the report is of the unlabelled folder
    labels = [row[3] == "defective" for row in rows]
    judged = re.findall(r"\(\S+\) +(\S+) +([01]\.\d{3})  +[\d.]+ to [\d.]+$", text, re.MULTILINE)
    settings, aurocs = zip(*judged, strict=True)
    assert settings == ("zero-shot", "transductive", "few-shot")
    assert found["run"]["setting"] == "transductive"
    assert len(aurocs) == 3
    for column, value in enumerate(aurocs):
        assert abs(auroc([float(row[column]) for row in rows], labels) - float(value)) < 0.06  # rounding may make ties
    assert len({tuple(row[column] for row in rows) for column in range(3)}) == 3
    with Image.open(tmp_path / "heatmaps.png") as image:
        assert image.width >= 4 * 180


def test_the_choice_is_seeded_balanced_and_labelled() -> None:
    samples = get("elpv").samples(demo.photographs())
    assert len(samples) == 2624
    chosen, normal = demo.choose(samples, 5, 3, seed=1)
    assert [sample.label for sample in chosen] == [0] * 5 + [1] * 5
    assert [sample.label for sample in normal] == [0] * 3
    assert (chosen, normal) == demo.choose(samples, 5, 3, seed=1)
    assert chosen == demo.choose(samples, 5, 9, seed=1)[0]
    assert chosen != demo.choose(samples, 5, 3, seed=2)[0]


def test_known_good_cells_are_never_judged() -> None:
    samples = get("elpv").samples(demo.photographs())
    few = [sample for sample in samples if sample.label == 0][:6] + [sample for sample in samples if sample.label][:3]
    chosen, normal = demo.choose(few, 2, 4, seed=0)
    assert not {sample.image for sample in chosen} & {sample.image for sample in normal}
    assert len({sample.image for sample in normal}) == 4
    with pytest.raises(ConfigError, match="1 to 4 normal images"):
        demo.choose(few, 2, 5, seed=0)


def test_tables_show_what_was_given() -> None:
    samples, _ = demo.choose(get("elpv").samples(demo.photographs()), 8, 1, seed=0)
    labels = [float(sample.label or 0) for sample in samples]
    flipped = [1 - label for label in labels]
    columns = [demo.Judged("a (x)", "text", labels, {}), demo.Judged("b (y)", "folder", flipped, {}, "transductive")]
    table = demo.auroc_table(samples, columns).splitlines()
    assert [line.split() for line in table[1:3]] == [
        ["a", "(x)", "zero-shot", "1.000", "1.00", "to", "1.00"],
        ["b", "(y)", "transductive", "0.000", "0.00", "to", "0.00"],
    ]
    lines = demo.ranking(samples, columns, by=1).splitlines()
    assert [line.split()[:3] for line in lines[1:9]] == [["0.000", "1.000", "good"]] * 8
    assert len(lines) == 1 + demo.FIRST + 1
    assert lines[-1] == "and 4 that “folder” scores lower"


def test_the_figure_shows_the_first_of_each_kind() -> None:
    samples, _ = demo.choose(get("elpv").samples(demo.photographs()), 3, 1, seed=0)
    assert demo.figure_rows(samples) == [0, 1, 3, 4]
    image = DecodedImage(np.full((40, 40, 3), 90, np.uint8), "a.png")
    answer = image, Prediction("a.png", "cell", 0.5, None, np.zeros((40, 40), np.float32))
    hot = image, replace(answer[1], anomaly_map=np.ones((40, 40), np.float32))
    detector = zsad.load("clip", image_size=32)
    quiet, loud = (demo.judge(detector, "a", "a", samples, iter([one] * 6)) for one in (answer, hot))
    assert quiet.scores == [0.5] * 6
    one, two = demo.figure(samples, [quiet]), demo.figure(samples, [quiet, loud])
    assert two.width > one.width
    assert np.asarray(two)[200, -60].tolist() != np.asarray(one)[200, -60].tolist()


def test_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="1 to "):
        demo.choose(get("elpv").samples(demo.photographs()), 5000, 16, seed=0)
    monkeypatch.setattr(demo, "find_spec", lambda _: None)
    with pytest.raises(DependencyError, match=r"zsad\[demo\]"):
        demo.photographs()
