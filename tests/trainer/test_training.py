"""Training: it learns, it can be killed, and frozen work is done once."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import zsad
from tests.trainer.toys import ToyEditor, ToyReader, draw, register_toys
from zsad.cli.main import main
from zsad.errors import ConfigError, InputError, WeightsError, ZsadError
from zsad.runtime import RuntimeConfig
from zsad.trainer.loop import TrainingRun
from zsad.trainer.observers import Epoch, TrainingObserver
from zsad.trainer.recipe import Recipe
from zsad.trainer.training import TrainingData, prepare_run, samples_of, start_or_resume, train

READER = Recipe("toy-reader", backbone="small", weights="random")
EDITOR = Recipe("toy-editor", backbone="small", weights="random")


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    register_toys(monkeypatch)


@pytest.fixture
def data(tmp_path: Path) -> str:
    return draw(tmp_path / "data")


def prepared(recipe: Recipe, data: str, folder: Path, **changes: object) -> TrainingRun:
    runtime = RuntimeConfig(**{"cache": folder.parent / "cache", **changes})  # type: ignore[arg-type]
    return prepare_run(recipe, samples_of([data], "test"), folder, runtime=runtime)


class Recorder(TrainingObserver):
    def __init__(self) -> None:
        self.runs: list[str] = []
        self.done: list[int] = []
        self.epochs: list[Epoch] = []

    def begun(self, run: TrainingRun) -> None:
        self.runs.append(run.card.method)

    def features(self, done: int, of: int) -> None:
        assert of == 8
        self.done.append(done)

    def epoch(self, epoch: Epoch) -> None:
        self.epochs.append(epoch)


def finish(run: TrainingRun, resume: bool = False) -> dict[str, torch.Tensor]:
    done = start_or_resume(run, resume)
    list(run.extract_features())
    list(run.epochs(done))
    return load_file(run.folder / "trained_state.safetensors")


def assert_same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], tolerance: float = 0) -> None:
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("recipe", [READER, EDITOR])
def test_it_learns_and_leaves_a_detector_that_loads(recipe: Recipe, data: str, tmp_path: Path) -> None:
    recorder = Recorder()
    longer = Recipe(recipe.method, backbone="small", weights="random", training={"epochs": 8})
    folder = train(
        longer, [data], tmp_path / "out", runtime=RuntimeConfig(cache=tmp_path / "cache"), observers=[recorder]
    )
    assert [epoch.number for epoch in recorder.epochs] == list(range(1, 9))
    assert recorder.epochs[-1].loss < recorder.epochs[0].loss
    assert recorder.runs == [recipe.method]
    assert recorder.done == ([8] if recipe is READER else [])
    detector = zsad.load(folder)
    assert isinstance(detector.method, ToyReader | ToyEditor)
    assert_same({"head.weight": detector.method.head.weight.detach()}, _head(folder))
    card = json.loads((folder / "training.json").read_text())
    assert card["epochs_done"] == 8
    assert card["classes"] == {"metal nut": 8}
    assert card["trained_parameters"] == sum(
        one.numel() for one in load_file(folder / "trained_state.safetensors").values()
    )
    assert len(set((folder / "images.txt").read_text().split())) == 8


def _head(folder: Path) -> dict[str, torch.Tensor]:
    return {"head.weight": load_file(folder / "trained_state.safetensors")["head.weight"]}


@pytest.mark.parametrize("recipe", [READER, EDITOR])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_that_was_broken_off_ends_in_the_same_bits(
    recipe: Recipe, precision: str, data: str, tmp_path: Path
) -> None:
    whole = finish(prepared(recipe, data, tmp_path / "whole", precision=precision))
    broken = prepared(recipe, data, tmp_path / "broken", precision=precision)
    list(broken.extract_features())
    next(broken.epochs())
    again = prepared(recipe, data, tmp_path / "broken", precision=precision)
    assert_same(finish(again, resume=True), whole)
    histories = [json.loads((tmp_path / name / "training.json").read_text())["history"] for name in ("whole", "broken")]
    assert histories[0] == histories[1]


def test_a_finished_run_resumes_to_itself(data: str, tmp_path: Path) -> None:
    done = finish(prepared(EDITOR, data, tmp_path / "out"))
    (tmp_path / "out" / "trained_state.safetensors").unlink()  # as a kill between two files leaves it
    assert_same(finish(prepared(EDITOR, data, tmp_path / "out"), resume=True), done)


def test_seeds_make_other_weights_and_the_same_seed_the_same(data: str, tmp_path: Path) -> None:
    runs = [
        prepare_run(EDITOR, samples_of([data], "test"), tmp_path / str(n), seed=seed)
        for n, seed in enumerate((1, 1, 2))
    ]
    first, same, other = (finish(run) for run in runs)
    assert_same(first, same)
    assert (first["head.weight"] - other["head.weight"]).abs().max() > 1e-3


def test_the_users_random_numbers_are_not_disturbed(data: str, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    finish(prepared(EDITOR, data, tmp_path / "out"))
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


def test_the_frozen_tower_sees_every_image_once(data: str, tmp_path: Path) -> None:
    cached = prepared(READER, data, tmp_path / "cached")
    uncached = prepared(READER, data, tmp_path / "uncached", cache_gb=0)
    first = finish(cached)
    assert isinstance(cached.method, ToyReader)
    assert cached.method.seen == len(cached.images)
    assert_same(finish(uncached), first, tolerance=1e-4)
    again = prepared(READER, data, tmp_path / "again")
    assert_same(finish(again), first)
    assert isinstance(again.method, ToyReader)
    assert again.method.seen == 0


def test_a_cache_that_is_too_small_changes_nothing_but_the_time(tmp_path: Path) -> None:
    data = draw(tmp_path / "data", count=9)
    whole = finish(prepared(READER, data, tmp_path / "whole"))
    row = (16 * 32 + 24) * 4
    small = prepared(READER, data, tmp_path / "small", cache=tmp_path / "other", cache_gb=(11 * row + 0.5) / 1e9)
    assert_same(finish(small), whole, tolerance=1e-4)
    (folder,) = (tmp_path / "other/observations").iterdir()
    assert sum(file.stat().st_size for file in folder.glob("*.npy")) < 12 * row


def test_old_caches_make_room_for_new_ones(data: str, tmp_path: Path) -> None:
    finish(prepared(READER, data, tmp_path / "one"))
    (old,) = (tmp_path / "cache/observations").iterdir()
    size = sum(file.stat().st_size for file in old.iterdir())
    bf16 = prepared(READER, data, tmp_path / "two", precision="bf16", cache_gb=(size + 0.5) / 1e9)
    finish(bf16)
    (new,) = (tmp_path / "cache/observations").iterdir()
    assert new != old


def test_a_damaged_cache_is_made_again(data: str, tmp_path: Path) -> None:
    first = finish(prepared(READER, data, tmp_path / "one"))
    (folder,) = (tmp_path / "cache/observations").iterdir()
    (folder / "patches.npy").write_bytes(b"\x93NUMPY")
    assert_same(finish(prepared(READER, data, tmp_path / "two")), first)


def test_micro_batches_give_the_gradient_of_the_batch(data: str, tmp_path: Path) -> None:
    still = Recipe("toy-reader", backbone="small", weights="random", options={"noise": 0.0})
    whole = finish(prepared(still, data, tmp_path / "whole"))
    pieces = finish(prepared(still, data, tmp_path / "pieces", micro_batch=2))
    assert_same(pieces, whole, tolerance=1e-4)


def test_a_new_run_does_not_overwrite_an_old_one(data: str, tmp_path: Path) -> None:
    finish(prepared(EDITOR, data, tmp_path / "out"))
    with pytest.raises(ConfigError, match=r"folder of its own.*--resume"):
        start_or_resume(prepared(EDITOR, data, tmp_path / "out"), resume=False)


def test_a_run_does_not_go_on_as_another_one(data: str, tmp_path: Path) -> None:
    finish(prepared(EDITOR, data, tmp_path / "out"))
    other = Recipe("toy-editor", backbone="small", weights="random", training={"batch_size": 2})
    with pytest.raises(ConfigError, match="another training"):
        start_or_resume(prepared(other, data, tmp_path / "out"), resume=True)
    with pytest.raises(ConfigError, match="another detector"):
        start_or_resume(prepared(READER, data, tmp_path / "out"), resume=True)


@pytest.mark.parametrize("recipe", [READER, EDITOR])
def test_a_run_goes_on_for_more_epochs_to_the_bits_of_a_long_one(recipe: Recipe, data: str, tmp_path: Path) -> None:
    short, long = (replace(recipe, training={"epochs": epochs}) for epochs in (2, 5))
    whole = finish(prepared(long, data, tmp_path / "whole"))
    finish(prepared(short, data, tmp_path / "out"))
    assert_same(finish(prepared(long, data, tmp_path / "out"), resume=True), whole)
    cards = [json.loads((tmp_path / name / "training.json").read_text()) for name in ("whole", "out")]
    assert cards[0] == cards[1]
    rule = (
        r"at least as many epochs as are complete in .*; got 2 of 5 that are complete\. Remedy: say --epochs 5 or more"
    )
    with pytest.raises(ConfigError, match=rule):
        start_or_resume(prepared(short, data, tmp_path / "out"), resume=True)


@pytest.mark.parametrize("name", ["trained_state.safetensors", "training.json", "images.txt"])
def test_a_run_writes_over_no_file_from_elsewhere(name: str, data: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    with pytest.raises(InputError, match=f"writes over no other file; got {name} from elsewhere"):
        train(EDITOR, [data], tmp_path / "out", resume=True)
    assert (tmp_path / "out" / name).read_text() == "mine"


def test_a_damaged_state_is_named(data: str, tmp_path: Path) -> None:
    finish(prepared(EDITOR, data, tmp_path / "out"))
    state = tmp_path / "out" / "resume.safetensors"
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(InputError, match=r"readable resume\.safetensors"):
        start_or_resume(prepared(EDITOR, data, tmp_path / "out"), resume=True)


def test_a_loss_that_is_not_finite_stops_and_keeps_what_was_done(data: str, tmp_path: Path) -> None:
    run = prepared(EDITOR, data, tmp_path / "out")
    epochs = run.epochs()
    next(epochs)
    before = (tmp_path / "out" / "trained_state.safetensors").read_bytes()
    with torch.no_grad():
        assert isinstance(run.method, ToyEditor)
        run.method.head.weight.fill_(float("nan"))
    with pytest.raises(ZsadError, match=r"a loss is finite; got dice at step 1 of epoch 2"):
        next(epochs)
    assert (tmp_path / "out" / "trained_state.safetensors").read_bytes() == before


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", ["acd-clip", "afr-clip", "fe-clip", "kanoclip", "wmoe-clip"])
def test_training_that_diverges_ends_with_what_is_not_finite(
    method: str, precision: str, data: str, tmp_path: Path
) -> None:
    changed = {"knowledge_weight": 0.0} if method == "kanoclip" else {"cnn": "none"} if method == "afr-clip" else {}
    training = {"learning_rate": 1e30, "batch_size": 3}
    recipe = Recipe(method, backbone="small", weights="random", options=changed, training=training)
    with pytest.raises(ZsadError, match=r"a (loss|parameter) is finite; got .* epoch 1"):
        finish(prepared(recipe, data, tmp_path / "out", precision=precision))
    assert not (tmp_path / "out/trained_state.safetensors").exists()


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"learning_rate": 1e300}, r"at most 1e\+30; got 1e\+300"),
        ({"learning_rate": float("nan")}, "got nan"),
        ({"rates": {"text_": -1.0}}, "got -1"),
        ({"weight_decay": float("inf")}, "got inf"),
        ({"clip_norms": {"blend": -1.0}}, "bounds of gradients"),
        ({"betas": (0.9, 1.0)}, "betas lie in"),
    ],
)
def test_rates_that_no_optimiser_takes_are_refused(training: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(ToyReader.training_defaults, **training)  # type: ignore[arg-type]


def test_a_folder_that_cannot_be_written_is_named(data: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="writable"):
        next(prepared(EDITOR, data, tmp_path / "file" / "out").epochs())
    with pytest.raises(InputError, match=r"cache must be writable"):
        next(prepared(READER, data, tmp_path / "out", cache=tmp_path / "file").extract_features())


@pytest.mark.parametrize("damage", ["missing", "other names", "other shapes"])
def test_a_detector_whose_tensors_do_not_fit_is_refused(damage: str, data: str, tmp_path: Path) -> None:
    tensors = finish(prepared(EDITOR, data, tmp_path / "out"))
    path = tmp_path / "out" / "trained_state.safetensors"
    path.unlink()
    if damage == "other names":
        save_file({"head.wait": tensors["head.weight"]}, path)
    if damage == "other shapes":
        save_file(tensors | {"head.weight": torch.zeros(1, 7)}, path)
    with pytest.raises(zsad.WeightsError, match=r"trained_state\.safetensors"):
        zsad.load(tmp_path / "out")


def test_a_method_that_was_not_trained_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"toy-reader is trained before it is used.*zsad train toy-reader"):
        zsad.load("toy-reader", backbone="small", weights="random")


def test_the_runtime_is_checked() -> None:
    with pytest.raises(ConfigError, match="images that go through at once"):
        RuntimeConfig(micro_batch=0)


@pytest.mark.parametrize("moment", ["while observing", "in an epoch"])
def test_kill_at_any_moment_then_resume_gives_the_same_bits(moment: str, tmp_path: Path) -> None:
    """The real command, killed without warning."""
    data = draw(tmp_path / "data", count=8, side=32)

    def words(folder: str) -> list[str]:
        said = f"train wmoe-clip --data {data} --image-size 32 --batch-size 2 --epochs 4 --device cpu"
        return [*said.split(), "--cache", str(tmp_path / folder / "cache"), "--out", str(tmp_path / folder)]

    assert main(words("whole")) == 0
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "zsad.cli.main", *words("killed")]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    waited_for = "cache/observations/*/done.npy" if moment == "while observing" else "training.json"
    while not list(folder.glob(waited_for)):
        assert run.poll() is None
        time.sleep(0.002)
    os.kill(run.pid, signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    if moment == "while observing":
        assert not (folder / "training.json").exists()
    else:
        assert json.loads((folder / "training.json").read_text())["epochs_done"] < 4
    assert main([*words("killed"), "--resume"]) == 0
    whole, killed = ((tmp_path / name / "trained_state.safetensors").read_bytes() for name in ("whole", "killed"))
    assert killed == whole


@pytest.mark.parametrize("method", ["acd-clip", "afr-clip", "fe-clip", "inctrl", "kanoclip", "wmoe-clip"])
def test_every_method_goes_on_to_the_same_bits(method: str, tmp_path: Path) -> None:
    data = draw(tmp_path / "data", count=2, class_name="metal_nut")
    recipe = Recipe(method, backbone="small", weights="random", training={"epochs": 3, "batch_size": 2})
    whole = finish(prepared(recipe, data, tmp_path / "whole"))
    broken = prepared(recipe, data, tmp_path / "broken")
    list(broken.extract_features())
    next(broken.epochs())
    assert_same(finish(prepared(recipe, data, tmp_path / "broken"), resume=True), whole)


def test_options_that_leave_nothing_to_train_are_used_untrained(data: str, tmp_path: Path) -> None:
    off = dict.fromkeys(("learned_prompts", "vv_attention", "conv_adapter"), False) | {"fusion": "none"}
    recipe = Recipe("kanoclip", backbone="small", weights="random", options=off)
    with pytest.raises(ConfigError, match="has something to train"):
        prepared(recipe, data, tmp_path / "out")
    detector = zsad.load("kanoclip", backbone="small", weights="random", options=off)
    assert 0 <= detector.predict(samples_of([data])[0].image).score <= 1


# --- the cache ---


def test_folders_that_are_no_caches_are_never_touched(data: str, tmp_path: Path) -> None:
    for name in ("images", "a" * 32):
        (tmp_path / "cache/observations" / name).mkdir(parents=True)
        (tmp_path / "cache/observations" / name / "mine.bin").write_bytes(bytes(100_000))
    finish(prepared(READER, data, tmp_path / "out", cache_gb=(20_000 + 0.5) / 1e9))
    assert sorted(path.name for path in (tmp_path / "cache/observations").glob("*/mine.bin")) == ["mine.bin"] * 2


@pytest.mark.parametrize("damage", ["removed", "cut", "header"])
@pytest.mark.parametrize("file", ["patches.npy", "image.npy", "done.npy", "form.json"])
def test_what_is_damaged_is_observed_again(damage: str, file: str, data: str, tmp_path: Path) -> None:
    first = finish(prepared(READER, data, tmp_path / "one"))
    (path,) = (tmp_path / "cache/observations").glob(f"*/{file}")
    content = path.read_bytes()
    path.unlink()
    if damage != "removed":
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else content[:6])
    again = prepared(READER, data, tmp_path / "two")
    assert_same(finish(again), first)
    assert isinstance(again.method, ToyReader)
    assert again.method.seen == len(again.images)


def test_a_cache_that_was_not_filled_is_never_read(data: str, tmp_path: Path) -> None:
    half = prepared(READER, data, tmp_path / "half", micro_batch=1)
    next(half.extract_features())
    list(half.epochs())
    none = finish(prepared(READER, data, tmp_path / "none", cache_gb=0, micro_batch=1))
    assert_same(load_file(tmp_path / "half" / "trained_state.safetensors"), none)


def test_augmented_images_are_not_observed_once(data: str, tmp_path: Path) -> None:
    recipe = Recipe("toy-reader", backbone="small", weights="random", training={"augment": True})
    with_cache, without = (
        finish(prepared(recipe, data, tmp_path / name, cache_gb=size)) for name, size in (("with", 20), ("without", 0))
    )
    assert_same(with_cache, without)
    assert not (tmp_path / "cache").exists()


# --- what recipes and folders say ---


def test_rates_and_bounds_are_for_the_parameters_they_name(data: str, tmp_path: Path) -> None:
    def trained(**training: object) -> dict[str, torch.Tensor]:
        recipe = Recipe("toy-editor", backbone="small", weights="random", training=training)
        return finish(prepared(recipe, data, tmp_path / str(len(list(tmp_path.iterdir())))))

    start = dict(prepared(EDITOR, data, tmp_path / "start").method.named_parameters())
    slow = trained(rates={"head": 1e-9})
    assert (slow["head.weight"] - start["head.weight"]).abs().max() < 1e-6
    assert (slow["edit.weight"] - start["edit.weight"]).abs().max() > 1e-3
    bounded = trained(clip_norms={"edit": 1e-12})  # far below what Adam divides by
    assert (bounded["edit.weight"] - start["edit.weight"]).abs().max() < 1e-3
    with pytest.raises(ConfigError, match=r"parts of the names of parameters; got 'heads'"):
        trained(rates={"heads": 0.1})


def test_another_cache_is_another_run(data: str, tmp_path: Path) -> None:
    finish(prepared(READER, data, tmp_path / "out"))
    with pytest.raises(ConfigError, match="another cache_bytes"):
        start_or_resume(prepared(READER, data, tmp_path / "out", cache_gb=0), resume=True)


def test_a_detector_that_no_run_left_is_not_overwritten(data: str, tmp_path: Path) -> None:
    zsad.load("clip", backbone="small", weights="random").save(tmp_path / "mine")
    for resume in (False, True):
        with pytest.raises(ConfigError, match=r"folder of its own; got .*mine with a detector"):
            train(EDITOR, [data], tmp_path / "mine", resume=resume)


def test_a_folder_is_tried_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="output folder must be writable"):
        train(EDITOR, ["mvtec:does not exist"], tmp_path / "file" / "out")


def test_knowledge_is_for_methods_that_ask(data: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="asks for descriptions"):
        train(EDITOR, TrainingData([data], knowledge=tmp_path / "knowledge.json"), tmp_path / "out")


def test_a_class_without_knowledge_is_named_before_training(tmp_path: Path) -> None:
    data = draw(tmp_path / "data", class_name="flux_capacitor")
    with pytest.raises(ConfigError, match="zsad knowledge build"):
        train("kanoclip", [data], tmp_path / "out", backbone="small", weights="random")


def test_training_is_one_call(data: str, tmp_path: Path) -> None:
    small = {"backbone": "small", "weights": "random"}
    folder = zsad.train("toy-editor", data, tmp_path / "out", epochs=1, batch_size=2, **small)  # type: ignore[arg-type]
    training = json.loads((folder / "training.json").read_text())["training"]
    expected = replace(ToyEditor.training_defaults, epochs=1, batch_size=2)
    assert (training["epochs"], training["batch_size"]) == (expected.epochs, expected.batch_size)
    assert training["learning_rate"] == expected.learning_rate


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epoch": 3}, r"got 'epoch'.*did you mean 'epochs'"),
        ({"device": "cpu"}, r"say runtime=RuntimeConfig\(device=…\)"),
        ({"epochs": "three"}, r"epochs must be int; got 'three'"),
        ({"epochs": 0}, r"at least one epoch"),
    ],
)
def test_a_change_that_no_recipe_has_is_named(
    change: dict[str, object], message: str, data: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(EDITOR, data, tmp_path / "out", **change)  # type: ignore[arg-type]


def test_words_at_the_call_change_the_recipe() -> None:
    recipe = Recipe(
        "fe-clip",
        backbone="ViT-L-14-336",
        weights="openai",
        activation="gelu",
        position_resize="bilinear",
        image_size=518,
    )
    same = recipe.changed(options={"sigma": 8.0}, epochs=2)
    assert (same.weights, same.options, same.training_config().epochs) == ("openai", {"sigma": 8.0}, 2)
    other = recipe.changed(backbone="tiny")
    assert (other.backbone, other.weights, other.activation) == ("tiny", None, None)
    assert (other.position_resize, other.image_size) == (None, None)
    named = recipe.changed(backbone="ViT-L-14-336", activation="quick_gelu")
    assert (named.weights, named.activation, named.image_size) == ("openai", "quick_gelu", 518)
    assert named.position_resize == "bilinear"
    assert recipe.changed(position_resize="bicubic").position_resize == "bicubic"


@pytest.mark.parametrize("setting", ["activation", "position_resize"])
def test_settings_of_the_backbone_are_trained_with_and_are_no_wish_later(
    setting: str, data: str, tmp_path: Path
) -> None:
    ours, theirs = {"activation": ("gelu", "quick_gelu"), "position_resize": ("bilinear", "bicubic")}[setting]
    folder = train(EDITOR, [data], tmp_path / "out", image_size=40, **{setting: ours})  # type: ignore[arg-type]
    trained = zsad.load(folder)
    assert getattr(trained.card, setting) == getattr(trained.method.clip.config, setting) == ours
    assert getattr(zsad.load(folder, **{setting: ours}).card, setting) == ours  # type: ignore[arg-type]
    with pytest.raises(WeightsError, match=f"it was saved with; got {setting} {theirs}. .*train or fit anew with them"):
        zsad.load(folder, **{setting: theirs})  # type: ignore[arg-type]
    meant = zsad.load(folder, backbone="small", weights="random", **{setting: theirs})  # type: ignore[arg-type]
    assert getattr(meant.method.clip.config, setting) == theirs


@pytest.mark.parametrize(
    ("recipe", "activation"),
    [
        (Recipe("acd-clip", backbone="ViT-L-14-336"), "gelu"),
        (Recipe("acd-clip", backbone="ViT-L-14-336", options={"variant": "paper"}), None),
        (Recipe("acd-clip", backbone="ViT-L-14-336", activation="quick_gelu"), "quick_gelu"),
        (Recipe("acd-clip"), None),
        (Recipe("afr-clip", backbone="ViT-L-14-336"), None),
    ],
)
def test_the_papers_backbone_runs_as_its_authors_ran_it(recipe: Recipe, activation: str | None) -> None:
    """ACD-CLIP's code builds its CLIP without QuickGELU and gives it OpenAI's weights."""
    assert recipe.tower_activation() == activation


def test_a_run_of_the_papers_backbone_is_of_that_activation(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToyEditor, "paper_backbone", "small")
    monkeypatch.setattr(ToyEditor, "authors_activation", classmethod(lambda cls, config: "gelu"))
    run = prepared(EDITOR, data, tmp_path / "out")
    assert (run.card.activation, run.method.clip.config.activation) == ("gelu", "gelu")


def test_a_folder_named_as_published_weights_hides_nothing(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "random").mkdir()
    monkeypatch.chdir(tmp_path)
    finish(prepared(EDITOR, data, tmp_path / "out"))
    assert zsad.load(tmp_path / "out").card.weights == "random"
