"""The folder of an evaluation: what goes on in it, what is refused, what is replaced."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests import small
from tests.evaluator.making import NUT, RESOLUTION, data, detector, left
from zsad.checkpoint import Card
from zsad.data.masks.ground_truth import read_mask
from zsad.errors import ConfigError, InputError
from zsad.evaluator.evaluation import evaluate
from zsad.methods.clip import ClipDetector
from zsad.predictor import Detector
from zsad.reports.terminal import evaluation_table
from zsad.results import store
from zsad.results.schema import METRICS, UNMEASURED
from zsad.statistics.comparison import compare

QUICK = {"resolution": RESOLUTION, "resamples": 20}


def change_image(home: Path) -> None:
    Image.new("RGB", (48, 48)).save(home / "test" / "good" / "002.png")


def change_mask(home: Path) -> None:
    path = home / "ground_truth" / "square" / "004_mask.png"
    Image.fromarray(~read_mask(path, (48, 48))).save(path)


def add_image(home: Path) -> None:
    Image.new("RGB", (48, 48)).save(home / "test" / "good" / "999.png")


def rename_image(home: Path) -> None:
    (home / "test" / "good" / "000.png").rename(home / "test" / "good" / "0000.png")


@pytest.mark.parametrize("change", [change_image, change_mask, add_image, rename_image])
def test_other_data_are_another_evaluation(change: Callable[[Path], None], tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut")
    evaluate(detector(), [given], tmp_path / "out", **QUICK)
    change(tmp_path / "data" / "metal_nut")
    with pytest.raises(ConfigError, match=r"one evaluation, which goes on as it began; got another data\. Remedy:"):
        evaluate(detector(), [given], tmp_path / "out", **QUICK)


def test_another_detector_or_protocol_is_another_evaluation(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut")
    evaluate(detector(), [given], tmp_path / "out", **QUICK)
    other = Detector(Card("clip"), ClipDetector(small.frozen(seed=1)))
    with pytest.raises(ConfigError, match=r"got another detector\. .*--overwrite"):
        evaluate(other, [given], tmp_path / "out", **QUICK)
    with pytest.raises(ConfigError, match=r"got another protocol and data\. .*--overwrite"):
        evaluate(detector(), [given], tmp_path / "out", max_images=2, **QUICK)


def test_an_evaluation_that_version_0_1_0_began_goes_on(tmp_path: Path) -> None:
    given, out = data(tmp_path / "data", "metal_nut"), tmp_path / "out"
    evaluate(detector(), [given], out, **QUICK)
    plan, older = out / store.PLAN, {'"images":': '"pictures":', '"max_images":': '"most":'}
    text = plan.read_text()
    for now, then in older.items():
        assert now in text
        text = text.replace(now, then)
    plan.write_text(text)
    scored: list[int] = []
    evaluate(detector(), [given], out, watch=lambda progress: scored.append(progress.scored), **QUICK)
    assert len(scored) == 1  # nothing is scored again


def test_overwriting_replaces_the_evaluation_and_nothing_else(tmp_path: Path) -> None:
    given, out = data(tmp_path / "data", "metal_nut", "carpet"), tmp_path / "out"
    evaluate(detector(), [given], out, **QUICK)
    strangers = [out / "notes.txt", out / "classes" / "drawn" / "carpet" / "mine.csv", out / NUT / "worst" / "mine.png"]
    for path in strangers:
        path.write_text("mine")
    changed = {"resolution": 24, "resamples": 10}
    evaluate(detector(), [given], out, classes=["metal_nut"], overwrite=True, **changed)
    for path in strangers:
        assert path.read_text() == "mine"
        path.unlink()
    evaluate(detector(), [given], tmp_path / "anew", classes=["metal_nut"], **changed)
    assert left(out) == left(tmp_path / "anew")


def test_overwriting_the_same_evaluation_keeps_what_is_done(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut")
    evaluate(detector(), [given], tmp_path / "out", **QUICK)
    before = (tmp_path / "out" / NUT / "class.json").read_bytes()
    evaluate(detector(), [given], tmp_path / "out", overwrite=True, **QUICK)
    assert (tmp_path / "out" / NUT / "class.json").read_bytes() == before


@pytest.mark.parametrize("name", ["report.html", "evaluation.json", "classes"])
def test_files_of_another_origin_are_not_written_over(name: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    with pytest.raises(InputError, match=rf"replaces an evaluation and no other file; got {name} from elsewhere"):
        evaluate(detector(), [data(tmp_path / "data", "metal_nut")], tmp_path / "out", overwrite=True, **QUICK)
    assert (tmp_path / "out" / name).read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="the output folder must be writable"):
        evaluate(detector(), [data(tmp_path / "data", "metal_nut")], tmp_path / "file" / "out", **QUICK)


@pytest.mark.parametrize(
    ("name", "content", "read"),
    [
        ("evaluation.json", None, lambda out: store.read(out)),
        ("evaluation.json", b"{", lambda out: store.read(out)),
        ("evaluation.json", b"[]", lambda out: store.read(out)),
        (NUT / "class.json", b"\xff", lambda out: store.read_class(out / NUT)),
        (NUT / "images.csv", b"source\na\n", lambda out: store.read_images(out / NUT)),
        (NUT / "images.csv", None, lambda out: store.read_images(out / NUT)),
        (NUT / "curves.json", b"", lambda out: store.read_curves(out / NUT)),
        (NUT / "draws.npz", b"PK", lambda out: store.read_draws(out / NUT)),
        (NUT / "worst" / "worst.json", b"{}", lambda out: store.read_worst_images(out / NUT)),
    ],
)
def test_what_cannot_be_read_again_is_named(
    name: str | Path, content: bytes | None, read: Callable[[Path], object], tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{path.name} must be as an evaluation writes it"):
        read(tmp_path / "evaluation.json" if "evaluation" in path.name else tmp_path)


def test_names_of_files_need_not_be_unicode(tmp_path: Path) -> None:
    given, good = data(tmp_path / "data", "metal_nut"), tmp_path / "data" / "metal_nut" / "test" / "good"
    (good / "000.png").rename(good / "\udcff.png")
    evaluate(detector(), [given], tmp_path / "out", **QUICK)
    assert "metal_nut/test/good/\udcff.png" in {image.source for image in store.read_images(tmp_path / "out" / NUT)}
    assert store.read_worst_images(tmp_path / "out" / NUT)


@pytest.mark.parametrize("name", [store.DRAWS, store.COUNTS, store.CLASS])
def test_a_class_with_a_damaged_or_missing_file_is_done_again(name: str, tmp_path: Path) -> None:
    given, out = data(tmp_path / "data", "metal_nut"), tmp_path / "out"
    evaluate(detector(), [given], out, **QUICK)
    whole = left(out)
    if name == store.DRAWS:
        (out / NUT / name).write_bytes(b"")
    else:
        (out / NUT / name).unlink()
    evaluate(detector(), [given], out, **QUICK)
    assert left(out) == whole


def test_a_metric_that_an_older_version_did_not_have_is_unmeasured_until_evaluated_again(tmp_path: Path) -> None:
    given, out = data(tmp_path / "data", "metal_nut"), tmp_path / "out"
    whole = evaluate(detector(), [given], out, **QUICK)
    for path in (out / store.EVALUATION, out / NUT / store.CLASS):
        values = json.loads(path.read_text(encoding="utf-8"))
        results = values["data_sets"][0]["classes"] if "data_sets" in values else [values]
        means = [data_set["means"] for data_set in values.get("data_sets", ())]
        for metrics in (*means, *(result["metrics"] for result in results)):
            del metrics["pixel_pro"]
        path.write_text(json.dumps(values), encoding="utf-8")
    (data_set,) = store.read(out).data_sets
    for metrics in (data_set.means, data_set.classes[0].metrics, store.read_class(out / NUT).metrics):
        assert metrics["pixel_pro"] == UNMEASURED
        assert tuple(metrics) == METRICS
    assert "n/a: PRO of metal_nut: this evaluation did not measure it" in evaluation_table(data_set, 0.95)
    compared = compare(out, out, draws=100).data_sets[0].classes[0].metrics
    assert {name for name, one in compared.items() if one.difference is None} == {"pixel_pro"}
    assert not store.is_done(out / NUT)
    again = evaluate(detector(), [given], out, **QUICK)
    assert again.data_sets[0].means == whole.data_sets[0].means


def test_a_plan_of_something_else_is_no_evaluation(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "plan.json").write_text('{"my": "plan"}')
    (tmp_path / "out" / "report.html").write_text("mine")
    with pytest.raises(InputError, match="an evaluation replaces an evaluation and no other file"):
        evaluate(detector(), [data(tmp_path / "data", "metal_nut")], tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "report.html").read_text() == "mine"


def test_the_page_is_there_before_what_says_that_all_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, out = data(tmp_path / "data", "metal_nut"), tmp_path / "out"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            evaluate(detector(), [given], out, **QUICK)
    assert (out / "report.html").exists()
    evaluate(detector(), [given], out, **QUICK)
    assert (out / "evaluation.json").exists()
