"""The papers' tables: everything is there once, under the right name, and doubtful numbers are marked."""

import csv
import re
from collections import Counter
from dataclasses import asdict
from importlib.resources import files
from statistics import mean

import pytest

from zsad import methods, published
from zsad.errors import ConfigError
from zsad.methods import Trainable
from zsad.published import AVERAGES, METRICS, _tables

COUNTS = {
    ("wmoe-clip", "Table 1"): 6 * (6 * 3 + 6 * 3 + 3 * 3 + 5 * 3),
    ("wmoe-clip", "Table 2"): 5 * 4,
    ("acd-clip", "Table 1"): 8 * (11 * 2 + 8 * 2),
    ("acd-clip", "Table 2"): 4 * 2,
    ("kanoclip", "Table 1"): 7 * 12,
    ("kanoclip", "Table 2"): 7 * 9,
    ("kanoclip", "Table 3"): 5 * 4,
    ("fe-clip", "Table 1"): 6 * 16 - 2 + 8,  # CoOp lacks a set, AdaCLIP all AP
    ("fe-clip", "Table 2"): 6 * 16 - 2 + 7 + 8,  # CoOp lacks a set, AdaCLIP one and all PRO, VCP-CLIP four
    ("fe-clip", "Table 3"): 4 * 8,
    ("fe-clip", "Table 4"): 2 * 8,
    ("fe-clip", "Table 5"): 9 * 8 + 6 * 4 + 2 * 4,  # AnomalyGPT, PromptAD: AUROC; InCTRL: image level
    ("afr-clip", "Table 1"): 5 * 9 * 2,
    ("afr-clip", "Table 2"): 5 * 10 * 2,
    ("afr-clip", "Table 3"): 6 * 2,
    ("afr-clip", "Table 4"): 4 * 2,
    ("afr-clip", "Table 5"): 4 * 2,
    ("afr-clip", "Table 6"): 3 * 2,
}
"""Numbers of each table: lines by columns, less the dashes."""

SUSPECTS = {
    ("acd-clip", "winclip clip-ad anomalyclip adaclip", "bmad-brain", "image_auroc image_ap"),
    ("afr-clip", "winclip", "mpdd", "image_auroc"),
    ("afr-clip", "afr-clip", "mvtec", "pixel_auroc"),
    ("afr-clip", "anomalyclip", "average-industrial", "pixel_f1_max"),
    ("fe-clip", "april-gan", "mpdd", "image_auroc image_ap"),
    ("fe-clip", "coop", "brain-mri", "image_auroc image_ap"),
    ("fe-clip", "fe-clip", "dagm", "image_auroc image_ap"),
    ("fe-clip", "fe-clip", "brain-mri br35h", "image_ap"),
    ("fe-clip", "clip", "dagm", "pixel_auroc pixel_pro"),
    ("fe-clip", "coop", "mpdd btad dagm cvc-clinicdb", "pixel_auroc pixel_pro"),
    ("fe-clip", "winclip", "mpdd", "pixel_auroc pixel_pro"),
    ("kanoclip", "april-gan", "dagm", "pixel_auroc"),
    ("kanoclip", "clip", "bmad-brain", "image_auroc"),
    ("wmoe-clip", "winclip clip-ad anomalyclip adaclip", "ksdd2", "image_auroc image_f1_max"),
    ("wmoe-clip", "aa-clip", "dagm", "image_auroc image_f1_max"),
}
"""Paper, methods, data sets and metrics of what is marked as doubtful."""


def test_every_number_of_every_table_is_there_once() -> None:
    rows = published.rows()
    assert Counter((row.paper, row.table) for row in rows) == COUNTS
    places = [(row.paper, row.table, row.method, row.variant, row.data_set, row.metric, row.shots) for row in rows]
    assert len(set(places)) == len(places)


