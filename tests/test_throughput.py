"""``zsad bench``: which stage limits, and that all of them are measured."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests import small
from zsad.checkpoint import Card
from zsad.cli.bench import table
from zsad.cli.main import main
from zsad.errors import InputError
from zsad.methods.clip import ClipDetector, ClipDetectorConfig
from zsad.predictor import Detector
from zsad.reports.predictions import ReportWriter, RunInfo
from zsad.throughput import ORDER, Throughput, draw_photographs, measure, peak_flops, tower_flops
from zsad.tiling import Tiling
from zsad.types import DecodedImage, Prediction

RUN = RunInfo("clip", "small", "random", 32, "fp32", "cpu", "object", None, "0", "2026-01-01", "zsad bench clip")


def detector() -> Detector:
    return Detector(Card("clip", image_size=32), ClipDetector(small.frozen(), ClipDetectorConfig()))


def found(device: str, threads: int, **seconds: float) -> Throughput:
    usual = dict.fromkeys(ORDER, 0.001)
    return Throughput(usual | seconds, 100.0, 1, device, threads, tower_flops=2e9, peak=1e12)


def test_on_a_cpu_the_longest_stage_limits() -> None:
    assert found("cpu", 2, tower=0.2, write=0.1).limit == "tower"
    assert found("cpu", 2, tower=0.2, write=0.3).limit == "write"


def test_on_a_gpu_the_side_that_is_behind_limits() -> None:
    assert found("cuda", 2, tower=0.01, write=0.05).limit == "write"
    assert found("cuda", 16, tower=0.01, write=0.05).limit == "tower"
    assert found("cuda", 4, tower=0.01, decode=0.05, write=0.02).limit == "decode"


def test_the_share_of_the_peak_is_that_of_the_tower() -> None:
    assert found("cpu", 1, tower=0.004).share_of_peak == pytest.approx(0.5)


def test_the_operations_of_the_tower_are_counted_by_hand() -> None:
    one, vision = detector(), small.frozen().config.vision
    tokens = (32 // vision.patch) ** 2 + 1
    counted = tower_flops(one, torch.zeros(3, 3, 32, 32))
    linear = 2 * tokens * 12 * vision.width**2 * vision.depth
    attention = 2 * 2 * tokens**2 * vision.width * vision.depth
    embedding = 2 * (tokens - 1) * 3 * vision.patch**2 * vision.width
    assert counted == pytest.approx(linear + attention + embedding, rel=0.02)


def test_the_peak_is_a_number_of_operations_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zsad.throughput.MULTIPLIED", {"cpu": 64})
    assert 1e6 < peak_flops("cpu", torch.float32) < 1e15


def test_drawn_photographs_differ(tmp_path: Path) -> None:
    paths = draw_photographs(tmp_path, 3, 40)
    assert len({path.read_bytes() for path in paths}) == 3
    for path in paths:
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (40, 40))


def test_every_stage_is_measured_and_threads_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zsad.throughput.MULTIPLIED", {"cpu": 64})
    threads = torch.get_num_threads()
    measured = measure(detector(), draw_photographs(tmp_path, 3, 40), RUN, rounds=2)
    assert torch.get_num_threads() == threads
    assert list(measured.seconds) == list(ORDER)
    assert all(seconds > 0 for name, seconds in measured.seconds.items() if name != "method")
    assert measured.images_per_second > 0
    assert (measured.batch, measured.device) == (1, "cpu")
    lines = list(table(measured))
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[2:9]] == [*ORDER, "together"]
    assert sum("< limits" in line for line in lines) == 1


def test_with_tiles_an_image_costs_what_its_tiles_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 40 px and tiles of 32: two along each axis, and the coarse pass. The map is that of a prediction."""
    monkeypatch.setattr("zsad.throughput.MULTIPLIED", {"cpu": 64})
    one, files, written = detector(), draw_photographs(tmp_path, 2, 40), []
    whole = measure(one, files, RUN, rounds=1)
    one.tiling = Tiling(32, 8, 0.25)
    add = ReportWriter.add

    def adding(self: ReportWriter, image: DecodedImage, prediction: Prediction) -> None:
        written.append(prediction)
        add(self, image, prediction)

    monkeypatch.setattr(ReportWriter, "add", adding)
    tiled = measure(one, files, RUN, rounds=1)
    assert (whole.passes, tiled.passes) == (1, 5)
    assert tiled.tower_flops == 5 * whole.tower_flops
    predicted = one.predict(files[0])
    np.testing.assert_allclose(written[0].anomaly_map, predicted.anomaly_map, atol=1e-6)
    assert "Through the tower for an image: 5 tiles, coarse passes included." in list(table(tiled))


def test_nothing_that_can_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="there is an image to measure with"):
        measure(detector(), [tmp_path / "a.png"], RUN)


def test_the_command_says_which_numbers_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "clip", "--side", "15"]) == 2
    assert "--side" in capsys.readouterr().err
    assert main(["bench", "clip", "--count", "1"]) == 2
    assert "--count" in capsys.readouterr().err
