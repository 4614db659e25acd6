"""A detector in int8 is near to the one that was exported, says how near, and decides by its own scores."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from PIL import Image
from torch import Tensor, fx

from tests.small import DEPTH, SIZE, frozen
from zsad import checkpoint, methods
from zsad.calibration import Calibration, conformal_threshold
from zsad.cli.main import main
from zsad.errors import ConfigError, InputError
from zsad.export import export, int8, load, writing
from zsad.export.card import Loss
from zsad.export.parity import drawn, rank_correlation
from zsad.methods.clip import ClipDetector, ClipDetectorConfig
from zsad.predictor import Detector
from zsad.runtime import RuntimeConfig

PRODUCTS = 6
"""Of a block: queries, keys, values, what attention gives, and two of the MLP."""


@pytest.fixture(scope="module")
def detector() -> Detector:
    card = checkpoint.Card("clip", backbone="small", image_size=SIZE)
    detector = Detector(card, ClipDetector(frozen(), ClipDetectorConfig(temperature=1.0)), RuntimeConfig("cpu"))
    found = Calibration("fpr", 0.4, (0.1, 0.2, 0.3), "bolt", detector.fingerprint, target=0.25, pixel_threshold=0.5)
    detector.training_record = checkpoint.TrainingRecord(calibration=found)
    return detector


@pytest.fixture(scope="module")
def in_fp32(detector: Detector) -> bytes:
    return writing.onnx_bytes(writing.traced(detector.method, SIZE, "bolt", one=True))


@pytest.fixture(scope="module", autouse=True)
def _traced_once(in_fp32: bytes) -> Iterator[None]:
    def traced(*_: object, one: bool) -> writing.Graph:
        assert one
        return writing.Graph(fx.GraphModule({}, fx.Graph()), torch.empty(0), 1)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(writing, "traced", traced)
        monkeypatch.setattr(writing, "onnx_bytes", lambda _: in_fp32)
        yield


@pytest.fixture(scope="module")
def path(detector: Detector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "clip.onnx"
    export(detector, path, "bolt", int8=True)
    return path


@pytest.fixture
def normal(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "normal"
    folder.mkdir()
    generator = np.random.default_rng(5)
    paths = [folder / f"{number}.png" for number in range(4)]
    for path in paths:
        Image.fromarray(generator.integers(0, 256, (70, 90, 3), np.uint8)).save(path)
    return paths


def test_the_card_says_what_is_lost(detector: Detector, path: Path) -> None:
    exported = load(path)
    card, images = exported.card, drawn()
    pairs = [(detector.predict(image, "bolt"), exported.predict(image)) for image in images]
    apart = np.stack([np.abs(ours.anomaly_map - theirs.anomaly_map) for ours, theirs in pairs])
    scores = np.array([(ours.score, theirs.score) for ours, theirs in pairs])
    assert (card.precision, card.batch) == ("int8", 1)
    assert card.loss is not None
    assert (card.loss.images, card.loss.of) == (12, "drawn images")
    assert card.loss.map_max == pytest.approx(apart.max(), rel=1e-5)
    assert card.loss.map_mean == pytest.approx(apart.mean(), rel=1e-5)
    assert card.loss.score_max == pytest.approx(np.abs(scores[:, 0] - scores[:, 1]).max(), rel=1e-5)
    flat = [np.stack([pair[side].anomaly_map for pair in pairs]).ravel() for side in (0, 1)]
    assert card.loss.map_correlation == pytest.approx(np.corrcoef(*flat)[0, 1], abs=1e-5)
    assert card.loss.rank_correlation == rank_correlation(*scores.T)
    assert card.difference == max(card.loss.map_max, card.loss.score_max)
    assert 1e-6 < card.loss.map_mean < 0.02


def test_products_with_weights_of_the_tower_are_in_int8(detector: Detector, path: Path) -> None:
    graph = onnx.load(path).graph
    products = [node for node in graph.node if node.op_type == "MatMulInteger"]
    assert len(products) == DEPTH * PRODUCTS
    constants = {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer}
    rows = np.concatenate([weight.numpy() for weight in _matrices(detector)])
    for node in products:
        weights = constants[node.input[1]]
        assert weights.dtype == np.int8
        assert np.abs(weights).max(axis=0).tolist() == [127] * weights.shape[1]  # a scale for each output
        scale = constants[node.input[1].replace("_quantized", "_scale")]
        assert np.abs((weights * scale).T[0] - rows[:, : len(weights)]).max(1).min() <= scale[0] * 0.51
    assert not any(array.dtype == np.float32 and array.shape == weights.shape for array in constants.values())


def _matrices(detector: Detector) -> list[Tensor]:
    size = max(weight.shape[1] for weight in detector.method.clip.vision.parameters() if weight.ndim == 2)
    padded = []
    for weight in detector.method.clip.vision.parameters():
        if weight.ndim == 2:
            padded.append(weight.detach().new_zeros(len(weight), size))
            padded[-1][:, : weight.shape[1]] = weight.detach()
    return padded


def test_a_calibration_of_other_scores_is_left_out(detector: Detector, path: Path) -> None:
    exported = load(path)
    assert detector.threshold == 0.4
    assert (exported.calibration, exported.threshold, exported.pixel_threshold) == (None, None, None)
    assert exported.predict(drawn()[0]).is_anomalous is None


def test_it_is_calibrated_again_on_normal_images(detector: Detector, normal: list[Path], tmp_path: Path) -> None:
    card = export(detector, tmp_path / "clip.onnx", "bolt", int8=True, normal=normal)
    exported = load(tmp_path / "clip.onnx")
    found = exported.calibration
    assert found == card.calibration
    assert found is not None
    scores = [exported.predict(image).score for image in normal]
    assert found.normal_scores == tuple(sorted(scores))
    assert (found.criterion, found.target, found.class_name) == ("fpr", 0.25, "bolt")
    assert found.threshold == conformal_threshold(scores, 0.25)
    assert len(found.images) == 4
    assert card.loss is not None
    assert (card.loss.images, card.loss.of) == (4, "normal images of bolt")
    with pytest.raises(InputError, match="normal images"):
        export(detector, tmp_path / "few.onnx", "bolt", int8=True, normal=normal[:2])
    assert not (tmp_path / "few.onnx").exists()


def test_images_of_the_bank_do_not_calibrate_it(path: Path, normal: list[Path]) -> None:
    method = methods.get("patchcore")(frozen())
    card = checkpoint.Card("patchcore", backbone="small", image_size=SIZE)
    remembering = Detector(card, method, RuntimeConfig("cpu"))
    remembering.fit_normal(normal[2:], "bolt")
    before = Calibration("fpr", 0.4, (0.1, 0.2, 0.3), "bolt", remembering.fingerprint, target=0.25)
    with pytest.raises(InputError, match="its bank does not hold"):
        int8.recalibrated(load(path), remembering, before, normal)


@pytest.mark.parametrize("kind", ["other", "nan"])
def test_nothing_is_kept_that_is_too_far_off(
    kind: str, detector: Detector, in_fp32: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = onnx.load_from_string(in_fp32)
    for constant in model.graph.initializer:
        array = numpy_helper.to_array(constant)
        if array.dtype == np.float32 and array.ndim == 1:
            constant.CopyFrom(
                numpy_helper.from_array(array * np.float32(np.nan if kind == "nan" else 9), constant.name)
            )
    monkeypatch.setattr(int8, "quantized", lambda *_: model.SerializeToString())
    with pytest.raises((ConfigError, InputError)):
        export(detector, tmp_path / "clip.onnx", "bolt", int8=True)
    assert list(tmp_path.iterdir()) == []


def test_towers_without_products_are_refused(in_fp32: bytes) -> None:
    with pytest.raises(ConfigError, match="multiply with weights"):
        int8.quantized(in_fp32, frozen(seed=1))


def test_int8_is_for_onnx_and_normal_images_are_for_int8(detector: Detector, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="int8 is written as ONNX"):
        export(detector, tmp_path / "clip.xml", int8=True)
    with pytest.raises(ConfigError, match="for --int8"):
        export(detector, tmp_path / "clip.onnx", normal=["a.png"])


def test_the_commands_name_int8(
    detector: Detector, normal: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("zsad.loading.load", lambda *_, **__: detector)
    out = normal[0].parent.parent / "nuts.onnx"
    assert main(["export", "clip", "--class-name", "bolt", "--int8", "--out", str(out)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "int8: maps differ from fp32 by up to" in printed
    assert "the calibration is left out, which is of scores in fp32: give --normal DIR" in printed
    program = (
        "import sys; from zsad.cli.main import main; status = main(sys.argv[1:]); "
        "print(status, sorted({'torch', 'onnx'} & sys.modules.keys()))"
    )
    arguments = ["predict", str(normal[0]), "--detector", str(out), "--out", str(out.with_suffix(""))]
    ran = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    lines = ran.stdout.splitlines()
    assert lines[0].endswith(", int8")
    assert lines[2].startswith("int8: maps differ from fp32 by up to")
    assert lines[-1] == "0 []", ran.stderr
    assert json.loads((out.with_suffix("") / "predictions.json").read_text())["run"]["precision"] == "int8"


def test_ranks_of_ties_are_their_mean() -> None:
    assert rank_correlation(np.array([1.0, 2, 3, 4]), np.array([4.0, 3, 2, 1])) == -1
    # ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5)
    assert rank_correlation(np.array([1.0, 2, 2, 3]), np.array([1.0, 2, 3, 4])) == pytest.approx(0.948683)
    assert rank_correlation(np.ones(3), np.arange(3.0)) is None
    text = Loss(2, "images", 0.1, 0.01, 0.05).summary
    assert text == "maps differ from fp32 by up to 0.1 (mean 0.01), scores by up to 0.05, on 2 images"