def test_numbers_are_percentages_of_known_things() -> None:
    for row in published.rows():
        assert 0 < row.value <= 100
        assert row.metric in METRICS
        assert row.method in published.methods()
        assert row.data_set in published.data_sets()
        assert (row.backbone != "") == (row.method == row.paper)
        assert row.trained_on in (("mvtec", "visa", "") if row.method == row.paper else ("",))
        assert row.trained_on != row.data_set


def test_every_name_of_the_lists_is_used() -> None:
    rows = published.rows()
    assert {row.method for row in rows} == set(published.methods())
    assert {row.data_set for row in rows} == set(published.data_sets())
    assert {row.metric for row in rows} == set(METRICS)
    assert {row.paper for row in rows} == set(published.papers())


def test_methods_have_their_names_of_this_package() -> None:
    """By another name their numbers would never stand beside ours."""
    assert set(published.methods()) <= set(methods.built_in())


@pytest.mark.parametrize("kind", ["methods", "data_sets"])
def test_a_printed_name_stands_for_one_thing(kind: str) -> None:
    lines = list(csv.DictReader((files("zsad.published") / f"{kind}.csv").read_text(encoding="utf-8").splitlines()))
    for paper in published.papers():
        printed = [line[paper] for line in lines if line[paper]]
        assert len(set(printed)) == len(printed)


def test_brain_mri_is_three_data_sets() -> None:
    lines = list(csv.DictReader((files("zsad.published") / "data_sets.csv").read_text(encoding="utf-8").splitlines()))
    means = {name: line["data_set"] for name in published.papers() for line in lines if line[name].startswith("Brain")}
    assert means == {
        "wmoe-clip": "brain-mri-bayes-pfl",
        "acd-clip": "bmad-brain",
        "kanoclip": "bmad-brain",
        "fe-clip": "brain-mri",
        "afr-clip": "brain-mri",
    }


def test_images_and_options_of_a_paper_go_with_its_rows() -> None:
    (row,) = published.rows("wmoe-clip", "ksdd2", "winclip", "image_ap")
    assert row.pack is not None
    assert row.pack.total == (356, 356)
    assert (row.activation, row.options) == ("", {})
    options = {"sigma": 21.0, "smoothing_window": 9.0, "map_weight": 0.5}
    (row, *_) = published.rows("acd-clip", "kvasir", "acd-clip", "pixel_ap")
    assert (row.activation, row.options, row.pack) == ("gelu", options, None)
    known = {(one.paper, one.data_set) for one in published.rows()}
    assert set(_tables.packs()) <= known


def test_settings_are_no_defaults_of_methods_that_are_printed_on_the_data_set() -> None:
    printed = {(row.method, row.data_set) for row in published.rows()}
    assert {(name, data_set) for name, data_set in _tables.settings() if data_set} <= printed
    assert {name for name, data_set in _tables.settings() if not data_set} <= set(published.papers())
    for row in published.rows():
        method = methods.get(row.method)
        usual = asdict(method.config_type()) | (
            asdict(method.training_defaults) if issubclass(method, Trainable) else {}
        )
        assert all(usual[key] != value for key, value in row.options.items())


def test_authors_settings_for_a_data_set_go_with_numbers_in_any_paper() -> None:
    """From the authors' scripts; elsewhere all is by default."""
    for method, data_set, options in (
        ("april-gan", "visa", {"epochs": 3}),
        ("vcp-clip", "visa", {"learning_rate": 2e-5}),
        ("clip-ad", "visa", {"sigma": 2, "cluster_radius": 1.5, "cluster_least": 25}),
        ("aa-clip", "kvasir", {"sigma": 21, "smoothing_window": 9, "map_weight": 1}),
    ):
        assert [row.options for row in published.rows(data_set=data_set, method=method)]
        assert all(row.options == options for row in published.rows(data_set=data_set, method=method))
        assert all(row.options == {} for row in published.rows(data_set="mvtec", method=method))


