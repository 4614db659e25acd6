"""What a run leaves behind, as files and as a page in a browser."""

import csv
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.browsing import driven, dump, in_a_browser
from tests.holding import held_by_another
from zsad import spreadsheets
from zsad.errors import ConfigError, InputError
from zsad.locks import LOCK, alone
from zsad.reports import predictions as report_module
from zsad.reports.predictions import ReportWriter, RunInfo
from zsad.types import DecodedImage, Prediction

RUN = RunInfo(
    detector="clip",
    backbone="tiny",
    weights="embedded",
    image_size=224,
    precision="fp32",
    device="cpu",
    class_name="metal nut",
    threshold=0.5,
    version="0",
    created="2026-01-01T00:00:00+00:00",
    command="zsad predict </script><b>x",
)


def add(
    report: ReportWriter,
    source: str,
    score: float,
    size: tuple[int, int] = (30, 50),
    threshold: float | None = RUN.threshold,
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    anomaly_map = np.full(size, score, np.float32)
    report.add(DecodedImage(pixels, source), Prediction(source, "metal nut", score, threshold, anomaly_map))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    with ReportWriter(tmp_path / "run", RUN) as report:
        add(report, "a/1.png", 0.25)
        add(report, "b/1.png", 0.75, (20, 10))
        add(report, "<img src=x onerror=alert(1)>.png", 0.5)
        report.add_failure("bad.jpg", "an image must be whole; got bad.jpg")
    return tmp_path / "run"


def table(out: Path) -> list[dict[str, str]]:
    with (out / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_table_has_a_line_for_every_image_in_order(out: Path) -> None:
    rows = table(out)
    assert [row["source"] for row in rows] == ["a/1.png", "b/1.png", "<img src=x onerror=alert(1)>.png", "bad.jpg"]
    assert [row["score"] for row in rows] == ["0.250000", "0.750000", "0.500000", ""]
    assert [row["is_anomalous"] for row in rows] == ["false", "true", "true", ""]
    assert rows[3]["error"] == "an image must be whole; got bad.jpg"


def test_no_cell_is_a_formula_and_numbers_stay_numbers(tmp_path: Path) -> None:
    names = ["=1+1.png", "+1.png", "-1.png", "@SUM(A1).png", "a;=1.png", "a,-1.png", "\t=1.png"]
    with ReportWriter(tmp_path, RUN) as report:
        for name in names:
            add(report, name, 0.25)
        report.add_failure("=2", "=cmd|' /C calc'!A0; got nothing")
    for separator in (",", ";", "\t"):
        with (tmp_path / "predictions.csv").open(newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file, delimiter=separator) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert [row["score"] for row in table(tmp_path)[:-1]] == ["0.250000"] * len(names)
    assert [row["source"] for row in spreadsheets.read(tmp_path / "predictions.csv")] == [*names, "=2"]
    assert json.loads((tmp_path / "predictions.json").read_text())["predictions"][0]["source"] == names[0]


@pytest.mark.parametrize("room", [0, 10**9])
def test_a_report_is_the_same_whatever_number_of_threads_encodes_it(
    room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zsad.reports.predictions.ROOM", room)
    for writers in (0, 3):
        run = replace(RUN, pixel_threshold=0.5)
        with ReportWriter(tmp_path / str(writers), run, writers=writers) as report:
            for number in range(9):
                add(report, f"{number}.png", number / 10, (20 + number, 300 - 30 * number))
                if number in (2, 7):
                    report.add_failure(f"bad {number}.png", "an image must be whole")
    files = [sorted(path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*")) for name in "03"]
    assert files[0] == files[1]
    assert len(table(tmp_path / "3")) == 11
    for name in files[0]:
        if (tmp_path / "0" / name).is_file():
            assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "3" / name).read_bytes(), name


def test_files_of_images_that_were_added_are_written_before_an_error_ends_the_report(tmp_path: Path) -> None:
    def stopped() -> None:
        with ReportWriter(tmp_path, RUN, writers=2) as report:
            add(report, "a.png", 0.25)
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        stopped()
    assert [row["map"] for row in table(tmp_path)] == ["maps/a.png"]
    assert (tmp_path / "maps" / "a.png").is_file()
    assert json.loads((tmp_path / "predictions.json").read_text())["run"]["stopped_by"] == "ValueError"


def test_an_image_that_cannot_be_drawn_is_told_and_the_report_is_finished(tmp_path: Path) -> None:
    image = DecodedImage(np.zeros((4, 5, 3), np.uint8), "b.png")
    report = ReportWriter(tmp_path, RUN, writers=2)
    add(report, "a.png", 0.25)
    report.add(image, Prediction("b.png", "nut", 0.5, 0.5, np.zeros((5, 4), np.float32)))
    with pytest.raises(InputError, match="size of its image"):
        report.close()
    assert [row["source"] for row in table(tmp_path)] == ["a.png"]
    assert (tmp_path / "predictions.json").is_file()


def test_the_json_says_the_same(out: Path) -> None:
    found = json.loads((out / "predictions.json").read_text())
    assert [item["source"] for item in found["predictions"]] == [row["source"] for row in table(out)[:3]]
    assert [item["score"] for item in found["predictions"]] == [0.25, 0.75, 0.5]
    assert found["failures"] == [{"source": "bad.jpg", "message": "an image must be whole; got bad.jpg"}]
    assert found["run"]["class_name"] == "metal nut"


def test_maps_and_overlays_have_the_size_of_their_image(out: Path) -> None:
    for row in table(out)[:3]:
        for key in ("map", "overlay"):
            with Image.open(out / row[key]) as image:
                assert (image.height, image.width) == (int(row["rows"]), int(row["cols"]))
    with Image.open(out / table(out)[1]["map"]) as image:
        assert set(np.asarray(image).ravel()) == {round(0.75 * 65535)}


def test_names_never_clash_and_are_safe(tmp_path: Path) -> None:
    sources = ["x/Part.png", "y/part.png", "part-2.png", "../..//.png", "größe 1.png"]
    with ReportWriter(tmp_path, RUN) as report:
        for source in sources:
            add(report, source, 0.1)
    names = [row["map"] for row in table(tmp_path)]
    assert len({name.casefold() for name in names}) == len(sources)
    assert all(re.fullmatch(r"maps/[\w.-]+\.png", name) and (tmp_path / name).is_file() for name in names)


def test_names_that_a_file_system_refuses_are_changed(tmp_path: Path) -> None:
    sources = [os.fsdecode(b"caf\xe9.png"), "\U00020000" * 80 + ".png", "NUL.png", "com1.x.png"]
    with ReportWriter(tmp_path, RUN) as report:
        for source in sources:
            add(report, source, 0.1)
    names = [row["map"].removeprefix("maps/") for row in table(tmp_path)]
    assert (names[0], names[2], names[3]) == ("caf.png", "image-NUL.png", "image-com1.x.png")
    found = json.loads((tmp_path / "predictions.json").read_text())
    assert [item["source"] for item in found["predictions"]] == sources


def test_a_score_is_written_so_that_it_agrees_with_its_decision(tmp_path: Path) -> None:
    with ReportWriter(tmp_path, RUN) as report:
        add(report, "almost.png", 0.4999999)
    found = json.loads((tmp_path / "predictions.json").read_text())["predictions"][0]
    assert (found["score"], found["threshold"], found["is_anomalous"]) == (0.4999999, 0.5, False)
    assert found["class_name"] == "metal nut"


def test_without_a_threshold_nothing_is_called_normal_or_anomalous(tmp_path: Path) -> None:
    pixels, anomaly_map = np.zeros((4, 5, 3), np.uint8), np.full((4, 5), 0.5, np.float32)
    with ReportWriter(tmp_path, replace(RUN, threshold=None)) as report:
        report.add(DecodedImage(pixels, "a.png"), Prediction("a.png", "nut", 0.9, None, anomaly_map))
    keys = ("threshold", "is_anomalous", "p_value", "pixel_threshold")
    assert [table(tmp_path)[0][key] for key in keys] == ["", "", "", ""]
    found = json.loads((tmp_path / "predictions.json").read_text())
    assert [found["predictions"][0][key] for key in keys] == [None, None, None, None]
    assert found["run"]["threshold"] is None


def test_a_calibrated_prediction_has_its_p_value(tmp_path: Path) -> None:
    pixels, anomaly_map = np.zeros((4, 5, 3), np.uint8), np.full((4, 5), 0.5, np.float32)
    with ReportWriter(tmp_path, RUN) as report:
        report.add(DecodedImage(pixels, "a.png"), Prediction("a.png", "nut", 0.9, 0.5, anomaly_map, 0.05, 0.75))
    keys = ("threshold", "is_anomalous", "p_value", "pixel_threshold")
    assert [table(tmp_path)[0][key] for key in keys] == ["0.5", "true", "0.05", "0.75"]
    found = json.loads((tmp_path / "predictions.json").read_text())["predictions"][0]
    assert [found[key] for key in keys] == [0.5, True, 0.05, 0.75]


def test_a_score_that_is_no_probability_is_refused_and_leaves_no_line(tmp_path: Path) -> None:
    with ReportWriter(tmp_path, RUN) as report:
        image, anomaly_map = DecodedImage(np.zeros((4, 5, 3), np.uint8), "a.png"), np.zeros((4, 5), np.float32)
        with pytest.raises(InputError, match="score lies in"):
            report.add(image, Prediction("a.png", "nut", 1.5, 0.5, anomaly_map))
    assert table(tmp_path) == []


def test_a_large_overlay_is_a_jpeg_of_the_same_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zsad.drawing.render.LARGEST_PNG", 30 * 50)
    with ReportWriter(tmp_path, RUN) as report:
        add(report, "small.png", 0.1, (30, 50))
        add(report, "large.png", 0.1, (30, 51))
    assert [row["overlay"] for row in table(tmp_path)] == ["overlays/small.png", "overlays/large.jpg"]
    with Image.open(tmp_path / "overlays" / "large.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (51, 30))
    ReportWriter(tmp_path, RUN).close()
    assert not list((tmp_path / "overlays").iterdir())


def test_the_page_needs_nothing_from_outside_and_escapes_what_it_shows(out: Path) -> None:
    page = (out / "report.html").read_text()
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r"<[^>]+\b(?:src|href)\s*=", markup)
    assert not re.findall(r"url\(|@import|fetch\(|XMLHttpRequest", page)
    assert not [url for url in re.findall(r"https?://[^\s\"']+", page) if url != "http://www.w3.org/2000/svg"]
    assert "onerror=alert(1)>" in page
    assert "<img src=x" not in page
    assert page.count("</script>") == 2


def test_an_interrupted_run_keeps_what_was_done(tmp_path: Path) -> None:
    def run() -> None:
        with ReportWriter(tmp_path, RUN) as report:
            add(report, "a.png", 0.3)
            assert len(table(tmp_path)) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    found = json.loads((tmp_path / "predictions.json").read_text())
    assert len(found["predictions"]) == 1
    assert found["run"]["stopped_by"] == "KeyboardInterrupt"
    assert '"stopped_by": "KeyboardInterrupt"' in (tmp_path / "report.html").read_text()


def test_an_earlier_report_is_replaced_and_other_files_stay(out: Path) -> None:
    (out / "notes.txt").write_text("mine")
    (out / "maps" / "mine.png").write_text("mine")
    with ReportWriter(out, RUN) as report:
        add(report, "new.png", 0.2)
        add(report, "mine.jpg", 0.2)
    assert [row["source"] for row in table(out)] == ["new.png", "mine.jpg"]
    assert sorted(path.name for path in (out / "maps").iterdir()) == ["mine-2.png", "mine.png", "new.png"]
    assert sorted(path.name for path in (out / "overlays").iterdir()) == ["mine-2.png", "new.png"]
    assert (out / "notes.txt").read_text() == (out / "maps" / "mine.png").read_text() == "mine"


def test_a_table_never_makes_us_delete_outside(tmp_path: Path) -> None:
    (tmp_path / "keep.png").write_text("mine")
    ReportWriter(tmp_path / "run", RUN).close()
    with (tmp_path / "run" / "predictions.csv").open("a") as lines:
        lines.write(",,,,,,,../keep.png,maps/../../keep.png,\nhalf a li")
    ReportWriter(tmp_path / "run", RUN).close()
    assert (tmp_path / "keep.png").is_file()


@pytest.mark.parametrize("name", ["predictions.csv", "predictions.json", "report.html", "legend.png"])
def test_a_file_of_a_reports_name_from_elsewhere_is_refused_and_kept(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"source,\xff mine")
    with pytest.raises(InputError, match=f"got {name} from elsewhere"):
        ReportWriter(tmp_path, RUN)
    assert (tmp_path / name).read_bytes() == b"source,\xff mine"


def test_what_a_kill_left_of_a_report_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image is listed before its files are there."""
    seen: list[list[str]] = []
    write = report_module.write_atomically

    def look_and_write(path: Path, content: bytes, lasting: bool = False) -> None:
        if path.parent.name == "maps":
            seen.append([row["map"] for row in table(tmp_path)])
        write(path, content, lasting)

    monkeypatch.setattr(report_module, "write_atomically", look_and_write)
    with ReportWriter(tmp_path, RUN) as report:
        add(report, "a.png", 0.1)
        add(report, "b.png", 0.1)
    assert seen == [["maps/a.png"], ["maps/a.png", "maps/b.png"]]
    for name in ("predictions.json", "report.html", "legend.png"):  # as if it were killed at once
        (tmp_path / name).unlink()
    (tmp_path / "maps" / f".{'0' * 32}.tmp").write_bytes(b"half")
    (tmp_path / "maps" / "b.png").write_bytes(b"half")
    with ReportWriter(tmp_path, RUN) as report:
        add(report, "b.png", 0.1)
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["b.png"]
    assert [path.name for path in (tmp_path / "overlays").iterdir()] == ["b.png"]


def test_an_empty_table_is_of_a_report_that_had_just_begun(tmp_path: Path) -> None:
    ReportWriter(tmp_path, RUN).close()
    (tmp_path / "predictions.csv").write_text("")
    with pytest.raises(InputError, match="from elsewhere"):  # whose are the page and the JSON?
        ReportWriter(tmp_path, RUN)
    for name in ("predictions.json", "report.html"):
        (tmp_path / name).unlink()
    ReportWriter(tmp_path, RUN).close()
    assert (tmp_path / "report.html").exists()


def test_an_image_whose_files_cannot_be_written_has_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = report_module.write_atomically

    def full(path: Path, content: bytes, lasting: bool = False) -> None:
        if path.match("overlays/b.png"):
            raise OSError(28, "No space left on device")
        write(path, content, lasting)

    monkeypatch.setattr(report_module, "write_atomically", full)
    with ReportWriter(tmp_path, RUN) as report:
        add(report, "a.png", 0.1)
        with pytest.raises(OSError, match="No space left"):
            add(report, "b.png", 0.1)
        report.add_failure("c.png", "broken")
    assert [row["source"] for row in table(tmp_path)] == ["a.png", "c.png"]
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["a.png"]


def test_one_report_at_a_time_is_written(tmp_path: Path) -> None:
    with held_by_another(alone(tmp_path)), pytest.raises(ConfigError, match="one process at a time"):
        ReportWriter(tmp_path, RUN)
    with ReportWriter(tmp_path, RUN):
        assert (tmp_path / LOCK).exists()
    assert not (tmp_path / LOCK).exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        ReportWriter(tmp_path / "file" / "run", RUN)


@in_a_browser
def test_a_browser_shows_sorts_and_filters(out: Path, tmp_path: Path) -> None:
    page = out / "report.html"
    everything = dump(page, "", tmp_path / "profile")
    shown = re.findall(r'<span class="score">([\d.]+)', everything)
    assert shown == ["0.750", "0.500", "0.250"]
    assert everything.count("an image must be whole") >= 2  # in the data and on the page
    normal = dump(page, "#show=normal", tmp_path / "profile")
    assert re.findall(r'<span class="score">([\d.]+)', normal) == ["0.250"]
    assert 'id="moved" hidden=""' in normal
    strict = dump(page, "#threshold=0.7&sort=low", tmp_path / "profile")
    badges = re.findall(r'<span class="badge \w+">(\w+)', strict)
    assert badges == ["normal", "normal", "anomalous"]
    assert 'id="moved" hidden=""' not in strict
    assert "trying out and for tests" in everything
    untrained = replace(RUN, weights="random (untrained)")
    ReportWriter(tmp_path / "random", untrained).close()
    assert "these numbers mean nothing" in dump(tmp_path / "random" / "report.html", "", tmp_path / "profile")


UNCALIBRATED = replace(RUN, threshold=None, setting="transductive", explanation="They are compared.")


@pytest.fixture
def ranked(tmp_path: Path) -> Path:
    """The page of four images without decisions."""
    with ReportWriter(tmp_path / "run", UNCALIBRATED) as report:
        for name, score in (("a", 0.31), ("b", 0.4), ("c", 0.412), ("d", 0.6)):
            add(report, f"{name}.png", score, threshold=None)
    return tmp_path / "run" / "report.html"


def test_without_a_threshold_nothing_is_decided(ranked: Path) -> None:
    rows = table(ranked.parent)
    assert [(row["threshold"], row["is_anomalous"]) for row in rows] == [("", "")] * 4
    found = json.loads((ranked.parent / "predictions.json").read_text())
    assert [(entry["threshold"], entry["is_anomalous"]) for entry in found["predictions"]] == [(None, None)] * 4
    assert (found["run"]["threshold"], found["warnings"]) == (None, [])
    assert (found["run"]["setting"], found["run"]["explanation"]) == ("transductive", "They are compared.")
    assert [row["setting"] for row in rows] == ["transductive"] * 4


SLIDER = """
const slide = value => { at("threshold").value = value; at("threshold").dispatchEvent(new Event("input")); };
const badges = () => [...document.querySelectorAll(".card")].map(card => card.querySelector(".badge:not([hidden])"));
const told = () => at("set").hidden ? "" : at("option").textContent + "|" + at("flags").textContent;
const seen = () => badges().map(badge => badge?.textContent).join() + "|" + told() + "|" +
  [...document.querySelectorAll("#histogram rect")].filter(bar => bar.getAttribute("height") > 0)
    .map(bar => bar.getAttribute("class")).join();
(async () => {
  say("tabs", [...document.querySelectorAll("#tabs button:not([hidden])")].map(tab => tab.textContent).join());
  say("ranked", seen() + at("threshold").getAttribute("aria-valuetext"));
  slide(0.412);
  say("moved", seen());
  slide(0.413);
  say("further", seen());
  say("told", at("threshold").getAttribute("aria-valuetext"));
  tabs.anomalous.click();
  slide(0.4);
  say("filtered", seen());
  document.execCommand = () => say("selected", getSelection().toString());
  await copy();
  say("copied", at("copy").textContent);
  at("back").click();
  say("cleared", seen() + at("judged").textContent);
})().catch(error => { document.documentElement.dataset.error = error; });
"""


@in_a_browser
def test_the_slider_decides_and_counts(ranked: Path, tmp_path: Path) -> None:
    said = driven(ranked, SLIDER, tmp_path / "profile")
    assert said["tabs"] == "all 4"
    assert said["ranked"] == ",,,||open,open,open,openno threshold, images are ranked"
    assert said["moved"] == (
        "anomalous,anomalous,normal,normal|--threshold 0.412|flags 2 of 4 images (50\u00a0%)|good,good,bad,bad"
    )
    assert said["further"] == (
        "anomalous,normal,normal,normal|--threshold 0.413|flags 1 of 4 images (25\u00a0%)|good,good,good,bad"
    )
    assert said["told"] == "0.413, flags 1 of 4 images"
    assert said["filtered"] == (
        "anomalous,anomalous,anomalous|--threshold 0.400|flags 3 of 4 images (75\u00a0%)|good,bad,bad,bad"
    )
    assert (said.get("selected", "--threshold 0.400"), said["copied"]) == ("--threshold 0.400", "Copied")
    assert said["cleared"] == ",,,||open,open,open,open" + "transductive: They are compared."


CALIBRATED = """
say("calibrated", at("calibrated").textContent);
say("option", at("option").textContent + "|" + at("flags").textContent + "|" +
  at("threshold").value + at("back").hidden);
say("cards", [...document.querySelectorAll(".card")].map(card => card.querySelector(".detail").textContent).join());
document.querySelector(".card").click();
say("large", at("large-detail").textContent);
"""


@in_a_browser
def test_a_calibrated_run_begins_at_its_threshold_and_shows_p_values(tmp_path: Path) -> None:
    run = replace(RUN, threshold=0.41234567, calibration="40 normal images of nut")
    with ReportWriter(tmp_path / "run", run) as report:
        for name, score, p_value in (("a", 0.3, 0.5), ("b", 0.9, 0.0004), ("c", 0.6, 0.025)):
            image, anomaly_map = DecodedImage(np.zeros((4, 5, 3), np.uint8), name), np.full((4, 5), score, np.float32)
            report.add(image, Prediction(name, "nut", score, 0.41234567, anomaly_map, p_value))
    said = driven(tmp_path / "run" / "report.html", CALIBRATED, tmp_path / "profile")
    assert said["calibrated"].startswith("Calibrated on 40 normal images of nut. p: of those")
    assert said["option"] == "--threshold 0.412346|flags 2 of 3 images (67\u00a0%)|0.412true"
    assert said["cards"] == "p < 0.001,p = 0.025,p = 0.500"
    assert said["large"] == "p < 0.001"
    assert [row["p_value"] for row in table(tmp_path / "run")] == ["0.5", "0.0004", "0.025"]


DRIVER = """
const move = (id, value) => { at(id).value = value; at(id).dispatchEvent(new Event("input")); };
tabs.normal.focus(); tabs.normal.click();
say("focus", document.activeElement.textContent);
tabs.all.click();
document.querySelectorAll(".card")[0].click(); at("next").click();
say("large", at("large").open + " " + at("large-score").textContent + " " + at("large-map").getAttribute("href"));
at("close").click();
move("search", "B/1");
say("found", document.querySelectorAll(".card").length);
move("search", "");
move("threshold", 0.8);
say("strict", counts.anomalous.textContent);
at("back").click();
say("back", counts.anomalous.textContent);
"""


@in_a_browser
def test_a_browser_takes_clicks(out: Path, tmp_path: Path) -> None:
    seen = driven(out / "report.html", DRIVER, tmp_path / "profile")
    assert seen["focus"] == "normal 1"
    assert seen["large"].startswith("true 0.500 maps/")
    assert (seen["found"], seen["strict"], seen["back"]) == ("1", "0", "2")


@in_a_browser
def test_a_broken_page_is_noticed(out: Path, tmp_path: Path) -> None:
    page = (out / "report.html").read_text()
    (out / "broken.html").write_text(page.replace("</body>", "<script>nothing.here()</script></body>"))
    with pytest.raises(AssertionError, match="nothing is not defined"):
        dump(out / "broken.html", "", tmp_path / "profile")
