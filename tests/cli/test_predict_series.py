"""``zsad predict`` on files of several frames: a row each, under the same name everywhere."""

import csv
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

import zsad
from zsad.cli.main import main

RANDOM = ["--detector", "clip", "--image-size", "64"]
VALUES = np.random.default_rng(6).integers(0, 256, (20, 24, 4), dtype=np.uint8)
AFFINE = np.diag([-0.5, 0.5, 3, 1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("series")
    nibabel.save(nibabel.Nifti1Image(VALUES, AFFINE), made / "scan.nii.gz")
    tifffile.imwrite(made / "stack.tif", VALUES[:12].swapaxes(1, 2)[:3], photometric="minisblack")
    Image.fromarray(VALUES[..., 0]).save(made / "still.png")
    return made


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "predictions.csv").open(newline="") as table:
        return list(csv.DictReader(table))


def test_a_row_a_frame_under_one_name_everywhere(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["predict", str(folder), *RANDOM, "--out", str(out), "--pixel-threshold", "0.0"]) == 0
    names = [f"scan.nii.gz#{number}" for number in range(4)] + [f"stack.tif#{number}" for number in range(3)]
    found = rows(out)
    assert [Path(row["source"]).name for row in found] == [*names, "still.png"]
    assert [row["map"] for row in found] == [
        *(f"maps/scan_{number}.png" for number in range(4)),
        *(f"maps/stack_{number}.png" for number in range(3)),
        "maps/still.png",
    ]
    assert all((out / row["overlay"]).exists() for row in found)
    listed = json.loads((out / "predictions.json").read_text())["predictions"]
    assert [Path(one["source"]).name for one in listed] == [*names, "still.png"]
    coco = json.loads((out / "coco.json").read_text())["images"]
    assert [Path(one["file_name"]).name for one in coco] == [*names, "still.png"]
    assert (out / "labelme" / "scan_2.json").exists()
    page = (out / "report.html").read_text()
    assert all(name in page for name in names)
    with (out / "regions.csv").open(newline="") as table:
        assert {Path(row["source"]).name for row in csv.DictReader(table)} == {*names, "still.png"}

    assert [row["volume"] for row in found] == ["volumes/scan.nii.gz"] * 4 + [""] * 4
    volume = nibabel.load(out / "volumes" / "scan.nii.gz")
    np.testing.assert_array_equal(volume.affine, AFFINE)
    values = volume.get_fdata()
    assert values.shape == VALUES.shape
    for number in range(4):  # of this affine, columns run to the left already, and rows to the front
        written = np.asarray(Image.open(out / "maps" / f"scan_{number}.png")) / 65535
        np.testing.assert_allclose(values[:, :, number].T[::-1], written, atol=1e-5)


def test_chosen_frames_and_the_volume_of_another_run_goes(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    scan = str(folder / "scan.nii.gz")
    assert main(["predict", scan, *RANDOM, "--out", str(out), "--frames", "1::2", "--axis", "2"]) == 0
    assert [Path(row["source"]).name for row in rows(out)] == ["scan.nii.gz#1", "scan.nii.gz#3"]
    values = nibabel.load(out / "volumes" / "scan.nii.gz").get_fdata()
    assert np.isnan(values).all(axis=(0, 1)).tolist() == [True, False, True, False]
    own = out / "volumes" / "mine.nii"
    own.write_bytes(b"")
    assert main(["predict", str(folder / "stack.tif#2"), str(folder / "still.png"), *RANDOM, "--out", str(out)]) == 0
    assert [Path(row["source"]).name for row in rows(out)] == ["stack.tif#2", "still.png"]
    assert [*(out / "volumes").iterdir()] == [own]


def test_what_cannot_be_read_as_a_series_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.nii").write_bytes(b"\x5c\x01\0\0" + bytes(340) + b"n+1\0")
    Image.fromarray(VALUES[..., 0]).save(tmp_path / "still.png")
    out = tmp_path / "out"
    assert main(["predict", str(tmp_path), *RANDOM, "--out", str(out)]) == 1
    assert "left out: an image must be a whole image file" in capsys.readouterr().err
    assert [Path(row["source"]).name for row in rows(out) if row["error"]] == ["a.nii"]
    assert main(["predict", str(tmp_path), *RANDOM, "--out", str(out), "--frames", "1-2"]) == 2
    assert "START:STOP:STEP" in capsys.readouterr().err


def test_frames_in_python(folder: Path) -> None:
    detector = zsad.load("clip", image_size=64)
    found = list(detector.predict_series(folder / "stack.tif", selection=":2"))
    assert [Path(one.source).name for one in found] == ["stack.tif#0", "stack.tif#1"]
    alone = detector.predict(f"{folder}/stack.tif#1")
    assert alone.score == pytest.approx(found[1].score, abs=1e-6)
    assert alone.source == found[1].source


def test_slices_are_scored_by_one_another(folder: Path) -> None:
    detector = zsad.load("musc", image_size=64)
    found = list(detector.predict_series(folder / "scan.nii.gz"))
    assert len(found) == 4
    assert detector.scored_together


def test_a_bank_remembers_frames(folder: Path) -> None:
    detector = zsad.load("patchcore", image_size=64)
    detector.fit_normal([f"{folder}/stack.tif#0", f"{folder}/stack.tif#1"])
    first, second = detector.training_record.images
    assert first != second
