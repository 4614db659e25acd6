"""Manifests: three formats, relative paths, classes, repetitions, and what is refused."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zsad.cluster import Manifest
from zsad.errors import ConfigError, InputError, ZsadError

ROWS = [("a.png", "nut"), ("deep/b,c.png", None), ("/data/d.png", ""), ("s3://bucket/e.png", "bolt")]


def written(folder: Path, suffix: str) -> Path:
    path = folder / f"list{suffix}"
    if suffix == ".csv":
        cells = [f'"{name}",{kind or ""}' for name, kind in ROWS]
        path.write_text("\n".join(["path,class_name", *cells]) + "\n")
    elif suffix == ".jsonl":
        path.write_text("".join(json.dumps({"path": name, "class_name": kind, "n": 1}) + "\n" for name, kind in ROWS))
    else:
        names, kinds = zip(*ROWS, strict=True)
        pq.write_table(pa.table({"class_name": kinds, "extra": [1, 2, 3, 4], "path": names}), path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_manifest_is_read_alike_from_each_format(suffix: str, tmp_path: Path) -> None:
    read = Manifest(str(written(tmp_path, suffix)), "thing")
    assert read.table.to_pylist() == [
        {"row": 0, "path": f"{tmp_path}/a.png", "class_name": "nut"},
        {"row": 1, "path": f"{tmp_path}/deep/b,c.png", "class_name": "thing"},
        {"row": 2, "path": "/data/d.png", "class_name": "thing"},
        {"row": 3, "path": "s3://bucket/e.png", "class_name": "bolt"},
    ]
    assert (read.class_names, read.repeated) == (["bolt", "nut", "thing"], 0)
    assert read.fingerprint == Manifest(str(written(tmp_path, ".csv")), "thing").fingerprint
    assert read.fingerprint != Manifest(str(written(tmp_path, ".csv")), "other").fingerprint


def test_a_path_that_is_repeated_counts_once_for_each_class(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("class_name,path\nnut,a\nnut,b\nbolt,a\nnut,b\nnut,a\n")
    read = Manifest(str(path))
    rows = [(line["row"], line["path"], line["class_name"]) for line in read.table.to_pylist()]
    assert rows == [(0, f"{tmp_path}/a", "nut"), (1, f"{tmp_path}/b", "nut"), (2, f"{tmp_path}/a", "bolt")]
    assert read.repeated == 2


def test_numbers_are_names_too(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("path\n007\n1e3\nnull\n")
    assert [line["path"] for line in Manifest(str(path)).table.to_pylist()] == [
        f"{tmp_path}/{name}" for name in ("007", "1e3", "null")
    ]


@pytest.mark.parametrize(
    ("name", "content", "error", "said"),
    [
        ("list.csv", b"image\na.png\n", InputError, r"a manifest has a column path; got .*list.csv with \['image'\]"),
        (
            "list.csv",
            b"path,class_name\na.png,nut\n,nut\n",
            InputError,
            "every row of a manifest has a path; got 1 rows",
        ),
        ("list.csv", b"path\n", InputError, "list.csv, empty"),
        ("list.csv", b"", InputError, r"a manifest is a readable .csv file; got .*\(Empty CSV file\)"),
        ("list.csv", b"path\na\xff.png\n", InputError, "readable .csv file"),
        ("list.csv", b"path,class_name\na,b,c\n", InputError, "Expected 2 columns, got 3"),
        ("list.csv", b"path,path\na,b\n", InputError, "readable .csv file|a column path"),
        ("list.csv", b"path,class_name\na,\tx\n", ConfigError, "a class name says in a few words"),
        ("list.jsonl", b'{"path": 3}\n', InputError, "readable .jsonl file"),
        ("list.jsonl", b'{"class_name": "nut"}\n', InputError, "every row of a manifest has a path; got 1 rows"),
        ("list.jsonl", b'{"path": "a\xff.png"}\n', InputError, "readable .jsonl file"),
        ("list.jsonl", b"[" * 10_000, InputError, "readable .jsonl file"),
        ("list.parquet", b"PAR1", InputError, "readable .parquet file"),
        ("list.txt", b"a.png", InputError, "a manifest ends in .csv, .jsonl"),
        ("list.csv", b"path\nhttps://host/a.png\n", ConfigError, "a URL begins with one of s3://"),
        ("list.csv", b"path\nsimplecache::s3://b/a.png\nreference://x\n", ConfigError, "a URL begins with one of"),
    ],
)
def test_what_is_no_manifest_is_refused(
    name: str, content: bytes, error: type[ZsadError], said: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=said):
        Manifest(str(tmp_path / name))


def test_a_manifest_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for name in (f"{tmp_path}/none.csv", f"file://{tmp_path}/none.csv", "memory://nowhere/none.csv"):
        with pytest.raises(InputError):
            Manifest(name)
