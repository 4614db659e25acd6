"""Finding and reading weights: every way that works, and every way that fails with its remedy."""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save, save_file
from tokenizers import Tokenizer as Backend
from torch import Tensor

from tests import small
from zsad.backbones import config as configs
from zsad.backbones import state_dicts, weights
from zsad.backbones.clip import Clip
from zsad.backbones.state_dicts import read_state
from zsad.errors import ConfigError, WeightsError


@pytest.fixture(autouse=True)
def _small_architectures(monkeypatch: pytest.MonkeyPatch) -> None:
    small.register(monkeypatch)


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub: its client reads the environment once, when it is imported."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return small.snapshot(small.build())


@pytest.fixture
def checkpoint(tmp_path: Path, state: dict[str, Tensor]) -> Path:
    save_file(state, tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def assert_same_weights(clip: Clip, state: dict[str, Tensor]) -> None:
    torch.testing.assert_close(dict(clip.state_dict()), state, rtol=0, atol=0)


# --- files


def test_a_file_is_loaded_frozen_in_fp32(checkpoint: Path, state: dict[str, Tensor]) -> None:
    clip = weights.load("small", str(checkpoint))
    assert_same_weights(clip, state)
    assert clip.weights == str(checkpoint)
    assert clip.fingerprint is not None
    assert not any(parameter.requires_grad for parameter in clip.parameters())


@pytest.mark.parametrize("kind", ["safetensors", "pt"])
def test_fp16_weights_become_fp32(kind: str, tmp_path: Path, state: dict[str, Tensor]) -> None:
    half, path = {name: tensor.half() for name, tensor in state.items()}, tmp_path / f"half.{kind}"
    save_file(half, path) if kind == "safetensors" else torch.save(half, path)
    clip = weights.load("small", str(path))
    assert {tensor.dtype for tensor in clip.state_dict().values()} == {torch.float32}
    assert_same_weights(clip, {name: tensor.float() for name, tensor in half.items()})


def test_a_missing_file_is_named() -> None:
    for name in ("nowhere/to/be/found", "weights.pt", "folder/weights.safetensors", "./a.bin", "x/y.pth"):
        with pytest.raises(WeightsError, match=rf"the weights must exist; got {name}"):
            weights.load("small", name)


def _zip(state: dict[str, Tensor]) -> bytes:
    return _saved(state, new=True)


def _legacy(state: dict[str, Tensor]) -> bytes:
    return _saved(state, new=False)


def _saved(state: dict[str, Tensor], new: bool) -> bytes:
    from io import BytesIO

    stream = BytesIO()
    torch.save(state, stream, _use_new_zipfile_serialization=new)
    return stream.getvalue()


@pytest.mark.parametrize("written", [save, _zip, _legacy], ids=["safetensors", "zip", "legacy"])
def test_a_file_cut_off_anywhere_is_named(written: Callable[[dict[str, Tensor]], bytes], tmp_path: Path) -> None:
    whole = written({"visual.conv1.weight": torch.ones(3, 3)})
    path = tmp_path / f"cut.{'safetensors' if written is save else 'pt'}"
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"cut\.\w+ must be a readable file of weights.*download it again"):
            read_state(path)


@pytest.mark.parametrize("suffix", ["pt", "safetensors", "bin", "pth"])
@pytest.mark.parametrize(
    "content",
    [b"PK\x03\x04 not a zip", b"<html>404</html>", b"\x80\x02.", b"}" * 50, bytes(99)],
    ids=["zip", "html", "pickle", "braces", "zeros"],
)
def test_a_file_of_garbage_is_named(content: bytes, suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"garbage.{suffix}").write_bytes(content)
    with pytest.raises(WeightsError, match=rf"garbage\.{suffix} must be a readable file of weights"):
        weights.load("small", str(tmp_path / f"garbage.{suffix}"))


