"""Evaluations: the numbers are those of the metrics, however the work was cut up."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zsad
from tests.evaluator.making import NUT, RESOLUTION, SIDE, data, detector, flat, left
from zsad.data.masks.ground_truth import read_mask
from zsad.data.specification import data_set, samples_of
from zsad.errors import ConfigError, InputError
from zsad.evaluator.class_evaluator import Progress
from zsad.evaluator.evaluation import evaluate
from zsad.metrics import auroc, average_precision, f1_max, pro, pro_200
from zsad.metrics.counters import stored
from zsad.results import store
from zsad.results.schema import METRICS
from zsad.statistics.intervals import resamples
from zsad.types import Failure

Hand = tuple[list[float], list[int], list[np.ndarray], list[np.ndarray]]


def by_hand(specification: str, resolution: int | None) -> Hand:
    """Scores, labels, maps and masks of all images."""
    found: Hand = [], [], [], []
    for sample in samples_of([specification], "test"):
        (answer,) = detector().stream([sample.image], "metal nut", resolution and (resolution, resolution))
        assert not isinstance(answer, Failure)
        image, prediction = answer
        mask = np.zeros(image.size, bool) if sample.mask is None else read_mask(sample.mask, image.size)
        size = prediction.size[::-1]
        grey = Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BILINEAR)
        truth = np.asarray(grey).astype(np.float32) / 255 > 0.5
        one = prediction.score, sample.label or 0, stored(prediction.anomaly_map), truth
        for values, value in zip(found, one, strict=True):
            values.append(value)
    return found


@pytest.mark.parametrize("resolution", [RESOLUTION, None])
def test_metrics_are_those_of_the_images_and_their_pixels(resolution: int | None, tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut")
    found = evaluate(detector(), [given], tmp_path / "out", resolution=resolution, resamples=0)
    scores, labels, maps, masks = by_hand(given, resolution)
    assert {side for one in maps for side in one.shape} == {resolution or SIDE}
    expected = {
        "image_auroc": auroc(scores, labels),
        "image_ap": average_precision(scores, labels),
        "image_f1_max": f1_max(scores, labels),
        "pixel_auroc": auroc(flat(maps), flat(masks)),
        "pixel_ap": average_precision(flat(maps), flat(masks)),
        "pixel_f1_max": f1_max(flat(maps), flat(masks)),
        "pixel_pro": pro(maps, masks),
        "pixel_pro_200": pro_200(maps, masks),
    }
    (one,) = found.data_sets[0].classes
    assert {name: metric.value for name, metric in one.metrics.items()} == pytest.approx(expected, abs=1e-12)
    assert {(metric.low, metric.high) for metric in one.metrics.values()} == {(None, None)}
    assert found.data_sets[0].means == one.metrics
    assert (one.normal, one.anomalous, one.prompt) == (4, 4, "metal nut")
    images = store.read_images(tmp_path / "out" / NUT)
    assert [image.score for image in images] == scores
    assert [image.label for image in images] == labels
    assert [image.source for image in images][::4] == [
        "metal_nut/test/good/000.png",
        "metal_nut/test/square/004.png",
    ]
    assert [image.peak for image in images] == pytest.approx([one.max() for one in maps], abs=1e-5)
    assert [image.anomalous_share for image in images] == [mask.mean() for mask in masks]
    own = [auroc(one.ravel(), mask.ravel()) if mask.any() else None for one, mask in zip(maps, masks, strict=True)]
    assert [image.pixel_auroc for image in images] == pytest.approx(own, abs=1e-3)


def test_intervals_are_of_draws_of_images_shared_by_all_metrics(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut")
    found = evaluate(detector(), [given], tmp_path / "out", resolution=RESOLUTION, resamples=30, confidence=0.8)
    scores, labels, maps, masks = by_hand(given, RESOLUTION)
    draws = store.read_draws(tmp_path / "out" / NUT)
    assert set(draws) == set(METRICS) - {"pixel_pro_200"}
    for number, weights in enumerate(resamples(labels, 30, "drawn", "metal_nut")):
        chosen = np.repeat(np.arange(len(labels)), weights).tolist()
        some_maps, some_masks = [maps[one] for one in chosen], [masks[one] for one in chosen]
        ours = {name: draw[number] for name, draw in draws.items()}
        image = [scores[one] for one in chosen], [labels[one] for one in chosen]
        assert ours["image_auroc"] == auroc(*image)
        assert ours["image_ap"] == pytest.approx(average_precision(*image), abs=1e-12)
        assert ours["pixel_auroc"] == pytest.approx(auroc(flat(some_maps), flat(some_masks)), abs=2e-3)
        assert ours["pixel_pro"] == pytest.approx(pro(some_maps, some_masks), abs=5e-3)
    (one,) = found.data_sets[0].classes
    for name, draw in draws.items():
        interval = one.metrics[name].low, one.metrics[name].high
        assert interval == pytest.approx(tuple(np.quantile(draw, [0.1, 0.9])), abs=1e-12), name
    assert (one.metrics["pixel_pro_200"].low, one.metrics["pixel_pro_200"].high) == (None, None)


def test_what_is_read_again_is_what_was_returned(tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = zsad.evaluate(detector(), [data(tmp_path / "data", "metal_nut", "carpet")], out, resolution=RESOLUTION)
    assert store.read(out) == store.read(out / "evaluation.json") == found
    folders = store.class_folders(out)
    assert folders == {("drawn", name): out / "classes" / "drawn" / name for name in ("metal_nut", "carpet")}
    assert tuple(store.read_class(folders["drawn", one.class_name]) for one in found.data_sets[0].classes) == (
        found.data_sets[0].classes
    )
    assert set(store.read_curves(folders["drawn", "carpet"])) == {
        *("image_roc", "image_pr"),
        *("pixel_roc", "pixel_pr", "pixel_pro"),
    }


def test_a_name_of_a_method_is_loaded(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut")
    found = evaluate("clip-ac", [data_set(given)], tmp_path / "out", resolution=RESOLUTION, max_images=1, resamples=0)
    assert (found.detector.name, found.detector.method, found.detector.backbone) == ("clip-ac", "clip-ac", "tiny")


# --- however the work is cut up


def test_neither_batches_nor_other_classes_nor_their_order_change_a_class(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut", "carpet", "tile")
    whole = evaluate(detector(), [given], tmp_path / "a", resolution=RESOLUTION, resamples=20, max_images=3)
    backwards = data_set(given)
    classes = ["tile", "metal_nut"]
    samples = tuple(sorted(backwards.samples, key=lambda sample: sample.class_name, reverse=True))
    turned = replace(backwards, samples=samples)
    settings = {"resolution": RESOLUTION, "resamples": 20, "max_images": 3}
    part = evaluate(detector(), [turned], tmp_path / "b", classes=classes, **settings)
    assert [one.class_name for one in part.data_sets[0].classes] == ["tile", "metal_nut"]
    by_name = {one.class_name: one for one in whole.data_sets[0].classes}
    for one in part.data_sets[0].classes:
        assert one.metrics == by_name[one.class_name].metrics
    batched = evaluate(detector(3), [given], tmp_path / "c", **settings)
    for ours, theirs in zip(batched.data_sets[0].classes, whole.data_sets[0].classes, strict=True):
        for name in METRICS:
            assert asdict(ours.metrics[name]) == pytest.approx(asdict(theirs.metrics[name]), abs=1e-3), name


class StopError(Exception):
    """The user's patience ends."""


