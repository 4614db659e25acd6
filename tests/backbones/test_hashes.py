"""Hashes of files are right, and remembered only as long as they cannot be wrong."""

import hashlib
import os
from pathlib import Path

import pytest

from zsad.backbones import weight_files
from zsad.backbones.weight_files import file_hash


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as unchanged at once."""
    monkeypatch.setattr(weight_files, "SETTLED", -(10**9))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"content")
    return tmp_path / "file"


def memos() -> list[Path]:
    return sorted((weight_files.cache_dir() / "hashes").glob("*"))


def test_the_hash_of_a_file_is_right_and_remembered(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = hashlib.sha256(b"content").hexdigest()
    assert file_hash(file) == expected
    with monkeypatch.context() as patch:
        patch.delattr(hashlib, "file_digest")
        assert file_hash(file) == expected
    file.write_bytes(b"another content")
    assert file_hash(file) == hashlib.sha256(b"another content").hexdigest()


@pytest.mark.parametrize("how", ["written over", "put in its place"])
def test_a_file_with_the_size_and_time_of_another_is_hashed_again(how: str, file: Path, tmp_path: Path) -> None:
    os.utime(file, ns=(10**18, 10**18))
    file_hash(file)
    target = file if how == "written over" else tmp_path / "new"
    target.write_bytes(b"CONTENT")
    os.utime(target, ns=(10**18, 10**18))
    os.replace(target, file)
    assert file.stat().st_mtime_ns == 10**18
    assert file_hash(file) == hashlib.sha256(b"CONTENT").hexdigest()


def test_what_was_just_written_is_not_remembered(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_files, "SETTLED", 3600 * 10**9)
    file_hash(file)
    assert memos() == []


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"0" * 64, b"0" * 128, None], ids=str)
def test_damaged_memory_of_a_hash_is_not_believed(damage: bytes | None, file: Path) -> None:
    expected = file_hash(file)
    (memo,) = memos()
    whole = memo.read_bytes()
    memo.write_bytes(bytes([whole[0] ^ 1]) + whole[1:] if damage is None else damage)
    assert file_hash(file) == expected
    assert memo.read_bytes() == whole


def test_what_is_remembered_of_one_file_is_not_believed_of_another(file: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"other")
    file_hash(file)
    (first,) = memos()
    file_hash(tmp_path / "other")
    (second,) = set(memos()) - {first}
    second.write_bytes(first.read_bytes())
    assert file_hash(tmp_path / "other") == hashlib.sha256(b"other").hexdigest()


def test_what_is_remembered_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_files, "ROOM", 1000)
    for number in range(20):
        (tmp_path / str(number)).write_bytes(b"x")
        file_hash(tmp_path / str(number))
    assert sum(memo.stat().st_size for memo in memos()) <= 1000
