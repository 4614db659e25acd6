"""Commands that are disturbed go on: a few faults; ``python -m benchmarks.faults`` makes all of them."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from benchmarks.faults.killing import Killer
from benchmarks.faults.running import run
from benchmarks.faults.trial import Reference, different, files, half_written, moments

from zsad.files import TEMPORARY
from zsad.trainer import state

VERSIONS = {"out/b": frozenset({b"first", b"second"})}
CHEAP = ("predict", "data draw", "train", "serve")


def test_commands_that_are_disturbed_go_on_and_end_as_undisturbed_ones() -> None:
    words = ["--command", *CHEAP, "--exactly", "--kills", "1", "--moments", "1", "--seed", "7"]
    harness = [sys.executable, "-m", "benchmarks.faults", *words]
    done = subprocess.run(harness, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.rsplit(maxsplit=4) for line in done.stdout.splitlines()[1:]]
    assert [(name, faults, wrong) for name, _, faults, wrong, _ in rows[:4]] == [
        *((name, "2", "0") for name in CHEAP[:3]),
        ("serve", "1", "0"),
    ]


def make_and_remove(path: Path) -> None:
    """Seven changes, of which the first opens a file."""
    path.write_text("a")
    path.read_text()
    os.replace(path, path.with_name("b"))
    path.with_name("c").mkdir()
    path.with_name("c").rmdir()
    path.with_name("b").unlink()
    os.symlink("nowhere", path.with_name("d"))
    path.with_name("d").unlink()


@pytest.mark.parametrize(
    ("at", "torn", "left"),
    [
        (0, False, {}),
        (1, False, {}),
        (1, True, {"a": b""}),
        (2, False, {"a": b"a"}),
        (3, False, {"b": b"a"}),
        (4, False, {"b": b"a", "c/": b""}),
        (5, False, {"b": b"a"}),
        (6, False, {}),
    ],
)
def test_a_kill_falls_before_the_change_that_was_named(
    at: int, torn: bool, left: dict[str, bytes], tmp_path: Path
) -> None:
    child = os.fork()
    if child == 0:
        Killer(tmp_path, at, torn).watch()
        make_and_remove(tmp_path / "a")
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == (-signal.SIGKILL if at else 0)
    assert files(tmp_path) == left


def test_differences_are_told() -> None:
    said = different({"same": b"1", "changed": b"1", "new": b"1"}, {"same": b"1", "changed": b"2", "old": b"1"})
    assert sorted(said) == ["changed is another", "new is too much", "old is missing"]


def test_a_full_disk_is_one_for_everything_that_is_made(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        Killer(tmp_path, 3, full=True).watch()
        try:
            make_and_remove(tmp_path / "a")
        except OSError as error:
            os._exit(error.errno or 0)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 28  # ENOSPC
    assert files(tmp_path) == {"b": b"a"}


def test_the_state_of_a_training_is_written_under_a_name_that_is_swept(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        Killer(tmp_path, log=os.open(tmp_path.parent / "log", os.O_WRONLY | os.O_CREAT)).watch()
        state.write(state.TrainingState(0, {}, [], {}), tmp_path)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    log = (tmp_path.parent / "log").read_text().splitlines()
    opened = [line.removeprefix("open ") for line in log if line.startswith("open ")]
    assert [*map(bool, map(TEMPORARY.fullmatch, opened))] == [True], log


def test_moments_are_spread_over_the_time_of_a_command() -> None:
    drawn = [fault.after for fault in moments(8.0, 4, Random(0))]
    assert [int(after // 2) for after in drawn] == [0, 1, 2, 3]
    assert drawn != [fault.after for fault in moments(8.0, 4, Random(1))]


def test_a_half_written_file_is_noticed() -> None:
    expected = Reference((), {"out/a": b"old"}, {"out/a": b"new", "out/predictions.csv": b"1\n2\n"}, VERSIONS, 1.0)
    whole = {
        "out/a": b"old",
        "out/b": b"first",
        "out/predictions.csv": b"1\n",
        "out/.zsad.lock": b"1",
        f"out/.{'0' * 32}.tmp": b"",
        "out/maps/": b"",
    }
    assert [*half_written(whole, expected)] == []
    for name, content in {"out/a": b"ne", "out/b": b"", "out/c": b"", "out/predictions.csv": b"2\n"}.items():
        assert [*half_written(whole | {name: content}, expected)] == [name]


def test_a_process_that_is_left_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.faults.running.LEFT", 0.5)

    def leave_one() -> None:
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])

    with pytest.raises(TimeoutError, match="a process is left"):
        run(("methods",), tmp_path, leave_one)
