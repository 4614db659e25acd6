"""The table for a terminal."""

import pytest

from zsad.reports.terminal import evaluation_table
from zsad.results.schema import IMAGE_METRICS, METRICS, ClassResult, DataSetResult, Metric
from zsad.statistics.intervals import means


def one(name: str, value: float = 0.5, **metrics: Metric) -> ClassResult:
    found = {key: Metric(value, value - 0.1, value + 0.1) for key in METRICS} | metrics
    return ClassResult("set", name, name, 3, 4, 0, 0, {}, 0, found, 1.0, 1.0)


def many(*classes: ClassResult) -> DataSetResult:
    found = means(classes, [{} for _ in classes], 0.95)
    return DataSetResult("a data set", "mvtec", classes, found)


def test_a_line_a_class_in_percent_and_the_mean_below() -> None:
    text = evaluation_table(many(one("bottle", 0.25, pixel_pro=Metric(1.0)), one("cable", 0.75)), 0.95)
    assert text.splitlines() == [
        "a data set                ------ image ------ ------------- pixel --------------",
        "class                       AUROC    AP    F1   AUROC    AP    F1   PRO  PRO-200",
        "bottle                       25.0  25.0  25.0    25.0  25.0  25.0 100.0     25.0",
        "cable                        75.0  75.0  75.0    75.0  75.0  75.0  75.0     75.0",
        "mean                         50.0  50.0  50.0    50.0  50.0  50.0  87.5     50.0",
    ]


def test_intervals_of_the_mean_stand_below_it() -> None:
    found = many(one("bottle", 0.25))
    with_interval = DataSetResult(found.name, found.layout, found.classes, {**found.classes[0].metrics})
    lines = evaluation_table(with_interval, 0.9).splitlines()
    assert lines[-2].split() == ["90", "%", "from", *["15.0"] * 8]
    assert lines[-1].split() == ["to", *["35.0"] * 8]


def test_what_is_not_defined_says_why_once() -> None:
    lacking = {
        name: Metric(None, reason=f"{what} needs normal and anomalous samples; got 0 and 4")
        for name, what in zip(IMAGE_METRICS, ("AUROC", "average precision", "F1-max"), strict=True)
    }
    tile = one("tile", pixel_ap=Metric(None, reason="no masks"))
    text = evaluation_table(many(one("bottle", **lacking), one("cable", **lacking), tile), 0.95)
    head, notes = text.splitlines()[:6], " ".join(line.strip() for line in text.splitlines()[6:])
    assert head[2].split() == ["bottle", "n/a", "n/a", "n/a", *["50.0"] * 5]
    assert notes == (
        "n/a: image AUROC, image AP, image F1-max of bottle, cable: needs normal and anomalous samples; got 0 and 4 "
        "n/a: pixel AP of tile: no masks "
        "Means over 1 of 3 classes: image AUROC, image AP, image F1-max "
        "Means over 2 of 3 classes: pixel AP"
    )


@pytest.mark.parametrize("name", ["x" * 100, "é" * 27, "short"])
def test_it_fits_80_columns(name: str) -> None:
    reason = Metric(None, reason="AUROC needs normal and anomalous samples; got 123456789 and 0")
    text = evaluation_table(many(one(name, 1.0, image_auroc=reason), one("other " * 9)), 0.95)
    assert max(map(len, text.splitlines())) == 80
    assert name[:20] in text
