"""Tiles: what they cover, how their maps become one, and images that are read and written by rows."""

import csv
import json
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import zsad
from tests.data.making import tiff
from zsad import tiled_pass
from zsad.cli.main import main
from zsad.data.decode import decode
from zsad.data.decoding.tiff_windows import TiffWindows
from zsad.errors import ConfigError, InputError
from zsad.tiled_pass import enlarged_rows, reduced
from zsad.tiling import Tiling, starts, weights
from zsad.types.large import LargePrediction

R = np.random.default_rng(7)
COLOURS = R.integers(0, 256, (90, 130, 3), dtype=np.uint8)
TILING = Tiling(48, 12)


@pytest.fixture(scope="module")
def whole() -> zsad.Detector:
    return zsad.load("clip", image_size=32)


@pytest.fixture(scope="module")
def tiled() -> zsad.Detector:
    return zsad.load("clip", image_size=32, tiling=TILING)


# --- the plan ---


@pytest.mark.parametrize(("length", "size", "overlap"), [(100, 40, 10), (101, 40, 20), (1000, 64, 16), (41, 40, 0)])
def test_tiles_cover_an_axis_and_overlap_enough(length: int, size: int, overlap: int) -> None:
    found = starts(length, size, overlap)
    assert (found[0], found[-1]) == (0, length - size)
    assert all(later - former <= size - overlap for former, later in pairwise(found))
    fewer = -(-(length - overlap) // (size - overlap)) - 1
    assert fewer * (size - overlap) + overlap < length  # one tile less would not do
    assert len(found) == fewer + 1


@pytest.mark.parametrize("overlap", [0, 1, 10, 32])
def test_weights_add_up_to_one_and_fall_smoothly_to_the_border(overlap: int) -> None:
    begins = starts(300, 64, overlap)
    total, steps = np.zeros(300), []
    for begin, weight in zip(begins, weights(begins, 64, 300), strict=True):
        total[begin : begin + 64] += weight
        assert weight.min() > 0
        steps.append(np.abs(np.diff(np.concatenate([weight[:1] if begin == 0 else [0], weight]))).max())
    np.testing.assert_allclose(total, 1, atol=1e-6)
    if overlap >= 10:
        assert max(steps) <= np.pi / 2 / overlap + 1e-3  # the steepest part of a raised cosine


@pytest.mark.parametrize("values", [(8, 0), (9000, 0), (64, 33), (64, -1), (64, 16, 1.0), (64, 16, -0.1)])
def test_what_is_out_of_range_is_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError):
        Tiling(*values).checked()


def test_the_default_overlap_is_a_quarter() -> None:
    assert Tiling.of(518) == (518, 129, 0.0)


# --- maps and scores ---


def test_the_map_is_the_weighted_sum_of_the_maps_of_tiles(whole: zsad.Detector, tiled: zsad.Detector) -> None:
    found = tiled.predict(COLOURS)
    tops, lefts = starts(90, 48, 12), starts(130, 48, 12)
    down, across = weights(tops, 48, 90), weights(lefts, 48, 130)
    expected, scores = np.zeros((90, 130)), []
    for top, vertical in zip(tops, down, strict=True):
        for left, horizontal in zip(lefts, across, strict=True):
            tile = whole.predict(np.ascontiguousarray(COLOURS[top : top + 48, left : left + 48]))
            expected[top : top + 48, left : left + 48] += tile.anomaly_map * np.outer(vertical, horizontal)
            scores.append(tile.score)
    assert len(scores) == 12
    np.testing.assert_allclose(found.anomaly_map, expected, atol=1e-5)
    assert found.score == pytest.approx(max(scores), abs=1e-6)
    assert "tiles of 48 px that overlap by 12 px" in tiled.explanation


def test_an_image_of_one_tile_is_scored_as_a_whole(whole: zsad.Detector, tiled: zsad.Detector) -> None:
    image = COLOURS[:48, :48].copy()
    np.testing.assert_allclose(tiled.predict(image).anomaly_map, whole.predict(image).anomaly_map, atol=1e-6)
    assert tiled.predict(image).score == pytest.approx(whole.predict(image).score, abs=1e-6)


def test_the_whole_image_joins_by_its_weight(whole: zsad.Detector, tiled: zsad.Detector) -> None:
    joined = zsad.load("clip", image_size=32, tiling=Tiling(48, 12, 0.25)).predict(COLOURS)
    parts, one = tiled.predict(COLOURS), whole.predict(COLOURS)
    assert joined.score == pytest.approx(0.75 * parts.score + 0.25 * one.score, abs=1e-6)
    np.testing.assert_allclose(joined.anomaly_map, 0.75 * parts.anomaly_map + 0.25 * one.anomaly_map, atol=1e-5)


