"""``zsad ensemble``: from several detectors to one on disk."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zsad
from zsad import checkpoint
from zsad.cli.main import main
from zsad.data.synthetic import part
from zsad.ensembling import assemble
from zsad.errors import ConfigError
from zsad.methods.ensemble import Ensemble

SIZE = ["--image-size", "64"]


@pytest.fixture
def normal(tmp_path: Path) -> Path:
    """Four images of normal parts."""
    folder = tmp_path / "normal"
    folder.mkdir()
    for number in range(4):
        Image.fromarray(part(np.random.default_rng(number), (64, 64))[0]).save(folder / f"{number}.png")
    return folder


def test_detectors_of_one_backbone_become_one(normal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["ensemble", "clip-ac", "wmoe-clip", "fe-clip", "--fusion", "mean", "--out", str(out), *SIZE]) == 0
    said = capsys.readouterr().out
    assert "ensemble of clip-ac, wmoe-clip, fe-clip at 64 px on tiny" in said
    made = zsad.load(out)
    image = str(normal / "0.png")
    members = [zsad.load(name, image_size=64) for name in ("clip-ac", "wmoe-clip", "fe-clip")]
    expected = np.mean([member.predict(image, "part").score for member in members])
    assert made.predict(image, "part").score == pytest.approx(expected, abs=1e-5)
    assert {*made.training_record.seen} == {image for member in members for image in member.training_record.seen}
    assert made.training_record.is_on_record
    assert made.card.fingerprint == members[0].card.fingerprint


def test_a_folder_is_ranked(normal: Path, tmp_path: Path) -> None:
    detectors = [zsad.load(name, image_size=64) for name in ("clip", "clip-ac")]
    made = assemble(detectors)
    images = sorted(map(str, normal.iterdir()))
    found = [prediction.score for prediction in made.predict(images, "part")]
    assert made.scored_together
    orders = [np.argsort(np.argsort([one.score for one in each.predict(images, "part")])) for each in detectors]
    assert found == pytest.approx(((np.mean(orders, 0) + 0.5) / 4).tolist(), abs=1e-5)


def test_normal_images_give_p_values_which_are_saved(normal: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["--normal", str(normal), "--class-name", "part", "--out", str(out), *SIZE]
    assert main(["ensemble", "clip", "clip-ac", *words]) == 0
    made = zsad.load(out)
    assert isinstance(made.method, Ensemble)
    assert (made.method.config.fusion, made.method.config.normal_images) == ("p-values", 4)
    assert made.method.normal_scores.diff(dim=1).min() >= 0
    scores = [made.predict(str(path), "part").score for path in sorted(normal.iterdir())]
    # Of n + 1 values, what was seen is above 0 to n - 1 of n.
    assert {round(5 * 2 * score) for score in scores} <= {*range(2 * 4)}
    assert len(made.training_record.seen) == 4


@pytest.mark.parametrize(
    ("others", "message"),
    [({"image_size": 80}, "one image size; got 64 px of clip and 80 px"), ({"weights": "random"}, "one backbone; got")],
)
def test_members_that_do_not_share_a_backbone_are_refused(others: dict[str, object], message: str) -> None:
    first = zsad.load("clip", image_size=64)
    with pytest.raises(ConfigError, match=message):
        assemble([first, zsad.load("clip-ac", **{"image_size": 64, **others})])


def test_a_member_that_remembers_images_is_refused(normal: Path) -> None:
    fitted = zsad.load("winclip", image_size=64)
    fitted.fit_normal([str(normal / "0.png")], "part")
    with pytest.raises(ConfigError, match="remember no images; got winclip"):
        assemble([zsad.load("clip", image_size=64), fitted])


def test_trained_members_by_name_alone_are_refused_with_the_command() -> None:
    with pytest.raises(ConfigError, match=r"trained before it is used; .* zsad ensemble DETECTOR"):
        zsad.load("ensemble", options={"members": ["clip", "fe-clip"]})


def test_members_whose_training_is_not_on_record_leave_none(tmp_path: Path) -> None:
    trained = zsad.load("wmoe-clip", image_size=64)
    trained.training_record = checkpoint.TrainingRecord()
    made = assemble([zsad.load("fe-clip", image_size=64), trained])
    assert not made.training_record.is_on_record
    assert made.training_record.images == zsad.load("fe-clip").training_record.images
