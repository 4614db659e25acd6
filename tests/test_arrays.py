"""Archives of arrays: what NumPy wrote, and what it never would."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from zsad.arrays import read_arrays
from zsad.errors import InputError


class Acting:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch acted",)


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_what_numpy_wrote_is_read(write: object, tmp_path: Path) -> None:
    given = {"a": np.arange(6, dtype=np.int16).reshape(2, 3), "b": np.array([0.5, np.nan])}
    write(tmp_path / "a.npz", **given)  # type: ignore[operator]
    found = read_arrays(tmp_path / "a.npz")
    assert list(found) == ["a", "b"]
    for name, array in given.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_python_objects_do_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", a=np.array([Acting()], dtype=object))
    with pytest.raises(InputError, match="without Python objects"):
        read_arrays(tmp_path / "a.npz")
    assert not (tmp_path / "acted").exists()


def test_an_archive_that_unpacks_to_more_than_it_may_is_refused_unread(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(1_000_000))
    assert (tmp_path / "a.npz").stat().st_size < 10_000
    with pytest.raises(InputError, match=r"8,000,\d+ bytes where at most 1,000,000"):
        read_arrays(tmp_path / "a.npz", limit=1_000_000)


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"\x93NUMPY", b"text"])
def test_what_is_no_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"\.npz"):
        read_arrays(tmp_path / "a.npz")


def test_a_header_that_claims_more_than_there_is_is_refused(tmp_path: Path) -> None:
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "<f8", "fortran_order": False, "shape": (10**15,)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", content.getvalue())
    with pytest.raises(InputError, match=r"\.npz"):
        read_arrays(tmp_path / "a.npz")


def test_a_member_that_is_no_array_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", b"\x92NUMPY")
    with pytest.raises(InputError, match="a member that is no array"):
        read_arrays(tmp_path / "a.npz")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.npz")
    with pytest.raises(InputError, match="a pipe"):
        read_arrays(tmp_path / "a.npz")