def test_streams_give_the_same_also_at_another_size(tiled: zsad.Detector, tmp_path: Path) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    first, second = tiled.stream([tmp_path / "a.png", tmp_path / "b.png"])
    assert first[1].score == tiled.predict(COLOURS).score
    assert "empty" in second.message
    (at_size,) = tiled.stream([tmp_path / "a.png"], size=(40, 50))
    assert at_size[1].anomaly_map.shape == (40, 50)
    with pytest.raises(InputError):
        tiled.predict(tmp_path / "b.png")


def test_a_bank_is_of_tiles_and_is_saved_with_its_tiling(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    detector = zsad.load("patchcore", image_size=32, tiling=TILING, options={"coreset_share": 1.0})
    detector.fit_normal([tmp_path / "a.png"])
    assert len(detector.training_record.memory) == 12
    assert len(detector.training_record.images) == 1
    detector.save(tmp_path / "saved")
    loaded = zsad.load(tmp_path / "saved")
    assert loaded.tiling == TILING
    assert loaded.fingerprint == detector.fingerprint
    assert loaded.predict(COLOURS).score == pytest.approx(detector.predict(COLOURS).score, abs=1e-6)
    assert loaded.predict(COLOURS).score < 0.1  # every tile is in the bank


# --- by rows ---

WAYS = {
    "strips": {"photometric": "rgb", "rowsperstrip": 7},
    "tiles": {"photometric": "rgb", "tile": (32, 16)},
    "tiles, LZW": {"photometric": "rgb", "tile": (32, 16), "compression": "lzw", "predictor": True},
    "strips, zlib": {"photometric": "rgb", "rowsperstrip": 7, "compression": "zlib"},
    "one strip": {"photometric": "rgb"},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_rows_are_those_of_the_decoded_image(tmp_path: Path, way: str, depth: type) -> None:
    values = COLOURS.astype(depth) * depth(1 if depth is np.uint8 else 257)
    (tmp_path / "a.tif").write_bytes(tiff(values, **WAYS[way]))
    expected = decode(tmp_path / "a.tif").pixels
    with TiffWindows(tmp_path / "a.tif") as windows:
        assert windows.size == (90, 130)
        for top, bottom in ((0, 90), (31, 33), (60, 61), (5, 40)):
            np.testing.assert_array_equal(windows.rows(top, bottom), expected[top:bottom])


@pytest.mark.parametrize(
    ("values", "options"),
    [
        (COLOURS[..., 0], {"photometric": "miniswhite"}),
        (COLOURS[..., 0].astype(np.uint16), {"photometric": "minisblack", "bitspersample": 12}),
        ((COLOURS[..., 0] / 255).astype(np.float32), {"photometric": "minisblack"}),
        (np.dstack([COLOURS, COLOURS[..., :1]]), {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
        (COLOURS[..., 0].astype(np.uint16) * 16, {"photometric": "minisblack", "extratags": [(281, 3, 1, 4095, True)]}),
    ],
    ids=["white is zero", "12 bits", "floats", "alpha", "tags"],
)
def test_rows_of_other_samples(tmp_path: Path, values: np.ndarray, options: dict[str, object]) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(values, rowsperstrip=8, metadata=None, **options))
    with TiffWindows(tmp_path / "a.tif") as windows:
        np.testing.assert_array_equal(windows.rows(3, 70), decode(tmp_path / "a.tif").pixels[3:70])


def test_rows_of_jpeg_tiles(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(90), np.arange(130)).astype(np.uint8)
    picture = np.dstack([smooth, 255 - smooth, smooth // 2])
    (tmp_path / "a.svs").write_bytes(tiff(picture, photometric="rgb", tile=(32, 48), compression="jpeg"))
    with TiffWindows(tmp_path / "a.svs") as windows:
        differences = np.abs(windows.rows(0, 90).astype(int) - picture)
        assert differences.mean() < 3  # the last pixels of JPEG differ more
        assert np.quantile(differences, 0.99) < 20


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"planarconfig": "separate", "photometric": "rgb"}, "axes SYX"),
        ({"photometric": "rgb", "extratags": [(274, 3, 1, 6, True)]}, "to be turned"),
    ],
)
def test_what_is_not_read_by_rows_is_refused(tmp_path: Path, options: dict[str, object], said: str) -> None:
    values = np.moveaxis(COLOURS, 2, 0) if "planarconfig" in options else COLOURS
    (tmp_path / "a.tif").write_bytes(tiff(values, metadata=None, **options))
    with pytest.raises(InputError, match=said):
        TiffWindows(tmp_path / "a.tif")


def test_reduced_by_the_mean_of_blocks(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(COLOURS, photometric="rgb", rowsperstrip=11))
    with TiffWindows(tmp_path / "a.tif") as windows:
        found = reduced(windows, 4)
    assert found.shape == (23, 33, 3)
    np.testing.assert_allclose(found[3, 5], COLOURS[12:16, 20:24].mean((0, 1)), atol=0.51)
    np.testing.assert_allclose(found[22, 32], COLOURS[88:, 128:].mean((0, 1)), atol=0.51)


def test_enlarged_rows_are_those_of_pytorch() -> None:
    small = R.random((5, 7), np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(small)[None, None], (33, 50), mode="bilinear", align_corners=False
    )[0, 0]
    np.testing.assert_allclose(enlarged_rows(small, (33, 50), 9, 12), expected[9:21], atol=1e-6)


@pytest.fixture
def by_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiled_pass, "LARGE", 1000)
    monkeypatch.setattr(tiled_pass, "REDUCED_SIDE", 33)


