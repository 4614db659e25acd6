"""Files that appear whole or not at all, and what is no file."""

import errno
import os
import socket
from hashlib import sha256
from pathlib import Path

import pytest

from zsad.errors import InputError
from zsad.files import TEMPORARY, check_file, content_hash, replacing, temporary, write_atomically


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    # FIPS 180-2, appendix B.1
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert content_hash(tmp_path / "a") == content_hash(tmp_path / "link") == known
    check_file(tmp_path / "a")


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (make_pipe, "must be a regular file; got .*x.png .a pipe"),
        (make_socket, "must be readable; got .*x.png .No such device or address"),
        (lambda path: path.mkdir(), "must be a regular file; got .*x.png .a folder"),
        (lambda path: path.symlink_to("/dev/zero"), "must be a regular file; got .*x.png .a device"),
        (lambda path: path.symlink_to("nowhere"), "must be readable; got .*x.png .No such file or directory"),
        (lambda path: path.symlink_to("x.png"), "must be readable; got .*x.png .Too many levels of symbolic links"),
    ],
)
def test_what_is_no_file_is_named_and_not_waited_for(make, said: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    make(Path("x.png"))
    for read in (content_hash, check_file):
        with pytest.raises(InputError, match=said):
            read(Path("x.png"))


def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be readable"):
        content_hash(tmp_path / "a\0b")


def test_a_file_that_fails_while_it_is_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"/proc/self/mem .*Input/output error"):
        content_hash(Path("/proc/self/mem"))


@pytest.mark.parametrize("lasting", [False, True])
def test_a_disk_that_is_full_leaves_the_old_file_and_nothing_else(lasting: bool, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "card.json"
    write_atomically(path, b"old", lasting)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync" if lasting else "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new", lasting)
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("card.json", b"old")]


def test_what_lasts_is_on_the_disk_before_it_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    names = {os.stat(tmp_path).st_ino: "folder"}
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda at: (done.append(names.get(os.fstat(at).st_ino, "file")), fsync(at)))
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("replace"), replace(*paths)))
    write_atomically(tmp_path / "map.png", b"map")
    assert done == ["replace"]
    done.clear()
    write_atomically(tmp_path / "card.json", b"card", lasting=True)
    assert done == ["file", "replace", "folder"]


def test_temporary_names_are_known_again_and_never_too_long(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 127)
    assert temporary(path) != temporary(path)
    assert TEMPORARY.fullmatch(temporary(path).name)
    assert temporary(path).name[1:17] == sha256(os.fsencode(path.name)).hexdigest()[:16]
    with replacing(path) as staged:
        staged.write_text("long")
    assert path.read_text() == "long"
