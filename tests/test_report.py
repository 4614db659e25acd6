"""What a run leaves behind, as files and as a page in a browser."""

import csv
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zsad.errors import InputError
from zsad.report import ReportWriter, RunInfo
from zsad.types import Picture, Prediction

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
CHROMIUM = shutil.which("chromium")
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
OFFLINE = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


def add(report: ReportWriter, source: str, score: float, size: tuple[int, int] = (30, 50)) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    anomaly_map = np.full(size, score, np.float32)
    report.add(Picture(pixels, source), Prediction(source, "metal nut", score, 0.5, anomaly_map))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    with ReportWriter(tmp_path / "run", RUN) as report:
        add(report, "a/1.png", 0.25)
        add(report, "b/1.png", 0.75, (20, 10))
        add(report, "<img src=x onerror=alert(1)>.png", 0.5)
        report.add_failure("bad.jpg", "a picture must be whole; got bad.jpg")
    return tmp_path / "run"


def table(out: Path) -> list[dict[str, str]]:
    with (out / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_table_has_a_line_for_every_picture_in_order(out: Path) -> None:
    rows = table(out)
    assert [row["source"] for row in rows] == ["a/1.png", "b/1.png", "<img src=x onerror=alert(1)>.png", "bad.jpg"]
    assert [row["score"] for row in rows] == ["0.250000", "0.750000", "0.500000", ""]
    assert [row["is_anomalous"] for row in rows] == ["false", "true", "true", ""]
    assert rows[3]["error"] == "a picture must be whole; got bad.jpg"


def test_the_json_says_the_same(out: Path) -> None:
    found = json.loads((out / "predictions.json").read_text())
    assert [item["source"] for item in found["predictions"]] == [row["source"] for row in table(out)[:3]]
    assert [item["score"] for item in found["predictions"]] == [0.25, 0.75, 0.5]
    assert found["failures"] == [{"source": "bad.jpg", "message": "a picture must be whole; got bad.jpg"}]
    assert found["run"]["class_name"] == "metal nut"


def test_maps_and_overlays_have_the_size_of_their_picture(out: Path) -> None:
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
    assert len(json.loads((tmp_path / "predictions.json").read_text())["predictions"]) == 1
    assert (tmp_path / "report.html").is_file()


def test_an_earlier_report_is_replaced_and_other_files_stay(out: Path) -> None:
    (out / "notes.txt").write_text("mine")
    (out / "maps" / "mine.png").write_text("mine")
    with ReportWriter(out, RUN) as report:
        add(report, "new.png", 0.2)
    assert [row["source"] for row in table(out)] == ["new.png"]
    assert sorted(path.name for path in (out / "maps").iterdir()) == ["mine.png", "new.png"]
    assert sorted(path.name for path in (out / "overlays").iterdir()) == ["new.png"]
    assert (out / "notes.txt").read_text() == "mine"


def test_a_table_from_elsewhere_never_makes_us_delete_outside(tmp_path: Path) -> None:
    (tmp_path / "keep.png").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "predictions.csv").write_text("map,overlay\n../keep.png,maps/../../keep.png\n")
    ReportWriter(tmp_path / "run", RUN).close()
    assert (tmp_path / "keep.png").is_file()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        ReportWriter(tmp_path / "file" / "run", RUN)


def dump(page: Path, state: str, profile: Path) -> str:
    command = [
        CHROMIUM or "",
        *QUIET,
        *OFFLINE,
        f"--user-data-dir={profile}",
        "--virtual-time-budget=3000",
        "--dump-dom",
    ]
    found = subprocess.run([*command, f"{page.as_uri()}{state}"], capture_output=True, text=True, timeout=120)
    assert "Uncaught" not in found.stderr
    return found.stdout


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium to look at the page")
def test_a_browser_shows_sorts_and_filters(out: Path, tmp_path: Path) -> None:
    page = out / "report.html"
    everything = dump(page, "", tmp_path / "profile")
    shown = re.findall(r'<span class="score">([\d.]+)', everything)
    assert shown == ["0.750", "0.500", "0.250"]
    assert everything.count("a picture must be whole") >= 2  # in the data and on the page
    normal = dump(page, "#show=normal", tmp_path / "profile")
    assert re.findall(r'<span class="score">([\d.]+)', normal) == ["0.250"]
    strict = dump(page, "#threshold=0.7&sort=low", tmp_path / "profile")
    badges = re.findall(r'<span class="badge \w+">(\w+)', strict)
    assert badges == ["normal", "normal", "anomalous"]
    assert "trying out and for tests" in everything
    untrained = replace(RUN, weights="random (untrained)")
    ReportWriter(tmp_path / "random", untrained).close()
    assert "these numbers mean nothing" in dump(tmp_path / "random" / "report.html", "", tmp_path / "profile")
