"""What lies beside weights says what no tensor tells; it counts for a file as for a folder, and contradictions show."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import save_file
from transformers import CLIPConfig

from tests import small
from zsad.backbones import cards, weight_files, weights
from zsad.backbones.config import ClipConfig
from zsad.errors import WeightsError

CONFIG, PIXELS, OPEN_CLIP = "config.json", "preprocessor_config.json", "open_clip_config.json"


@pytest.fixture(autouse=True)
def _small_architectures(monkeypatch: pytest.MonkeyPatch) -> None:
    small.register(monkeypatch)


Say = Callable[..., ClipConfig]


@pytest.fixture
def say(tmp_path: Path) -> Say:
    """The configuration that a file of that name has beside these cards."""

    def found(name: str, activation: str | None = None, **beside: object) -> ClipConfig:
        for key, value in beside.items():
            (tmp_path / f"{key}.json").write_text(json.dumps(value))
        (tmp_path / name).write_bytes(b"")
        return weight_files.locate("small", str(tmp_path / name), activation).config

    return found


GELU = {"model_type": "clip", "vision_config": {"hidden_act": "gelu"}}
MEAN = {"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 3]}


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "my weights.pt", "epoch_3.ckpt"])
def test_a_file_has_the_configuration_that_lies_beside_it(name: str, say: Say) -> None:
    found = say(name, config=GELU, preprocessor_config=MEAN)
    assert (found.activation, found.mean, found.std) == ("gelu", (0.1, 0.2, 0.3), (1, 2, 3))


def test_a_file_and_its_folder_are_the_same_clip(tmp_path: Path) -> None:
    save_file(small.snapshot(small.build()), tmp_path / "model.safetensors")
    (tmp_path / CONFIG).write_text(json.dumps(GELU))
    (tmp_path / "tokenizer.json").write_text(small.tokenizer().backend.to_str())
    file, folder = (weights.load("small", str(path)) for path in (tmp_path / "model.safetensors", tmp_path))
    assert file.config.activation == "gelu"
    assert file.fingerprint == folder.fingerprint


@pytest.mark.parametrize("name", ["open_clip_model.safetensors", "weights.pt"])
def test_a_file_has_the_configuration_of_open_clip(name: str, say: Say) -> None:
    card = {"model_cfg": {"quick_gelu": False}, "preprocess_cfg": {"mean": [0.5, 0.5, 0.5]}}
    found = say(name, open_clip_config=card)
    assert (found.activation, found.mean) == ("gelu", (0.5, 0.5, 0.5))


def test_cards_that_contradict_each_other_are_refused(say: Say) -> None:
    both = {"config": GELU, "open_clip_config": {"model_cfg": {"quick_gelu": True}}}
    with pytest.raises(WeightsError, match=r"agree; got config\.json says gelu.* open_clip_.* says quick_gelu"):
        say("weights.pt", **both)
    assert say("weights.pt", activation="gelu", **both).activation == "gelu"
    both["open_clip_config"] = {"model_cfg": {"quick_gelu": False}}
    assert say("weights.pt", **both).activation == "gelu"


@pytest.mark.parametrize("card", [{"model_type": "bert", "hidden_act": "relu"}, {"model_type": "llama"}])
def test_the_configuration_of_something_else_does_not_count(card: object, say: Say) -> None:
    assert say("weights.pt", config=card) == small.CONFIG
    with pytest.raises(WeightsError, match=r"with model_type = clip; got (bert|llama)"):
        say("model.safetensors", config=card)


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"vision_config": {"num_attention_heads": 4}}, "vision_config.num_attention_heads = 2; got 4"),
        ({"text_config": {"num_attention_heads": 4}}, "text_config.num_attention_heads = 2; got 4"),
        ({"vision_config": {"layer_norm_eps": 1e-6}}, "vision_config.layer_norm_eps = 1e-05; got 1e-06"),
        ({"model_type": "siglip", "vision_config": {}}, "model_type = clip; got siglip"),
        ({"vision_config": {"hidden_act": "gelu"}, "text_config": {"hidden_act": "quick_gelu"}}, "gelu and quick_gelu"),
        ({"vision_config": {"hidden_act": "gelu"}, "text_config": {"width": 3}}, "gelu and quick_gelu"),
        ({"vision_config": {"hidden_act": "gelu_new"}}, "got gelu_new in"),
    ],
)
def test_what_no_tensor_tells_must_be_what_is_assumed(card: object, said: str, say: Say) -> None:
    with pytest.raises(WeightsError) as caught:
        say("model.safetensors", config=card)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "config",
    [
        {"vision_config": {"hidden_act": "gelu"}, "text_config": {"hidden_act": "quick_gelu"}},
        {"vision_config": {"hidden_act": "gelu_new"}},
    ],
)
def test_the_activation_that_is_asked_for_wins(config: object, say: Say) -> None:
    assert say("model.safetensors", activation="quick_gelu", config=config).activation == "quick_gelu"
    assert say("weights.pt", activation="gelu", config=config).activation == "gelu"


def test_the_tables_of_old_files_win_as_they_do_in_transformers(tmp_path: Path) -> None:
    for card in (
        {"vision_config": {"hidden_act": "gelu"}, "vision_config_dict": {"num_hidden_layers": 6}},
        {"vision_config": {"hidden_act": "quick_gelu"}, "vision_config_dict": {"hidden_act": "gelu"}},
        {"vision_config": {"hidden_act": "gelu"}, "vision_config_dict": None},
    ):
        theirs = CLIPConfig(**json.loads(json.dumps(card))).vision_config
        ours = cards._tower(card, "vision", tmp_path)
        assert ours["hidden_act"] == theirs.hidden_act


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"do_rescale": False}, "do_rescale = True; got False"),
        ({"rescale_factor": 1 / 127.5}, "rescale_factor = 0.0039"),
        ({"rescale_factor": "x"}, "got x"),
        ({"image_std": [0.5, 0, 0.5]}, "must be greater than 0"),
        ({"image_std": [0.5, -1, 0.5]}, "must be greater than 0"),
    ],
)
def test_pixels_that_are_made_in_another_way_are_refused(card: object, said: str, say: Say) -> None:
    with pytest.raises(WeightsError, match=r"preprocessor_config\.json") as caught:
        say("model.safetensors", preprocessor_config=card)
    assert said in str(caught.value)


def test_pixels_that_are_not_normalised_stay_in_0_to_1(say: Say) -> None:
    found = say("model.safetensors", preprocessor_config={"do_normalize": False, "rescale_factor": 0.00392156862745098})
    assert (found.mean, found.std) == ((0, 0, 0), (1, 1, 1))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"vision_cfg": {"width": 32, "head_width": 8}}, "vision_cfg.head_width = 16; got 8"),
        ({"vision_cfg": {"width": 32}}, "vision_cfg.head_width = 16; got 64"),
        ({"text_cfg": {"heads": 8}}, "text_cfg.heads = 2; got 8"),
        ({"vision_cfg": {"pool_type": "avg"}}, "vision_cfg.pool_type = tok; got avg"),
        ({"text_cfg": {"pool_type": "last"}}, "text_cfg.pool_type = argmax; got last"),
        ({"text_cfg": {"no_causal_mask": True}}, "text_cfg.no_causal_mask = False; got True"),
        ({"vision_cfg": {"norm_kwargs": {"eps": 1e-6}}}, "vision_cfg.norm_kwargs = {}"),
        ({"text_cfg": {"act_kwargs": {"approximate": "tanh"}}}, "text_cfg.act_kwargs = {}"),
    ],
)
def test_what_no_tensor_tells_must_be_what_is_assumed_in_open_clip(model: object, said: str, say: Say) -> None:
    with pytest.raises(WeightsError, match=r"open_clip_config\.json describes") as caught:
        say("open_clip_model.safetensors", open_clip_config={"model_cfg": model})
    assert said in str(caught.value)


# --- folders without weights of a known name


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "without weights. Remedy: copy the weights"),
        (["mine.pt", "yours.safetensors"], "name the file itself: --weights"),
        (["flax_model.msgpack"], "of another framework. Remedy: use the weights for PyTorch"),
    ],
)
def test_a_folder_without_weights_says_what_to_do(files: list[str], said: str, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(WeightsError) as caught:
        weights.load("small", str(tmp_path))
    assert said in str(caught.value)
