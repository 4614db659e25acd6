"""``zsad import``: from a file of the authors to a detector that predicts."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import zsad
from tests.doors.hostile import ACTING, FORMS, entry, written
from tests.methods.test_acd_clip_published import published
from zsad import checkpoint
from zsad.backbones import weights
from zsad.cli.main import main
from zsad.data.decode import decode
from zsad.data.synthetic import part
from zsad.importing import importable
from zsad.methods.acd_clip.method import AcdClip, AcdClipConfig

TINY = ["--backbone", "tiny", "--image-size", "64"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A checkpoint of acd-clip as its authors' training saves it, in the widths of ``tiny``."""
    torch.save(published(4, 192, 192, (3,), 4), tmp_path / "adapter_20.pth")
    return tmp_path / "adapter_20.pth"


def test_a_published_checkpoint_becomes_a_detector(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["import", str(path), "--as", "acd-clip", "--out", str(out), *TINY, "--set", "map_weight=0.5"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "acd-clip at 64 px on tiny (embedded, gelu)",
        "options: groups=4, kernels=[3], rank=4, map_weight=0.5",
        f"detector: {out} (use it with --detector {out})",
    ]
    detector = zsad.load(out)
    config = AcdClipConfig(groups=4, kernels=(3,), rank=4, map_weight=0.5)
    by_hand = AcdClip(weights.load("tiny", activation="gelu"), config).eval()
    by_hand.load_state_dict(AcdClip.from_published(published(4, 192, 192, (3,), 4)).tensors, strict=False)
    image = part(np.random.default_rng(0), (64, 64))[0]
    pixels = detector.stages.pixels([decode(image)])
    with torch.inference_mode():
        expected = float(by_hand(pixels, ["nut"]).score)
    assert detector.predict(image, "nut").score == pytest.approx(expected, abs=1e-6)
    assert detector.card.fingerprint == by_hand.fingerprint


def test_its_record_says_that_its_training_images_are_not_known(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["import", str(path), "--as", "acd-clip", "--out", str(out), *TINY]) == 0
    record = checkpoint.read_training_record(out)
    assert record.training["imported"]["file"] == "adapter_20.pth"
    assert not record.is_on_record
    assert json.loads((out / "detector.json").read_text())["options"] == {"groups": 4, "kernels": [3], "rank": 4}


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        ({"prompt_learner": {"ctx_pos": torch.zeros(1, 1, 12, 768)}}, [], "has the entry text_adapter; got prompt_le"),
        (published(2, 24, 16), TINY, r"fits acd-clip on tiny; got .* of shape \(1, 1, 24\) where \(1, 1, 192\)"),
        (published(2, 192, 192), [*TINY, "--set", "groups=4"], "differences in text_groups.2"),
        (published(2, 192, 192), [*TINY, "--set", "sigmma=4"], "did you mean 'sigma'"),
        (torch.zeros(3), [], "has the entry text_adapter"),
        ([torch.zeros(3)], [], "holds tensors by name; got a value of type list"),
    ],
    ids=["another method", "another width", "other groups", "unknown option", "one tensor", "a list"],
)
def test_another_file_is_refused_with_what_was_expected(
    content: Any, words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(content, tmp_path / "w.pth")
    assert main(["import", str(tmp_path / "w.pth"), "--as", "acd-clip", "--out", str(tmp_path / "out"), *words]) == 2
    said = capsys.readouterr().err
    assert re.search(message, said), said
    assert not (tmp_path / "out").exists()


def test_a_method_of_which_no_form_is_known_names_those_of_which_one_is(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "acd-clip" in importable()
    assert "clip" not in importable()
    assert main(["import", str(path), "--as", "wmoe-clip", "--out", str(tmp_path / "out")]) == 2
    assert "is known for aa-clip, acd-clip" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize("form", FORMS)
def test_nothing_in_the_file_is_executed(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    marker, path = tmp_path / "it ran", tmp_path / "adapter_1.pth"
    written(path, FORMS[form](entry(ACTING["os.system"](str(marker)))))
    assert main(["import", str(path), "--as", "acd-clip", "--out", str(tmp_path / "out")]) == 2
    assert "zsad: " in capsys.readouterr().err
    assert not marker.exists()


def test_safetensors_hold_no_entries_and_are_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file({"m_i_w.0.i_w": torch.zeros(1)}, tmp_path / "w.safetensors")
    words = ["--as", "acd-clip", "--out", str(tmp_path / "out")]
    assert main(["import", str(tmp_path / "w.safetensors"), *words]) == 2
    assert "has the entry text_adapter; got m_i_w.0.i_w" in capsys.readouterr().err
