"""Every number that the command line takes, said absurdly: each is refused by name, before any work."""

from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmark import making
from tests.trainer.toys import draw, register_toys
from zsad.cli.evaluate import resolution
from zsad.cli.main import main, parser

Case = tuple[str, str, str]
HUGE = str(10**30)
ABSURD = {
    int: ("-1", HUGE),
    float: ("nan", "-1", "1e31", "1e400"),
    resolution: ("0", HUGE),
}
COUNTS = {
    ("evaluate", "--max-images"),
    ("train", "--max-images"),
    ("gallery", "--random"),
    ("gallery", "--worst"),
    ("gallery", "--best"),
    ("gallery", "--max-images"),
    ("gallery", "--columns"),
    ("knowledge build", "--limit"),
}
"""At most so many: a huge one means all."""


def leaves(parser: ArgumentParser, name: str = "") -> Iterator[tuple[str, ArgumentParser]]:
    """Every command with its parser, without those that only have parts."""
    parts = [action for action in parser._actions if isinstance(action, _SubParsersAction)]
    for part in parts:
        for word, child in part.choices.items():
            yield from leaves(child, f"{name} {word}".strip())
    if not parts:
        yield name, parser


def cases() -> Iterator[Case]:
    for command, leaf in leaves(parser()):
        for action in leaf._actions:
            for value in ABSURD.get(action.type, ()):  # type: ignore[call-overload]  # any callable may be a type
                if value != HUGE or (command, action.option_strings[0]) not in COUNTS:
                    yield command, action.option_strings[0], value


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[str]]]:
    """For each command, what it needs beside the option in question."""
    root = tmp_path_factory.mktemp("absurd")
    draw(root / "data", count=2)
    good = root / "data" / "metal_nut" / "test" / "good"
    out, data = ["--out", str(root / "out")], ["--data", f"mvtec:{root / 'data'}"]
    (root / "recipe").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        register_toys(patch)
        recipe = making.write(root / "recipe")
        yield {
            "predict": [str(good), *out],
            "train": ["fe-clip", *data, *out],
            "evaluate": ["fe-clip", *data, *out],
            "compare": [str(root), str(root)],
            "benchmark": [str(recipe), "--data-root", str(making.data(root / "sets")), *out],
            "gallery": ["clip", *data, "--out", str(root / "figure.png")],
            "fit": ["fe-clip", "--normal", str(good), *out],
            "fit-normal": ["fe-clip", "--normal", str(good), *out],
            "bench": ["clip"],
            "ensemble": ["clip", *out],
            "export": ["clip", "--out", str(root / "clip.onnx")],
            "serve": ["clip"],
            "import": [str(good), "--as", "acd-clip", *out],
            "calibrate": ["clip", "--normal", str(good), *out],
            "demo": out,
            "knowledge build": ["--model", "none", "--classes", "gear", "--dry-run", "--out", str(root / "known.json")],
            "pretrain": ["--recipe", str(Path(__file__).parents[2] / "recipes" / "tiny" / "tiny.toml"), *out],
            "data draw": out,
            "data check": [f"mvtec:{root / 'data'}"],
        }


@pytest.mark.parametrize(("command", "option", "value"), [*cases()])
def test_an_absurd_number_is_refused_by_name(
    command: str, option: str, value: str, words: dict[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--worst", "1"] if (command, option) == ("gallery", "--max-images") else []
    try:
        status = main([*command.split(), *words[command], *more, f"{option}={value}"])
    except SystemExit as ended:
        status = int(ended.code or 0)
    said = capsys.readouterr().err
    assert status == 2
    assert [form for form in (value, str(float(value))) if form in said.replace(",", "")], said


@pytest.mark.parametrize(
    "setting",
    [
        "sigma=1e9",
        "sigma=-1",
        "sigma=nan",
        "sigma=1e400",
        f"sigma={10**400}",
        "sigma=" + "9" * 5000,
        "sigma=" + "[" * 5000,
        "sigma=1\nsigma=2",
        "temperature=0",
        "temperature=inf",
        "temperature=1e31",
        "smoothing_window=999999999999",
        "smoothing_window=99999999999999999999999",
        "sigma=\x1b[31m",
        "\x00=1",
        "=",
    ],
)
def test_an_absurd_setting_is_refused_by_name(
    setting: str, words: dict[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", *words["predict"], "--detector", "clip", "--set", setting]) == 2
    said = capsys.readouterr().err
    assert "Remedy" in said
    assert len(said) < 11_000
    assert said.rstrip("\n").isprintable()


def test_what_was_typed_is_shown_and_not_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["predict", "--\x1b[31mred"])
    assert "\x1b" not in capsys.readouterr().err
