"""A run from and to S3, against a server on this machine."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from zsad import remote
from zsad.cluster import Job, Manifest, predict_manifest
from zsad.data.reading import read_file
from zsad.errors import DependencyError, InputError, ZsadError

pytestmark = pytest.mark.filterwarnings("ignore")  # of moto and botocore


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    import fsspec
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    store = fsspec.filesystem("s3", skip_instance_cache=False)
    store.mkdir("s3://bucket")
    yield "s3://bucket"
    server.stop()
    type(store).clear_instance_cache()


def test_a_run_from_s3_to_s3(bucket: str, tmp_path: Path) -> None:
    import fsspec

    store = fsspec.filesystem("s3")
    for number in range(3):
        Image.fromarray(np.full((32, 40, 3), 60 * number, np.uint8)).save(tmp_path / f"{number}.png")
        store.put_file(str(tmp_path / f"{number}.png"), f"{bucket}/in/{number}.png")
    store.pipe_file(f"{bucket}/in/empty.png", b"")
    names = ["0.png", "1.png", "empty.png", "none.png", "2.png"]
    store.pipe_file(f"{bucket}/in/list.csv", "\n".join(["path", *names]).encode())
    told = Job("clip", {"image_size": 64}, maps=True, shard_size=2)
    manifest = Manifest(f"{bucket}/in/list.csv")
    total = predict_manifest(manifest, f"{bucket}/out", told)
    parts = [f"{bucket}/out/shards/part-{number:05}.parquet" for number in range(3)]
    rows = [row for part in parts for row in pq.read_table(store.open(part, "rb")).to_pylist()]
    assert [row["path"] for row in rows] == [f"{bucket}/in/{name}" for name in names]
    assert [row["score"] is None for row in rows] == [False, False, True, True, False]
    assert "it is empty" in rows[2]["error"]
    assert "an object must exist" in rows[3]["error"]
    assert store.exists(f"{bucket}/out/{rows[4]['map']}")
    before = store.info(parts[0])["LastModified"]
    store.rm_file(parts[1])
    assert predict_manifest(manifest, f"{bucket}/out", told) == total
    store.invalidate_cache()
    assert store.info(parts[0])["LastModified"] == before
    assert store.exists(parts[1])
    with pytest.raises(InputError, match="at most 3 bytes"):
        remote.read(f"{bucket}/in/list.csv", 3)


def test_a_store_that_does_not_answer_is_no_fault_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """No row says that an image cannot be read: the shard is not written, and the next run tries again."""

    class Unreachable:
        def cat_file(self, *given: object, **named: object) -> bytes:
            raise ConnectionError("refused")

        size = cat_file

    monkeypatch.setattr("fsspec.filesystem", lambda scheme: Unreachable())
    with pytest.raises(ZsadError, match="must answer; got ConnectionError: refused") as caught:
        read_file("s3://bucket/a.png")
    assert type(caught.value) is ZsadError


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(DependencyError, match="pip install 'gcsfs'"):
        remote.check_schemes(["a.png", "gs://bucket/a.png"])