@pytest.mark.usefixtures("by_rows")
@pytest.mark.parametrize("coarse", [0.0, 0.25])
def test_a_large_image_has_the_map_of_the_same_image_in_memory(tmp_path: Path, coarse: float) -> None:
    smooth = np.asarray(Image.fromarray(COLOURS[:6, :8]).resize((130, 90), Image.Resampling.BICUBIC))
    (tmp_path / "a.tif").write_bytes(tiff(smooth, photometric="rgb", rowsperstrip=16))
    detector = zsad.load("clip", image_size=32, tiling=Tiling(48, 12, coarse))
    (answer,) = detector.stream([tmp_path / "a.tif"])
    image, large = answer
    assert isinstance(large, LargePrediction)
    assert image.size == (23, 33)
    assert (large.size, large.factor) == ((90, 130), 4)
    large.map_file.seek(0)
    written = np.asarray(Image.open(large.map_file)) / 65535
    alone = detector.predict(tmp_path / "a.tif")
    tolerance = 1e-5 if not coarse else 0.05  # the whole image is reduced before it is looked at
    np.testing.assert_allclose(written, alone.anomaly_map, atol=tolerance)
    assert large.score == pytest.approx(alone.score, abs=1e-6 if not coarse else 0.05)
    blocks = [written[top : top + 4, left : left + 4].max() for top in range(0, 90, 4) for left in range(0, 130, 4)]
    np.testing.assert_allclose(large.anomaly_map.ravel(), blocks, atol=1e-5)


@pytest.mark.usefixtures("by_rows")
def test_the_report_of_a_large_image(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(COLOURS, photometric="rgb", rowsperstrip=16))
    out = tmp_path / "out"
    command = ["predict", str(tmp_path / "a.tif"), "--detector", "clip", "--image-size", "32", "--out", str(out)]
    peak = zsad.load("clip", image_size=32, tiling=TILING).predict(tmp_path / "a.tif").anomaly_map
    threshold = str(float(np.quantile(peak, 0.98)))
    assert main([*command, "--tile", "48", "--overlap", "12", "--pixel-threshold", threshold]) == 0
    with (out / "predictions.csv").open(newline="") as table:
        (row,) = csv.DictReader(table)
    assert (row["rows"], row["cols"]) == ("90", "130")
    assert "reduced 4 times" in row["notes"]
    np.testing.assert_allclose(np.asarray(Image.open(out / row["map"])) / 65535, peak, atol=1e-5)
    with Image.open(out / row["overlay"]) as overlay:
        assert overlay.size == (33, 23)
    (found,) = json.loads((out / "regions.json").read_text())["images"]
    assert (found["rows"], found["cols"]) == (90, 130)
    y, x = np.unravel_index(peak.argmax(), peak.shape)
    left, top, width, height = found["regions"][0]["box"]
    assert left <= x < left + width <= 130
    assert top <= y < top + height <= 90
    assert abs(found["regions"][0]["peak_position"][0] - x) <= 4
    assert abs(found["regions"][0]["peak_position"][1] - y) <= 4


def test_what_scores_images_by_one_another_scores_tiles_by_text() -> None:
    detector, by_text = (zsad.load(name, image_size=32, tiling=TILING) for name in ("musc", "clip-ac"))
    assert detector.predict(COLOURS).score == pytest.approx(by_text.predict(COLOURS).score, abs=1e-6)
    assert not detector.scored_together


def test_options_of_tiles_go_with_tiles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    assert main(["predict", str(tmp_path / "a.png"), "--detector", "clip", "--overlap", "3"]) == 2
    assert "say --tile PX" in capsys.readouterr().err


def test_a_header_with_two_widths_is_left_to_the_decoder(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", COLOURS)
    content = (tmp_path / "a.tif").read_bytes()
    one = next(struct.pack("<HHI", 256, kind, 1) for kind in (3, 4) if struct.pack("<HHI", 256, kind, 1) in content)
    (tmp_path / "a.tif").write_bytes(content.replace(one, struct.pack("<HHI", 256, 3, 2)))
    assert not tiled_pass.is_large(tmp_path / "a.tif")


def test_a_tiff_in_memory_is_the_same(tiled: zsad.Detector, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", COLOURS, photometric="rgb")
    assert tiled.predict(tmp_path / "a.tif").score == pytest.approx(tiled.predict(COLOURS).score, abs=1e-6)
