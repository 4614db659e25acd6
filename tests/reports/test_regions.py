"""Files of regions: read back, and beside a report that is written again."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw

from tests.browsing import driven, in_a_browser
from tests.reports.test_predictions import RUN
from zsad import spreadsheets
from zsad.data.masks.labelme import draw_shapes
from zsad.errors import ConfigError, InputError
from zsad.regions import find_regions
from zsad.reports.annotations import coco_annotation, labelme_file, run_lengths
from zsad.reports.predictions import ReportWriter, RunInfo
from zsad.types import DecodedImage, Prediction

WITH_REGIONS = replace(RUN, pixel_threshold=0.5)
MAP = np.zeros((20, 30), np.float32)
MAP[2:8, 3:12] = 0.6
MAP[4:6, 5:9] = 0  # a hole
MAP[15, 29] = 0.9
FILES = ("regions.json", "regions.csv", "coco.json")


def add(report: ReportWriter, source: str, anomaly_map: np.ndarray = MAP) -> None:
    pixels = np.full((*anomaly_map.shape, 3), 200, np.uint8)
    report.add(DecodedImage(pixels, source), Prediction(source, "metal nut", 0.5, 0.5, anomaly_map))


def written(out: Path, run: RunInfo = WITH_REGIONS) -> Path:
    with ReportWriter(out, run) as report:
        add(report, str(out.parent / "photos" / "a.png"))
        add(report, str(out.parent / "photos" / "quiet.png"), np.full((5, 6), 0.1, np.float32))
    return out


def decoded(segmentation: dict[str, list[int]]) -> np.ndarray:
    """COCO's uncompressed run-length code, as its specification has it."""
    rows, cols = segmentation["size"]
    values = [number % 2 for number in range(len(segmentation["counts"]))]
    return np.repeat(values, segmentation["counts"]).reshape(cols, rows).T


def test_the_listing_has_every_image_and_its_regions(tmp_path: Path) -> None:
    found = json.loads((written(tmp_path / "run") / "regions.json").read_text())
    assert (found["pixel_threshold"], found["min_area"], found["tolerance"]) == (0.5, 1, 1.0)
    first, quiet = found["images"]
    assert (first["rows"], first["cols"], first["labelme"]) == (20, 30, "labelme/a.json")
    spot, ring = first["regions"]
    assert spot == {
        "box": [29, 15, 1, 1],
        "area": 1,
        "peak": 0.9,
        "peak_position": [29, 15],
        "mean": 0.9,
        "polygons": [[[29, 15], [30, 15], [30, 16], [29, 16]]],
    }
    assert (ring["box"], ring["area"], ring["peak"]) == ([3, 2, 9, 6], 46, 0.6)
    assert ring["polygons"][0] == [[3, 2], [12, 2], [12, 8], [3, 8]]
    assert sorted(ring["polygons"][1]) == [[5, 4], [5, 6], [9, 4], [9, 6]]
    assert quiet["regions"] == []


def test_the_table_has_a_line_for_every_region_and_no_formula(tmp_path: Path) -> None:
    with ReportWriter(tmp_path, WITH_REGIONS) as report:
        add(report, "=1+1.png")
        add(report, "quiet.png", np.full((5, 6), 0.1, np.float32))
    text = (tmp_path / "regions.csv").read_text()
    assert text.splitlines()[1] == "'=1+1.png,1,29,15,1,1,1,0.900000,29,15,0.900000"
    rows = spreadsheets.read(tmp_path / "regions.csv")
    assert [(row["source"], row["region"], row["area"]) for row in rows] == [
        ("=1+1.png", "1", "1"),
        ("=1+1.png", "2", "46"),
    ]


def test_coco_lists_images_annotations_and_one_category(tmp_path: Path) -> None:
    found = json.loads((written(tmp_path / "run") / "coco.json").read_text())
    assert found["info"]["pixel_threshold"] == 0.5
    assert found["categories"] == [{"id": 1, "name": "anomaly", "supercategory": "anomaly"}]
    assert found["images"] == [
        {"id": 1, "file_name": "../photos/a.png", "height": 20, "width": 30},
        {"id": 2, "file_name": "../photos/quiet.png", "height": 5, "width": 6},
    ]
    spot, ring = found["annotations"]
    assert spot == {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "bbox": [29, 15, 1, 1],
        "area": 1,
        "segmentation": [[29, 15, 30, 15, 30, 16, 29, 16]],
        "iscrowd": 0,
        "score": 0.9,
    }
    mask = MAP >= 0.5
    mask[15, 29] = False
    np.testing.assert_array_equal(decoded(ring["segmentation"]), mask)
    assert (ring["id"], ring["bbox"], ring["area"], ring["score"]) == (2, [3, 2, 9, 6], 46, 0.6)


