"""A detector in an ONNX file gives the answers and the decisions of the one that was exported."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from jaxtyping import Float
from PIL import Image
from pyarrow import parquet
from starlette.testclient import TestClient
from torch import Tensor, fx

from tests.small import SIZE, frozen
from zsad import checkpoint, methods
from zsad.calibration import Calibration
from zsad.errors import ConfigError, InputError
from zsad.export import card, export, load, writing
from zsad.export.enlarging import resized
from zsad.export.exported import ExportedDetector
from zsad.export.protobuf import DATA_LOCATION, EXTERNAL_DATA, _field, entry, metadata
from zsad.export.tracing import ScoredImages
from zsad.methods.auto import Auto
from zsad.methods.auto.config import AutoConfig
from zsad.methods.clip import ClipDetector, ClipDetectorConfig
from zsad.parts.maps import resize
from zsad.predictor import Detector
from zsad.runtime import RuntimeConfig
from zsad.service.app import create_app
from zsad.types import Evidence, Failure

SIDE = SIZE


@pytest.fixture(scope="module")
def detector() -> Detector:
    detector = Detector(
        checkpoint.Card("clip", backbone="small", image_size=SIDE), ClipDetector(frozen()), RuntimeConfig("cpu")
    )
    found = Calibration("fpr", 0.4, (0.1, 0.2, 0.3), "bolt", detector.fingerprint, target=0.25, pixel_threshold=0.5)
    detector.training_record = checkpoint.TrainingRecord(calibration=found)
    return detector


@pytest.fixture(scope="module")
def graph(detector: Detector) -> writing.Graph:
    return writing.traced(detector.method, SIDE, "bolt")


def _write(detector: Detector, graph: writing.Graph, path: Path) -> Path:
    written = writing.WRITERS[path.suffix](graph, writing.card(detector, "bolt", graph.batch), detector, path)
    assert written.batch is None
    assert 0 <= written.difference <= 1e-4
    return path


@pytest.fixture(scope="module")
def path(detector: Detector, graph: writing.Graph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(detector, graph, tmp_path_factory.mktemp("export") / "clip.onnx")


@pytest.fixture(scope="module")
def exported(path: Path) -> ExportedDetector:
    return load(path)


def _pictures() -> list[np.ndarray]:
    generator = np.random.default_rng(1)
    return [generator.integers(0, 256, (60, 150, 3), np.uint8), generator.integers(0, 2**16, (130, 90), np.uint16)]


def test_predictions_are_those_of_the_detector(detector: Detector, exported: ExportedDetector) -> None:
    for ours, theirs in zip(exported.predict([*_pictures()]), detector.predict([*_pictures()], "bolt"), strict=True):
        assert abs(ours.score - theirs.score) <= 1e-4
        assert ours.anomaly_map.shape == theirs.anomaly_map.shape
        assert np.abs(ours.anomaly_map - theirs.anomaly_map).max() <= 1e-4
        assert (ours.class_name, ours.threshold, ours.pixel_threshold) == ("bolt", 0.4, 0.5)
        assert ours.p_value == theirs.p_value is not None
        assert ours.is_anomalous == theirs.is_anomalous


def test_a_batch_equals_its_images(path: Path) -> None:
    session = onnxruntime.InferenceSession(path)
    images = np.random.default_rng(2).random((5, 3, SIDE, SIDE), np.float32)
    maps, scores = session.run(["map", "score"], {"image": images})
    assert maps.shape == (5, SIDE, SIDE)
    assert scores.shape == (5,)
    for image, anomaly_map, score in zip(images, maps, scores, strict=True):
        alone = session.run(["map", "score"], {"image": image[None]})
        np.testing.assert_allclose(alone[0][0], anomaly_map, atol=1e-5)
        np.testing.assert_allclose(alone[1][0], score, atol=1e-5)


@pytest.mark.parametrize("kind", ["normal", "unlabelled"])
def test_auto_is_exported_with_what_it_remembers(kind: str, tmp_path: Path) -> None:
    """With features along fewer directions; of three unlabelled images one is dropped, and infinitely far."""
    method = Auto(frozen(), AutoConfig(directions=16))
    references = torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    (method.fit_normal if kind == "normal" else method.fit_unlabelled)(references)
    method.finish_fit()
    bank, kept = (method.bank, 3) if kind == "normal" else (method.unlabelled, 2)
    assert len(bank.image.unique()) == kept
    remembering = Detector(checkpoint.Card("auto", backbone="small", image_size=SIDE), method, RuntimeConfig("cpu"))
    written = export(remembering, tmp_path / "auto.onnx", "bolt")
    assert written.batch is None
    assert written.difference <= 1e-4
    answers = load(tmp_path / "auto.onnx").predict([*_pictures()])
    for ours, theirs in zip(answers, remembering.predict([*_pictures()], "bolt"), strict=True):
        assert abs(ours.score - theirs.score) <= 1e-4
        assert np.abs(ours.anomaly_map - theirs.anomaly_map).max() <= 1e-4


def test_files_and_range_are_the_fingerprint(path: Path, exported: ExportedDetector, tmp_path: Path) -> None:
    changed = tmp_path / "changed.onnx"
    changed.write_bytes(path.read_bytes() + entry("note", "another"))
    others = [load(changed), load(path, value_range=(0, 4095))]
    assert others[1].value_range == (0, 4095)
    assert len({exported.fingerprint, *(one.fingerprint for one in others)}) == 3
    assert load(path).fingerprint == exported.fingerprint


def test_thresholds_and_classes(path: Path, exported: ExportedDetector) -> None:
    assert load(path, threshold=0.7).decision("bolt").threshold == 0.7
    assert exported.decision("object") == exported.decision("Bolt")
    with pytest.raises(ConfigError, match="that it was exported for, bolt"):
        exported.predict(_pictures()[0], "screw")


def test_a_stream_goes_on_after_a_failure(exported: ExportedDetector, tmp_path: Path) -> None:
    Image.fromarray(_pictures()[0]).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    first, second = exported.stream([tmp_path / "a.png", tmp_path / "b.png"], size=(20, 30))
    assert not isinstance(first, Failure)
    assert first[1].anomaly_map.shape == (20, 30)
    assert isinstance(second, Failure)


def test_the_command_runs_without_torch(path: Path, exported: ExportedDetector, tmp_path: Path) -> None:
    Image.fromarray(_pictures()[0]).save(tmp_path / "a.png")
    (tmp_path / "list.csv").write_text("path\na.png\n")
    program = (
        "import sys; from zsad.cli.main import main; ours, theirs = sys.argv[1:4], sys.argv[4:]; "
        "print(main(['predict', *theirs, *ours]), sorted({'torch', 'onnx'} & sys.modules.keys())); "
        "print(main(['predict', 'list.csv', '--engine', 'local', '--out', 'shards', *ours[:2], '--quiet'])); "
        "from zsad import export; from zsad.service.app import create_app; create_app({'one': export.load(ours[1])}); "
        "print(sorted({'torch', 'onnx'} & sys.modules.keys()))"
    )
    arguments = ["--detector", str(path), "--quiet", "a.png", "--out", "out"]
    ran = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines() == ["0 []", "0", "[]"], ran.stderr
    (row,) = parquet.read_table(tmp_path / "shards" / "shards").to_pylist()
    expected = exported.predict(tmp_path / "a.png")
    assert (row["score"], row["p_value"], row["threshold"]) == (expected.score, expected.p_value, 0.4)
    assert json.loads(row["regions"]) == json.loads(json.dumps([one.as_dict() for one in expected.regions()]))
    report = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert report["run"]["detector"] == "clip"
    assert report["predictions"][0]["threshold"] == 0.4
    assert (tmp_path / "out" / "regions.json").exists()


def test_it_is_served_beside_a_detector(detector: Detector, exported: ExportedDetector) -> None:
    contents = list[bytes]()
    for picture in _pictures():
        buffer = BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        contents.append(buffer.getvalue())
    files = [("images", (f"{number}.png", content)) for number, content in enumerate(contents)]
    app = create_app({"graph": exported, "method": detector})
    with TestClient(app, base_url="http://127.0.0.1") as client:
        listed, other = client.get("/v1/detectors").json()["detectors"]
        answers = client.post("/v1/predict", files=files, data={"regions": "true"})
        wrong_class = client.post("/v1/predict", files=files, data={"class_name": "screw"})
        with_normal = client.post("/v1/predict", files=[*files, ("normal", files[0][1])])
        theirs = client.post("/v1/predict", files=files, data={"detector": "method", "class_name": "bolt"})
    assert (listed["name"], listed["only_class"], listed["takes_normal"]) == ("graph", "bolt", False)
    assert (other["name"], other["only_class"]) == ("method", None)
    found = answers.json()
    assert (found["detector"], found["failures"]) == ("graph", [])
    expected, by_method = exported.predict([*contents]), theirs.json()["predictions"]
    for one, prediction, its in zip(found["predictions"], expected, by_method, strict=True):
        assert (one["score"], one["p_value"], one["threshold"]) == (prediction.score, prediction.p_value, 0.4)
        assert one["regions"] == json.loads(json.dumps([region.as_dict() for region in prediction.regions()]))
        assert one["score"] == pytest.approx(its["score"], abs=1e-4)
        assert one["is_anomalous"] == its["is_anomalous"]
    assert wrong_class.status_code == with_normal.status_code == 422
    assert "exported for, bolt" in wrong_class.json()["rule"]


def test_options_that_make_another_detector_are_refused(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from zsad.cli.main import main

    assert main(["predict", str(path.parent), "--detector", str(path), "--backbone", "tiny"]) == 2
    assert main(["predict", str(path.parent), "--detector", str(path), "--tile", "32"]) == 2
    assert main(["predict", "list.csv", "--engine", "local", "--detector", str(path), "--set", "sigma=1"]) == 2
    assert main(["predict", "x.png", "--detector", str(path.parent / "none.onnx")]) == 2
    capsys.readouterr()


def test_nothing_is_kept_that_differs(
    detector: Detector, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph of another size of smoothing is one that gives other maps."""
    rough = ClipDetector(detector.method.clip, ClipDetectorConfig(sigma=1.0))
    other = Detector(detector.card, rough, RuntimeConfig("cpu"))
    monkeypatch.setattr(
        writing, "traced", lambda *_, **__: writing.Graph(fx.GraphModule({}, fx.Graph()), torch.empty(0), None)
    )
    monkeypatch.setattr(writing, "onnx_bytes", lambda _: path.read_bytes())
    assert export(detector, tmp_path / "same.onnx", "bolt").difference <= 1e-4
    (tmp_path / "same.onnx").unlink()
    with pytest.raises(ConfigError, match="differ by at most"):
        export(other, tmp_path / "clip.onnx", "bolt")
    assert list(tmp_path.iterdir()) == []


