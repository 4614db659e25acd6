"""Comparisons: the differences are those of repeated images, and nothing is shown where there is nothing."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from tests.results.written import LABELS, evaluation, maps, masks, without_masks
from zsad.errors import ConfigError, InputError
from zsad.metrics import PixelMetrics, auroc
from zsad.reports.terminal import comparison_table
from zsad.results import store
from zsad.results.schema import METRICS, Protocol
from zsad.statistics.comparison import _picks, compare
from zsad.statistics.differences import (
    B_BETTER,
    NO_INTERVAL,
    NOT_SHOWN,
    TOO_FEW,
    PairedMetric,
    holm,
    judged,
    significance,
)
from zsad.statistics.intervals import resamples
from zsad.statistics.pairing import places_in

WITH_TRUTH = [number for number in range(len(LABELS)) if number not in (1, 3, 5)]


@pytest.fixture(scope="module")
def weak(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return evaluation(tmp_path_factory.mktemp("a") / "weak", 0.5, 1, ("nut", "bolt"))


@pytest.fixture(scope="module")
def strong(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return evaluation(tmp_path_factory.mktemp("b") / "strong", 2.5, 2, ("nut", "bolt"))


def drawn_by_hand(folder: Path, quality: float, seed: int, draws: int) -> dict[str, np.ndarray]:
    """Metrics of each resample of the first class, from repeated images."""
    images = store.read_images(folder / "classes" / "drawn" / "nut")
    scores, found, truth = np.array([image.score for image in images]), maps(quality, seed), masks()
    rows = []
    for weights in resamples(LABELS.tolist(), draws, "drawn", "nut"):
        chosen = np.repeat(np.arange(len(LABELS)), weights)
        pixels = [number for number in chosen.tolist() if number in WITH_TRUTH]
        pixel = PixelMetrics(precision="float32").update(found[pixels], truth[pixels]).compute()
        rows.append([auroc(scores[chosen], LABELS[chosen]), pixel["average_precision"], pixel["pro"]])
    return dict(zip(("image_auroc", "pixel_ap", "pixel_pro"), np.array(rows).T, strict=True))


def test_intervals_are_of_paired_differences_of_repeated_images(weak: Path, strong: Path) -> None:
    found = compare(weak, strong, draws=100, confidence=0.8).data_sets[0].classes[0]
    assert (found.class_name, found.normal, found.anomalous) == ("nut", 12, 12)
    a, b = drawn_by_hand(weak, 0.5, 1, 100), drawn_by_hand(strong, 2.5, 2, 100)
    for name, tolerance in (("image_auroc", 1e-12), ("pixel_ap", 3e-3), ("pixel_pro", 3e-3)):
        one, differences = found.metrics[name], b[name] - a[name]
        ours, theirs = (store.read(side).data_sets[0].classes[0].metrics[name].value for side in (weak, strong))
        assert (one.a, one.b, one.difference) == (ours, theirs, theirs - ours)
        assert (one.low, one.high) == pytest.approx(np.quantile(differences, [0.1, 0.9]), abs=tolerance)
        assert one.p == pytest.approx(significance(differences), abs=0.05)


def test_a_better_detector_is_called_better_and_sides_can_be_swapped(weak: Path, strong: Path) -> None:
    forth, back = (compare(*sides, draws=400).data_sets[0] for sides in ((weak, strong), (strong, weak)))
    for name in ("image_auroc", "pixel_ap", "pixel_pro"):
        assert forth.means[name].verdict == "B is better"
        assert back.means[name].verdict == "A is better"
        assert forth.means[name].difference == -back.means[name].difference > 0
        assert forth.means[name].low == pytest.approx(-back.means[name].high, abs=1e-12)
        assert forth.means[name].p == back.means[name].p
        assert forth.means[name].low > 0


def test_a_detector_does_not_differ_from_itself(weak: Path) -> None:
    found = compare(weak, weak / "evaluation.json", draws=100)
    for one in (*found.data_sets[0].classes, found.data_sets[0]):
        for name, metric in (one.means if one is found.data_sets[0] else one.metrics).items():
            assert metric.difference == 0
            if name == "pixel_pro_200":
                assert (metric.low, metric.p, metric.verdict) == (None, None, "no interval")
            else:
                assert (metric.low, metric.high, metric.p, metric.verdict) == (0, 0, 1, "no difference shown")
    assert found.warnings == ("A and B have a detector in common: it is compared with itself.",)


def test_detectors_that_are_equally_good_are_seldom_told_apart(tmp_path: Path) -> None:
    shown = 0
    first = evaluation(tmp_path / "first", 1.0, 1000)
    for seed in range(30):
        other = evaluation(tmp_path / "other", 1.0, seed)
        first = evaluation(tmp_path / "first", 1.0, 1000 + seed)
        shown += compare(first, other, draws=200).data_sets[0].means["image_auroc"].verdict != "no difference shown"
    assert shown <= 5


def test_the_mean_is_over_the_classes_draw_by_draw(weak: Path, strong: Path) -> None:
    found = compare(weak, strong, draws=200).data_sets[0]
    mean, classes = found.means["image_auroc"], [one.metrics["image_auroc"] for one in found.classes]
    assert mean.classes == 2
    assert mean.difference == pytest.approx(np.mean([one.difference for one in classes]), abs=1e-12)
    assert mean.high - mean.low < np.mean([one.high - one.low for one in classes])
    assert mean.p_corrected == mean.p
    assert [one.p_corrected for one in classes] == holm([one.p for one in classes])


def test_the_order_of_images_does_not_matter(weak: Path, strong: Path, tmp_path: Path) -> None:
    shuffled = evaluation(tmp_path / "strong", 2.5, 2, ("nut", "bolt"), np.random.default_rng(0).permutation(24))
    found, expected = (compare(weak, one, draws=100).data_sets[0].classes[0].metrics for one in (shuffled, strong))
    for name in METRICS:
        ours, theirs = (replace(one[name], verdict="") for one in (found, expected))
        assert list(asdict(ours).values())[:7] == pytest.approx(list(asdict(theirs).values())[:7], abs=1e-9), name


def test_copies_of_an_image_keep_to_their_labels(weak: Path) -> None:
    images = [replace(one, content="same") for one in store.read_images(weak / "classes" / "drawn" / "nut")]
    backwards = images[::-1]
    places = places_in(images, backwards)
    assert sorted(places) == list(range(24))
    assert [images[place].label for place in places] == [image.label for image in backwards]


def test_several_trainings_widen_the_interval(weak: Path, strong: Path, tmp_path: Path) -> None:
    classes = ("nut", "bolt")
    more = [evaluation(tmp_path / str(seed), quality, seed, classes) for seed, quality in ((7, 1.2), (8, 3.5))]
    alone, several = compare(weak, strong, draws=400), compare([weak], [strong, *more], draws=400)
    values = [store.read(one).data_sets[0].classes[0].metrics["pixel_pro"].value for one in (strong, *more)]
    assert several.data_sets[0].classes[0].metrics["pixel_pro"].b == pytest.approx(np.mean(values), abs=1e-12)
    assert len(several.b) == 3
    one, other = (found.data_sets[0].means["pixel_pro"] for found in (alone, several))
    assert other.high - other.low > 1.5 * (one.high - one.low)
    assert {one.verdict for one in several.data_sets[0].means.values()} == {TOO_FEW, NO_INTERVAL}
    assert "1 and 3 evaluations a side are few" in several.warnings[0]
    with pytest.raises(InputError, match="different trainings; got 1 named again"):
        compare([strong, strong], [weak], draws=400)


@pytest.mark.parametrize("count", [2, 3, 8])
def test_resamples_of_trainings_vary_as_their_mean_does(count: int) -> None:
    """Plain resamples would vary less, by (n - 1) / n: a half for two of them."""
    found = np.random.default_rng(count).normal(size=count)
    drawn = (_picks(count, 0, 40_000) * found).sum(1)
    assert drawn.mean() == pytest.approx(found.mean(), abs=0.02)
    assert drawn.var() == pytest.approx(found.var(ddof=1) / count, rel=0.05)


def test_from_five_trainings_a_side_there_is_a_verdict(tmp_path: Path) -> None:
    sides = [[evaluation(tmp_path / f"{quality} {seed}", quality, seed) for seed in range(5)] for quality in (0.2, 3.0)]
    found = compare(*sides, draws=200)
    assert found.data_sets[0].means["image_auroc"].verdict == B_BETTER
    assert "5 and 5 evaluations a side are few: intervals are too narrow." in found.warnings
    assert compare(sides[0][:4], sides[1]).data_sets[0].means["image_auroc"].verdict == TOO_FEW


@pytest.mark.parametrize("difference", [0.0, -0.1])
def test_nothing_is_shown_where_resamples_point_another_way(difference: float) -> None:
    (found,) = judged([PairedMetric(0.5, 0.5 + difference, np.full(2000, 0.01))], 0.95)
    assert found.verdict == NOT_SHOWN


def test_there_are_resamples_enough_for_a_star(weak: Path, strong: Path) -> None:
    found = compare(weak, strong, draws=100, confidence=0.99)
    assert len(found.data_sets[0].classes) * 2 / (found.resamples + 1) <= 0.01


def test_what_is_not_in_both_is_named_and_left_out(weak: Path, tmp_path: Path) -> None:
    other = evaluation(tmp_path / "other", 1.0, 5, ("bolt", "screw"))
    found = compare(weak, other, draws=100)
    assert [one.class_name for one in found.data_sets[0].classes] == ["bolt"]
    assert found.left_out == {
        "drawn nut": "not in all evaluations",
        "drawn screw": "not in all evaluations",
    }
    assert "Left out: drawn screw: not in all evaluations." in comparison_table(found)


def change(folder: Path, **values: object) -> Path:
    """Other values of the last image of the first class."""
    home = folder / "classes" / "drawn" / "nut"
    *images, last = store.read_images(home)
    store.write_images([*images, replace(last, **values)], home)
    return folder


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"content": "another"}, "other images: 1 only in the first evaluation, 1 only in another"),
        ({"truth": "another"}, "other labels or masks, for instance of nut/23.png"),
        ({"label": 0}, "other labels or masks, for instance of nut/23.png"),
    ],
)
def test_other_images_or_another_truth_are_not_compared(values: dict[str, object], why: str, tmp_path: Path) -> None:
    ours = evaluation(tmp_path / "ours", 1.0, 1)
    theirs = change(evaluation(tmp_path / "theirs", 1.0, 2), **values)
    with pytest.raises(InputError, match=f"share a class; got drawn nut: {why}"):
        compare(ours, theirs, draws=100)


@pytest.mark.parametrize(
    ("protocol", "said"),
    [
        (Protocol(resolution=None), "one resolution; got 518 and None"),
        (Protocol(split="all"), "one split; got test and all"),
        (Protocol(max_images=3), "one max_images; got None and 3"),
    ],
)
def test_other_protocols_are_refused(protocol: Protocol, said: str, weak: Path, tmp_path: Path) -> None:
    other = evaluation(tmp_path / "other", 1.0, 5, protocol=protocol)
    with pytest.raises(InputError, match=f"evaluations that are compared have {said}"):
        compare(weak, other)


def test_other_refusals(weak: Path, tmp_path: Path) -> None:
    for wrong in ({"draws": 99}, {"confidence": 95}):
        with pytest.raises(ConfigError, match="at least 100 resamples and a confidence between 0 and 1"):
            compare(weak, weak, **wrong)
    (tmp_path / "evaluation.json").write_bytes((weak / "evaluation.json").read_bytes())
    with pytest.raises(InputError, match="classes of an evaluation lie beside its"):
        compare(tmp_path, weak)
    empty = evaluation(tmp_path / "empty", 1.0, 1)
    store.write_images([], empty / "classes" / "drawn" / "nut")
    with pytest.raises(InputError, match="share a class; got drawn nut: no images"):
        compare(empty, empty)


def test_classes_without_masks_are_compared_by_their_images(tmp_path: Path) -> None:
    both = [evaluation(tmp_path / str(seed), 1.0, seed) for seed in (1, 2)]
    for one in both:
        without_masks(one)
    found = compare(*both, draws=100)
    metrics = found.data_sets[0].classes[0].metrics
    assert metrics["image_auroc"].p is not None
    assert (metrics["pixel_pro"].a, metrics["pixel_pro"].difference, metrics["pixel_pro"].verdict) == (
        None,
        None,
        "no interval",
    )
    assert found.data_sets[0].means["pixel_pro"].classes == 0
    assert "PRO              n/a    n/a     n/a" in comparison_table(found)


def test_few_images_and_images_seen_in_training_are_warned_of(tmp_path: Path) -> None:
    both = [evaluation(tmp_path / str(seed), 1.0, seed) for seed in (1, 2)]
    home = both[0] / "classes" / "drawn" / "nut"
    for folder, seen in zip(both, (0, 4), strict=True):
        home = folder / "classes" / "drawn" / "nut"
        store.write_class(replace(store.read_class(home), seen_in_training=seen, anomalous=9), home)
    assert compare(*both, draws=100).warnings == (
        "A detector was trained on 4 of the images of drawn nut.",
        "drawn nut has 9 anomalous images: so few make intervals too narrow.",
    )


@pytest.mark.parametrize("is_transductive", [(True, False), (False, True), (True, True), (False, False)])
def test_seeing_more_of_the_test_images_is_told(is_transductive: tuple[bool, bool], tmp_path: Path) -> None:
    both = [evaluation(tmp_path / str(seed), 1.0, seed) for seed in (1, 2)]
    for folder, is_one in zip(both, is_transductive, strict=True):
        path = folder / store.EVALUATION
        saved = json.loads(path.read_text())
        saved["data_sets"][0]["classes"][0]["is_transductive"] = is_one
        path.write_text(json.dumps(saved))
    a, b = ("transductive" if is_one else "zero-shot" for is_one in is_transductive)
    told = (
        f"A is {a}, B {b}: in a transductive setting the test images of a class judge one another, without their "
        "labels, which others do not see."
    )
    assert (told in compare(*both, draws=100).warnings) == (a != b)


def test_p_values_by_hand() -> None:
    draws = np.array([0.2, 0.1, -0.1, 0.3, 0.0, 0.2, 0.4, 0.1, np.nan])
    assert significance(draws) == significance(-draws) == 2 * (2 + 1) / (8 + 1)
    assert significance(np.full(1999, 0.1)) == 0.001
    assert significance(np.zeros(10)) == 1
    assert holm([0.01, 0.02, 0.03, 0.6]) == pytest.approx([0.04, 0.06, 0.06, 0.6])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_one_class_among_many_needs_more_to_be_shown() -> None:
    rng = np.random.default_rng(0)
    clear = PairedMetric(0.5, 0.6, rng.normal(0.1, 0.045, 1000))
    vague = PairedMetric(0.5, 0.5, rng.normal(0.0, 0.05, 1000))
    undefined = PairedMetric(None, 0.5, None)
    assert judged([clear], 0.95)[0].verdict == "B is better"
    among = judged([undefined, *[vague] * 9, clear], 0.95)
    assert {one.verdict for one in among[1:]} == {"no difference shown"}
    assert (among[0].difference, among[0].verdict) == (None, "no interval")


def test_the_table_keeps_to_80_columns_and_json_holds_everything(weak: Path, strong: Path) -> None:
    found = compare(weak, strong, draws=400)
    lines = comparison_table(found).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "A  weak"
    assert any(line.startswith("nut") and "*" in line for line in lines)
    assert "after Holm's correction" in " ".join(lines)
    assert json.loads(json.dumps(asdict(found)))["data_sets"][0]["means"]["image_ap"]["verdict"] == "B is better"
