"""What data may lack, and what results then say."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from tests.evaluator.making import NUT, RESOLUTION, SIDE, data, detector, make_anomalous, make_normal
from zsad.data import layouts
from zsad.data.layouts import Sample
from zsad.data.specification import DataSet, data_set
from zsad.evaluator.checks import data_warnings
from zsad.evaluator.evaluation import evaluate
from zsad.evaluator.plan import PlannedClass, PlannedImage, PlannedSet
from zsad.results import store
from zsad.results.schema import METRICS, Metric, Protocol


def test_classes_of_one_state_have_no_image_metrics_and_means_leave_them_out(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut", "carpet", "tile")
    make_normal(tmp_path / "data" / "carpet")
    make_anomalous(tmp_path / "data" / "tile")
    (found,) = evaluate(detector(), [given], tmp_path / "out", resolution=RESOLUTION, resamples=20).data_sets
    carpet, nut, tile = found.classes
    assert (carpet.normal, carpet.anomalous, tile.normal, tile.anomalous) == (4, 0, 0, 4)
    for name in METRICS:
        level = name.partition("_")[0]
        assert carpet.metrics[name].value is None
        assert "needs normal and anomalous samples; got" in carpet.metrics[name].reason
        assert (tile.metrics[name].value is None) == (level == "image")
    assert tile.metrics["image_auroc"].reason == "AUROC needs normal and anomalous samples; got 0 and 4"
    assert found.means["image_ap"] == nut.metrics["image_ap"]
    two = [nut.metrics["pixel_pro"].value, tile.metrics["pixel_pro"].value]
    assert (found.means["pixel_pro"].value, found.means["pixel_pro"].classes) == (np.mean(two), 2)


def test_where_no_class_defines_a_metric_its_mean_says_so(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut", "tile")
    for name in ("metal_nut", "tile"):
        make_anomalous(tmp_path / "data" / name)
    (found,) = evaluate(detector(), [given], tmp_path / "out", resolution=RESOLUTION).data_sets
    reason = "AUROC needs normal and anomalous samples; got 0 and 4"
    assert found.means["image_auroc"] == Metric(None, reason=reason, classes=0)


def test_images_without_masks_count_for_image_metrics_only(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut", "tile")
    for mask in (tmp_path / "data" / "metal_nut" / "ground_truth" / "square").iterdir():
        mask.unlink()
    next((tmp_path / "data" / "tile").rglob("*_mask.png")).unlink()
    (found,) = evaluate(detector(), [given], tmp_path / "out", resolution=RESOLUTION, resamples=20).data_sets
    nut, tile = found.classes
    assert (nut.without_mask, nut.anomalous, tile.without_mask, tile.anomalous) == (4, 4, 1, 4)
    assert all(metric.value is not None for name, metric in nut.metrics.items() if name.startswith("image"))
    assert {metric for name, metric in nut.metrics.items() if name.startswith("pixel")} == {
        Metric(None, reason="no masks")
    }
    assert found.means["pixel_ap"].classes == 1
    assert None not in {metric.value for metric in tile.metrics.values()}
    assert "tile: 1 image without a mask, anomalous, counted for image metrics only." in found.warnings
    shares = [image.anomalous_share for image in store.read_images(tmp_path / "out" / NUT)]
    assert shares == [0, 0, 0, 0, None, None, None, None]
    assert set(store.read_curves(tmp_path / "out" / NUT)) == {"image_roc", "image_pr"}


def test_what_cannot_be_read_is_named_and_counts_for_nothing(tmp_path: Path) -> None:
    given, home = data(tmp_path / "data", "metal_nut"), tmp_path / "data" / "metal_nut"
    (home / "test" / "good" / "001.png").write_text("no image")
    Image.new("L", (7, 7)).save(home / "ground_truth" / "square" / "005_mask.png")
    (home / "ground_truth" / "square" / "006_mask.png").write_bytes(b"")
    (found,) = evaluate(detector(2), [given], tmp_path / "out", resolution=RESOLUTION, resamples=20).data_sets
    (one,) = found.classes
    assert (one.normal, one.anomalous, one.without_mask) == (3, 2, 0)
    messages = {
        "metal_nut/test/good/001.png": "001.png",
        "metal_nut/test/square/005.png": "a mask has the size of its image",
        "metal_nut/test/square/006.png": "an image must be a whole image file",
    }
    assert one.unreadable.keys() == messages.keys()
    assert all(messages[source] in said for source, said in one.unreadable.items())
    sources = [image.source for image in store.read_images(tmp_path / "out" / NUT)]
    assert len(sources) == 5
    assert not set(sources) & set(messages)
    said, *few = found.warnings
    assert said.startswith("metal_nut: 3 images left out, unreadable or with an unreadable mask: metal_nut/test/good/")
    assert few == [
        f"metal_nut: {state}: so few make intervals too narrow." for state in ("3 normal images", "2 anomalous images")
    ]


def test_masks_that_mark_nothing_and_copies_are_said(tmp_path: Path) -> None:
    given, home = data(tmp_path / "data", "metal_nut"), tmp_path / "data" / "metal_nut"
    Image.new("L", (SIDE, SIDE)).save(home / "ground_truth" / "square" / "005_mask.png")
    shutil.copy(home / "test" / "good" / "001.png", home / "test" / "good" / "900.png")
    shutil.copy(home / "test" / "square" / "006.png", home / "test" / "good" / "901.png")
    (found,) = evaluate(detector(), [given], tmp_path / "out", resolution=RESOLUTION, resamples=0).data_sets
    assert found.classes[0].blank_masks == 1
    said = " ".join(found.warnings)
    assert "metal_nut: 2 copies of images that are there already" in said
    assert "metal_nut: 1 image is there as normal and as anomalous." in said
    assert "metal_nut: 1 anomalous image without an anomalous pixel" in said


def test_a_class_of_which_nothing_can_be_read_says_so(tmp_path: Path) -> None:
    given, home = data(tmp_path / "data", "metal_nut"), tmp_path / "data" / "metal_nut"
    for path in (home / "test").glob("*/*.png"):
        path.write_bytes(b"")
    (found,) = evaluate(detector(), [given], tmp_path / "out", resolution=RESOLUTION, resamples=20).data_sets
    assert {metric.reason for metric in found.classes[0].metrics.values()} == {"no image could be read"}
    assert found.means["image_auroc"].reason == "no image could be read"


def test_images_without_a_label_are_left_out_and_counted(tmp_path: Path) -> None:
    data(tmp_path / "data", "metal_nut")
    found = data_set(f"drawn=mvtec:{tmp_path / 'data'}")
    first, *rest = found.samples
    given = replace(found, samples=(replace(first, label=None), *rest))
    (result,) = evaluate(detector(), [given], tmp_path / "out", resolution=RESOLUTION, resamples=0).data_sets
    assert (result.classes[0].unlabelled, result.classes[0].normal) == (1, 3)
    assert result.warnings == ("metal_nut: 1 image without a label left out.",)


def test_a_class_of_which_nothing_is_known_has_no_numbers(tmp_path: Path) -> None:
    data(tmp_path / "data", "metal_nut")
    found = data_set(f"drawn=mvtec:{tmp_path / 'data'}")
    given = replace(found, samples=tuple(replace(one, label=None, mask=None) for one in found.samples))
    (result,) = evaluate(
        detector(), [given], tmp_path / "out", resolution=RESOLUTION, max_images=1, resamples=20
    ).data_sets
    (one,) = result.classes
    assert (one.unlabelled, one.normal, one.anomalous) == (8, 0, 0)
    assert {metric.value for metric in one.metrics.values()} == {None}
    assert {metric.value for metric in result.means.values()} == {None}


def test_a_quick_look_says_that_it_is_one(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut")
    found = evaluate(detector(), [given], tmp_path / "out", resolution=RESOLUTION, max_images=2, resamples=0)
    (one,) = found.data_sets[0].classes
    assert (one.normal, one.anomalous, found.protocol.max_images) == (2, 2, 2)
    assert found.data_sets[0].warnings[0].startswith("A quick look: at most 2 images of each class and state")


def test_a_complete_set_of_which_some_classes_were_never_counted_lacks_nothing() -> None:
    layout, split = layouts.get("dtd-synthetic"), Protocol()
    counts = {name: (layout.counts[name].normal, layout.counts[name].anomalous) for name in layout.counts}
    found = [_planned(name, *counts.get(name, (20, 80))) for name in layout.classes]
    whole = DataSet("dtd-synthetic", "dtd-synthetic", Path(), tuple(i.sample for one in found for i in one.items))
    assert data_warnings(PlannedSet(whole, tuple(found)), [], split) == []
    (said,) = data_warnings(PlannedSet(whole, tuple(found[:-1])), [], split)
    assert said == "1 of 12 published classes are not part of this: Woven_127."
    changed = [_planned("Mesh_114", 1, 2), *(one for one in found if one.name != "Mesh_114")]
    (said,) = data_warnings(PlannedSet(whole, tuple(changed)), [], split)
    assert said == "Mesh_114: 1 normal and 2 anomalous images; as published 36 and 80."


def _planned(name: str, normal: int, anomalous: int) -> PlannedClass:
    samples = [
        Sample(Path(f"{name}-{n}.png"), int(n >= normal), name, "", None, "test") for n in range(normal + anomalous)
    ]
    items = tuple(PlannedImage(one, one.image.name, int(one.label or 0), "", "") for one in samples)
    return PlannedClass("dtd-synthetic", name, items, 0, Path())