def test_detectors_that_cannot_be_exported_are_refused(detector: Detector, tmp_path: Path) -> None:
    for name, remedy in (("musc", "choose another method"), ("patchcore", "fit it first")):
        with pytest.raises(ConfigError, match=remedy):
            export(Detector(detector.card, methods.get(name)(frozen()), RuntimeConfig("cpu")), tmp_path / "x.onnx")
    for given in ({"tiling": (64, 16, 0.0)}, {"value_range": (0.0, 4095.0)}):
        card = replace(detector.card, **given)
        with pytest.raises(ConfigError, match="takes images whole"):
            export(Detector(card, methods.get(card.method)(frozen()), RuntimeConfig("cpu")), tmp_path / "x.onnx")
    with pytest.raises(ConfigError, match="ends in"):
        export(detector, tmp_path / "x.tflite")
    assert list(tmp_path.iterdir()) == []


def test_damaged_and_foreign_files_are_refused(path: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    cut = tmp_path / "cut.onnx"
    for end in (0, 10, len(content) // 2, len(content) - 1):
        cut.write_bytes(content[:end])
        with pytest.raises(InputError, match=r"cut\.onnx"):
            load(cut)
    at = content.index(b"zsad", len(content) - 2000)  # the key of the card
    cut.write_bytes(content[:at] + b"else" + content[at + 4 :])
    with pytest.raises(InputError, match="no card of zsad"):
        load(cut)
    for wrong in ('{"format": 9}', "[]", '{"name": 1}', "{"):
        cut.write_bytes(content[:100] + entry(card.KEY, wrong))
        with pytest.raises(InputError):
            load(cut)
    later = replace(load(path).card, image_size=SIDE * 2)
    cut.write_bytes(content + entry(card.KEY, later.to_json()))
    with pytest.raises((InputError, ConfigError)):
        load(cut).predict(_pictures()[0])


def test_numbers_in_other_files_are_refused() -> None:
    location = _field(EXTERNAL_DATA, _field(1, b"location") + _field(2, b"/etc/passwd"))
    for tensor in (location, bytes([DATA_LOCATION << 3, 1])):
        initializer = _field(7, _field(5, tensor))
        in_node = _field(7, _field(1, _field(5, _field(5, tensor))))
        within = _field(7, _field(1, _field(5, _field(6, _field(5, tensor)))))
        in_function = _field(25, _field(7, _field(5, _field(5, tensor))))
        for model in (initializer, in_node, within, in_function):
            with pytest.raises(InputError, match="names another file"):
                metadata(model, "x.onnx")
    assert metadata(_field(7, _field(5, _field(9, b"1234"))) + entry("zsad", "ä" * 200), "x") == {
        "zsad": ("ä" * 200).encode()
    }


@pytest.mark.parametrize("size", [(224, 300), (50, 31), (112, 64), (16, 400), (1, 1)])
def test_maps_are_enlarged_as_in_pytorch(size: tuple[int, int]) -> None:
    anomaly_map = np.random.default_rng(3).random((112, 112), np.float32)
    expected = resize(torch.from_numpy(anomaly_map)[None], size)[0].numpy()
    np.testing.assert_allclose(resized(anomaly_map, size), expected, atol=1e-5)  # PyTorch has positions in fp32


def test_openvino_gives_the_same(detector: Detector, graph: writing.Graph, tmp_path: Path) -> None:
    path = _write(detector, graph, tmp_path / "clip.xml")
    loaded = load(path)
    assert loaded.card.calibration == detector.calibration
    for ours, theirs in zip(loaded.predict([*_pictures()]), detector.predict([*_pictures()], "bolt"), strict=True):
        assert abs(ours.score - theirs.score) <= 1e-4
        assert np.abs(ours.anomaly_map - theirs.anomaly_map).max() <= 1e-4
        assert ours.is_anomalous == theirs.is_anomalous
    weights = path.with_suffix(".bin")
    content = weights.read_bytes()
    weights.write_bytes(content[:-4] + b"\0\0\0\1")
    with pytest.raises(InputError, match="not the weights"):
        load(path)
    weights.write_bytes(content)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match="readable file"):
        load(path)


def test_a_program_of_pytorch_is_written_and_not_read(detector: Detector, graph: writing.Graph, tmp_path: Path) -> None:
    path = _write(detector, graph, tmp_path / "clip.pt2")
    files = {"zsad.json": ""}
    program = torch.export.load(path, extra_files=files).module()
    assert json.loads(files["zsad.json"])["class_name"] == "bolt"
    images = torch.rand(5, 3, SIDE, SIDE)
    maps, scores = program(images)
    expected = ScoredImages(detector.method, SIDE, "bolt")(images)
    torch.testing.assert_close((maps, scores), expected, atol=1e-5, rtol=0)
    with pytest.raises(ConfigError, match="without running what is in its file"):
        load(path)


class OneByOne(ClipDetector):
    """A method that takes the images of a batch apart."""

    def forward(self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]) -> Evidence:
        parts = [super(OneByOne, self).forward(image[None], class_names[:1]) for image in images]
        return Evidence(torch.cat([part.maps for part in parts]), torch.cat([part.score for part in parts]))


