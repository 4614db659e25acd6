"""Commands that are killed go on: a few kills of each; ``python -m benchmarks.faults`` makes all of them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.faults.killing import Killer
from benchmarks.faults.trial import different, files, run

CHEAP = ("predict", "fit-normal again", "data draw", "train", "evaluate")
KILLS = 2


def test_commands_that_are_killed_go_on_and_end_as_undisturbed_ones() -> None:
    words = ["--command", *CHEAP, "--exactly", "--kills", str(KILLS), "--seed", "7"]
    harness = [sys.executable, "-m", "benchmarks.faults", *words]
    done = subprocess.run(harness, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.rsplit(maxsplit=4) for line in done.stdout.splitlines()[1:]]
    assert [(name, kills, faults) for name, _, kills, faults, _ in rows] == [(name, str(KILLS), "0") for name in CHEAP]


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


def test_a_process_that_is_left_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.faults.trial.LIMIT", 20.0)

    def leave_one() -> None:
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])

    with pytest.raises(TimeoutError, match="a process is left"):
        run(("methods",), tmp_path, leave_one)
