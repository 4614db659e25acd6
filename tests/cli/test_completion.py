"""Completion in a shell, asked as the shell asks: in bash itself, and in zsh where there is one."""

import os
import pty
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from zsad import methods
from zsad.backbones import config
from zsad.cli.completion import KINDS, SHELLS, script
from zsad.cli.main import COMMANDS, leaves, main, parser
from zsad.data import layouts


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scripts, a folder and files."""
    folder = tmp_path_factory.mktemp("completion")
    (folder / "sub").mkdir()
    for shell in SHELLS:
        (folder / "sub" / shell).write_text(script(shell))
    for name in ("paper.toml", "nut.png"):
        (folder / name).touch()
    return folder


def completed(place: Path, *lines: str) -> list[list[str]]:
    """What bash is offered for each line."""
    asks = [f'COMP_LINE={line!r} COMP_POINT={len(line)}; _zsad; echo "${{COMPREPLY[*]}}"' for line in lines]
    command = "\n".join(["source sub/bash", *asks])
    done = subprocess.run(
        ["bash", "--norc", "-c", command], cwd=place, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    return [line.split() for line in done.stdout.split("\n")[:-1]]


CASES = {
    "zsad pre": ["predict", "pretrain"],
    "zsad data ": ["draw", "check"],
    "zsad data check --js": ["--json"],
    "zsad predict --preci": ["--precision"],
    "zsad predict --precision ": ["fp32", "bf16"],
    "zsad predict --precision=b": ["bf16"],
    "zsad predict ": ["nut.png", "paper.toml", "sub/"],
    "zsad predict --batch-size 3 n": ["nut.png"],
    "zsad predict --threshold ": [],
    "zsad predict nut.png --out ": ["sub/"],
    "zsad predict --config ": ["paper.toml", "sub/"],
    "zsad train wmo": ["wmoe-clip"],
    "zsad train p": ["patchcore", "paper.toml", "promptad"],
    "zsad evaluate clip s": ["sub/"],
    "zsad evaluate clip --data vi": ["visa:"],
    "zsad evaluate clip --data mine=vi": ["visa:"],
    "zsad evaluate clip --data visa:s": ["sub/"],
    "zsad evaluate --data=visa:s": ["sub/"],
    "zsad evaluate --classes a b --backbone tiny-": ["tiny-research"],
    "zsad import adapter.pth --as win": ["winclip"],
    "zsad completion ": ["bash", "zsh"],
    "zsad nothing --": [],
}


def test_bash_is_offered_what_may_follow(place: Path) -> None:
    found = completed(place, *CASES)
    assert dict(zip(CASES, map(sorted, found), strict=True)) == {line: sorted(words) for line, words in CASES.items()}


def test_all_commands_options_and_names_are_there(place: Path) -> None:
    by_command = {" ".join(leaf.prog.split()[1:]): leaf for leaf in leaves(parser())}
    lines = {"zsad ": {*COMMANDS}, "zsad import --as ": {*methods.names()}, "zsad fit --backbone ": {*config.names()}}
    lines |= {"zsad train --data ": {f"{name}:" for name in layouts.names()}}
    lines |= {f"zsad {name} -": {*leaf._option_string_actions} for name, leaf in by_command.items()}
    for words, found in zip(lines.values(), completed(place, *lines), strict=True):
        assert {*found} == words


def test_every_value_that_is_a_path_or_a_name_of_ours_is_completed() -> None:
    metavars = {str(action.metavar) for leaf in leaves(parser()) for action in leaf._actions if not action.choices}
    ours = re.compile(r"\b(DIR|FILE|PATH|LAYOUT|METHOD|DETECTOR|RECIPE)\b")
    assert {name for name in metavars if ours.search(name)} <= {*KINDS}


def test_the_command_prints_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "zsh"]) == 0
    assert capsys.readouterr().out == script("zsh")


def typed(command: list[str], place: Path, setting_up: str, line: str, expected: str) -> str:
    """What a terminal shows of a line that is typed in an interactive shell, up to what is expected."""
    terminal, end_of_shell = pty.openpty()
    ends = dict.fromkeys(("stdin", "stdout", "stderr"), end_of_shell)
    environment = os.environ | {"TERM": "dumb", "PS1": "$ "}
    process = subprocess.Popen(command, cwd=place, env=environment, start_new_session=True, **ends)
    os.close(end_of_shell)
    shown, end, asked = "", time.monotonic() + 60, False
    os.write(terminal, f"{setting_up}; echo re''ady\n".encode())
    try:
        while expected not in shown and time.monotonic() < end:
            if select.select([terminal], [], [], 0.1)[0]:
                shown += os.read(terminal, 65536).decode(errors="replace")
            elif "ready" in shown and not asked:
                os.write(terminal, line.encode())
                asked = True
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    return shown


def test_a_tab_in_bash_completes(place: Path) -> None:
    bash = ["bash", "--norc", "--noprofile", "-i"]
    expected = "zsad evaluate --data=visa:sub/"
    assert expected in typed(bash, place, "source sub/bash", "zsad eval\t--data=vis\ts\t", expected)


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_a_tab_in_zsh_completes(place: Path) -> None:
    setting_up = "autoload -U compinit; compinit -u -D; source sub/zsh"
    expected = "visa:sub/"
    assert expected in typed(["zsh", "-f", "-i"], place, setting_up, "zsad evaluate --data=vis\ts\t", expected)