class Depending(ClipDetector):
    """A method that does something else for brighter images."""

    def forward(self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]) -> Evidence:
        return super().forward(images * float(images.mean()), class_names)


def test_a_method_that_takes_a_batch_apart_is_exported_for_one_image(detector: Detector) -> None:
    graph = writing.traced(OneByOne(detector.method.clip), SIDE, "bolt")
    assert graph.batch == 1
    images = torch.rand(1, 3, SIDE, SIDE)
    expected = ScoredImages(detector.method, SIDE, "bolt")(images)
    torch.testing.assert_close(tuple(graph.module(images)), expected, atol=1e-6, rtol=0)


def test_a_method_whose_steps_depend_on_the_picture_is_refused(detector: Detector) -> None:
    with pytest.raises(ConfigError, match="Depending: what it computes depends on the values of a picture"):
        writing.traced(Depending(detector.method.clip), SIDE, "bolt")


def test_the_command_writes_a_file(
    detector: Detector,
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from zsad.cli.main import main

    empty = writing.Graph(fx.GraphModule({}, fx.Graph()), torch.empty(0), None)
    monkeypatch.setattr(writing, "traced", lambda *_, **__: empty)
    monkeypatch.setattr(writing, "onnx_bytes", lambda _: path.read_bytes())
    monkeypatch.setattr("zsad.loading.load", lambda *_, **__: detector)
    assert main(["export", "clip", "--class-name", "bolt", "--out", str(tmp_path / "nuts")]) == 0
    assert f"use it: zsad predict IMAGES --detector {tmp_path / 'nuts.onnx'}" in capsys.readouterr().out
    assert load(tmp_path / "nuts.onnx").card.class_name == "bolt"
