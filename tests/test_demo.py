"""The demonstration on real photographs."""

import re
from pathlib import Path

import pytest
from PIL import Image

from zsad import demo
from zsad.cli.main import main
from zsad.data.layouts import get
from zsad.errors import ConfigError, DependencyError

pytest.importorskip("elpv_dataset", reason="the demo's photographs are in the extra 'demo'")


def test_it_prints_the_table_and_writes_heat_maps_and_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--images", "4", "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert len(re.findall(r"^ *[01]\.\d{3}  (?:normal|anomalous) .*cell\d+\.png$", text, re.MULTILINE)) == 8
    assert re.search(r"image AUROC [01]\.\d{3} \(95 % bootstrap interval .*\)\non 4 good and 4 defective cells", text)
    assert "for trying out and for tests" in text
    assert max(len(line) for line in text.splitlines() if str(tmp_path) not in line) <= 80
    with Image.open(tmp_path / "heatmaps.png") as image:
        assert image.width >= 320
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_the_choice_is_seeded_balanced_and_labelled() -> None:
    samples = get("elpv").samples(demo.photographs())
    assert len(samples) == 2624
    chosen = demo.choose(samples, 5, seed=1)
    assert [sample.label for sample in chosen] == [0] * 5 + [1] * 5
    assert chosen == demo.choose(samples, 5, seed=1)
    assert chosen != demo.choose(samples, 5, seed=2)


def test_errors(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="1 to "):
        demo.choose(get("elpv").samples(demo.photographs()), 5000, seed=0)
    monkeypatch.setattr(demo, "find_spec", lambda _: None)
    with pytest.raises(DependencyError, match=r"zsad\[demo\]"):
        demo.photographs()
