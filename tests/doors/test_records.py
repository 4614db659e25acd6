"""What a detector was trained on is believed only where it is what training writes."""

from pathlib import Path

import pytest

from zsad.checkpoint import read_training_record
from zsad.errors import ConfigError


@pytest.mark.parametrize(
    "classes", ['{"nut": {}}', '{"nut": -1}', '{"nut": 1.5}', '{"nut": true}', '["nut"]', '"nut"', "null"]
)
def test_counts_that_are_none_are_refused(classes: str, tmp_path: Path) -> None:
    (tmp_path / "training.json").write_text(f'{{"classes": {classes}}}')
    with pytest.raises(ConfigError, match=r"readable training\.json; got .*classes are no numbers of images"):
        read_training_record(tmp_path)


def test_counts_are_read(tmp_path: Path) -> None:
    (tmp_path / "training.json").write_text('{"classes": {"nut": 2}}')
    (tmp_path / "images.txt").write_text("a\nb\n")
    training_record = read_training_record(tmp_path)
    assert training_record.is_on_record
    assert training_record.training["classes"] == {"nut": 2}


@pytest.mark.parametrize("name", ["seed", "epochs_done"])
@pytest.mark.parametrize("value", ["{}", "1.5", '"1"', "true", "null"])
def test_numbers_that_are_none_are_refused(name: str, value: str, tmp_path: Path) -> None:
    (tmp_path / "training.json").write_text(f'{{"{name}": {value}}}')
    with pytest.raises(ConfigError, match=f"{name} is no whole number"):
        read_training_record(tmp_path)
