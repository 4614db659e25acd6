"""Runs over manifests: the answers of ``predict``, shards that are whole, and runs that go on where they were."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import zsad
from zsad.cli.main import main
from zsad.cluster import Counts, Job, Manifest, predict_manifest, shards
from zsad.drawing.render import encoded_map
from zsad.errors import ConfigError, InputError
from zsad.predictor import Detector

SMALL = {"image_size": 64, "threshold": 0.4}
COUNT = 5


@pytest.fixture(scope="module")
def detectors() -> dict[str, Detector]:
    """Those that were loaded, by what was asked for."""
    return {}


@pytest.fixture(autouse=True)
def _loaded_once(detectors: dict[str, Detector], monkeypatch: pytest.MonkeyPatch) -> None:
    load_anew = zsad.load

    def load(name: str, **arguments: Any) -> Detector:
        key = f"{name} {arguments}"
        found = detectors[key] = detectors.get(key) or load_anew(name, **arguments)
        found.pixel_threshold = None
        return found

    monkeypatch.setattr("zsad.loading.load", load)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Images of two classes and sizes, one that is broken and one that is not there."""
    draw = np.random.default_rng(0)
    lines = ["path,class_name"]
    for number in range(COUNT):
        pixels = draw.integers(0, 255, (40 + number, 56, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{'nut' if number % 3 else ''}")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "list.csv").write_text("\n".join([*lines, "broken.png,", "none.png,nut"]) + "\n")
    return Manifest(str(tmp_path / "list.csv"))


def job(**changes: object) -> Job:
    return Job("clip", SMALL, **{"pixel_threshold": 0.3, "maps": True, "shard_size": 4} | changes)  # type: ignore[arg-type]


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_shards_hold_what_predict_says(manifest: Manifest, tmp_path: Path) -> None:
    out = tmp_path / "out"
    total = predict_manifest(manifest, str(out), job())
    rows = pq.read_table(out / "shards").to_pylist()
    assert [row["row"] for row in rows] == list(range(COUNT + 2))
    detector = zsad.load("clip", image_size=64, threshold=0.4)
    detector.pixel_threshold = 0.3
    for row in rows[:COUNT]:
        alone = detector.predict(row["path"], row["class_name"])
        assert (row["score"], row["is_anomalous"]) == (alone.score, alone.is_anomalous)
        assert (row["threshold"], row["pixel_threshold"], row["p_value"], row["error"]) == (0.4, 0.3, None, None)
        assert (row["rows"], row["cols"]) == alone.size
        assert row["regions"] == json.dumps([region.as_dict() for region in alone.regions()])
        assert (out / row["map"]).read_bytes() == encoded_map(alone.anomaly_map)
    assert "broken.png" in rows[COUNT]["error"]
    assert "an image file must exist" in rows[COUNT + 1]["error"]
    assert [rows[COUNT][name] for name in ("score", "is_anomalous", "regions", "map")] == [None] * 4
    anomalous = sum(row["is_anomalous"] is True for row in rows)
    assert total == Counts(COUNT + 2, 2, COUNT, anomalous)
    assert json.loads((out / "summary.json").read_text()) == {
        "format": 1,
        "shards": 2,
        "images": COUNT + 2,
        "failures": 2,
        "decided": COUNT,
        "anomalous": anomalous,
    }


class Killed(BaseException):
    pass


def test_a_run_that_was_broken_off_goes_on(manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    predict_manifest(manifest, str(whole), job())

    def die(counts: Counts) -> None:
        raise Killed

    with pytest.raises(Killed):
        predict_manifest(manifest, str(broken), job(), observer=die)
    assert [path.name for path in (broken / "shards").iterdir()] == ["part-00000.parquet"]
    scored = []
    score = shards.score
    monkeypatch.setattr(shards, "score", lambda *given: scored.append(given[1].number) or score(*given))
    seen = list[Counts]()
    total = predict_manifest(manifest, str(broken), job(), observer=seen.append)
    assert scored == [1]
    assert [counts.images for counts in seen] == [4, 3]
    assert files(broken) == files(whole)
    assert predict_manifest(manifest, str(broken), job()) == total
    assert scored == [1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shard_size": 5}, "another --shard-size"),
        ({"pixel_threshold": 0.5}, "another calibration or threshold"),
        ({"maps": False, "min_area": 3}, "another --min-area and --with-maps"),
        ({"arguments": {"image_size": 48, "threshold": 0.4}}, "another detector"),
    ],
)
def test_another_run_is_refused(change: dict[str, object], said: str, manifest: Manifest, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    predict_manifest(manifest, out, job())
    before = files(tmp_path / "out")
    other = job(**change) if "arguments" not in change else Job("clip", change["arguments"], 0.3, 1, True, 4)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=said):
        predict_manifest(manifest, out, other)
    assert files(tmp_path / "out") == before


def test_another_manifest_is_refused(manifest: Manifest, tmp_path: Path) -> None:
    predict_manifest(manifest, str(tmp_path / "out"), job())
    (tmp_path / "list.csv").write_text("path,class_name\n" + "".join(f"{n}.png,bolt\n" for n in range(COUNT + 2)))
    with pytest.raises(ConfigError, match="got another manifest"):
        predict_manifest(Manifest(str(tmp_path / "list.csv")), str(tmp_path / "out"), job())


@pytest.mark.parametrize("damage", [b"", b"PAR1", None])
def test_a_shard_that_is_not_of_the_run_is_refused(damage: bytes | None, manifest: Manifest, tmp_path: Path) -> None:
    predict_manifest(manifest, str(tmp_path / "out"), job())
    parts = sorted((tmp_path / "out/shards").iterdir())
    parts[1].write_bytes(parts[0].read_bytes() if damage is None else damage)
    with pytest.raises(InputError, match=r"a shard is a whole file of this run; got .*part-00001"):
        predict_manifest(manifest, str(tmp_path / "out"), job())


def test_files_of_others_are_kept(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "out/shards").mkdir(parents=True)
    (tmp_path / "out/shards/part-00000.parquet").write_bytes(b"mine")
    with pytest.raises(InputError, match="a run writes over no other file"):
        predict_manifest(manifest, str(tmp_path / "out"), job())
    assert files(tmp_path / "out") == {"shards/part-00000.parquet": b"mine"}


def test_what_compares_images_is_refused_without_a_bank(manifest: Manifest, tmp_path: Path) -> None:
    for name, remedy in (("auto", "zsad fit auto --normal DIR"), ("musc", "name a detector such as")):
        with pytest.raises(ConfigError, match=f"scored one by one.*{remedy}"):
            predict_manifest(manifest, str(tmp_path / "out"), Job(name, {"image_size": 64}))
    fitted = zsad.load("auto", image_size=64)
    fitted.fit_normal([tmp_path / "1.png"])
    fitted.save(tmp_path / "fitted")
    total = predict_manifest(manifest, str(tmp_path / "out"), Job(str(tmp_path / "fitted")))
    assert (total.images, total.failures, total.decided) == (COUNT + 2, 2, 0)


@pytest.fixture
def store() -> Iterator[str]:
    """An object store in memory."""
    import fsspec

    memory = fsspec.filesystem("memory")
    yield "memory://bucket"
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]


def test_inputs_and_outputs_may_be_urls(manifest: Manifest, store: str, tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for path in [*tmp_path.glob("*.png"), tmp_path / "list.csv"]:
        memory.pipe_file(f"{store}/in/{path.name}", path.read_bytes())
    there = Manifest(f"{store}/in/list.csv")
    assert there.table["path"].to_pylist()[0] == f"{store}/in/0.png"
    total = predict_manifest(there, f"{store}/out", job())
    assert total == predict_manifest(manifest, str(tmp_path / "out"), job())
    ours, theirs = (
        [row for name in names for row in pq.read_table(name).to_pylist()]
        for names in (
            [memory.open(path, "rb") for path in sorted(memory.ls(f"{store}/out/shards", detail=False))],
            sorted((tmp_path / "out/shards").iterdir()),
        )
    )
    different = ("path", "error")
    for one, other in zip(ours, theirs, strict=True):
        assert all(one[key] == other[key] for key in one if key not in different)
    assert "an object must exist; got memory://bucket/in/none.png" in ours[-1]["error"]
    assert memory.cat_file(f"{store}/out/{ours[0]['map']}") == (tmp_path / "out" / theirs[0]["map"]).read_bytes()
    assert predict_manifest(there, f"{store}/out/", job()) == total


def test_the_command_scores_a_manifest(manifest: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["predict", str(tmp_path / "list.csv"), "--engine", "local", "--detector", "clip", "--image-size", "64"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().out
    assert said.splitlines() == [
        "5 images scored, none called anomalous or normal.",
        "2 without a score: see the column error (exit status 1).",
        f"shards: {tmp_path}/out/shards",
    ]
    assert pq.read_table(tmp_path / "out/shards").num_rows == COUNT + 2
    assert main(["predict", "a.csv", *words[1:]]) == 2
    assert "--engine takes one manifest" in capsys.readouterr().err
    for further, said in (
        (["--normal", str(tmp_path)], "--normal is for images that are given by path"),
        (["--overlay", "outline"], "--overlay outline is for images that are given by path"),
        (["--shard-size", "0"], "the number of images in a shard"),
    ):
        assert main([*words, *further, "--out", str(tmp_path / "other")]) == 2
        assert said in capsys.readouterr().err


def test_urls_without_an_engine_are_refused_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "s3://bucket/a.png"]) == 2
    assert "list images in a table" in capsys.readouterr().err
    assert main(["predict", "a.png", "--out", "s3://bucket/out"]) == 2
    assert "images and reports are files of this machine; got s3://bucket/out" in capsys.readouterr().err