def test_filters_narrow_the_rows_together() -> None:
    assert published.rows("fe-clip", "kvasir", "vcp-clip") == []
    (row,) = published.rows("fe-clip", "dagm", "vcp-clip", "pixel_pro")
    assert (row.value, row.table, row.shots, row.variant) == (98.3, "Table 2", 0, "")
    assert {row.shots for row in published.rows("fe-clip", "visa", "winclip", "image_ap")} == {0, 1, 2, 4}
    assert len(published.rows(metric="pixel_pro")) == sum(row.metric == "pixel_pro" for row in published.rows())


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        ({"paper": "fe-clp"}, "fe-clip"),
        ({"data_set": "mvtek"}, "mvtec"),
        ({"method": "winclp"}, "winclip"),
        ({"method": "anomaly-clip"}, "anomalyclip"),
        ({"method": "ada-clip"}, "adaclip"),
        ({"method": "mvfa"}, "mvfa-ad"),
        ({"method": "anomaly-gpt"}, "anomalygpt"),
        ({"method": "prompt-ad"}, "promptad"),
        ({"metric": "pixel_pro_200"}, "pixel_pro"),
    ],
)
def test_a_name_that_is_not_there_is_refused(arguments: dict[str, str], near: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"did you mean {near!r}?")):
        published.rows(**arguments)


def test_a_paper_says_where_it_is_and_what_is_wrong_with_it() -> None:
    for name in published.papers():
        paper = published.paper(name)
        assert (paper.name, bool(paper.title), bool(paper.source)) == (name, True, True)
        assert all(remark.endswith(".") for remark in paper.remarks)
    with pytest.raises(ConfigError, match="published paper"):
        published.paper("clip-paper")


def test_training_is_on_the_other_set() -> None:
    trained = {(row.paper, row.data_set): row.trained_on for row in published.rows() if row.method == row.paper}
    assert trained["wmoe-clip", "btad"] == "visa"
    assert trained["wmoe-clip", "visa"] == "mvtec"
    assert trained["fe-clip", "kvasir"] == "mvtec"
    assert trained["fe-clip", "mvtec"] == "visa"
    assert trained["kanoclip", "mvtec"] == ""


def test_what_is_doubtful_is_marked_and_nothing_else() -> None:
    marked = {(row.paper, row.method, row.data_set, row.metric) for row in published.rows() if row.suspect}
    assert marked == {
        (paper, method, data_set, metric)
        for paper, methods, data_sets, metrics in SUSPECTS
        for method in methods.split()
        for data_set in data_sets.split()
        for metric in metrics.split()
    }
    (ablation,) = [row for row in published.rows("afr-clip", method="afr-clip") if row.suspect]
    assert (ablation.table, ablation.variant, ablation.value) == ("Table 3", "3. CMFR", 91.2)


def test_every_reason_is_given_somewhere() -> None:
    for name, file in _tables.files().items():
        said = " ".join(row.note + row.suspect for row in published.rows(name))
        for reason in (*file.suspects.values(), *file.notes.values(), *file.data_sets.values()):
            assert reason in said
            assert reason.endswith(".")
        assert not file.suspects.keys() & file.notes.keys()


def test_a_note_says_what_other_papers_print() -> None:
    (row,) = published.rows("wmoe-clip", "head-ct", "anomalyclip", "image_auroc")
    assert row.value == 95.3
    assert row.note == "Elsewhere: 93.4 (AFR-CLIP, KAnoCLIP)."
    (row,) = published.rows("fe-clip", "mvtec", "anomalyclip", "pixel_pro")
    assert row.note == ""


@pytest.mark.parametrize("row", [row for row in published.rows() if row.data_set in AVERAGES], ids=str)
def test_averages_are_those_of_their_data_sets(row: published.PublishedNumber) -> None:
    names = {"mvtec", "visa", "btad", "mpdd"}
    alike = [
        other.value
        for other in published.rows(row.paper, method=row.method, metric=row.metric)
        if other.table == row.table
        and other.data_set not in AVERAGES
        and (other.data_set in names) == (row.data_set == "average-industrial")
    ]
    # All are rounded to a tenth: the figures before they were averaged, or after.
    assert (abs(mean(alike) - row.value) <= 0.1001) == (not row.suspect)
