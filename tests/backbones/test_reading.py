"""Checkpoints as training leaves them: wrapped, in shards, with copies; each is read as the one CLIP that it holds."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests import small
from zsad.backbones import weights
from zsad.backbones.state_dicts import read_state
from zsad.errors import WeightsError

PREFIXES = (
    "module.",
    "model.",
    "_orig_mod.",
    "module._orig_mod.",
    "student.",
    "teacher.",
    "base_model.model.",
    "clip.",
)
PLACES = ("state_dict", "model", "model_state_dict", "module", "ema", "teacher", "net", "some.where")


@pytest.fixture(autouse=True)
def _small_architectures(monkeypatch: pytest.MonkeyPatch) -> None:
    small.register(monkeypatch)


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return small.snapshot(small.build())


def saved(content: object, folder: Path) -> Path:
    torch.save(content, folder / "w.pt")
    return folder / "w.pt"


def assert_loads(path: Path, state: dict[str, Tensor]) -> None:
    torch.testing.assert_close(dict(weights.load("small", str(path)).state_dict()), state, rtol=0, atol=0)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_what_stands_before_all_names_is_taken_away(prefix: str, state: dict[str, Tensor], tmp_path: Path) -> None:
    assert_loads(saved({prefix + name: one for name, one in state.items()}, tmp_path), state)


@pytest.mark.parametrize("inserted", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])
def test_what_stands_within_names_is_taken_away(inserted: str, state: dict[str, Tensor], tmp_path: Path) -> None:
    changed = {name.replace("vision.", f"vision.{inserted}.", 1): one for name, one in state.items()}
    assert set(changed) != set(state)
    assert_loads(saved(changed, tmp_path), state)


@pytest.mark.parametrize("place", PLACES)
def test_a_state_dict_is_found_wherever_it_lies(place: str, state: dict[str, Tensor], tmp_path: Path) -> None:
    content: object = state
    for name in reversed(place.split(".")):
        content = {name: content, "epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}}
    assert_loads(saved(content, tmp_path), state)


def test_a_clip_that_was_saved_whole_is_read(state: dict[str, Tensor], tmp_path: Path) -> None:
    clip = nn.Module()
    clip.vision, clip.text = small.build().vision, small.build().text
    clip.logit_scale = nn.Parameter(state["logit_scale"])
    assert_loads(saved(clip, tmp_path), state)


def test_the_same_tensors_in_two_places_are_one_clip(state: dict[str, Tensor], tmp_path: Path) -> None:
    assert_loads(saved({"state_dict": state, "model": state}, tmp_path), state)


def test_which_of_two_clips_is_meant_is_not_guessed(state: dict[str, Tensor], tmp_path: Path) -> None:
    others = {name: one + 1 for name, one in state.items()}
    with pytest.raises(WeightsError, match=r"a file of weights holds one CLIP; got several: ema, model\. Remedy: save"):
        read_state(saved({"model": state, "ema": others}, tmp_path))
    both = {f"{who}.{name}": one for who in ("student", "teacher") for name, one in state.items()}
    with pytest.raises(WeightsError, match=r"got several: student, teacher"):
        read_state(saved(both, tmp_path))


def test_a_tensor_that_is_there_twice_is_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    content = {**state, "_orig_mod.logit_scale": state["logit_scale"] + 1}
    with pytest.raises(WeightsError, match="every tensor is there once"):
        read_state(saved(content, tmp_path))


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.complex64])
def test_quantised_weights_are_not_taken_for_numbers(
    kind: torch.dtype, state: dict[str, Tensor], tmp_path: Path
) -> None:
    content = {**state, "vision.projection": state["vision.projection"].to(kind)}
    with pytest.raises(WeightsError, match=rf"are floating-point numbers; got {kind} for vision\.projection"):
        read_state(saved(content, tmp_path))


def test_a_sparse_tensor_is_named(state: dict[str, Tensor], tmp_path: Path) -> None:
    content = {**state, "vision.projection": state["vision.projection"].to_sparse()}
    with pytest.raises(WeightsError, match=r"holds dense tensors; got vision\.projection is a sparse tensor"):
        read_state(saved(content, tmp_path))


@pytest.mark.parametrize("odd", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("name", ["vision.projection", "text.token_embedding.weight", "logit_scale"])
def test_numbers_that_are_not_finite_are_refused(
    odd: float, name: str, state: dict[str, Tensor], tmp_path: Path
) -> None:
    damaged = state[name].clone()
    damaged.view(-1)[-1] = odd
    with pytest.raises(WeightsError, match=rf"w\.pt are finite; got 1 of the {damaged.numel()} numbers of {name}"):
        weights.load("small", str(saved({**state, name: damaged}, tmp_path)))


def test_numbers_that_fp32_does_not_hold_are_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    wide = {name: one.double() for name, one in state.items()}
    wide["vision.projection"][0, 0] = 1e300
    with pytest.raises(WeightsError, match="are finite"):
        weights.load("small", str(saved(wide, tmp_path)))


# --- shards


def shards(state: dict[str, Tensor], folder: Path, kind: str = "safetensors") -> Path:
    """As Hugging Face writes them."""
    stem, names = "model" if kind == "safetensors" else "pytorch_model", sorted(state)
    parts = {f"{stem}-0000{n}-of-00002.{kind}": names[n - 1 :: 2] for n in (1, 2)}
    for file, part in parts.items():
        tensors = {name: state[name] for name in part}
        save_file(tensors, folder / file) if kind == "safetensors" else torch.save(tensors, folder / file)
    index = folder / f"{stem}.{kind}.index.json"
    index.write_text(
        json.dumps({"metadata": {}, "weight_map": {one: file for file, part in parts.items() for one in part}})
    )
    return index


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_shards_are_joined(kind: str, state: dict[str, Tensor], tmp_path: Path) -> None:
    index = shards(state, tmp_path, kind)
    assert_loads(index, state)
    assert_loads(tmp_path, state)
    first = weights.load("small", str(tmp_path)).fingerprint
    changed = {**state, "logit_scale": state["logit_scale"] + 1}
    shards(changed, tmp_path, kind)
    assert weights.load("small", str(tmp_path)).fingerprint != first


def test_a_missing_shard_is_named(state: dict[str, Tensor], tmp_path: Path) -> None:
    index = shards(state, tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"all shards are next to .*; got no model-00002-of-00002\.safetensors"):
        read_state(index)


def test_shards_that_overlap_or_lack_a_tensor_are_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    index = shards(state, tmp_path)
    second = tmp_path / "model-00002-of-00002.safetensors"
    save_file(state, second)
    with pytest.raises(
        WeightsError, match=r"00002-of-00002\.safetensors holds what .* that the index places elsewhere"
    ):
        read_state(index)
    save_file({"text.projection": state["text.projection"]}, second)
    with pytest.raises(WeightsError, match=r"missing"):
        read_state(index)


def test_one_shard_alone_is_sent_to_its_index(state: dict[str, Tensor], tmp_path: Path) -> None:
    index = shards(state, tmp_path)
    places = json.loads(index.read_text())["weight_map"]
    other = next(tmp_path / file for file in set(places.values()) if file != places["vision.class_embedding"])
    with pytest.raises(WeightsError, match=r"weights in shards are read together.*name their folder"):
        read_state(other)


@pytest.mark.parametrize(
    "place", ["../w.safetensors", "/etc/passwd", "a/w.bin", "a\\w.bin", "..", ".w.bin", "w.py", "w.bin\n", "", 3, None]
)
def test_an_index_names_files_beside_it_only(place: object, tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"vision.class_embedding": place}}))
    with pytest.raises(WeightsError, match=r"which is no name of a weights file next to it"):
        weights.load("small", str(index))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"weight_map": []}', '{"weight_map": {}}', "[" * 100_000])
def test_a_damaged_index_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(WeightsError, match=r"index\.json must say in which file each tensor is"):
        weights.load("small", str(tmp_path))
