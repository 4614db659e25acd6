"""Trained heads that the package brings: used by name, made of runs, and never where something untrained is meant.

The heads here are toys on a small tower whose weights are embedded for the moment; none that ships is needed.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import zsad
from tests import small
from tests.benchmark import making
from tests.trainer.toys import ToyReader, draw, register_toys
from zsad import checkpoint, shipped
from zsad.backbones import config as configs
from zsad.backbones import weight_files, weights
from zsad.benchmark import running
from zsad.cli.main import main
from zsad.errors import ConfigError, InputError, WeightsError
from zsad.loading import load
from zsad.predictor import Detector
from zsad.runtime import RuntimeConfig
from zsad.tools import heads
from zsad.trainer.recipe import Recipe
from zsad.trainer.training import train

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 52, 3), np.uint8)
FILES = ["detector.json", "images.txt", "trained_state.safetensors", "training.json"]
OF_SMALL = r"; that of the package is for small with its embedded weights\."
RECIPE = Recipe("toy-reader", backbone="small", options={"noise": 0.25})


@pytest.fixture(autouse=True)
def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that embeds weights of ``small`` and, as yet, no heads."""
    register_toys(monkeypatch)
    assets, own = tmp_path / "assets", configs.embedded_weights

    def embedded(name: str) -> object:
        return assets / "small" / "model.safetensors" if name == "small" else own(name)

    for module in (configs, weight_files, weights, heads):
        monkeypatch.setattr(module, "embedded_weights", embedded)
    monkeypatch.setattr(shipped, "head", lambda method, backbone: assets / backbone / "heads" / method)
    embed(tmp_path)


@pytest.fixture
def data(tmp_path: Path) -> str:
    return draw(tmp_path / "data")


@pytest.fixture
def run(data: str, tmp_path: Path) -> Path:
    """What ``zsad train`` leaves."""
    return trained(data, tmp_path / "run")


@pytest.fixture
def head(run: Path) -> Path:
    return heads.ship(run)


def embed(folder: Path, seed: int = 0) -> None:
    """Put weights into the package."""
    (folder / "assets" / "small").mkdir(parents=True, exist_ok=True)
    save_file(small.snapshot(small.build(seed=seed)), folder / "assets" / "small" / "model.safetensors")


def trained(data: str, folder: Path, recipe: Recipe = RECIPE) -> Path:
    return train(recipe, [data], folder, runtime=RuntimeConfig(cache=folder.parent / "cache"))


def by_name(**changes: object) -> Detector:
    return load("toy-reader", **{"backbone": "small", **changes})  # type: ignore[arg-type]


def assert_same(ours: Detector, theirs: Detector) -> None:
    """Bit for bit, and all that is told of them."""
    one, other = (detector.predict(IMAGE, "metal nut") for detector in (ours, theirs))
    np.testing.assert_array_equal(one.anomaly_map, other.anomaly_map)
    assert one.score == other.score
    assert ours.training_record == theirs.training_record
    assert (ours.runtime, ours.image_size, ours.threshold) == (theirs.runtime, theirs.image_size, theirs.threshold)
    assert ours.card == theirs.card


# --- by name


def test_a_name_is_what_its_folder_is(head: Path, tmp_path: Path) -> None:
    assert_same(by_name(), load(head))
    assert by_name().name == by_name().card.method == "toy-reader"
    assert by_name().training_record.training["classes"] == {"metal nut": 8}
    by_name().save(tmp_path / "saved")
    saved = load(tmp_path / "saved")
    assert_same(saved, by_name())
    assert saved.name == "saved"


def test_a_head_in_full_precision_is_the_run_to_the_bit(head: Path, run: Path) -> None:
    np.testing.assert_array_equal(by_name().predict(IMAGE).anomaly_map, load(run).predict(IMAGE).anomaly_map)
    assert (head / "trained_state.safetensors").read_bytes() == (run / "trained_state.safetensors").read_bytes()


def test_the_default_backbone_has_its_heads(tmp_path: Path) -> None:
    clip = weights.load("tiny")
    method = ToyReader(clip)
    card = checkpoint.Card("toy-reader", image_size=64, fingerprint=method.fingerprint)
    checkpoint.write(card, method, checkpoint.TrainingRecord(), tmp_path / "assets" / "tiny" / "heads" / "toy-reader")
    found = load("toy-reader")
    assert (found.method.clip.name, found.image_size) == ("tiny", 64)
    torch.testing.assert_close(checkpoint.trained_state(found.method), checkpoint.trained_state(method), rtol=0, atol=0)
    assert_same(load("toy-reader", backbone="tiny", weights="embedded"), load("toy-reader", weights="embedded"))


@pytest.mark.usefixtures("head")
def test_what_is_not_learnt_may_be_said() -> None:
    found = by_name(
        weights="embedded",
        options={"sigma": 1.0, "noise": 0.25},
        image_size=48,
        threshold=0.75,
        batch_size=2,
        precision="bf16",
    )
    assert (found.method.config.sigma, found.image_size, found.threshold) == (1.0, 48, 0.75)
    assert found.training_record.images


