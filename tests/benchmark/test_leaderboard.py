"""What the leaderboard says: ours by hand, the papers' numbers beside them, and what forbids comparing."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmark.making import HEAD, REST, copy, planned, run, write
from tests.trainer.toys import draw
from zsad import published
from zsad.benchmark.leaderboard import collect, score
from zsad.benchmark.plan import Plan
from zsad.benchmark.published_results import others, printed
from zsad.errors import InputError
from zsad.reports import leaderboard as page
from zsad.reports import leaderboard_tables as tables
from zsad.results import store
from zsad.results.leaderboard import Leaderboard, Score
from zsad.results.schema import METRICS, Metric

Finished = tuple[Plan, Path, Leaderboard]
OTHER = (
    "backbone small, not ViT-L-14-336",
    "random weights",
    "maps and masks compared at 32 px, not 518",
)
VISA = """
[data]
visa = "mvtec:nuts"
mvtec = "mvtec:tubes"

[[split]]
name = "visa"
train = ["visa"]
test = ["mvtec"]
"""


def test_deviation_is_that_of_a_sample_and_missing_values_are_left_out() -> None:
    found = score({"1": Metric(0.2), "2": Metric(0.4), "3": Metric(0.9), "4": Metric(None, reason="no mask")})
    assert found.value == pytest.approx(0.5)
    assert found.std == pytest.approx(((0.09 + 0.01 + 0.16) / 2) ** 0.5)
    assert found.n == 3
    assert found.values["4"] is None
    assert tables.percent(found) == "50.0 ± 36.1"
    alone = score({"7": Metric(0.25, 0.125, 0.5)})
    assert alone == Score(0.25, None, 1, 0.125, 0.5, values={"7": 0.25})
    assert score({"1": Metric(None, reason="one class"), "2": Metric(None, reason="one class")}).reason == "one class"


def test_the_papers_numbers_stand_beside_ours(finished: Finished) -> None:
    board = finished[2]
    groups = {group.source: group for group in tables.groups(board.tables[0])}
    rows = published.rows(data_set="mpdd", method="clip")
    assert rows
    assert len(rows) == sum(len(group.printed) for group in groups.values())
    for row in rows:
        (one,) = (
            group.printed[metric]
            for group in groups.values()
            for metric in group.printed
            if published.methods()[row.paper] in group.source and metric == row.metric.replace("pro", "pro_200")
        )
        assert one.value == pytest.approx(row.value / 100)
    assert all(group.ours == board.tables[0].lines[0] for group in groups.values())
    assert not board.tables[1].printed  # nobody prints anything about plates
    assert len({row.method for row in others("mpdd")}) > 5
    assert all(row.shots == 0 for row in others("mpdd"))


def test_suspect_numbers_are_marked_and_explained(root: Path, tmp_path: Path) -> None:
    suspect = next(row for row in published.rows("fe-clip", "mpdd", "winclip") if row.suspect)
    head = HEAD.replace('"clip", "toy-reader", "toy-editor"', '"winclip"')
    board = run(planned(write(tmp_path, head, REST.partition("[change")[0]), root), tmp_path / "out")
    text = tables.markdown(board)
    (mark,) = set(re.findall(rf"\({suspect.value}<sup>(†\d+)", text))
    assert f"{mark[1:]}. † {suspect.suspect}" in text
    html = page.page(board)
    assert f'<a href="#note-{mark[1:]}">{mark}</a>' in html
    assert f'<li id="note-{mark[1:]}">' in html


def test_what_forbids_comparing_is_said_loudly(finished: Finished) -> None:
    board = finished[2]
    assert board.differs == (*OTHER, "mpdd with 1 of its 6 classes")
    for text in (tables.markdown(board), page.page(board)):
        assert text.index("not comparable with ours") < text.index("image AUROC")
        for words in board.differs:
            assert words in text


def differing(tmp_path: Path, root: Path, head: str, rest: str) -> set[str]:
    plan = planned(write(tmp_path, head, rest), root)
    rows = [printed(plan, split, one, split.test[0]) for split in plan.benchmark.split for one in plan.entrants]
    return {words for one in rows for row in one for words in row.differs}


def test_training_on_other_data_or_in_another_way_is_another_experiment(root: Path, tmp_path: Path) -> None:
    head = HEAD.replace('"clip", "toy-reader", "toy-editor"', '"wmoe-clip"')
    small = {*OTHER, "mvtec with 0 of its 15 classes"}
    of_visa = "visa with 0 of its 12 classes"
    assert differing(tmp_path, root, head, VISA) == small | {of_visa}
    quick = head.replace("seeds", "max_train_images = 9\nmax_test_images = 8\nseeds")
    changed = VISA + "[change.wmoe-clip]\ntraining = { epochs = 3 }\noptions = { sigma = 1.0 }\n"
    assert differing(tmp_path, root, quick, changed) - small - {of_visa} == {
        "epochs 3, not 20",
        "sigma 1.0, not 4.0",
        "trained on at most 9 images of a class and state",
        "tested on at most 8 images of a class and state",
    }
    nuts = VISA.replace("visa", "nuts")
    assert differing(tmp_path, root, head, nuts) == small | {"trained on nuts, not on visa"}


def test_numbers_of_the_same_experiment_stand_without_parentheses(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zsad.benchmark.published_results._differs", lambda *_: ())
    head = HEAD.replace('"clip", "toy-reader", "toy-editor"', '"clip"')
    board = run(planned(write(tmp_path, head, VISA), root), tmp_path / "out")
    text = tables.markdown(board)
    assert "not comparable" not in text
    assert ", 74.1" in text
    assert "(74.1)" not in text


def test_the_papers_own_setting_is_comparable_and_another_size_is_not(tmp_path: Path, root: Path) -> None:
    real = '"clip", "fe-clip"]\nseeds = [1]\nweights = "openai"\nbackbone = "ViT-L-14-336"\n'
    head = f'title = "Real"\ndetectors = [{real}'
    absent = {"visa with 0 of its 12 classes", "mvtec with 0 of its 15 classes"}
    assert differing(tmp_path, root, head, VISA) == absent
    at_336 = differing(tmp_path, root, f"{head}image_size = 336\n", VISA) - absent
    assert at_336 == {"ViT-L-14-336 at 336 px, not 518"}
    own = differing(tmp_path, root, f"{head}resolution = 0\n".replace("openai", "mine.pt"), VISA) - absent
    assert own == {"mine.pt weights", "maps and masks compared at their own px, not 518"}


def test_where_some_compare_the_others_are_told_apart(finished: Finished) -> None:
    board = finished[2]
    first, *rest = board.tables[0].printed
    one = replace(board.tables[0], printed=(replace(first, differs=()), *rest))
    text = tables.markdown(replace(board, tables=(one,)))
    assert "Not all of the papers' numbers are comparable with ours" in text
    assert f", {100 * first.value:.1f} |" in text


def test_rows_of_ablations_have_their_own_numbers(root: Path, tmp_path: Path) -> None:
    recipes = Path(__file__).parents[2] / "recipes" / "kanoclip" / "ablation"
    head = HEAD.replace(
        '"clip", "toy-reader", "toy-editor"', f'"{recipes}/row_2_knpl.toml", "{recipes}/row_5_full.toml"'
    )
    plan = planned(write(tmp_path, head, VISA), root)
    second, fifth = (printed(plan, plan.benchmark.split[0], one, "mvtec") for one in plan.entrants)
    assert [(one.metric, one.value, one.source) for one in second] == [
        ("image_auroc", 0.859, "KAnoCLIP, Table 3"),
        ("pixel_auroc", 0.874, "KAnoCLIP, Table 3"),
    ]
    assert "illegible" in second[0].note
    assert {one.source for one in fifth} == {"KAnoCLIP, Table 3"}


def test_the_table_for_machines_holds_every_number(finished: Finished) -> None:
    _, out, board = finished
    rows = list(csv.DictReader(tables.lines(board).splitlines()))
    assert len(rows) == 8 * sum(len(table.lines) * (1 + len(table.lines[0].classes)) for table in board.tables)
    (one,) = (
        row
        for row in rows
        if (row["split"], row["detector"], row["data_set"], row["class"], row["metric"])
        == ("nuts", "toy-editor", "plates", "b", "pixel_pro")
    )
    values = [
        store.read(out / "evaluations" / "nuts" / f"toy-editor-{seed}" / "plates").data_sets[0].classes[1]
        for seed in (1, 2)
    ]
    numbers = [found.metrics["pixel_pro"].value or 0 for found in values]
    assert float(one["value"]) == sum(numbers) / 2
    assert float(one["std"]) == pytest.approx(abs(numbers[0] - numbers[1]) / 2**0.5)
    assert (one["n"], one["train"], one["backbone"]) == ("2", "nuts", "small")
    interval = next(row for row in rows if row["detector"] == "clip" and row["metric"] == "pixel_auroc")
    assert float(interval["low"]) <= float(interval["value"]) <= float(interval["high"])


def test_json_holds_runs_and_where_they_lie(finished: Finished) -> None:
    _, out, board = finished
    words = json.loads(tables.everything(board))
    line = words["tables"][0]["lines"][1]
    assert set(line["means"]) == set(METRICS)
    assert set(line["means"]["image_auroc"]["values"]) == {"1", "2"}
    assert all((out / folder / "report.html").is_file() for folder in line["evaluations"])
    assert words["tables"][0]["printed"][0]["source"].startswith("FE-CLIP")


def test_the_best_of_each_metric_is_bold(finished: Finished) -> None:
    table = finished[2].tables[0]
    text = tables.markdown(finished[2]).partition("### mpdd")[2].partition("\n\n|")[0]
    means = {line.title: [line.means[name] for name in METRICS] for line in table.lines}
    for line in text.strip().splitlines()[2:]:
        title, _, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        for number, cell in enumerate(cells):
            best = max(scores[number].value or 0 for scores in means.values())
            assert cell.startswith("**") == (means[title][number].value == best)
            assert cell.strip("*") == tables.percent(means[title][number])


def test_why_a_metric_has_no_value_is_said(root: Path, tmp_path: Path) -> None:
    draw(tmp_path / "bad", count=2)
    for image in (tmp_path / "bad" / "metal_nut" / "test" / "good").iterdir():
        image.unlink()
    head = HEAD.replace('"clip", "toy-reader", "toy-editor"', '"clip"')
    rest = REST.partition("[change")[0]
    plan = planned(write(tmp_path, head, rest), root, [f"mpdd=mvtec:{tmp_path / 'bad'}"])
    board = run(plan, tmp_path / "out")
    assert "n/a: " in tables.markdown(board)
    (reason,) = {one.means["image_auroc"].reason for one in board.tables[0].lines}
    assert reason in tables.markdown(board)
    assert f'<abbr title="{reason}">n/a</abbr>' in page.page(board)


def test_nothing_that_a_recipe_says_breaks_the_page(root: Path, tmp_path: Path) -> None:
    head = HEAD.replace('"Toys"', '"<script>alert(1)</script> @SPLITS@"')
    rest = REST.replace('name = "nuts"', 'name = "nüts"')
    plan = planned(write(tmp_path, head, rest), root)
    board = collect(plan, tmp_path / "out")
    html = page.page(board)
    assert "<script>alert" not in html
    assert "<script" not in tables.markdown(board)
    assert tables.markdown(board).startswith("# &lt;script&gt;alert(1)&lt;/script&gt; @SPLITS@\n")
    assert "&lt;script&gt;alert(1)&lt;/script&gt; @SPLITS@" in html
    assert "nüts: trained on nuts" in html
    assert "is not done yet" in html
    assert "http" not in html.partition("<footer>")[0].replace("http-equiv", "")


def test_the_page_asks_for_nothing_and_all_its_links_lead_somewhere(finished: Finished, tmp_path: Path) -> None:
    _, made, board = finished
    out = copy(made, tmp_path / "out")
    page.write(board, out)
    html = (out / "leaderboard.html").read_text()
    places = set(re.findall(r'href="([^"]+)"', html))
    assert sum(not place.startswith("#") for place in places) == 14
    for place in places:
        assert f'id="{place[1:]}"' in html if place.startswith("#") else (out / place).is_file()
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', html)
    assert html.count("<table") == html.count("</table>")
    assert not re.findall(r"@[A-Z]+@", html)


def test_a_folder_that_cannot_be_written_is_named(finished: Finished, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="folder of a benchmark must be writable"):
        page.write(finished[2], tmp_path / "file")


def test_all_numbers_of_the_papers_have_their_marks(finished: Finished) -> None:
    suspect = next(row for row in others("mpdd") if row.suspect and row.method == "coop")
    html = page.page(finished[2])
    place = html.index("<summary>All zero-shot numbers of the papers on mpdd")
    table = html[place : html.index("</details>", place)]
    (number,) = set(re.findall(rf'>{suspect.value}<sup><a href="#note-(\d+)">†', table))
    assert f'<li id="note-{number}">† {suspect.suspect.replace(chr(39), "&#x27;")}' in html


def test_a_caution_names_the_detectors_that_it_is_about(root: Path, tmp_path: Path) -> None:
    head = HEAD.replace('"clip", "toy-reader", "toy-editor"', '"clip", "wmoe-clip"')
    nuts = VISA.replace("visa", "nuts") + "[change.wmoe-clip]\ntraining = { epochs = 3 }\n"
    board = collect(planned(write(tmp_path, head, nuts), root), tmp_path / "out")
    assert "wmoe-clip: trained on nuts, not on visa" in board.differs
    assert "wmoe-clip: epochs 3, not 20" in board.differs
    assert "random weights" in board.differs  # of both
    assert "> * wmoe-clip: epochs 3, not 20" in tables.markdown(board)


def test_means_of_five_runs_are_called_so(finished: Finished) -> None:
    rows = published.rows("fe-clip", "mpdd", "fe-clip", "image_auroc")
    assert {"A mean of five runs." in row.note for row in rows} == {True}
    assert not any("five runs" in row.note for row in published.rows() if row.method != "fe-clip")


def test_other_versions_and_missing_intervals_are_told(finished: Finished, root: Path, tmp_path: Path) -> None:
    plan, made, board = finished
    assert any("bootstrap" in one for one in board.facts)
    assert not any("versions" in one for one in board.facts)
    out = copy(made, tmp_path / "out")
    path = out / board.tables[0].lines[1].evaluations[0] / store.EVALUATION
    path.write_text(json.dumps(store.read_json(path) | {"version": "0.0.1"}))
    assert any(one.endswith(f"which may differ: 0.0.1, {board.version}.") for one in collect(plan, out).facts)
    for path in out.rglob(store.EVALUATION):
        path.write_text(re.sub(r'"(low|high)": [0-9.e-]+', r'"\1": null', path.read_text()))
    assert not any("bootstrap" in one for one in collect(plan, out).facts)


def test_what_a_failed_run_never_tried_is_not_done(finished: Finished, tmp_path: Path) -> None:
    plan, made, _ = finished
    out = copy(made, tmp_path / "out")
    record = out / "runs" / "nuts" / "clip.json"
    record.write_text(record.read_text().replace('"errors": {}', '"errors": {"mpdd": "no room"}'))
    for name in ("mpdd", "plates"):
        (out / "evaluations" / "nuts" / "clip" / name / store.EVALUATION).unlink()
    board = collect(plan, out)
    assert board.failed == {"nuts/clip on mpdd": "no room"}
    assert board.unfinished == ("nuts/clip on plates",)