class _Payload:
    """A pickle that makes a folder when it is read without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(form: str, tmp_path: Path) -> None:
    marker, path = tmp_path / "it ran", tmp_path / "evil.pt"
    content = {"visual.conv1.weight": _Payload(marker)}
    if form == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(
        WeightsError, match=r"evil\.pt (must be a readable file of weights|holds weights of CLIP .*no tensors)"
    ):
        weights.load("small", str(path))
    assert not marker.exists()
    # It does run where it is allowed to: the test could fail.
    pickle.loads(path.read_bytes()) if form == "pickle" else torch.load(path, weights_only=False)
    assert marker.is_dir()


@pytest.mark.parametrize("content", [[1, 2], torch.zeros(3), {}, {"epoch": 3}, {"state_dict": {}}, None])
def test_a_file_without_tensors_by_name_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"layout of OpenAI, open_clip or Hugging Face.*; got no tensors"):
        weights.load("small", str(tmp_path / "other.pt"))


def test_a_state_dict_that_is_none_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": torch.zeros(3)}, tmp_path / "odd.pt")
    with pytest.raises(WeightsError, match=r"odd\.pt holds weights of CLIP .*got tensors state_dict"):
        weights.load("small", str(tmp_path / "odd.pt"))


# --- layouts


def test_another_model_is_refused_by_its_tensors() -> None:
    with pytest.raises(WeightsError, match=r"got tensors conv1.weight, fc.bias …\. Remedy: .*ViT vision tower"):
        state_dicts.to_our_names({"fc.bias": torch.zeros(1), "conv1.weight": torch.zeros(1)})


@pytest.mark.parametrize(
    "name",
    ["visual.attnpool.positional_embedding", "transformer.resblocks.0.adapter.weight", "visual.proj.lora", "surplus"],
)
def test_a_tensor_that_clip_does_not_have_is_refused(name: str) -> None:
    with pytest.raises(WeightsError, match=rf"every tensor of the weights belongs to CLIP; got {name}"):
        state_dicts.to_our_names({"visual.conv1.weight": torch.zeros(1), name: torch.zeros(1)})


@pytest.mark.parametrize("name", ["vision_model.encoder.layers.0.mlp.fc3.weight", "vision_model.head.weight"])
def test_a_tensor_that_hugging_faces_clip_does_not_have_is_refused(name: str) -> None:
    with pytest.raises(WeightsError, match=rf"every tensor of the weights belongs to CLIP; got {name}"):
        state_dicts.to_our_names({"vision_model.embeddings.class_embedding": torch.zeros(1), name: torch.zeros(1)})


def test_a_query_without_its_key_is_refused() -> None:
    name = "text_model.encoder.layers.0.self_attn.{}_proj.weight"
    state = {"vision_model.embeddings.class_embedding": torch.zeros(1), name.format("q"): torch.zeros(1)}
    with pytest.raises(WeightsError, match=rf"query, key and value; got no {name.format('k')}"):
        state_dicts.to_our_names(state)


@pytest.mark.parametrize(
    "name", ["input_resolution", "context_length", "vocab_size", "attn_mask", "text_model.embeddings.position_ids"]
)
def test_what_is_not_a_weight_is_left_out(name: str) -> None:
    state = {"visual.class_embedding": torch.zeros(1), "visual.conv1.weight": torch.zeros(1), name: torch.zeros(1)}
    assert set(state_dicts.to_our_names(state)) == {"vision.class_embedding", "vision.patch_embedding.weight"}


def test_query_key_and_value_are_joined_in_that_order() -> None:
    name = "vision_model.encoder.layers.3.self_attn.{}_proj.bias"
    state = {name.format(part): torch.full((2,), value) for part, value in (("v", 3.0), ("q", 1.0), ("k", 2.0))}
    ours = state_dicts.to_our_names({"vision_model.embeddings.class_embedding": torch.zeros(1), **state})
    joined = ours["vision.transformer.blocks.3.attention.qkv.bias"]
    assert joined.tolist() == [1, 1, 2, 2, 3, 3]


# --- architectures


def test_weights_of_another_architecture_name_the_one_that_fits(checkpoint: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"must hold weights of wider; got .* of shape .* is expected\. Remedy: use --backbone small"
    ):
        weights.load("wider", str(checkpoint))


def test_missing_tensors_are_counted(tmp_path: Path, state: dict[str, Tensor]) -> None:
    less = {name: tensor for name, tensor in state.items() if not name.startswith("text.norm_final")}
    save_file({**less, "vision.surplus": torch.zeros(1)}, tmp_path / "less.safetensors")
    with pytest.raises(
        WeightsError, match=r"2 missing tensors, 1 too many \(first: text.norm_final.*download is whole"
    ):
        weights.load("small", str(tmp_path / "less.safetensors"))


def test_an_unknown_backbone_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'ViT-L-14-336'"):
        weights.load("ViT-L-14-335", "openai")


@pytest.mark.parametrize(("tag", "suggestion"), [("openia", "openai"), ("randm", "random")])
def test_an_unknown_tag_is_refused_with_the_nearest_name(tag: str, suggestion: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"a set of weights for ViT-B-32 must be one of .*; got '{tag}'.*{suggestion}"
    ):
        weights.load("ViT-B-32", tag)


def test_weights_must_be_named_where_none_are_embedded() -> None:
    with pytest.raises(WeightsError, match=r"ViT-L-14-336 needs weights to be named; got none.*--weights openai"):
        weights.load("ViT-L-14-336")


def test_every_architecture_is_whole() -> None:
    for name in configs.names():
        config = configs.get(name)
        assert config.vision.image_size % config.vision.patch == 0
        assert "random" in configs.weight_names(name)


# --- random


def test_random_weights_are_the_same_each_time_and_leave_the_generator_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = weights.load("small", "random")
    monkeypatch.setattr(weights, "_random", weights._random.__wrapped__)  # other tests have them drawn once
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = weights.load("small", "random")
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)
    second = weights.load("small", "random")
    for other in (second, kept):
        assert_same_weights(other, dict(first.state_dict()))
        assert first.fingerprint == other.fingerprint
    assert weights.load("wider", "random").fingerprint != first.fingerprint
    assert "random" in first.weights


# --- fingerprints


def test_a_fingerprint_follows_content_and_options_and_not_the_path(checkpoint: Path, tmp_path: Path) -> None:
    def print_of(path: Path, **options: str) -> str:
        fingerprint = weights.load("small", str(path), **options).fingerprint
        assert fingerprint is not None
        return fingerprint

    (tmp_path / "copy.safetensors").write_bytes(checkpoint.read_bytes())
    save_file(small.snapshot(small.build(seed=1)), tmp_path / "other.safetensors")
    plain = print_of(checkpoint)
    assert print_of(checkpoint) == plain
    assert print_of(tmp_path / "copy.safetensors") == plain
    assert print_of(checkpoint, activation="quick_gelu") == plain
    others = [
        print_of(tmp_path / "other.safetensors"),
        print_of(checkpoint, activation="gelu"),
        print_of(checkpoint, position_resize="bilinear"),
    ]
    assert len({plain, *others}) == 4


def test_a_fingerprint_follows_the_tokenizer(checkpoint: Path, tmp_path: Path) -> None:
    prints = set()
    for number, merges in enumerate((small.tokenizer().backend, Backend.from_str(_shuffled()))):
        folder = tmp_path / str(number)
        folder.mkdir()
        os.link(checkpoint, folder / "model.safetensors")
        merges.save(str(folder / "tokenizer.json"))
        prints.add(weights.load("small", str(folder)).fingerprint)
    assert len(prints) == 2


def _shuffled() -> str:
    """Our tokenizer with two tokens exchanged."""
    content = json.loads(small.tokenizer().backend.to_str())
    vocabulary = content["model"]["vocab"]
    vocabulary["photo</w>"], vocabulary["cat</w>"] = vocabulary["cat</w>"], vocabulary["photo</w>"]
    return json.dumps(content)


def test_a_cache_that_cannot_be_written_is_no_error(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = weights.load("small", str(checkpoint)).fingerprint
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("ZSAD_CACHE", str(tmp_path / "file"))
    assert weights.load("small", str(checkpoint)).fingerprint == expected


# --- folders


@pytest.fixture
def folder(tmp_path: Path, checkpoint: Path) -> Path:
    (tmp_path / "folder").mkdir()
    os.link(checkpoint, tmp_path / "folder" / "model.safetensors")
    return tmp_path / "folder"


def test_a_folder_without_weights_says_what_it_should_hold(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match=r"holds one of open_clip_model\.safetensors, model\.safetensors.*empty"):
        weights.load("small", str(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("card", "activation"),
    [
        ({"vision_config": {"hidden_act": "gelu"}}, "gelu"),
        ({"vision_config": {"hidden_act": "quick_gelu"}}, "quick_gelu"),
        ({"vision_config": {}}, "quick_gelu"),
        ({}, "quick_gelu"),
    ],
)
def test_a_hugging_face_folder_says_its_activation(card: dict[str, object], activation: str, folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(card))
    assert weights.load("small", str(folder)).config.activation == activation


def test_the_activation_that_was_asked_for_wins(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"vision_config": {"hidden_act": "gelu"}}))
    assert weights.load("small", str(folder), activation="quick_gelu").config.activation == "quick_gelu"


def test_the_activation_reaches_both_towers(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"vision_config": {"hidden_act": "gelu"}}))
    loaded, expected = weights.load("small", str(folder)), small.build(replace(small.CONFIG, activation="gelu"))
    with torch.inference_mode():
        torch.testing.assert_close(loaded.vision(small.images(1)).last, expected.vision(small.images(1)).last)
        torch.testing.assert_close(loaded.encode_prompts(["a nut"]), expected.encode_prompts(["a nut"]))


def test_an_activation_that_clip_never_had_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"vision_config": {"hidden_act": "relu"}}))
    with pytest.raises(WeightsError, match=r"quick_gelu or gelu; got relu in .*config\.json"):
        weights.load("small", str(folder))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"vision_config": 3}', b"\xff\xfe"])
def test_a_damaged_configuration_is_named(content: bytes, folder: Path) -> None:
    (folder / "config.json").write_bytes(content)
    with pytest.raises(WeightsError, match=r"config\.json must be the configuration of a CLIP"):
        weights.load("small", str(folder))


def test_the_tokenizer_of_the_folder_is_used(folder: Path) -> None:
    (folder / "tokenizer.json").write_text(_shuffled())
    assert weights.load("small", str(folder)).tokenizer.encode("a cat photo") == [49406, 320, 1125, 2368, 49407]


def test_a_tokenizer_that_the_text_tower_has_no_room_for_is_refused(folder: Path) -> None:
    backend = Backend.from_str(small.tokenizer().backend.to_str())
    backend.add_tokens(["<|more|>"])
    backend.save(str(folder / "tokenizer.json"))
    with pytest.raises(
        WeightsError, match=r"tokenizer\.json has at most the 49408 tokens of the text tower; got 49409"
    ):
        weights.load("small", str(folder))


def open_clip_folder(folder: Path, card: object) -> str:
    (folder / "model.safetensors").rename(folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps(card))
    return str(folder)


@pytest.mark.parametrize(
    ("model", "activation"), [({"quick_gelu": True}, "quick_gelu"), ({"quick_gelu": False}, "gelu"), ({}, "gelu")]
)
def test_an_open_clip_folder_says_its_activation_and_normalisation(
    model: dict[str, object], activation: str, folder: Path
) -> None:
    pixels = {"mean": [0.5, 0.25, 0], "std": [0.5, 0.5, 1]}
    clip = weights.load("small", open_clip_folder(folder, {"model_cfg": model, "preprocess_cfg": pixels}))
    assert (clip.config.activation, clip.config.mean, clip.config.std) == (activation, (0.5, 0.25, 0), (0.5, 0.5, 1))


def test_an_open_clip_folder_without_normalisation_has_clips(folder: Path) -> None:
    clip = weights.load("small", open_clip_folder(folder, {"model_cfg": {}}))
    assert (clip.config.mean, clip.config.std) == (configs.CLIP_MEAN, configs.CLIP_STD)


def test_a_folder_without_cards_is_what_the_architecture_says(folder: Path) -> None:
    assert weights.load("small", str(folder)).config == small.CONFIG
    (folder / "model.safetensors").rename(folder / "open_clip_model.safetensors")
    assert weights.load("small", str(folder)).config == small.CONFIG


def test_a_card_of_the_other_layout_does_not_count(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"vision_config": {"hidden_act": "quick_gelu"}}))
    clip = weights.load("small", open_clip_folder(folder, {"model_cfg": {}}))
    assert clip.config.activation == "gelu"


def test_a_hugging_face_folder_says_its_normalisation(folder: Path) -> None:
    card = {"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 3]}
    (folder / "preprocessor_config.json").write_text(json.dumps(card))
    config = weights.load("small", str(folder)).config
    assert (config.mean, config.std) == ((0.1, 0.2, 0.3), (1, 2, 3))


@pytest.mark.parametrize("mean", [[0.5], "grey", [0.5, 0.5, "x"], None])
def test_a_normalisation_that_is_not_three_numbers_is_refused(mean: object, folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": mean}))
    with pytest.raises(WeightsError, match=r"preprocessor_config\.json must be .*; got image_mean = "):
        weights.load("small", str(folder))


@pytest.mark.parametrize("card", [[], 3, {"model_cfg": 3}, {"preprocess_cfg": []}])
def test_a_damaged_open_clip_card_is_named(card: object, folder: Path) -> None:
    with pytest.raises(WeightsError, match=r"open_clip_config\.json must be the configuration of a CLIP"):
        weights.load("small", open_clip_folder(folder, card))


def test_a_path_that_exists_is_no_repository(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "someone" / "something").mkdir(parents=True)
    os.link(checkpoint, tmp_path / "someone" / "something" / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    assert weights.load("small", "someone/something").fingerprint is not None


def test_loading_does_not_wait_for_the_compiler() -> None:
    """On the meta device PyTorch would import it, which takes longer than all else."""
    script = "import sys, zsad; zsad.load('clip'); print('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
