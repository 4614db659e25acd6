"""Maps that another tool made: the numbers are those of the detector that made them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.evaluator.making import NUT, RESOLUTION, data, detector, left
from zsad.cli.main import main
from zsad.data.map_files import read_map
from zsad.data.specification import data_set, samples_of
from zsad.errors import ConfigError, InputError
from zsad.evaluator.evaluation import evaluate, evaluate_maps
from zsad.results import store
from zsad.results.schema import Protocol
from zsad.types import Failure, Prediction

PROTOCOL = Protocol(resolution=RESOLUTION, resamples=20)
OWN = Protocol(resolution=None, resamples=0)


def answers(specification: str, resolution: int | None) -> dict[str, Prediction]:
    """By the path of the image below the data set, without suffix."""
    root, found = data_set(specification).root, {}
    for sample in samples_of([specification], "test"):
        (answer,) = detector().stream([sample.image], "metal nut", resolution and (resolution, resolution))
        assert not isinstance(answer, Failure)
        found[sample.image.relative_to(root).with_suffix("").as_posix()] = answer[1]
    return found


def save(made: dict[str, Prediction], folder: Path) -> Path:
    for name, prediction in made.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{name}.npy", prediction.anomaly_map)
    return folder


@pytest.fixture
def nuts(tmp_path: Path) -> str:
    return data(tmp_path / "data", "metal_nut")


@pytest.fixture
def made(nuts: str) -> dict[str, Prediction]:
    return answers(nuts, RESOLUTION)


def test_maps_and_scores_give_the_numbers_of_their_detector(
    nuts: str, made: dict[str, Prediction], tmp_path: Path
) -> None:
    with (tmp_path / "scores.csv").open("w") as file:
        csv.writer(file).writerows([("Path", "score"), *((f"{name}.png", one.score) for name, one in made.items())])
    maps = save(made, tmp_path / "maps")
    found = evaluate_maps(maps, nuts, tmp_path / "maps-out", PROTOCOL, scores=tmp_path / "scores.csv")
    expected = evaluate(detector(), nuts, tmp_path / "out", resolution=RESOLUTION, resamples=20)
    assert found.data_sets[0].means == expected.data_sets[0].means
    (one,), (other,) = found.data_sets[0].classes, expected.data_sets[0].classes
    assert one.metrics == other.metrics
    ours, theirs = left(tmp_path / "maps-out"), left(tmp_path / "out")
    for name in (store.IMAGES, store.COUNTS, store.DRAWS, store.CURVES):
        assert ours[(NUT / name).as_posix()] == theirs[(NUT / name).as_posix()]
    (warning, *_) = found.data_sets[0].warnings
    assert f"those of {maps}, made elsewhere" in warning
    assert f"The score of an image is that in {tmp_path / 'scores.csv'}." in warning
    assert (found.detector.name, found.detector.method, found.detector.setting) == ("maps", "maps", "unknown")
    assert "unknown" in (tmp_path / "maps-out" / "report.html").read_text()
    with pytest.raises(ConfigError, match="holds one evaluation"):
        evaluate_maps(maps, nuts, tmp_path / "maps-out", PROTOCOL)


def test_without_scores_it_is_the_maximum_of_the_map(nuts: str, made: dict[str, Prediction], tmp_path: Path) -> None:
    found = evaluate_maps(save(made, tmp_path / "maps"), nuts, tmp_path / "out", PROTOCOL)
    assert "The score of an image is the maximum of its map." in found.data_sets[0].warnings[0]
    images = store.read_images(tmp_path / "out" / NUT)
    assert {Path(image.source).with_suffix("").as_posix(): image.score for image in images} == {
        name: float(one.anomaly_map.max()) for name, one in made.items()
    }


def test_any_range_is_taken_to_that_of_probabilities_by_one_function(
    nuts: str, made: dict[str, Prediction], tmp_path: Path
) -> None:
    expected = evaluate_maps(save(made, tmp_path / "maps"), nuts, tmp_path / "a", PROTOCOL).data_sets[0]
    for name, one in made.items():
        np.save(tmp_path / "maps" / f"{name}.npy", 64 * one.anomaly_map.astype(np.float64) - 3)
    found = evaluate_maps(tmp_path / "maps", nuts, tmp_path / "b", PROTOCOL).data_sets[0]
    for name, metric in expected.classes[0].metrics.items():
        assert found.classes[0].metrics[name].value == pytest.approx(metric.value, abs=1e-3)
    assert any("were taken to [0, 1], all by one linear function" in warning for warning in found.warnings)
    assert not any("linear" in warning for warning in expected.warnings)


def test_a_report_of_predict_is_evaluated_to_the_numbers_of_the_detector(
    nuts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    fast = ["clip", "--image-size", "64"]
    words = ["--data", nuts, "--resolution", "own", "--no-intervals", "--out"]
    assert main(["predict", "data/metal_nut/test", "--detector", *fast, "--class-name", "metal nut", "--out", "p"]) == 0
    assert main(["evaluate", "--maps", "p", *words, "maps"]) == 0
    assert main(["evaluate", *fast, *words, "detector"]) == 0
    found, expected = (json.loads(Path(name, "evaluation.json").read_text()) for name in ("maps", "detector"))
    assert "The score of an image is that of the report." in found["data_sets"][0]["warnings"][0]
    (ours,), (theirs,) = found["data_sets"][0]["classes"], expected["data_sets"][0]["classes"]
    for name, metric in theirs["metrics"].items():
        # Maps have 16 bits; PRO-200 takes 200 thresholds, of which one moves in images as small as these.
        tolerance = 0 if name.startswith("image") else 0.02 if name == "pixel_pro_200" else 1e-3
        assert ours["metrics"][name]["value"] == pytest.approx(metric["value"], abs=tolerance, rel=0)
    assert main(["evaluate", "--maps", "p", "clip", *words, "x"]) == 2
    assert main(["evaluate", *words, "x"]) == 2
    assert main(["evaluate", "clip", "--scores", "s.csv", *words, "x"]) == 2
    assert main(["evaluate", "--maps", "p", "--shots", "1", *words, "x"]) == 2
    said = capsys.readouterr().err
    for message in ("got both", "got neither", "scores belong to maps", "maps are evaluated as they are"):
        assert message in said


@pytest.mark.parametrize("where", ["drawn/metal_nut/test", "run/metal_nut/test", "test", ""])
def test_a_map_is_found_by_as_much_of_the_path_as_there_is(
    where: str, nuts: str, made: dict[str, Prediction], tmp_path: Path
) -> None:
    kept = {(Path(where) / Path(name).parent.name / Path(name).name).as_posix(): one for name, one in made.items()}
    evaluate_maps(save(kept, tmp_path / "maps"), nuts, tmp_path / "out", OWN)
    scores = {image.source: image.score for image in store.read_images(tmp_path / "out" / NUT)}
    assert scores == {f"{name}.png": float(one.anomaly_map.max()) for name, one in made.items()}


def test_a_map_too_few_or_of_several_images_is_refused(nuts: str, made: dict[str, Prediction], tmp_path: Path) -> None:
    maps = save(made, tmp_path / "maps")
    gone = next(iter(made))
    (maps / f"{gone}.npy").unlink()
    with pytest.raises(InputError, match=rf"1 image of 8 without, such as {gone}.png"):
        evaluate_maps(maps, nuts, tmp_path / "out", OWN)
    flat = save({Path(name).name: one for name, one in made.items()}, tmp_path / "flat")
    evaluate_maps(flat, nuts, tmp_path / "flat-out", OWN)
    good = data_set(nuts).root / "metal_nut" / "test" / "good"
    (good / "000.png").rename(good / "004.png")  # as one that is anomalous is called
    with pytest.raises(InputError, match="2 images of 8 without"):
        evaluate_maps(flat, nuts, tmp_path / "out", OWN)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="a folder of maps has files"):
        evaluate_maps(tmp_path / "empty", nuts, tmp_path / "out", OWN)
    (tmp_path / "s.csv").write_text("path,value\n")
    with pytest.raises(InputError, match="no column"):
        evaluate_maps(maps, nuts, tmp_path / "out", OWN, scores=tmp_path / "s.csv")


VALUES = np.array([[0, 0.25, 0.5], [0.75, 1, 0.125]])


@pytest.mark.parametrize(
    "kind", ["float64.npy", "float16.npy", "4d.npy", "float16.tiff", "float32.tif", "16.tif", "16.png", "8.png"]
)
def test_all_kinds_of_files_give_their_values(kind: str, tmp_path: Path) -> None:
    path = tmp_path / kind
    deep, shallow = np.rint(VALUES * 65535).astype(np.uint16), np.rint(VALUES * 255).astype(np.uint8)
    match kind:
        case "float64.npy":
            np.save(path, VALUES)
        case "float16.npy":
            np.save(path, VALUES.astype(np.float16))
        case "4d.npy":
            np.save(path, VALUES[None, None].astype(np.float32))
        case "float16.tiff":
            tifffile.imwrite(path, VALUES.astype(np.float16))
        case "float32.tif":
            tifffile.imwrite(path, VALUES.astype(np.float32), compression="zlib")
        case "16.tif":
            tifffile.imwrite(path, deep)
        case _:
            Image.fromarray(deep if kind == "16.png" else shallow).save(path)
    found = read_map(path)
    assert found.dtype == np.float32
    assert np.abs(found - VALUES).max() <= (0.51 / 255 if kind == "8.png" else 0.51 / 65535)


def test_what_is_no_map_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2)).save(tmp_path / "colours.png")
    np.save(tmp_path / "nan.npy", np.full((2, 3), np.nan))
    np.save(tmp_path / "objects.npy", np.array([[{}]]), allow_pickle=True)
    np.save(tmp_path / "labels.npy", np.zeros((2, 3), np.int64))
    np.save(tmp_path / "stack.npy", np.zeros((2, 3, 4), np.float32))
    whole = (tmp_path / "nan.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-8])
    (tmp_path / "header.npy").write_bytes(whole.replace(b"'fortran", b"#fortran"))
    tifffile.imwrite(tmp_path / "colours.tiff", np.zeros((4, 4, 3), np.uint8), photometric="rgb")
    for path in tmp_path.iterdir():
        with pytest.raises(InputError, match=path.stem):
            read_map(path)
