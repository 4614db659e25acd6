"""A detector on disk is the old one, the new one, or says that it is not whole."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.holding import held_by_another
from tests.small import frozen
from zsad import checkpoint
from zsad.calibration import Calibration
from zsad.checkpoint import CALIBRATION, CARD, IMAGES, TRAINED_STATE, TRAINING, Card, TrainingRecord
from zsad.errors import ConfigError, InputError
from zsad.locks import alone
from zsad.methods.fe_clip.method import FeClip

OLD = TrainingRecord(("a" * 64,), {"seed": 1, "classes": {"nut": 1}})
NEW = TrainingRecord(("b" * 64, "c" * 64), {"seed": 2, "classes": {"nut": 2}})


class CutError(Exception):
    """The end of a process, between two changes of files."""


@pytest.fixture(scope="module")
def method() -> FeClip:
    torch.manual_seed(0)
    return FeClip(frozen())


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def changed(method: FeClip) -> FeClip:
    """The same method, as if it had learnt something else."""
    other = FeClip(method.clip)
    other.load_state_dict(method.state_dict())
    with torch.no_grad():
        next(one for one in other.parameters() if one.requires_grad).add_(1)
    return other


def test_what_was_seen_comes_before_the_card(method: FeClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done, os_replace = [], os.replace
    monkeypatch.setattr(os, "replace", lambda old, new: (done.append(Path(new).name), os_replace(old, new)))
    checkpoint.write(Card("fe-clip"), method, OLD, tmp_path)
    assert done[-4:] == [IMAGES, TRAINING, TRAINED_STATE, CARD]
    assert checkpoint.read_training_record(tmp_path) == OLD
    done.clear()
    checkpoint.write(Card("fe-clip"), changed(method), OLD, tmp_path)
    assert done == [IMAGES, TRAINING, TRAINED_STATE, CARD]  # the same images and card: it can be loaded at any moment


@pytest.mark.parametrize("number", range(5))
def test_wherever_saving_is_cut_off_no_mixture_can_be_loaded(
    number: int, method: FeClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, training_record, one in ((tmp_path / "new", NEW, changed(method)), (tmp_path / "out", OLD, method)):
        checkpoint.write(
            Card("fe-clip", threshold=0.25 if training_record is NEW else None), one, training_record, folder
        )
    old, new = content(tmp_path / "out"), content(tmp_path / "new")
    left, os_replace = [number], os.replace

    def cut(source: Path, target: Path) -> None:
        if not left[0]:
            raise CutError
        left[0] -= 1
        os_replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", cut)
        with pytest.raises(CutError):
            checkpoint.write(Card("fe-clip", threshold=0.25), changed(method), NEW, tmp_path / "out")
    found = content(tmp_path / "out")
    if number == 0:
        assert found == old
    else:
        with pytest.raises(ConfigError, match=r"saved as a whole; got .*cut off\. Remedy: give the command again"):
            checkpoint.read(tmp_path / "out")
    checkpoint.write(Card("fe-clip", threshold=0.25), changed(method), NEW, tmp_path / "out")
    assert content(tmp_path / "out") == new


def test_a_detector_without_a_past_keeps_none_of_another(method: FeClip, tmp_path: Path) -> None:
    checkpoint.write(Card("fe-clip"), method, OLD, tmp_path)
    checkpoint.write(Card("fe-clip"), method, TrainingRecord(), tmp_path)
    assert sorted(content(tmp_path)) == [CARD, TRAINED_STATE]


@pytest.mark.parametrize("name", [CARD, TRAINED_STATE, TRAINING, IMAGES, CALIBRATION])
def test_files_of_these_names_from_elsewhere_are_not_written_over(name: str, method: FeClip, tmp_path: Path) -> None:
    (tmp_path / name).write_text("{}")
    rule = "a detector replaces a detector and no other file"
    with pytest.raises(InputError, match=f"{rule}; got {name} from elsewhere"):
        checkpoint.write(Card("fe-clip"), method, OLD, tmp_path)
    assert content(tmp_path) == {name: b"{}"}


def test_a_folder_that_cannot_be_written_or_is_written_by_another_is_named(method: FeClip, tmp_path: Path) -> None:
    (tmp_path / CARD).mkdir()
    with pytest.raises(InputError, match="a detector replaces a detector"):
        checkpoint.write(Card("fe-clip"), method, OLD, tmp_path)
    with held_by_another(alone(tmp_path / "out")), pytest.raises(ConfigError, match="one process at a time"):
        checkpoint.write(Card("fe-clip"), method, OLD, tmp_path / "out")


def test_a_disk_that_is_full_leaves_the_old_detector(
    method: FeClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.write(Card("fe-clip"), method, OLD, tmp_path)
    old = content(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"folder of a detector must be writable; got .*No space left"):
        checkpoint.write(replace(Card("fe-clip"), threshold=0.1), changed(method), NEW, tmp_path)
    assert content(tmp_path) == old
    assert json.loads(old[CARD])["threshold"] is None


@pytest.mark.parametrize(
    ("entries", "threshold"),
    [
        ({"threshold": 0.5}, None),  # as version 0.1.0 wrote where none was chosen
        ({"threshold": 0.4}, 0.4),
        ({}, None),
        ({"format": 2, "threshold": 0.5}, 0.5),
        ({"format": 2, "threshold": None}, None),
    ],
)
def test_a_threshold_of_version_0_1_0_that_nobody_chose_is_none(
    entries: dict[str, object], threshold: float | None, tmp_path: Path
) -> None:
    (tmp_path / CARD).write_text(json.dumps({"method": "fe-clip", **entries}))
    assert checkpoint.read(tmp_path) == Card("fe-clip", threshold=threshold)


@pytest.mark.parametrize("threshold", [None, 0.5])
def test_a_threshold_is_read_as_it_was_written(threshold: float | None, method: FeClip, tmp_path: Path) -> None:
    card = Card("fe-clip", threshold=threshold)
    checkpoint.write(card, method, OLD, tmp_path)
    assert checkpoint.read(tmp_path) == card


@pytest.mark.parametrize("written", [3, 0, "2", True, None])
def test_a_card_of_another_format_is_refused(written: object, tmp_path: Path) -> None:
    (tmp_path / CARD).write_text(json.dumps({"method": "fe-clip", "format": written}))
    with pytest.raises(ConfigError, match=r"a detector has a format of at most 2; got format .*Remedy: install"):
        checkpoint.read(tmp_path)


CALIBRATED = Calibration("fpr", 0.25, (0.1, 0.2, 0.3), "nut", "f" * 64, 0.4, 0.5, images=("d" * 64,))


def test_a_calibration_is_read_as_it_was_written(method: FeClip, tmp_path: Path) -> None:
    record = replace(OLD, calibration=CALIBRATED)
    checkpoint.write(Card("fe-clip"), method, record, tmp_path)
    found = checkpoint.read_training_record(tmp_path)
    assert found == record
    assert found.seen == ("a" * 64, "d" * 64)
    checkpoint.write(Card("fe-clip"), method, OLD, tmp_path)
    assert checkpoint.read_training_record(tmp_path) == OLD
    assert not (tmp_path / CALIBRATION).exists()


def test_a_detector_is_calibrated_in_its_folder(method: FeClip, tmp_path: Path) -> None:
    checkpoint.write(Card("fe-clip", threshold=0.125), method, OLD, tmp_path)
    old = content(tmp_path)
    checkpoint.write_calibration(CALIBRATED, tmp_path)
    assert checkpoint.read(tmp_path) == Card("fe-clip")
    assert checkpoint.read_training_record(tmp_path) == replace(OLD, calibration=CALIBRATED)
    changed_files = {name for name, found in content(tmp_path).items() if old.get(name) != found}
    assert changed_files == {CARD, CALIBRATION}
    with pytest.raises(ConfigError, match=r"holds a readable detector\.json"):
        checkpoint.write_calibration(CALIBRATED, tmp_path / "empty")


@pytest.mark.parametrize("number", range(2))
def test_wherever_calibration_is_cut_off_the_detector_can_be_loaded(
    number: int, method: FeClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.write(Card("fe-clip", threshold=0.125), method, OLD, tmp_path)
    left, os_replace = [number], os.replace

    def cut(source: Path, target: Path) -> None:
        if not left[0]:
            raise CutError
        left[0] -= 1
        os_replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", cut)
        with pytest.raises(CutError):
            checkpoint.write_calibration(CALIBRATED, tmp_path)
    assert checkpoint.read(tmp_path).threshold == 0.125
    found = checkpoint.read_training_record(tmp_path)
    assert found == replace(OLD, calibration=CALIBRATED if number else None)
    checkpoint.load_trained_state(method, tmp_path)
    checkpoint.write_calibration(CALIBRATED, tmp_path)
    assert checkpoint.read(tmp_path).threshold is None


@pytest.mark.parametrize("number", range(6))
def test_a_detector_with_another_calibration_is_never_unreadable(
    number: int, method: FeClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saved over itself, it can be loaded at any moment, with one calibration or the other."""
    one, other = (replace(OLD, calibration=replace(CALIBRATED, threshold=value)) for value in (0.25, 0.5))
    checkpoint.write(Card("fe-clip"), method, one, tmp_path)
    left, os_replace = [number], os.replace

    def cut(source: Path, target: Path) -> None:
        if not left[0]:
            raise CutError
        left[0] -= 1
        os_replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", cut)
        try:
            checkpoint.write(Card("fe-clip"), method, other, tmp_path)
        except CutError:
            assert number < 5
        else:
            assert number == 5  # images, training, calibration, trained tensors, card
    assert checkpoint.read(tmp_path) == Card("fe-clip")
    assert checkpoint.read_training_record(tmp_path) in (one, other)
    checkpoint.load_trained_state(method, tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds a readable calibration.json"),
        ("{}", "needs the key 'criterion'"),
        (
            '{"criterion": "fpr", "target": 0.1, "threshold": 2.0, "normal_scores": [0.1], "class_name": "", '
            '"detector": ""}',
            r"lie in \[0, 1\]; got 2\.0",
        ),
        ('{"criterion": "best"}', "needs the key"),
    ],
)
def test_a_calibration_that_cannot_be_read_is_named(text: str, message: str, method: FeClip, tmp_path: Path) -> None:
    checkpoint.write(Card("fe-clip"), method, OLD, tmp_path)
    (tmp_path / CALIBRATION).write_text(text)
    with pytest.raises(ConfigError, match=message):
        checkpoint.read_training_record(tmp_path)
