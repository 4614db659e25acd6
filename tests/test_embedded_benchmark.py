"""The benchmark of the embedded backbone: its numbers are the evaluator's, its controls are what they say."""

import doctest
import json
import shutil
from dataclasses import replace
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.embedded import corpus, cost, damage, detectors, markdown, nearest, neighbours, words
from benchmarks.embedded.__main__ import main
from benchmarks.embedded.rows import METRICS, Row, check, mean, row
from PIL import Image

import zsad
from tests import small
from tests.data.trees import image
from tests.trainer.toys import ToyReader, draw, register_toys
from zsad import demo
from zsad.backbones import weight_files, weights
from zsad.checkpoint import Card
from zsad.errors import ConfigError, InputError
from zsad.files import unique_name
from zsad.metrics import auroc
from zsad.predictor import Detector
from zsad.results import store
from zsad.results.schema import Metric
from zsad.statistics.intervals import interval
from zsad.tools.pretrain.store import HOLD_OUT, CorpusImage

OPTIONS = ["--detector", "clip", "--resolution", "40", "--resamples", "20"]
RANDOM, ALONE = "clip, random weights", "CNN alone, nearest neighbours"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two data sets, a detector, and its controls."""
    root = tmp_path_factory.mktemp("measured")
    draw(root / "few", count=2, side=48)
    draw(root / "more", count=3, side=64, class_name="bolt")
    assert main(["detectors", "--data", *named(root), "--controls", "--out", str(root / "out"), *OPTIONS]) == 0
    return root


def named(root: Path) -> list[str]:
    """The data sets as they are named on the command line."""
    return [f"few=mvtec:{root / 'few'}", f"more=mvtec:{root / 'more'}"]


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """What a run of detectors has left."""
    found: list[dict[str, Any]] = json.loads((folder / "detectors.json").read_text())["rows"]
    return found


def evaluation(root: Path, label: str, *names: str) -> Row:
    """A row of what was measured."""
    return row(label, root / "out" / "evaluations" / unique_name(label, set(), ""), names)


def test_the_control_is_the_distance_to_the_nearest_other_patches() -> None:
    clip, images = weights.load("tiny", "random"), small.images(2, 96)
    method = neighbours.Neighbours(clip, neighbours.NeighboursConfig(share=0.1)).eval()
    evidence = method(images, ["anything"] * 2)
    stem = clip.vision.patch_embedding
    for pixels, anomaly, score in zip(images, evidence.maps, evidence.score, strict=True):
        cells = stem.standardised(stem.features(pixels[None]))[0].flatten(1).T
        expected = []
        for at, cell in enumerate(cells):
            others = torch.cat([cells[:at], cells[at + 1 :]])
            cosines = torch.nn.functional.cosine_similarity(cell[None], others).sort(descending=True).values
            expected.append((1 - cosines[:4].mean()) / 2)  # a tenth of 36 patches
        torch.testing.assert_close(anomaly.flatten(), torch.stack(expected))
        torch.testing.assert_close(score, max(expected))
    assert evidence.maps.shape == (2, 1, 6, 6)


def test_the_control_needs_a_share_and_a_stem() -> None:
    with pytest.raises(ConfigError, match="share of the nearest"):
        neighbours.NeighboursConfig(share=0)
    with pytest.raises(ConfigError, match="CNN of a stem"):
        neighbours.Neighbours(small.frozen())


def test_numbers_are_those_of_the_evaluator(measured: Path, tmp_path: Path) -> None:
    (first, second, third) = rows_of(measured / "out")
    assert [one["label"] for one in (first, second, third)] == ["clip", RANDOM, ALONE]
    own = zsad.evaluate("clip", named(measured), tmp_path / "own", resolution=40, resamples=20)
    for data in own.data_sets:
        for name in METRICS:
            told, found = first["data_sets"][data.name][name], data.means[name]
            assert told["value"] == pytest.approx(found.value, abs=1e-4)  # another batch size
            assert (told["low"], told["high"]) == pytest.approx((found.low, found.high), abs=1e-3)
    text = (measured / "out" / "detectors.md").read_text()
    assert "| pixel AUROC | few | more | mean | first row less this one |" in text
    assert text.count(f"| {RANDOM} | ") == len(METRICS)
    assert "few 2 normal and 2 anomalous; more 3 normal and 3 anomalous" in text
    assert "* few, more: " not in text
    assert "* more: bolt: 3 normal images" in text


def test_means_and_differences_come_with_intervals_of_the_same_draws(measured: Path) -> None:
    rows = [evaluation(measured, label, "few", "more") for label in ("clip", ALONE)]
    own, other = (np.mean([one.draws(name, "pixel_auroc") for name in ("few", "more")], 0) for one in rows)
    values = [float(np.mean([one.metric(name, "pixel_auroc").value for name in ("few", "more")])) for one in rows]
    found = mean(rows[0], "pixel_auroc", ["few", "more"], 0.95)
    assert (found.value, found.low, found.high) == pytest.approx((values[0], *interval(own, 0.95)))
    less = mean(rows[0], "pixel_auroc", ["few", "more"], 0.95, less=rows[1])
    assert (less.value, less.low, less.high) == pytest.approx((values[0] - values[1], *interval(own - other, 0.95)))
    assert less == Metric(**rows_of(measured / "out")[2]["first_row_less_this_one"]["pixel_auroc"])
    assert mean(rows[0], "pixel_auroc", ["few", "elsewhere"], 0.95).value is None


def test_what_is_measured_is_not_measured_again_and_older_results_stand_beside(measured: Path) -> None:
    out = measured / "out"
    done = {path: path.stat().st_mtime_ns for path in out.rglob(store.CLASS)}
    older = out / "evaluations" / "clip" / "more"
    options = ["--data", *named(measured), "--beside", f"before={older}", "--out", str(out), *OPTIONS]
    assert main(["detectors", *options]) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob(store.CLASS)} == done
    first, before = rows_of(out)
    assert before["data_sets"] == {"more": first["data_sets"]["more"]}
    assert before["means"]["pixel_auroc"]["value"] is None  # it was not on the other
    assert main(["detectors", *options[:1], options[2], *options[3:]]) == 0
    first, before = rows_of(out)
    assert first["data_sets"] == before["data_sets"]
    assert before["first_row_less_this_one"]["pixel_auroc"]["value"] == 0


def test_rows_are_of_one_detector_and_the_same_images(measured: Path, tmp_path: Path) -> None:
    out = measured / "out" / "evaluations"
    shutil.copytree(out / "clip" / "few", tmp_path / "two" / "one")
    shutil.copytree(out / unique_name(ALONE, set(), "") / "few", tmp_path / "two" / "other")
    with pytest.raises(InputError, match="2 results of 1 data sets and 2 detectors"):
        row("two", tmp_path / "two", ["few"])
    with pytest.raises(InputError, match="0 results"):
        row("none", out / "clip", ["elsewhere"])
    draw(tmp_path / "others", count=2, side=56)
    zsad.evaluate("clip", [f"few=mvtec:{tmp_path / 'others'}"], tmp_path / "few", resolution=40, resamples=0)
    ours = evaluation(measured, "clip", "few")
    with pytest.raises(InputError, match="same images and masks of few; got others in other"):
        check([ours, row("other", tmp_path / "few", ["few"])])
    sure = tmp_path / "sure"
    zsad.evaluate("clip", named(measured)[:1], sure, resolution=40, resamples=20, confidence=0.8)
    with pytest.raises(InputError, match=r"one confidence; got 0\.8 and 0\.95"):
        check([ours, row("sure", sure, ["few"])])
    unsure = tmp_path / "unsure"
    zsad.evaluate("clip", named(measured)[:1], unsure, resolution=40, resamples=0)
    plain = row("plain", unsure, ["few"])
    check([ours, plain])
    assert mean(ours, "pixel_auroc", ["few"], 0.95, less=plain).low is None


def test_what_is_trained_has_no_counterpart_on_random_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register_toys(monkeypatch)
    card = Card("toy-reader", weights="random")
    Detector(card, ToyReader(weights.load("tiny", "random"))).save(tmp_path / "run")
    found = detectors.entrants(["clip", str(tmp_path / "run")], True, 3)
    assert [label for label, _ in found] == ["clip", "run", RANDOM, ALONE]


def test_cells_that_nobody_is_sure_of_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities = (0.0, 0.0, 0.3333333333333333, 0.6666666666666666, 1.0)
    for number in range(len(probabilities)):
        image(tmp_path / "images" / f"{number}.png", number)
    lines = [f"images/{number}.png {probability} mono" for number, probability in enumerate(probabilities)]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    monkeypatch.setattr(demo, "photographs", lambda: tmp_path)
    assert main(["detectors", "--elpv", "--out", str(tmp_path / "out"), *OPTIONS]) == 0
    text = (tmp_path / "out" / "detectors.md").read_text()
    assert text.startswith("| image AUROC | elpv | first row less this one |")
    assert "elpv 2 normal and 1 anomalous, 2 left out" in text


def test_errors_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["words", "--corpus", str(tmp_path / "none.jsonl"), "--out", str(tmp_path)]) == 2
    assert "zsad: " in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["detectors", "--beside", "no label", "--out", str(tmp_path)])
    assert "is no LABEL=DIR" in capsys.readouterr().err


def captions(folder: Path) -> Path:
    """Forty images of each of three sources; of each, two are a twentieth entry of the corpus."""
    rng, lines = np.random.default_rng(0), []
    for number in range(6 * HOLD_OUT):
        source = ("casting", "tiles", "cloth")[number // HOLD_OUT % 3]
        state = ("good", "defective")[number // (3 * HOLD_OUT)]
        label = f"{state} casting" if source == "casting" else source
        pixels = rng.integers(0, 256, (32, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        line = {"file": f"{number}.png", "caption": f"a photo of a {label}", "label": label, "source": source}
        lines.append(json.dumps(line))
    file = folder / "captions.jsonl"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_words_are_told_with_chance_sources_and_a_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(words, "untaught", lambda _: frozenset({"casting"}))
    monkeypatch.setattr(damage, "RESAMPLES", 50)
    assert main(["words", "--corpus", str(captions(tmp_path)), "--controls", "--out", str(out)]) == 0
    found = json.loads((out / "words.json").read_text())
    assert found["classes"] == 4
    assert found["named"].keys() == {"trained", "random weights"}
    groups = {one["what"]: one for one in found["named"]["trained"]}
    assert groups["images alike"]["images"] == 6
    assert groups["casting (never trains)"]["images"] == groups["tiles"]["images"] == 2
    assert groups["images alike"]["right"][1]["value"] == 1  # five of four labels
    (one, _) = found["damage"]["trained"]
    assert (one["normal"], one["damaged"], one["called"]) == (20, 20, "metal casting")
    assert len({one["source"] for one in found["nearest"]}) == 3
    assert [len(one["texts"]) for one in found["nearest"]] == [4, 4, 4]
    text = (out / "words.md").read_text()
    assert "| chance |  | 25.00 | 1 | 100.00 | 1 |" in text
    with Image.open(out / "nearest.png") as sheet:
        assert sheet.size == (nearest.COLUMNS * 236 + 12, 224 + 7 * 17 + 12)


def test_a_place_counts_labels_that_are_as_near() -> None:
    texts = torch.eye(3)
    images = torch.tensor([[0.9, 0.1, 0.0], [0.5, 0.5, 0.0], [0.1, 0.2, 0.3]])
    assert words.places(images, texts, torch.tensor([0, 0, 0])).tolist() == [0, 1, 2]


def test_sources_and_labels_are_counted_by_themselves() -> None:
    entries = [CorpusImage(f"{number}", "", "ab"[number > 2], "xy"[number > 2]) for number in range(4)]
    found = words.summary(entries, np.array([0, 0, 7, 3]), frozenset("y"))
    shares = {one.what: tuple(metric.value for metric in one.right) for one in found}
    assert shares == {
        "images alike": pytest.approx((2 / 4, 3 / 4)),
        "labels alike": pytest.approx((2 / 3 / 2, (2 / 3 + 1) / 2)),
        "sources that train": pytest.approx((2 / 3, 2 / 3)),
        "sources that never train": (0, 1),
        "x": pytest.approx((2 / 3, 2 / 3)),
        "y (never trains)": (0, 1),
    }


def test_a_mean_has_an_interval_where_images_differ() -> None:
    values = np.array([0.0, 1.0] * 50)
    found = corpus.mean_of(values)
    assert found.low == pytest.approx(0.4, abs=0.03)
    assert found.high == pytest.approx(0.6, abs=0.03)
    assert corpus.mean_of(np.ones(9)) == Metric(1.0)
    assert corpus.mean_of(np.array([1.0, 0.0]), np.array([3.0, 1.0])).value == 0.75


def test_damage_is_told_by_all_images_of_a_source_that_never_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, entries = np.random.default_rng(1), []
    for number in range(6):
        file, word = tmp_path / f"{number}.png", ("good", "defective")[number % 2]
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file)
        entries.append(CorpusImage(str(file), f"a {word} metal casting", f"{word} casting", "casting"))
    clip = weights.load("tiny", "random")
    monkeypatch.setattr(damage, "RESAMPLES", 50)
    named, anything = damage.told(clip, entries, frozenset({"casting"}))
    assert (named.normal, named.damaged, anything.called) == (3, 3, "object")
    images = corpus.image_features(clip, [entry.file for entry in entries])
    normal, damaged = corpus.text_features(clip, ["flawless object", "damaged object"])
    scores = (images @ damaged - images @ normal).tolist()
    assert anything.image_auroc.value == auroc(scores, [0, 1] * 3)
    assert damage.told(clip, entries, frozenset()) == []  # one twentieth entry has one state
    assert damage.text({"trained": []}).startswith("No source")
    assert "every 20th" not in damage.text({"trained": [named]})
    assert "every 20th" in damage.text({"trained": [replace(named, never_trains=False)]})


def test_texts_are_means_of_templates_and_images_class_tokens() -> None:
    clip = weights.load("tiny", "random")
    found = corpus.text_features(clip, ["nut", "bolt"])
    each = clip.encode_prompts([template.format("bolt") for template in corpus.TEMPLATES])
    expected = torch.nn.functional.normalize(torch.nn.functional.normalize(each, dim=1).mean(0), dim=0)
    torch.testing.assert_close(found[1], expected)


def test_sources_that_never_train_are_those_of_the_card(tmp_path: Path) -> None:
    model = weight_files.locate("tiny", "embedded")
    assert model.tokenizer is not None
    for path in (model.path, model.tokenizer):
        shutil.copy(path, tmp_path)
    sources = {"casting": {"trained": False}, "seen": {"trained": True}}
    (tmp_path / "card.json").write_text(json.dumps({"sources": sources}))
    assert corpus.untaught(str(tmp_path / "model.safetensors")) == {"casting"}
    assert corpus.untaught("random") == corpus.untaught(None)


def test_cost_is_of_the_files_and_of_processes(tmp_path: Path) -> None:
    assert main(["cost", "--images", "2", "--rounds", "1", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "cost.json").read_text())
    model = weight_files.locate("tiny", "embedded").path
    assert found["bytes"]["model.safetensors"] == model.stat().st_size
    assert sum(found["parameters"].values()) == sum(one.numel() for one in weights.load("tiny").state_dict().values())
    (one,) = found["runs"]["2"]
    assert 0.1 < one["seconds"] < 600
    assert 50 < one["memory_mb"] < 10_000


def test_a_process_that_fails_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(CalledProcessError):
        cost.predict(tmp_path / "nothing", tmp_path, 1)


def test_examples_hold() -> None:
    assert doctest.testmod(markdown).failed == 0
