"""Figures: which images they show, and that every panel is what it says."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import small
from tests.evaluator.making import data, detector
from zsad.checkpoint import Card, TrainingRecord
from zsad.data.masks.ground_truth import read_mask
from zsad.data.specification import data_set
from zsad.drawing.render import colourise, overlay
from zsad.errors import ConfigError, InputError
from zsad.evaluator.evaluation import evaluate
from zsad.files import content_hash
from zsad.gallery import drawing
from zsad.gallery.choice import (
    GalleryCandidate,
    at_random,
    candidates,
    evaluated_scores,
    extreme,
    named,
    predicted_scores,
)
from zsad.gallery.drawing import gallery
from zsad.gallery.figure import GAP, GUTTER, HEAD, MARGIN, pages
from zsad.gallery.panels import BLANK, SIDE, Panel, Style, panels
from zsad.methods.clip import ClipDetector
from zsad.methods.musc import MuSc
from zsad.predictor import Detector
from zsad.types import DecodedImage, Failure, Prediction

STYLE = Style()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[GalleryCandidate]:
    """Four normal and four anomalous images of each of two classes."""
    return candidates([data_set(data(tmp_path_factory.mktemp("data"), "metal_nut", "carpet"))])


def sources(chosen: list[GalleryCandidate]) -> list[str]:
    return [one.source for one in chosen]


# --- which images


def test_images_are_named_by_the_ends_of_their_paths(found: list[GalleryCandidate]) -> None:
    assert sources(named(found, ["square/00[45].png"])) == [
        "carpet/test/square/004.png",
        "carpet/test/square/005.png",
        "metal_nut/test/square/004.png",
        "metal_nut/test/square/005.png",
    ]


def test_patterns_keep_their_order_and_name_each_image_once(found: list[GalleryCandidate]) -> None:
    chosen = named(found, ["metal_nut/test/good/001.png", "001.png", "metal_nut/test/good/00?.png"])
    assert sources(chosen)[:3] == [
        "metal_nut/test/good/001.png",
        "carpet/test/good/001.png",
        "metal_nut/test/good/000.png",
    ]
    assert len(chosen) == len(set(sources(chosen))) == 5
    with pytest.raises(InputError, match=r"matches an image of the data; got '9.png'.*such as carpet/test/good/000"):
        named(found, ["001.png", "9.png"])


def test_chance_takes_kinds_in_turn_and_is_repeatable(found: list[GalleryCandidate]) -> None:
    chosen = at_random(found, 2, seed=3)
    assert [(one.sample.class_name, one.sample.kind) for one in chosen] == [
        (name, kind) for name in ("carpet", "metal_nut") for kind in ("good", "square")
    ]
    assert chosen == at_random(found, 2, seed=3)
    assert len({tuple(sources(at_random(found, 2, seed))) for seed in range(10)}) > 3
    assert at_random(found, 99, seed=0) == found


def test_the_worst_are_on_the_wrong_side_of_most_others(found: list[GalleryCandidate]) -> None:
    nuts = [one for one in found if one.sample.class_name == "metal_nut"]
    values = [0.1, 0.2, 0.6, 0.5, 0.7, 0.5, 0.55, 0.05]  # four normal, four anomalous
    scores = {(one.data_set, one.source): value for one, value in zip(nuts, values, strict=True)}
    order = [nuts.index(one) for one in extreme(found, "worst", 8, scores)]
    # On the wrong side of 7 are four; of 2 three; of 3 and 5 one and a half; of 6, 1 and 0 one, by their distances.
    assert order == [7, 2, 3, 5, 6, 1, 0, 4]
    assert [nuts.index(one) for one in extreme(found, "best", 3, scores)] == [4, 0, 1]


def test_a_class_of_one_state_is_ranked_by_its_scores(found: list[GalleryCandidate]) -> None:
    normal = [one for one in found if one.sample.label == 0 and one.sample.class_name == "carpet"]
    scores = {(one.data_set, one.source): value for one, value in zip(normal, (0.4, 0.1, 0.9, 0.2), strict=True)}
    assert extreme(normal, "worst", 2, scores) == [normal[2], normal[0]]


def test_an_evaluation_ranks_as_predicting_does(found: list[GalleryCandidate], tmp_path: Path) -> None:
    root = found[0].sample.image.parents[3]
    evaluate(detector(), [f"drawn=mvtec:{root}"], tmp_path, resolution=40, resamples=0)
    known, predicted = evaluated_scores(found, tmp_path), predicted_scores(found, detector(), None)
    assert known == pytest.approx(predicted, abs=1e-6)
    assert len(known) == len(found) == 16
    assert len(predicted_scores(found, detector(), 1)) == 4
    others = [replace(one, data_set="other") for one in found]
    with pytest.raises(InputError, match=r"evaluation is one of these data; got .* with 16 other images"):
        evaluated_scores(others, tmp_path)


def test_images_that_cannot_be_read_are_not_ranked_and_not_drawn(tmp_path: Path) -> None:
    some = candidates([data_set(data(tmp_path / "data", "carpet"))])
    some[0].sample.image.write_bytes(b"broken")
    assert len(predicted_scores(some, detector(), None)) == 7
    with pytest.raises(InputError, match=r"images of a figure can be read; got .*000\.png"):
        gallery([detector()], some[:2], tmp_path / "figure.png")


def test_what_cannot_be_chosen_is_refused(found: list[GalleryCandidate], tmp_path: Path) -> None:
    given = data_set(data(tmp_path, "carpet"))
    assert {one.sample.class_name for one in candidates([given], ["carpet"])} == {"carpet"}
    with pytest.raises(ConfigError, match="class of these data sets must be one of carpet; got 'carpat'"):
        candidates([given], ["carpat"])
    with pytest.raises(InputError, match="needs labelled test images; got drawn"):
        candidates([replace(given, samples=())])
    for choose in (lambda: at_random(found, 0, 0), lambda: extreme(found, "best", 0, predicted(found))):
        with pytest.raises(ConfigError, match="at least one image of each class; got 0"):
            choose()


def predicted(found: list[GalleryCandidate]) -> dict[tuple[str, str], float]:
    return {(one.data_set, one.source): 0.5 for one in found}


# --- panels


def seen(one: GalleryCandidate, value: float = 0.5) -> tuple[DecodedImage, Prediction]:
    """A grey image and a map that is the same everywhere."""
    with Image.open(one.sample.image) as image:
        size = image.height, image.width
    image = DecodedImage(np.full((*size, 3), 90, np.uint8), one.source)
    return image, Prediction(one.source, "nut", 0.1234, 0.5, np.full(size, value, np.float32))


def test_panels_are_image_truth_and_maps_on_the_fixed_scale(found: list[GalleryCandidate]) -> None:
    normal, anomalous = found[0], found[-1]
    image, prediction = seen(anomalous)
    drawn = panels(anomalous, image, [prediction, seen(anomalous, 0.25)[1]], STYLE)
    assert [panel.beneath for panel in drawn] == [
        "metal nut, square",
        f"{100 * read_mask(anomalous.sample.mask, image.size).mean():.1f} % anomalous",
        "0.123",
        "0.123",
    ]
    assert {panel.image.size for panel in drawn} == {(2 * SIDE, 2 * SIDE)}
    truth = np.asarray(drawn[1].image)
    assert set(np.unique(truth)) == {0, 255}
    assert (truth > 0).mean() == pytest.approx(read_mask(anomalous.sample.mask, image.size).mean(), abs=0.01)
    shown = DecodedImage(np.asarray(drawn[0].image), "")
    for panel, value in zip(drawn[2:], (0.5, 0.25), strict=True):
        level = np.full(shown.size, value, np.float32)
        np.testing.assert_array_equal(np.asarray(panel.image), overlay(shown, level))
    bare = panels(anomalous, image, [prediction], Style(map_only=True))[2]
    np.testing.assert_array_equal(np.asarray(bare.image)[0, 0], colourise(np.full((1, 1), 0.5, np.float32))[0, 0])
    good = panels(normal, image, [prediction], STYLE)
    assert (good[0].beneath, good[1].beneath) == ("carpet", "")
    assert good[1].image.getpixel((5, 5)) == BLANK


def test_an_image_without_a_mask_says_so(found: list[GalleryCandidate]) -> None:
    image, prediction = seen(found[-1])
    bare = replace(found[-1], sample=replace(found[-1].sample, mask=None, kind="unknown"))
    caption, truth, _ = panels(bare, image, [prediction], STYLE)
    assert (caption.beneath, truth.beneath) == ("metal nut", "")
    words = np.asarray(truth.image)
    assert (words != BLANK).any()
    normal = np.asarray(panels(found[0], image, [prediction], STYLE)[1].image)
    assert (words != normal).any()


@pytest.mark.parametrize(
    ("size", "lines", "transposed"),
    [((100, 100), (360, 360), (360, 360)), ((50, 100), (180, 360), (360, 720)), ((900, 300), (540, 180), (360, 120))],
)
def test_images_in_a_column_are_equally_wide_and_in_a_line_equally_high(
    size: tuple[int, int], lines: tuple[int, int], transposed: tuple[int, int]
) -> None:
    assert Style().box(size) == lines
    assert Style(transposed=True).box(size) == transposed
    assert min(Style(transposed=True).box((1, 5000))) == 1


# --- pages


def squares(count: int, per_image: int, colour: tuple[int, int, int] = (200, 30, 30)) -> list[list[Panel]]:
    image = Image.new("RGB", (2 * SIDE, 2 * SIDE), colour)
    return [[Panel(image, "beneath")] * per_image for _ in range(count)]


def places(sheet: Image.Image, colour: tuple[int, int, int] = (200, 30, 30)) -> tuple[list[int], list[int]]:
    """Where the squares of a colour begin, across and down."""
    there = (np.asarray(sheet) == colour).all(2)
    found = []
    for axis in (0, 1):
        along = (there.sum(axis) > SIDE).astype(int)
        found.append(np.flatnonzero(np.diff(along, prepend=0) == 1).tolist())
    return found[0], found[1]


def test_panels_stand_in_lines_with_even_gaps() -> None:
    (sheet,) = pages(["Image", "Ground truth", "A"], squares(4, 3), 2, STYLE)
    across, down = places(sheet)
    steps = set(np.diff(across).tolist())
    assert len(across) == 6
    assert steps == {2 * (SIDE + GAP), 2 * (SIDE + GUTTER)}
    assert across[0] in range(2 * MARGIN, 2 * MARGIN + 3)
    assert len(down) == 2
    assert down[0] in range(2 * (MARGIN + HEAD), 2 * (MARGIN + HEAD) + 3)
    assert sheet.width == across[-1] + 2 * SIDE + across[0] - 2 * (across[0] - 2 * MARGIN)


def test_transposed_images_stand_beside_each_other() -> None:
    (sheet,) = pages(["Image", "Ground truth", "A"], squares(2, 3), 6, Style(transposed=True))
    across, down = places(sheet)
    assert (len(across), len(down)) == (2, 3)
    assert len(set(np.diff(down).tolist())) == 1


def test_pages_are_no_higher_than_the_paper_and_all_have_the_scale() -> None:
    high = 2 * SIDE * 4
    sheets = pages(["Image", "Ground truth"], squares(5, 2), 1, STYLE, high)
    assert [len(places(sheet)[1]) for sheet in sheets] == [2, 2, 1]
    assert all(sheet.height <= high for sheet in sheets)
    for sheet in sheets:
        ends = (np.asarray(sheet) == (240, 249, 33)).all(2).any(), (np.asarray(sheet) == (13, 8, 135)).all(2).any()
        assert ends == (True, True)
    assert len(pages(["Image"], squares(3, 1), 1, STYLE, 10)) == 3
    with pytest.raises(ConfigError, match="at least one column of images; got 0"):
        pages(["Image"], squares(1, 1), 0, STYLE)


# --- files


def other() -> Detector:
    """Other weights."""
    return Detector(detector().card, ClipDetector(small.frozen(seed=1)))


def test_a_png_has_a_column_a_detector_and_its_true_size_on_paper(
    found: list[GalleryCandidate], tmp_path: Path
) -> None:
    chosen = at_random(found, 2, 0)
    drawn = gallery([detector(), other()], chosen, tmp_path / "below" / "figure.png", labels=["one", "two"])
    assert (drawn.images, drawn.pages, drawn.warnings) == (4, 1, ())
    with Image.open(tmp_path / "below" / "figure.png") as image:
        assert image.info["dpi"] == pytest.approx((240, 240), abs=0.1)
        assert image.width == 2 * (2 * MARGIN + 4 * SIDE + 3 * GAP)
        pixels = np.asarray(image)
    first, second = (pixels[100:400, 2 * (MARGIN + at * (SIDE + GAP)) :][:, : 2 * SIDE] for at in (2, 3))
    assert np.abs(first.astype(int) - second).mean() > 1
    assert [path.name for path in (tmp_path / "below").iterdir()] == ["figure.png"]


def test_a_transductive_detector_judges_by_all_images_of_a_class(
    found: list[GalleryCandidate], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    musc = Detector(Card("musc"), MuSc(small.frozen()))
    chosen, drawn = [found[5], found[2]], dict[str, Prediction]()
    monkeypatch.setattr(
        drawing, "panels", lambda one, _, answers, style: [drawn.setdefault(one.source, answers[0]), style][:0]
    )
    monkeypatch.setattr(drawing, "pages", lambda *_: [Image.new("RGB", (8, 8))])
    gallery([musc], chosen, tmp_path / "figure.png", among=found)
    members = [one for one in found if one.sample.class_name == chosen[0].sample.class_name]
    whole = dict(zip(sources(members), musc.stream([one.sample.image for one in members]), strict=True))
    for one in chosen:
        answer = whole[one.source]
        assert not isinstance(answer, Failure)
        np.testing.assert_allclose(drawn[one.source].anomaly_map, answer[1].anomaly_map, atol=1e-5)
    drawn.clear()
    gallery([musc], chosen[:1], tmp_path / "figure.png")
    assert "Scored by text alone" in musc.explanation


def test_images_keep_the_order_that_was_chosen(found: list[GalleryCandidate], tmp_path: Path) -> None:
    backwards = [found[-1], found[0], found[-2]]
    gallery([detector()], backwards, tmp_path / "all.png")
    gallery([detector()], backwards[1:2], tmp_path / "second.png")
    whole, second = (np.asarray(Image.open(tmp_path / name)) for name in ("all.png", "second.png"))
    top, step = 2 * (MARGIN + HEAD), places_down(whole)
    np.testing.assert_array_equal(whole[top + step : top + step + 300], second[top : top + 300])


def places_down(sheet: np.ndarray) -> int:
    """From one line of images to the next."""
    edge = (sheet[:, 2 * MARGIN + 40] < 250).any(1)
    starts = np.flatnonzero(np.diff(edge.astype(int), prepend=0) == 1)
    long = [start for start in starts if edge[start : start + 300].all()]
    return int(long[1] - long[0])


def test_a_pdf_has_pages_of_their_true_size(found: list[GalleryCandidate], tmp_path: Path) -> None:
    drawn = gallery([detector()], found[:8], tmp_path / "figure.PDF")
    content = (tmp_path / "figure.PDF").read_bytes()
    assert content.startswith(b"%PDF")
    boxes = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", content)
    assert drawn.pages == len(boxes) == 2
    for width, height in boxes:
        assert float(width) == pytest.approx(72 * (2 * MARGIN + 3 * SIDE + 2 * GAP) / 120, abs=1)
        assert float(height) <= 72 * 11


def test_what_a_detector_has_seen_is_named(found: list[GalleryCandidate], tmp_path: Path) -> None:
    training_record = TrainingRecord((content_hash(found[0].sample.image),))
    drawn = gallery(
        [detector(training_record=training_record), other()], found[:2], tmp_path / "figure.png", labels=["one", "two"]
    )
    assert drawn.warnings == ("one was trained or calibrated on 1 of these images, or remembers them.",)


def test_figures_that_cannot_be_are_refused(
    found: list[GalleryCandidate], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"ends in \.png or \.pdf; got figure\.gif"):
        gallery([detector()], found[:1], tmp_path / "figure.gif")
    with pytest.raises(ConfigError, match="each detector has a label; got 2 for 1"):
        gallery([detector()], found[:1], tmp_path / "figure.png", labels=["one", "two"])
    with pytest.raises(InputError, match="shows at least one image; got none"):
        gallery([detector()], [], tmp_path / "figure.png")
    monkeypatch.setattr(drawing, "TALLEST", 100)
    with pytest.raises(ConfigError, match="at most 100 pixels high"):
        gallery([detector()], found[:1], tmp_path / "figure.png")
    assert not list(tmp_path.iterdir())
