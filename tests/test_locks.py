"""One process at a time in a folder, and what one that was killed left there."""

import errno
import fcntl
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.holding import held_by_another
from zsad.errors import ConfigError, InputError, ZsadWarning
from zsad.files import mark
from zsad.locks import LOCK, alone, alone_with

HEX = "0123456789abcdef" * 2
HOLDER = """
import sys
from pathlib import Path
from zsad.locks import alone
with alone(Path(sys.argv[1])):
    (Path(sys.argv[1]) / f".{'ab' * 16}.tmp").write_text("half")
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_is_refused_until_the_first_one_ends_however_that_is(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "out"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        who = rf"one process at a time .*{re.escape(str(out / LOCK))}, which is held by process {holder.pid} on .*--out"
        with pytest.raises(ConfigError, match=who), alone(out):
            pass
        holder.send_signal(signal.SIGKILL)
    assert len(list(out.iterdir())) == 2  # the lock, which is nobody's now, and what was half written
    with alone(out):
        assert [path.name for path in out.iterdir()] == [LOCK]
    assert not list(out.iterdir())


def test_a_folder_in_which_nothing_was_written_is_not_left_behind(tmp_path: Path) -> None:
    with alone(tmp_path / "out"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_name_that_no_folder_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="null byte"), alone(tmp_path / "a\0b"):
        pass


def test_a_thread_may_ask_again(tmp_path: Path) -> None:
    with alone(tmp_path), alone(tmp_path), alone(tmp_path / "." / "below" / ".."):
        assert (tmp_path / LOCK).exists()
    with pytest.raises(ConfigError), held_by_another(alone(tmp_path)), alone(tmp_path):
        pass


def test_those_who_share_keep_out_only_those_who_do_not(tmp_path: Path) -> None:
    with held_by_another(alone(tmp_path, shared=True)):
        with alone(tmp_path, shared=True):
            pass
        assert (tmp_path / LOCK).exists()  # of the other one
        with pytest.raises(ConfigError, match="one process at a time"), alone(tmp_path):
            pass
    assert not list(tmp_path.iterdir())


def test_a_lock_of_a_file_is_of_that_file(tmp_path: Path) -> None:
    with held_by_another(alone_with(tmp_path / "a.pdf")):
        with alone_with(tmp_path / "b.pdf"), alone(tmp_path / "a.pdf.d"):
            pass
        with pytest.raises(ConfigError, match="one process at a time"), alone_with(tmp_path / "a.pdf"):
            pass


def test_what_takes_a_moment_is_waited_for(tmp_path: Path) -> None:
    def wait() -> list[str]:
        with alone_with(tmp_path / "a.json", waiting=True):
            return [path.name for path in tmp_path.iterdir()]

    with ThreadPoolExecutor(1) as pool:
        with held_by_another(alone_with(tmp_path / "a.json")):
            waiter = pool.submit(wait)
            assert not waiter.done()
        assert waiter.result(timeout=60) == [f".{mark(tmp_path / 'a.json')}.lock"]
    assert not list(tmp_path.iterdir())


def test_what_a_kill_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    ours = [tmp_path / f".{HEX}.tmp", tmp_path / "maps" / f".{HEX}.tmp", tmp_path / f".{HEX[::-1]}.tmp" / "a.png"]
    others = [
        *(
            tmp_path / name
            for name in (f"{HEX}.tmp", f".{HEX[1:]}.tmp", f".{HEX}.tmp~", f".{HEX.upper()}.tmp", ".a.tmp")
        ),
        tmp_path / "elsewhere" / f".{HEX}.tmp",
        tmp_path / "linked" / "a.png",
    ]
    for path in (*ours, *others):
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    (tmp_path / f".{'f' * 32}.tmp").symlink_to(tmp_path / "linked")
    with alone(tmp_path, "maps", "none/*"):
        pass
    assert {path for path in tmp_path.rglob("*") if not path.is_dir()} == set(others)


def test_what_a_kill_left_of_a_file_is_known_by_its_name(tmp_path: Path) -> None:
    for name in ("a.pdf", "b.pdf"):
        (tmp_path / f".{mark(tmp_path / name)}{'0' * 16}.tmp").write_text("half")
    with alone_with(tmp_path / "a.pdf"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [f".{mark(tmp_path / 'b.pdf')}{'0' * 16}.tmp"]


def test_a_file_system_without_locks_is_said_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.warns(ZsadWarning, match="has no locks: make sure that no other process writes there"), alone(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_or_locked_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="output folder must be writable"), alone(tmp_path / "file" / "out"):
        pass

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(InputError, match="Input/output error"), alone(tmp_path / "out"):
        pass
