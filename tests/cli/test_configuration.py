"""Options in a file: the same names, what is typed wins, and nothing unknown is swallowed."""

import argparse
from pathlib import Path

import pytest

from zsad.cli.main import COMMANDS, leaves, main, parser
from zsad.errors import ConfigError


def parsed(words: str, content: str, folder: Path) -> argparse.Namespace:
    (folder / "c.toml").write_text(content)
    arguments = words.replace("FILE", str(folder / "c.toml")).split()
    return parser(arguments[0]).parse_args(arguments)


def test_every_command_takes_a_file() -> None:
    root = parser()
    found = [leaf.prog for leaf in leaves(root) if "--config" in leaf._option_string_actions]
    assert found == [leaf.prog for leaf in leaves(root)]
    assert {name.split()[1] for name in found} == set(COMMANDS)


def test_a_file_says_what_the_command_line_would(tmp_path: Path) -> None:
    content = """
    paths = ["a b.png", "c.png"]
    class-name = "metal nut"
    threshold = 0.5
    min_area = 3
    batch-size = "auto"
    json = true
    quiet = false
    set = { sigma = 8.0, levels = [6, 12], name = "x" }
    """
    found = parsed("predict --config FILE", content, tmp_path)
    words = ["predict", "a b.png", "c.png", "--class-name", "metal nut", "--threshold", "0.5", "--min-area", "3"]
    words += ["--batch-size", "auto", "--json", "--set", "sigma=8.0", "--set", "levels=[6,12]", "--set", "name=x"]
    expected = parser("predict").parse_args(words)
    assert vars(found) == vars(expected) | {"config": tmp_path / "c.toml"}


def test_what_is_typed_wins(tmp_path: Path) -> None:
    content = """
    detectors = ["clip"]
    data = ["mvtec:a", "mvtec:b"]
    classes = ["x"]
    out = "there"
    resolution = "own"
    """
    words = "evaluate winclip --data=visa:c --class y z --config=FILE"
    found = parsed(words, content, tmp_path)
    assert (found.detectors, found.data, found.classes) == (["winclip"], ["visa:c"], ["y", "z"])
    assert (found.out, found.resolution) == (Path("there"), None)


def test_a_typed_option_excludes_what_it_excludes_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = 'detector = "clip"\nnormal = "good"\nfpr = 0.1\n'
    assert vars(parsed("calibrate --config FILE --f1", content, tmp_path))["fpr"] is None
    assert parsed("calibrate --config FILE", content, tmp_path).fpr == 0.1
    with pytest.raises(SystemExit):
        parsed("calibrate --config FILE", content + "youden = true", tmp_path)
    assert "not allowed with argument" in capsys.readouterr().err


def test_words_after_two_hyphens_stay_images(tmp_path: Path) -> None:
    found = parsed("predict --config FILE -- --odd.png", 'normal = "good"', tmp_path)
    assert (found.paths, found.normal) == (["--odd.png"], Path("good"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("thresold = 0.5", "got 'thresold'. Remedy: did you mean 'threshold'?"),
        ('config = "other.toml"', "a name in .*c.toml must be one of"),
        ("[predict]\nthreshold = 0.5", "got 'predict'"),
        ("quiet = 1", "quiet in .*c.toml is true or false; got 1"),
        ("threshold = true", "threshold in .*c.toml is text, a number, or a list of these; got True"),
        ("threshold = [0.1, 0.2]", "threshold in .*c.toml is one value"),
        ("threshold = 0.5.", "a configuration is a readable TOML file"),
    ],
)
def test_what_a_command_does_not_take_is_refused(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        parsed("predict x.png --config FILE", content, tmp_path)


def test_a_value_is_checked_as_a_typed_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("predict x.png --config FILE", 'precision = "bf61"', tmp_path)
    error = capsys.readouterr().err
    assert "argument --precision: invalid choice: 'bf61'" in error
    assert "did you mean 'bf16'?" in error
    assert main(["methods", "--config", str(tmp_path / "nowhere.toml")]) == 2
    assert "nowhere.toml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--data mvtek:x", "did you mean 'mvtec'?"),
        ("--data mvtec:nowhere", "nowhere"),
    ],
)
@pytest.mark.parametrize("command", ["evaluate clip --out o", "train fe-clip --out o", "gallery clip --out o.png"])
def test_wrong_data_are_refused_before_a_model_is_loaded(
    command: str,
    words: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zsad.backbones.weights.load", never)
    assert main([*command.split(), *words.split()]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "o").exists() or not any((tmp_path / "o").rglob("*.json"))