@pytest.mark.usefixtures("head")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backbone": "wider", "weights": "random"}, "backbone, weights"),
        ({"weights": "random"}, "weights"),
        ({"activation": "gelu"}, "activation"),
        ({"position_resize": "bilinear"}, "position_resize"),
        ({"options": {"noise": 0.5}}, "noise"),
        ({"options": {"noise": 0.5, "sigma": 1.0}, "weights": "random"}, "weights, noise"),
    ],
)
def test_what_is_not_in_the_package_is_trained_first(changes: dict[str, object], words: str) -> None:
    rule = rf"toy-reader is trained before it is used; got .* package differs in {words}\)\. Remedy: run "
    with pytest.raises(
        ConfigError, match=rule + r"zsad train toy-reader .*--data LAYOUT:PATH --out DIR, .*" + OF_SMALL
    ):
        by_name(**changes)


@pytest.mark.usefixtures("head")
def test_an_option_that_there_is_not_is_named() -> None:
    with pytest.raises(ConfigError, match=r"a key of the options of toy-reader .*did you mean 'noise'"):
        by_name(options={"nois": 0.25})


@pytest.mark.usefixtures("head")
def test_a_method_without_a_head_is_refused_as_ever() -> None:
    with pytest.raises(ConfigError, match=r"got the method's name alone\. .*name DIR as the detector\.$"):
        load("toy-editor", backbone="small")


@pytest.mark.usefixtures("head")
def test_a_head_of_other_weights_than_the_package_has_is_refused(tmp_path: Path) -> None:
    embed(tmp_path, seed=1)
    for changes in ({}, {"weights": "embedded"}):
        with pytest.raises(WeightsError, match=r"of toy-reader must be the one that it was saved.*install zsad again"):
            by_name(**changes)


@pytest.mark.usefixtures("head")
def test_a_folder_of_the_same_name_does_not_hide_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = ToyReader(weights.load("small"))
    checkpoint.write(
        checkpoint.Card("toy-reader", backbone="small"), other, checkpoint.TrainingRecord(), tmp_path / "toy-reader"
    )
    monkeypatch.chdir(tmp_path)
    assert by_name().training_record.images
    assert not load("./toy-reader").training_record.images


# --- everywhere else


@pytest.mark.usefixtures("head")
def test_images_that_trained_it_are_no_test(data: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"8 of 8 of metal_nut"):
        zsad.evaluate(by_name(), [data], tmp_path / "out", resolution=32)
    found = zsad.evaluate(by_name(), [data], tmp_path / "out", resolution=32, resamples=0, allow_training_data=True)
    assert found.detector.trained_on == {"metal nut": 8}


