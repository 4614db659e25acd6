"""The page of an evaluation: all that is known, exact, escaped, and with what casts doubt on it first."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.browsing import driven, in_a_browser
from tests.evaluator.making import RESOLUTION, data, detector, make_normal
from zsad.errors import InputError
from zsad.evaluator.evaluation import evaluate
from zsad.reports import evaluation as page
from zsad.reports.evaluation_class import LARGEST, best_threshold, thumbnail
from zsad.reports.pages import interval, percent
from zsad.results import store
from zsad.results.schema import METRICS, TITLES, ImageResult, Metric, Protocol

VOID = {"meta", "input", "img", "br"}
ODD = 'Käse <script>alert("1")</script> & "Co"\n'


class Walk(HTMLParser):
    """Reads a page, and fails where tags do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.images = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [values["id"]] if values.get("id") else []
        self.links += [str(values[key]) for key in ("href", "src") if values.get(key)]
        self.images += tag == "img"
        assert tag != "img" or values["alt"]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ("line", "rect", "polyline")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)


def walked(html: str) -> Walk:
    walk = Walk()
    walk.feed(html)
    walk.close()
    assert walk.open == []
    assert len(set(walk.ids)) == len(walk.ids)
    return walk


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of two classes, one of which has normal images only."""
    folder = tmp_path_factory.mktemp("page")
    named = data(folder / "data", "metal_nut", "carpet")
    make_normal(folder / "data" / "carpet")
    evaluate(detector(), [named], folder / "out", resolution=RESOLUTION, resamples=20, command="zsad evaluate …")
    return folder / "out"


def test_it_asks_for_nothing_else(out: Path) -> None:
    found = walked((out / store.PAGE).read_text())
    assert found.images
    for link in found.links:
        assert link.startswith(("data:image/jpeg;base64,", "#"))
    assert {link[1:] for link in found.links if link[0] == "#"} <= set(found.ids)


def test_it_shows_every_number_as_it_is(out: Path) -> None:
    html = (out / store.PAGE).read_text()
    evaluation = store.read(out)
    for one in evaluation.data_sets[0].classes:
        for name in METRICS:
            metric = one.metrics[name]
            if metric.value is None:
                assert f">n/a: {metric.reason}</li>" in html
            else:
                small = f"<small>{interval(metric)}</small>" if interval(metric) else ""
                assert f'data-value="{metric.value!r}">{percent(metric.value)}{small}' in html
    assert "over 1 of 2" in html
    for name in METRICS:
        assert TITLES[name].removeprefix("image ").removeprefix("pixel ") in html


def test_it_says_what_ran_and_how(out: Path) -> None:
    words = " ".join(walked((out / store.PAGE).read_text()).words)
    evaluation = store.read(out)
    for part in (evaluation.command, evaluation.machine, evaluation.detector.fingerprint, evaluation.created):
        assert part in words
    for sentence in page.in_words(evaluation.protocol):
        assert sentence in words


def test_a_protocol_in_words() -> None:
    assert "at 240 × 240 px" in " ".join(page.in_words(Protocol(resolution=240)))
    assert "at each image's own size" in " ".join(page.in_words(Protocol(resolution=None)))
    assert "There are no intervals." in page.in_words(Protocol(resamples=0))
    assert page.in_words(Protocol(max_images=20))[0].endswith("of each class and state 20 at most.")


def test_warnings_come_before_numbers(out: Path) -> None:
    evaluation = store.read(out)
    doubted = replace(evaluation.data_sets[0], warnings=("Five images were seen <in training>.",))
    html = page.page(replace(evaluation, data_sets=(doubted,)), {})
    assert 0 < html.index("Five images were seen &lt;in training&gt;.") < html.index("<table")
    calm = page.page(
        replace(
            evaluation,
            data_sets=(replace(doubted, warnings=()),),
            detector=replace(evaluation.detector, backbone="ViT-L-14-336", weights="openai"),
        ),
        {},
    )
    assert "Before you believe" not in calm


def test_a_warning_of_many_data_sets_stands_once_with_their_names(out: Path) -> None:
    evaluation = store.read(out)
    sets = tuple(replace(evaluation.data_sets[0], name=name, warnings=("A part only.",)) for name in ("one", "two"))
    html = page.page(replace(evaluation, data_sets=sets), {})
    assert html.count("A part only.") == 1
    assert "<li><b>one, two</b>: A part only.</li>" in html


def test_numbers_that_rest_on_training_data_are_marked_where_they_stand(out: Path) -> None:
    evaluation = store.read(out)
    (found,) = evaluation.data_sets
    seen = replace(found, name="seen", classes=(replace(found.classes[0], seen_in_training=1), found.classes[1]))
    html = page.page(replace(evaluation, data_sets=(found, seen)), {})
    mark = ' <span class="badge bad">seen in training</span>'
    assert f'<a href="#set-2">seen</a>{mark}</th>' in html
    assert f'<a href="#set-2-class-1">carpet</a>{mark}</th>' in html
    assert f"mean of 2 classes{mark}</th>" in html
    assert html.count(mark) == 4  # and where the class is folded


def test_names_cannot_break_out_of_it(out: Path) -> None:
    evaluation = store.read(out)
    found = evaluation.data_sets[0]
    odd = replace(found.classes[0], class_name=ODD, prompt=ODD, unreadable={ODD: ODD})
    sets = tuple(replace(found, name=name, classes=(odd,)) for name in (ODD, "other"))
    html = page.page(replace(evaluation, data_sets=sets, command=ODD), {(ODD, ODD): next(out.glob("classes/*/*"))})
    words = " ".join(walked(html).words)
    assert html.count("<script>") == 1
    assert 'Käse <script>alert("1")</script> & "Co"' in words


def test_what_is_missing_is_said(out: Path, tmp_path: Path) -> None:
    evaluation = store.read(out)
    html = page.page(evaluation, {})
    for name in (store.CURVES, store.IMAGES, store.WORST_LIST):
        assert f"{name} is missing" in html
    walked(html)
    page.write(evaluation, tmp_path)
    assert f"{store.CURVES} is missing" in (tmp_path / store.PAGE).read_text()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="must be writable"):
        page.write(evaluation, tmp_path / "file")


def test_thumbnails_are_small(out: Path) -> None:
    for path in out.glob("classes/*/*/worst/*.jpg"):
        assert len(thumbnail(path)) <= LARGEST


@pytest.mark.parametrize(
    ("normal", "anomalous", "threshold"),
    [([0.1, 0.2], [0.3, 0.4], 0.3), ([0.1, 0.9], [0.5, 0.5], 0.5), ([0.1], [], None), ([0.5], [0.5], 0.5)],
)
def test_the_threshold_is_where_f1_is_highest(
    normal: list[float], anomalous: list[float], threshold: float | None
) -> None:
    pairs = [(0, score) for score in normal] + [(1, score) for score in anomalous]
    images = [ImageResult("", "", label, "", score, score, None, None) for label, score in pairs]
    assert best_threshold(images) == threshold


def test_an_interval_is_shown_where_there_is_one() -> None:
    assert interval(Metric(0.5)) == ""
    assert interval(Metric(0.5, 0.25, 0.75)) == "25.0–75.0"


DRIVER = """
const table = document.querySelector("table"), title = n => table.querySelectorAll("thead button")[n].closest("th");
const names = () => [...table.tBodies[0].rows].map(row => row.dataset.key).join(" ");
const press = n => {
  title(n).querySelector("button").click();
  return names() + " " + title(n).getAttribute("aria-sort");
};
say("began", names());
say("name", press(0)); say("back", press(0)); say("none", press(0));
say("auroc", press(2));
say("low", press(2));
say("foot", table.tFoot.rows.length);
const type = text => { at("search").value = text; at("search").dispatchEvent(new Event("input")); };
type("METAL");
const classes = which => [...document.querySelectorAll(which)].map(one => one.dataset.key).join(" ");
say("shown", classes(".class:not([hidden])"));
type("");
location.hash = "set-1-class-2";
setTimeout(() => say("open", classes(".class[open]")), 100);
"""


@in_a_browser
def test_a_browser_sorts_filters_and_unfolds(out: Path, tmp_path: Path) -> None:
    seen = driven(out / store.PAGE, DRIVER, tmp_path / "profile")
    assert seen["began"] == seen["name"].removesuffix(" ascending") == seen["none"].removesuffix(" null")
    assert seen["began"] == "carpet metal_nut"
    assert seen["back"] == "metal_nut carpet descending"
    assert (seen["auroc"], seen["low"]) == ("metal_nut carpet descending", "metal_nut carpet ascending")  # n/a last
    assert (seen["foot"], seen["shown"], seen["open"]) == ("1", "metal_nut", "metal_nut")
