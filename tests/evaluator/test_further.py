"""Further metrics of an evaluation: those that are asked for, where the ground truth allows, in tables of their own."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.evaluator.making import NUT, RESOLUTION, SIDE, data, detector, flat, make_normal
from zsad.cli.evaluate import format_evaluation
from zsad.data.decode import decode
from zsad.data.masks.ground_truth import read_mask, resize_mask
from zsad.data.specification import DataSet, data_set
from zsad.errors import ConfigError
from zsad.evaluator.evaluation import evaluate
from zsad.metrics import SaturatedRegion, aupimo, fpr95, pro, seg_f1, spro
from zsad.metrics.counters import stored
from zsad.predictor import Detector
from zsad.results import store
from zsad.types import Prediction

ALL = ["spro", "fpr95", "aupimo", "pro-5", "seg-f1"]
ORDER = ["image_fpr95", "pixel_fpr95", "pixel_aupimo", "pixel_pro_5", "pixel_spro", "pixel_seg_f1"]
THRESHOLD = 0.5


class Knowing(Detector):
    """Finds what the masks mark, with noise, and has a threshold for pixels."""

    def stream(self, sources, class_name="object", size=None, progress=None):  # type: ignore[no-untyped-def]
        for number, source in enumerate(sources):
            image, rng = decode(source), np.random.default_rng(number)
            found = rng.random(size or image.size).astype(np.float32) * 0.7
            place = Path(source)
            mask = place.parents[2] / "ground_truth" / place.parent.name / f"{place.stem}_mask.png"
            if mask.exists():
                found[resize_mask(read_mask(mask, image.size), found.shape)] += 0.3
            score = float(found.max())
            yield image, Prediction(str(source), class_name, score, None, found, None, THRESHOLD)


def knowing() -> Knowing:
    plain = detector()
    return Knowing(plain.card, plain.method, plain.runtime)


def seen(given: str) -> tuple[list[float], list[int], list[np.ndarray], list[np.ndarray], list[int]]:
    """Scores, labels, maps, masks and areas of the masks at the images' own size."""
    samples = data_set(given).samples
    answers = [*knowing().stream([one.image for one in samples], size=(RESOLUTION, RESOLUTION))]
    full = [
        np.zeros(image.size, bool) if one.mask is None else read_mask(one.mask, image.size)
        for one, (image, _) in zip(samples, answers, strict=True)
    ]
    maps = [stored(prediction.anomaly_map) for _, prediction in answers]
    masks = [resize_mask(mask, (RESOLUTION, RESOLUTION)) for mask in full]
    scores = [prediction.score for _, prediction in answers]
    return scores, [one.label or 0 for one in samples], maps, masks, [int(mask.sum()) for mask in full]


def saturated(given: str, root: Path, threshold: float) -> DataSet:
    """The same data, with a saturation threshold for each defect."""
    entry = {"defect_name": "square", "pixel_value": 255, "saturation_threshold": threshold}
    config = root / "metal_nut" / "defects_config.json"
    config.write_text(json.dumps([entry | {"relative_saturation": True}]))
    found = data_set(given)
    return replace(found, samples=tuple(replace(one, saturation=config) for one in found.samples))


def test_metrics_that_are_asked_for_are_those_of_the_maps(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut")
    scores, labels, maps, masks, areas = seen(given)
    found = evaluate(
        knowing(),
        saturated(given, tmp_path / "data", 0.25),
        tmp_path / "out",
        resolution=RESOLUTION,
        resamples=0,
        metrics=ALL,
    )
    (one,) = found.data_sets[0].classes
    scale = RESOLUTION**2 / SIDE**2
    regions = [
        [SaturatedRegion(mask, int(0.25 * area) * scale)] if area else []
        for mask, area in zip(masks, areas, strict=True)
    ]
    expected = {
        "image_fpr95": fpr95(scores, labels),
        "pixel_fpr95": fpr95(flat(maps), flat(masks)),
        "pixel_aupimo": aupimo(maps, masks),
        "pixel_pro_5": pro(maps, masks, 0.05),
        "pixel_spro": spro(maps, regions),
        "pixel_seg_f1": seg_f1(maps, masks, THRESHOLD),
    }
    assert [*one.further] == ORDER
    assert {name: metric.value for name, metric in one.further.items()} == pytest.approx(expected, abs=1e-6)
    assert found.data_sets[0].further == one.further
    assert 0 < expected["pixel_pro_5"] < expected["pixel_spro"]
    assert 0 < expected["pixel_aupimo"] < 1
    assert store.read_class(tmp_path / "out" / NUT).further == one.further
    assert store.read(tmp_path / "out").data_sets[0].further == one.further
    said = format_evaluation(found)
    assert f"{100 * one.further['pixel_spro'].value:.1f}" in said
    (titles,) = (line for line in said.splitlines() if line.startswith("further metrics"))
    assert titles.split()[2:] == ["image", "FPR95", "pixel", "FPR95", "AUPIMO", "PRO-5", "sPRO", "SegF1"]
    assert max(map(len, said.splitlines())) <= 80
    page = (tmp_path / "out" / "report.html").read_text()
    assert all(title in page for title in ("AUPIMO", "sPRO", "SegF1", "lower is better"))


def test_nothing_is_added_where_nothing_is_asked_for(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut")
    found = evaluate(detector(), given, tmp_path / "out", resolution=RESOLUTION, resamples=0)
    assert found.protocol.further == ()
    assert found.data_sets[0].further == {}
    assert "further" not in format_evaluation(found)
    assert "further metrics" not in (tmp_path / "out" / "report.html").read_text()


def test_what_the_ground_truth_or_the_detector_lacks_is_said(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut", "other")
    make_normal(tmp_path / "data" / "other")
    found = evaluate(detector(), given, tmp_path / "out", resolution=RESOLUTION, resamples=0, metrics=ALL)
    nut, other = found.data_sets[0].classes
    assert nut.further["pixel_spro"].reason == "the layout has no saturation thresholds"
    assert nut.further["pixel_seg_f1"].reason == "the detector has no threshold for pixels: zsad calibrate"
    assert nut.further["pixel_aupimo"].value is not None
    assert "needs normal and anomalous images; got 4 and 0" in other.further["pixel_aupimo"].reason
    means = found.data_sets[0].further
    assert (means["pixel_aupimo"].value, means["pixel_aupimo"].classes) == (nut.further["pixel_aupimo"].value, 1)
    assert means["pixel_spro"].value is None
    assert "n/a: sPRO: the layout has no saturation thresholds" in format_evaluation(found)


def test_further_metrics_are_resumed_and_others_are_another_evaluation(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut")
    out = tmp_path / "out"
    first = evaluate(detector(), given, out, resolution=RESOLUTION, resamples=0, metrics=["aupimo", "fpr95"])
    again = evaluate(detector(), given, out, resolution=RESOLUTION, resamples=0, metrics=["fpr95", "aupimo", "fpr95"])
    assert again.data_sets == first.data_sets
    with pytest.raises(ConfigError, match="another protocol"):
        evaluate(detector(), given, out, resolution=RESOLUTION, resamples=0)
    with pytest.raises(ConfigError, match=r"further metric must be one of .*did you mean 'aupimo'"):
        evaluate(detector(), given, out, resolution=RESOLUTION, metrics=["aupimmo"])