@pytest.mark.usefixtures("head")
def test_a_check_of_data_knows_what_trained_it(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", data, "--detector", "toy-reader"]) == 1
    assert "seen in training by detector toy-reader" in " ".join(capsys.readouterr().out.split())
    monkeypatch.chdir(tmp_path)
    assert main(["data", "check", data, "--detector", "toy-editor"]) == 2
    assert "point at a saved detector" in capsys.readouterr().err


@pytest.mark.usefixtures("head")
def test_lists_say_what_is_ready(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    found = {name: [rows[name][key] for key in ("trained", "heads", "ready")] for name in rows}
    assert found["clip"] == [False, [], True]
    assert found["toy-reader"] == [True, ["small"], True]
    assert found["toy-editor"] == [True, [], False]
    assert main(["methods"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Ready on small; trained before use on others: zsad train." in text
    assert "images for them. Trained before use: zsad train." in text


@pytest.mark.usefixtures("head")
def test_training_begins_anew(data: str, tmp_path: Path) -> None:
    again, other = trained(data, tmp_path / "again"), trained(data, tmp_path / "other", replace(RECIPE, options={}))
    first = (tmp_path / "run" / "trained_state.safetensors").read_bytes()
    assert (
        (again / "trained_state.safetensors").read_bytes()
        == first
        != (other / "trained_state.safetensors").read_bytes()
    )


@pytest.mark.usefixtures("head")
def test_a_benchmark_trains_its_own_and_takes_no_head_for_untrained(tmp_path: Path) -> None:
    root = making.data(tmp_path / "sets")
    words = 'title = "T"\ndetectors = ["toy-reader"]\nbackbone = "small"\nresolution = 32\nresamples = 0\n'
    change = "\n[change.toy-reader]\noptions = { noise = 0.25 }\n"
    rest = making.REST.partition("\n[change")[0] + change
    own = making.planned(making.write(tmp_path / "own", words, rest + "training = { epochs = 1 }\n"), root)
    runtime = RuntimeConfig(device="cpu", cache=tmp_path / "cache")
    assert not running.do(own, own.runs[:1], tmp_path / "own", runtime, print)
    (folder,) = (path.parent for path in (tmp_path / "own").rglob("trained_state.safetensors"))
    assert load(folder).training_record.training["epochs_done"] == 1
    assert load(folder).training_record.images != by_name().training_record.images
    untrained = making.planned(making.write(tmp_path / "none", words + 'untrained = ["toy-reader"]\n', rest), root)
    said: list[str] = []
    assert running.do(untrained, untrained.runs[:1], tmp_path / "none", runtime, said.append)
    assert any("a detector under untrained has nothing to train; got toy-reader" in line for line in said)


# --- from a run to a head


def test_only_what_ships_is_written(head: Path, run: Path, tmp_path: Path) -> None:
    assert sorted(path.name for path in head.iterdir()) == FILES
    for path in head.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()
    training = json.loads((head / "training.json").read_text())
    assert training.pop("stored") == {"precision": "fp32", "greatest_rounding": 0.0}
    assert training == json.loads((run / "training.json").read_text())
    assert (head / "images.txt").read_text() == (run / "images.txt").read_text()
    assert json.loads((head / "detector.json").read_text())["weights"] == "embedded"


def test_what_is_too_large_is_stored_in_half_precision_and_says_so(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full = load_file(run / "trained_state.safetensors")
    between = 3 * sum(one.numel() for one in full.values()) / 2**20
    assert heads.main([str(run), "--most-mib", str(between), "--to", str(tmp_path / "assets" / "small" / "heads")]) == 0
    folder = shipped.head("toy-reader", "small")
    half = load_file(folder / "trained_state.safetensors")
    assert {one.dtype for one in half.values()} == {torch.float16}
    torch.testing.assert_close(half, {name: one.half() for name, one in full.items()}, rtol=0, atol=0)
    rounding = max(float((full[name] - half[name].float()).abs().max()) for name in full)
    assert 0 < rounding < 1e-2
    stored = {"precision": "fp16", "greatest_rounding": rounding}
    assert json.loads((folder / "training.json").read_text())["stored"] == stored
    assert f"in fp16, rounded by at most {rounding:.1e}" in capsys.readouterr().out
    learnt = checkpoint.trained_state(by_name().method)
    torch.testing.assert_close(learnt, {name: one.float() for name, one in half.items()}, rtol=0, atol=0)
    by_name().save(tmp_path / "saved")
    assert_same(load(tmp_path / "saved"), by_name())


def test_what_is_too_large_even_so_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert heads.main([str(run), "--most-mib", "0.00001"]) == 2
    assert "a head takes up at most 1e-05 MiB; got" in capsys.readouterr().err
    assert not shipped.heads("toy-reader")


def test_numbers_beyond_half_precision_are_refused(run: Path) -> None:
    tensors = load_file(run / "trained_state.safetensors")
    save_file(tensors | {"head.bias": torch.tensor([1e6])}, run / "trained_state.safetensors")
    with pytest.raises(ConfigError, match=r"below 65504; got larger in head\.bias"):
        heads.ship(run, most_mib=0.0001)


def edited(name: str, change: Callable[[dict[str, object]], dict[str, object]], run: Path) -> None:
    (run / name).write_text(json.dumps(change(json.loads((run / name).read_text()))))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("detector.json", {"backbone": "wider"}, r"on an embedded backbone as it is; got wider with no weights"),
        ("detector.json", {"weights": "random"}, r"on an embedded backbone as it is; got small with random weights"),
        ("detector.json", {"activation": "gelu"}, r"as it is; got small with no weights, activation"),
        ("detector.json", {"fingerprint": None}, r"a head has the fingerprint of its backbone; got none"),
        (
            "detector.json",
            {"options": {"cnn": "/home/me/cnn.pt"}},
            r"from outside the package; got cnn = '/home/me",
        ),
        ("detector.json", {"options": {"cnn": "C:\\cnn.pt"}}, r"no file from outside the package; got cnn = "),
        ("training.json", {"epochs_done": 3}, r"a head is made from a complete run; got 3 of 4 epochs"),
        ("training.json", {"training": {}}, r"a head is made from a complete run; got 4 of None epochs"),
        ("training.json", {"classes": {"metal nut": 9}}, r"a head has the hashes of its training images; got too few"),
    ],
)
def test_runs_that_are_no_heads_are_refused(name: str, change: dict[str, object], message: str, run: Path) -> None:
    edited(name, lambda words: words | change, run)
    with pytest.raises(ConfigError, match=message):
        heads.ship(run)
    assert not shipped.heads("toy-reader")


def test_a_run_on_weights_that_are_no_longer_embedded_is_refused(run: Path, tmp_path: Path) -> None:
    embed(tmp_path, seed=1)
    with pytest.raises(WeightsError, match="must be the one that it was saved with"):
        heads.ship(run)
    assert not shipped.heads("toy-reader")
