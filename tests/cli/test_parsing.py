"""Wrong commands and options are answered with the nearest one, and every help fits a terminal."""

from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator

import pytest

from zsad.cli.main import COMMANDS, main, parser


def parsers(root: ArgumentParser) -> Iterator[ArgumentParser]:
    yield root
    for action in root._actions:
        if isinstance(action, _SubParsersAction):
            for part in action.choices.values():
                yield from parsers(part)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("predit x.png", "zsad: error: unknown command 'predit'; did you mean 'predict'?"),
        ("fitnormal", "zsad: error: unknown command 'fitnormal'; did you mean 'fit-normal'?"),
        ("evaluate --most 5", "zsad evaluate: error: unknown option --most; did you mean --max-images?"),
        ("evaluate --most=5", "unknown option --most; did you mean --max-images?"),
        ("evaluate clip --data mvtec:x --out y --most 5", "unknown option --most; did you mean --max-images?"),
        ("gallery clip --pictures a.png", "unknown option --pictures; did you mean --images?"),
        ("demo --pictures 3", "unknown option --pictures; did you mean --images?"),
        ("data draw --pictures 3", "zsad data draw: error: unknown option --pictures; did you mean --images?"),
        ("data chek mvtec:x", "zsad data: error: unknown command 'chek'; did you mean 'check'?"),
        ("train fe-clip --microbatch 2", "unknown option --microbatch; did you mean --micro-batch?"),
        ("train fe-clip --qqqqqq 2", "zsad train: error: unknown option --qqqqqq\n"),
        ("knowledge build --modle x", "unknown option --modle; did you mean --model?"),
        ("train fe-clip", "zsad train: error: the following arguments are required: --data, --out"),
        ("predict \x1b[31m --\x1b[31m", r"unknown option --\x1b[31m"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments.split(" "))
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert message in error
    assert "--help" in error.splitlines()[-1]


def test_options_may_be_abbreviated_and_what_follows_two_hyphens_is_no_option() -> None:
    options = parser("predict").parse_args(["predict", "--class", "metal nut", "--batch=2", "--", "--odd-name.png"])
    assert (options.class_name, options.batch_size, options.paths) == ("metal nut", 2, ["--odd-name.png"])


def test_every_help_fits_eighty_columns_and_is_a_line_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    found = [*parsers(parser())]
    assert len(found) > len(COMMANDS)
    for part in found:
        lines = part.format_help().splitlines()
        assert max(map(len, lines)) <= 80, part.prog
        formatter = part._get_formatter()
        for action in part._actions:
            text = formatter._expand_help(action) if action.help and not isinstance(action, _SubParsersAction) else ""
            assert any(line.endswith(text) for line in lines), (part.prog, text)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_is_that_of_the_whole_command_line(name: str) -> None:
    def help_of(root: ArgumentParser) -> str:
        (commands,) = (action for action in root._actions if isinstance(action, _SubParsersAction))
        return commands.choices[name].format_help()

    assert help_of(parser(name)) == help_of(parser())