def test_an_evaluation_that_was_stopped_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut", "carpet", "tile")
    settings = {"resolution": RESOLUTION, "resamples": 20}
    evaluate(detector(), [given], tmp_path / "whole", **settings)

    def stop(progress: Progress) -> None:
        if (progress.class_name, progress.scored) == ("metal_nut", 3):
            raise StopError

    with pytest.raises(StopError):
        evaluate(detector(), [given], tmp_path / "out", watch=stop, **settings)
    assert store.class_folders(tmp_path / "out").keys() == {("drawn", "carpet")}
    seen: list[Progress] = []
    evaluate(detector(), [given], tmp_path / "out", watch=seen.append, **settings)
    # What is done is shown as done; the class that was begun begins again.
    assert [one.scored for one in seen if one.class_name == "carpet"] == [8]
    assert [one.scored for one in seen if one.class_name == "metal_nut"] == list(range(9))
    assert left(tmp_path / "out") == left(tmp_path / "whole")
    before = store.read(tmp_path / "out")
    seen.clear()
    again = evaluate(detector(), [given], tmp_path / "out", watch=seen.append, **settings)
    assert again.data_sets == before.data_sets
    assert [one.scored for one in seen] == [8, 8, 8]


# --- what is refused


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"resolution": 0}, "a resolution is at least 1 px; got 0"),
        ({"resamples": -1}, "number of resamples is not negative; got -1"),
        ({"confidence": 1.0}, r"a confidence lies between 0 and 1; got 1\.0"),
        ({"max_images": 0}, "a quick look takes at least one image; got 0"),
        ({"classes": ["metal_nuts"]}, "did you mean 'metal_nut'"),
    ],
)
def test_a_wrong_protocol_or_class_is_refused(wrong: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate(detector(), [data(tmp_path / "data", "metal_nut")], tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


def test_data_sets_of_one_name_are_refused(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut")
    with pytest.raises(ConfigError, match=r"data sets have different names; got 'drawn' twice"):
        evaluate(detector(), [given, given], tmp_path / "out")


def test_a_split_without_images_is_refused(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut")
    with pytest.raises(InputError, match=r"images in their split 'train'; got drawn"):
        evaluate(detector(), [given], tmp_path / "out", split="train")


def test_odd_names_have_folders_of_their_own(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "a b", "a_b", "A_B").removeprefix("drawn=")
    names = [f"x/y:z={given}".replace(":", "", 1), f"X_Y={given}"]
    found = evaluate(detector(), names, tmp_path / "out", resolution=RESOLUTION, resamples=0, max_images=1)
    folders = store.class_folders(tmp_path / "out")
    assert len(folders) == 6
    assert len({str(folder).casefold() for folder in folders.values()}) == 6
    assert {(data.name, one.class_name) for data in found.data_sets for one in data.classes} == folders.keys()