@settings(max_examples=100, deadline=None)
@given(pixels=arrays(bool, st.tuples(st.integers(1, 8), st.integers(1, 8))))
def test_run_lengths_of_each_region_give_its_pixels(pixels: np.ndarray) -> None:
    total = np.zeros(pixels.shape, int)
    for region in find_regions(pixels.astype(np.float32), 0.5, tolerance=0):
        counts = run_lengths(region.mask(), region.box, pixels.shape)
        assert all(count > 0 for count in counts[1:])
        total += decoded({"counts": counts, "size": list(pixels.shape)})
    np.testing.assert_array_equal(total, pixels)


@settings(max_examples=100, deadline=None)
@given(pixels=arrays(bool, st.tuples(st.integers(2, 8), st.integers(2, 8))))
def test_labelme_draws_exact_regions_again(pixels: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("labelme") / "a.json"
    regions = find_regions(pixels.astype(np.float32), 0.5, tolerance=0)
    path.write_text(json.dumps(labelme_file(regions, "a.png", pixels.shape, 0)))
    np.testing.assert_array_equal(draw_shapes(path) > 0, pixels)


def test_labelme_draws_simplified_regions_to_within_a_pixel(tmp_path: Path) -> None:
    rows, cols = np.mgrid[:90, :120]
    anomaly_map = np.exp(-(((rows - 40) / 25) ** 2) - ((cols - 70) / 30) ** 2).astype(np.float32)
    anomaly_map[35:50, 60:75] = 0
    with ReportWriter(tmp_path, WITH_REGIONS) as report:
        add(report, "a.png", anomaly_map)
    drawn, true = draw_shapes(tmp_path / "labelme" / "a.json") > 0, anomaly_map >= 0.5
    assert 0 < (drawn != true).sum() < 0.05 * true.sum()
    shapes = json.loads((tmp_path / "labelme" / "a.json").read_text())["shapes"]
    assert [shape["label"] for shape in shapes] == ["anomaly", "_background_"]
    assert max(len(shape["points"]) for shape in shapes) < 30


def test_labelme_files_open_their_image(tmp_path: Path) -> None:
    found = json.loads((written(tmp_path / "run") / "labelme" / "a.json").read_text())
    assert set(found) == {"version", "flags", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth"}
    assert (found["imagePath"], found["imageData"]) == ("../../photos/a.png", None)
    assert (found["imageHeight"], found["imageWidth"]) == (20, 30)
    ring, hole, spot = found["shapes"]
    assert ring["points"] == [[3, 2], [11, 2], [11, 7], [3, 7]]
    assert (ring["shape_type"], ring["label"], hole["label"]) == ("polygon", "anomaly", "_background_")
    assert (ring["group_id"], hole["group_id"], spot["points"]) == (2, 2, [[29, 15]] * 3)


def test_coco_polygons_follow_the_corners_of_pixels() -> None:
    (region,) = find_regions(np.pad(np.ones((2, 3)), 1), 0.5, tolerance=0)
    assert coco_annotation(region, 7, 3, (4, 5), 1.0)["segmentation"] == [[1, 1, 4, 1, 4, 3, 1, 3]]


def test_small_regions_are_left_out_of_all_files(tmp_path: Path) -> None:
    written(tmp_path / "run", replace(WITH_REGIONS, min_area=2))
    found = json.loads((tmp_path / "run" / "predictions.json").read_text())
    assert [item["regions"] for item in found["predictions"]] == [1, 0]
    assert len(json.loads((tmp_path / "run" / "coco.json").read_text())["annotations"]) == 1
    assert len(spreadsheets.read(tmp_path / "run" / "regions.csv")) == 1
    assert len(json.loads((tmp_path / "run" / "labelme" / "a.json").read_text())["shapes"]) == 2


def test_the_report_counts_regions_and_knows_their_boxes(tmp_path: Path) -> None:
    written(tmp_path / "run")
    found = json.loads((tmp_path / "run" / "predictions.json").read_text())
    assert [item["regions"] for item in found["predictions"]] == [2, 0]
    assert (found["run"]["pixel_threshold"], found["run"]["min_area"]) == (0.5, 1)
    with (tmp_path / "run" / "predictions.csv").open(newline="") as file:
        assert [row["regions"] for row in csv.DictReader(file)] == ["2", "0"]
    assert '"boxes": [[29, 15, 1, 1], [3, 2, 9, 6]]' in (tmp_path / "run" / "report.html").read_text()


LOOK = """
const shown = () => [...document.querySelectorAll("#region-boxes rect:first-child")].map(
  box => ["x", "y", "width", "height"].map(name => box.getAttribute(name)).join(" ")).join(", ");
document.querySelectorAll(".card")[0].click();
say("detail", at("large-detail").textContent + "|" + at("large-overlay").textContent);
say("boxes", shown() + "|" + at("region-boxes").getAttribute("viewBox"));
at("boxed").click();
say("toggled", shown());
at("next").click();
say("next", at("large-detail").textContent + "|" + at("boxing").hidden + "|" + shown());
"""


@in_a_browser
@pytest.mark.parametrize("overlay", ["heat", "outline"])
def test_the_page_shows_boxes_over_the_enlarged_image(tmp_path: Path, overlay: Literal["heat", "outline"]) -> None:
    page = written(tmp_path / "run", replace(WITH_REGIONS, overlay=overlay)) / "report.html"
    said, both = driven(page, LOOK, tmp_path / "profile"), "29 15 1 1, 3 2 9 6"
    if overlay == "heat":
        assert (said["detail"], said["boxes"]) == ("2 regions|heat map at full size", f"{both}|0 0 30 20")
        assert (said["toggled"], said["next"]) == ("", "0 regions|true|")
    else:
        assert (said["detail"], said["boxes"]) == ("2 regions|outlines at full size", "|0 0 30 20")
        assert said["toggled"] == both


def test_without_a_threshold_for_pixels_there_are_no_files_of_regions(tmp_path: Path) -> None:
    written(tmp_path / "run", RUN)
    found = json.loads((tmp_path / "run" / "predictions.json").read_text())
    assert [item["regions"] for item in found["predictions"]] == [None, None]
    assert not [name for name in (*FILES, "labelme") if (tmp_path / "run" / name).exists()]


def test_a_new_report_replaces_the_regions_of_an_earlier_one(tmp_path: Path) -> None:
    written(tmp_path / "run")
    written(tmp_path / "run", RUN)
    assert not [name for name in FILES if (tmp_path / "run" / name).exists()]
    assert list((tmp_path / "run" / "labelme").iterdir()) == []
    written(written(tmp_path / "run"))
    assert sorted(path.name for path in (tmp_path / "run" / "labelme").iterdir()) == ["a.json", "quiet.json"]


def test_what_was_corrected_in_labelme_is_kept(tmp_path: Path) -> None:
    corrected = written(tmp_path / "run") / "labelme" / "a.json"
    text = json.dumps(json.loads(corrected.read_text()), ensure_ascii=False, indent=2)  # as LabelMe saves
    corrected.write_text(text)
    (corrected.parent / "mine.json").write_text("mine")
    written(tmp_path / "run")
    assert corrected.read_text() == text
    assert sorted(path.name for path in corrected.parent.iterdir()) == ["a-2.json", "a.json", "mine.json", "quiet.json"]
    assert json.loads((corrected.parent / "a-2.json").read_text())["imagePath"] == "../../photos/a.png"


@pytest.mark.parametrize("name", FILES)
def test_files_from_elsewhere_are_refused_and_kept(tmp_path: Path, name: str) -> None:
    written(tmp_path, RUN)
    before = (tmp_path / "predictions.json").read_bytes()
    (tmp_path / name).write_text('{"images": []}')
    with pytest.raises(InputError, match=f"got {name} from elsewhere"):
        ReportWriter(tmp_path, WITH_REGIONS)
    assert (tmp_path / name).read_text() == '{"images": []}'
    assert (tmp_path / "predictions.json").read_bytes() == before
    written(tmp_path, RUN)  # which writes no file of that name
    assert (tmp_path / name).read_text() == '{"images": []}'


def test_a_table_that_was_cut_off_as_it_began_is_replaced(tmp_path: Path) -> None:
    (written(tmp_path / "run") / "regions.csv").write_bytes(b"")
    assert len(spreadsheets.read(written(tmp_path / "run") / "regions.csv")) == 2


def test_files_of_another_report_are_not_overwritten(tmp_path: Path) -> None:
    text = (written(tmp_path / "run") / "coco.json").read_text()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "coco.json").write_text(text)
    with pytest.raises(InputError, match=r"got coco.json from elsewhere"):
        ReportWriter(tmp_path / "new", WITH_REGIONS)


def test_a_run_that_is_stopped_keeps_its_regions(tmp_path: Path) -> None:
    def run() -> None:
        with ReportWriter(tmp_path, WITH_REGIONS) as report:
            add(report, "a.png")
            assert len(spreadsheets.read(tmp_path / "regions.csv")) == 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(json.loads((tmp_path / "coco.json").read_text())["annotations"]) == 2
    assert len(json.loads((tmp_path / "regions.json").read_text())["images"]) == 1


def test_outlines_need_a_threshold_for_pixels(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--pixel-threshold"):
        ReportWriter(tmp_path / "run", replace(RUN, overlay="outline"))
    assert not (tmp_path / "run").exists()


def test_outlines_are_drawn_over_the_unchanged_image(tmp_path: Path) -> None:
    with ReportWriter(tmp_path, replace(WITH_REGIONS, overlay="outline")) as report:
        add(report, "a.png")
        with pytest.raises(InputError, match="size of its image"):
            report.add(DecodedImage(np.zeros((4, 5, 3), np.uint8), "b.png"), Prediction("b.png", "nut", 0.5, 0.5, MAP))
    with Image.open(tmp_path / "overlays" / "a.png") as image:
        pixels = np.asarray(image)
    changed = (pixels != 200).any(axis=2)
    assert changed[2, 3:12].all()
    assert changed[2:8, 3].all()
    assert not changed[10:13].any()
    assert not changed[:, 16:25].any()


def test_outlines_can_be_seen_on_any_background() -> None:
    from zsad.drawing.outlines import LINE
    from zsad.drawing.render import INK

    def luminance(colour: tuple[int, ...]) -> float:  # WCAG 2.2
        parts = [value / 255 for value in colour]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one: float, other: float) -> float:
        return (max(one, other) + 0.05) / (min(one, other) + 0.05)

    for grey in range(256):
        behind = luminance((grey, grey, grey))
        assert max(contrast(luminance(colour), behind) for colour in (LINE, INK)) >= 3


def test_lines_grow_with_the_image() -> None:
    from zsad.drawing.outlines import outlined

    shares = []
    for scale in (1, 4):
        anomaly_map = np.kron(np.pad(np.ones((50, 100), np.float32), 150), np.ones((scale, scale), np.float32))
        grey = DecodedImage(np.full((*anomaly_map.shape, 3), 128, np.uint8), "a.png")
        drawn = np.asarray(outlined(grey, find_regions(anomaly_map, 0.5)))
        shares.append((drawn != 128).any(axis=2).mean())
    assert shares[1] == pytest.approx(shares[0], rel=0.1)


def test_pillow_draws_the_polygons_of_coco_where_the_region_is() -> None:
    """By an independent rasteriser, on a canvas 8 times as large, so that its rounding does not matter."""
    rows, cols = np.mgrid[:40, :60]
    anomaly_map = (((rows - 20) / 15) ** 2 + ((cols - 30) / 22) ** 2 < 1).astype(np.float32)
    (region,) = find_regions(anomaly_map, 0.5, tolerance=0)
    segmentation = coco_annotation(region, 1, 1, (40, 60), 0)["segmentation"]
    assert isinstance(segmentation, list)
    large = Image.new("L", (480, 320))
    points = np.array(segmentation[0]).reshape(-1, 2) * 8 - 0.5
    ImageDraw.Draw(large).polygon([(float(x), float(y)) for x, y in points], fill=1)
    np.testing.assert_array_equal(np.asarray(large)[4::8, 4::8] > 0, anomaly_map > 0)
