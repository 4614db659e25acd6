"""Regions of ``zsad predict``: options, files and outlines, for images of several sizes."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zsad
from zsad import spreadsheets
from zsad.cli.main import main
from zsad.data.masks.labelme import draw_shapes
from zsad.data.synthetic import part
from zsad.regions import find_regions

SIZES = {"small.png": (60, 80), "tall.png": (150, 70), "large.jpg": (300, 400)}
DETECTOR = ["--detector", "clip", "--image-size", "64"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, (name, size) in enumerate(SIZES.items()):
        Image.fromarray(part(np.random.default_rng(seed), size)[0]).save(folder / name)
    return folder


def median_score(photos: Path) -> float:
    """A threshold for pixels that every map crosses."""
    detector = zsad.load("clip", image_size=64)
    predictions = detector.predict([photos / name for name in SIZES])
    return float(np.median(np.concatenate([prediction.anomaly_map.ravel() for prediction in predictions])))


def test_predict_writes_regions_of_every_size_of_image(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    threshold, out = median_score(photos), tmp_path / "out"
    typed = ["--pixel-threshold", repr(threshold), "--min-area", "30", "--overlay", "outline"]
    assert main(["predict", str(photos), *DETECTOR, *typed, "--out", str(out)]) == 0
    listed = json.loads((out / "regions.json").read_text())
    report = json.loads((out / "predictions.json").read_text())
    coco = json.loads((out / "coco.json").read_text())
    assert (report["run"]["overlay"], report["run"]["pixel_threshold"]) == ("outline", threshold)
    detector, total = zsad.load("clip", image_size=64), 0
    for image, item, of_coco in zip(listed["images"], report["predictions"], coco["images"], strict=True):
        rows, cols = SIZES[Path(image["source"]).name]
        assert (image["rows"], image["cols"]) == (item["rows"], item["cols"]) == (rows, cols)
        assert (out / of_coco["file_name"]).resolve() == Path(image["source"]).resolve()
        anomaly_map = detector.predict(image["source"]).anomaly_map
        expected = find_regions(anomaly_map, threshold, min_area=30, tolerance=0)
        assert [tuple(region["box"]) for region in image["regions"]] == [region.box for region in expected]
        assert item["regions"] == len(expected)
        shapes = json.loads((out / image["labelme"]).read_text())
        assert (out / "labelme" / shapes["imagePath"]).resolve() == Path(image["source"]).resolve()
        mask = np.zeros((rows, cols), bool)
        for region in expected:
            left, top, width, height = region.box
            mask[top : top + height, left : left + width] |= region.mask()
        assert ((draw_shapes(out / image["labelme"]) > 0) != mask).mean() < 0.05
        with Image.open(out / item["overlay"]) as overlay, Image.open(image["source"]) as photo:
            assert overlay.size == photo.size
            same = (np.asarray(overlay) == np.asarray(photo.convert("RGB"))).all(axis=2)
            assert 0.4 < same.mean() < 1
        total += len(expected)
    assert total == len(coco["annotations"]) == len(spreadsheets.read(out / "regions.csv")) > 0
    assert f"{total} regions in 3 images" in capsys.readouterr().out


def test_outlines_without_a_threshold_for_pixels_are_refused_at_once(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(photos), *DETECTOR, "--overlay", "outline", "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert "outlines need a threshold for pixels; got none" in message
    assert "give --pixel-threshold, calibrate the detector (zsad calibrate), or choose --overlay heat" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["--pixel-threshold", "1.5"], "a threshold for pixels lies in [0, 1]; got 1.5"),
        (["--pixel-threshold", "nan"], "a threshold for pixels lies in [0, 1]; got nan"),
        (["--pixel-threshold", "0.5", "--min-area", "0"], "a region has at least 1 px; got 0"),
    ],
)
def test_options_out_of_range_are_refused(
    photos: Path, tmp_path: Path, typed: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(photos), *DETECTOR, *typed, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


def test_without_the_options_there_are_heat_maps_and_no_regions(photos: Path, tmp_path: Path) -> None:
    assert main(["predict", str(photos / "small.png"), *DETECTOR, "--out", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert (found["run"]["overlay"], found["predictions"][0]["regions"]) == ("heat", None)
    assert not (tmp_path / "out" / "coco.json").exists()


def test_a_calibrated_detector_has_a_threshold_for_pixels(photos: Path, tmp_path: Path) -> None:
    normal, saved, out = tmp_path / "normal", tmp_path / "saved", tmp_path / "out"
    normal.mkdir()
    for number in range(9):
        Image.fromarray(part(np.random.default_rng(10 + number), (60, 80))[0]).save(normal / f"{number}.png")
    zsad.load("clip", image_size=64).save(saved)
    assert main(["calibrate", str(saved), "--normal", str(normal), "--fpr", "0.1"]) == 0
    calibrated = zsad.load(saved).pixel_threshold
    assert calibrated is not None
    typed = ["--detector", str(saved), "--overlay", "outline", "--out", str(out)]
    assert main(["predict", str(photos), *typed]) == 0
    assert json.loads((out / "regions.json").read_text())["pixel_threshold"] == calibrated
    assert main(["predict", str(photos), *typed, "--pixel-threshold", "0.25"]) == 0
    assert json.loads((out / "regions.json").read_text())["pixel_threshold"] == 0.25
