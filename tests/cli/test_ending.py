"""Signals end a command at the first time of asking, with one line and a status of its own; nothing else is lost."""

import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

import pytest

from tests.trainer.toys import draw
from zsad.cli import main as command_line
from zsad.cli.main import main

ZSAD = [sys.executable, "-c", "from zsad.cli.main import entry_point; entry_point()"]
"""The command, whatever is on the path."""


def asked(number: int, swallows: bool) -> Namespace:
    """A command that a signal reaches, and that may swallow what comes of it."""

    def run(_: Namespace) -> int:
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            if not swallows:
                raise
        for _ in range(3000):
            time.sleep(0.01)
        return 0

    return Namespace(run=run)


class Parser:
    """A command line that says what it is told to."""

    def __init__(self, options: Namespace) -> None:
        self.options = options

    def parse_args(self, _: object) -> Namespace:
        return self.options


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (signal.SIGINT, 130, "zsad: interrupted\n"),
        (signal.SIGTERM, 143, "zsad: terminated\n"),
        (signal.SIGHUP, 129, "zsad: terminated\n"),
    ],
)
@pytest.mark.parametrize("swallows", [False, True])
def test_a_signal_ends_a_command_even_where_its_exception_is_swallowed(
    number: int,
    status: int,
    said: str,
    swallows: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command_line, "parser", lambda _: Parser(asked(number, swallows)))
    before = signal.getsignal(number)
    assert main([]) == status
    assert capsys.readouterr().err == said
    assert signal.getsignal(number) is before


def test_an_error_that_comes_of_a_signal_is_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: Namespace) -> int:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)
        except KeyboardInterrupt as error:
            raise ImportError("numpy could not be imported") from error
        return 0

    monkeypatch.setattr(command_line, "parser", lambda _: Parser(Namespace(run=run)))
    assert main([]) == 130
    assert capsys.readouterr().err == "zsad: interrupted\n"


def test_output_that_nobody_reads_is_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*ZSAD, "methods"], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def wait_for(condition, process: subprocess.Popen[bytes]) -> None:
    while not condition():
        assert process.poll() is None
        time.sleep(0.01)


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_processes_that_draw_end_with_the_command_and_the_same_command_goes_on(number: int, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["data", "draw", "--size", "48", "--out", str(out), "--images"]
    drawing = [*ZSAD, *words, "10000", "--workers", "2"]
    with subprocess.Popen(drawing, stderr=subprocess.PIPE, start_new_session=True) as process:
        wait_for(lambda: any(out.rglob("*.png")), process)
        os.kill(process.pid, number)
        assert process.wait() == (-number if number == signal.SIGKILL else 128 + number)
        while alive(process.pid):
            time.sleep(0.01)
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
    assert out.exists() == (number == signal.SIGKILL)
    assert main([*words, "4", "--workers", "1"]) == 0
    assert not list(out.rglob(".*"))


def test_a_training_that_is_terminated_keeps_its_epochs(tmp_path: Path) -> None:
    data, out = draw(tmp_path / "data", count=2), tmp_path / "out"
    words = ["train", "fe-clip", "--data", data, "--image-size", "64", "--epochs", "100000", "--out", str(out)]
    card = out / "detector.json"
    with subprocess.Popen([*ZSAD, *words], stderr=subprocess.PIPE) as process:
        # A card that says that the first epoch is being saved is there before.
        wait_for(lambda: card.exists() and '"method"' in card.read_text(), process)
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        said = process.stderr.read().decode()
        assert process.wait() == 143
    assert said.endswith("zsad: terminated\n")
    assert "Traceback" not in said
    assert not list(out.rglob(".*"))
    assert main(["predict", str(tmp_path / "data"), "--detector", str(out), "--out", str(tmp_path / "run")]) == 0
