"""Configuration files of published weights: activation, heads, epsilon, normalisation, which no tensor tells."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from zsad.backbones.config import ACTIVATIONS, Activation, ClipConfig
from zsad.documents import DocumentError, read_json_object
from zsad.errors import WeightsError

OPEN_CLIP, HUGGING_FACE, HUGGING_FACE_PIXELS = "open_clip_config.json", "config.json", "preprocessor_config.json"
FILES = (OPEN_CLIP, HUGGING_FACE, HUGGING_FACE_PIXELS)
THEIRS = ("model.safetensors", "pytorch_model.bin")
"""Configuration files of Hugging Face; those of open_clip begin with its name."""
EPSILON, HEAD_WIDTH = 1e-5, 64
Card = Mapping[str, object]


def described(weights: Path, config: ClipConfig, activation: Activation | None = None) -> ClipConfig:
    """The architecture with the settings of the configuration files next to weights; unchanged if there are none.

    Args:
        weights: the file; where its name does not tell its library, the files of both count, and must agree.
        config: the architecture.
        activation: if given, overrides all configuration files.

    Raises:
        WeightsError: a configuration file cannot be read, has settings that CLIP never had or of another architecture,
            or contradicts another one.
    """
    folder, theirs = weights.parent, weights.name.removesuffix(".index.json") in THEIRS
    if weights.name.startswith("open_clip"):
        return _open_clip(folder / OPEN_CLIP, config, activation)
    hugging_face = _hugging_face(folder, config, activation, theirs)
    if theirs or not (folder / OPEN_CLIP).is_file():
        return hugging_face
    open_clip = _open_clip(folder / OPEN_CLIP, config, activation)
    if open_clip != hugging_face and (folder / HUGGING_FACE).is_file():
        raise WeightsError(
            f"the configuration files next to {weights} agree",
            f"{HUGGING_FACE} says {_said(hugging_face)}, {OPEN_CLIP} says {_said(open_clip)}",
            "move the one away that belongs to other weights",
        )
    return open_clip


def _said(config: ClipConfig) -> str:
    return f"{config.activation}, mean {config.mean}, std {config.std}"


def _open_clip(path: Path, config: ClipConfig, asked: Activation | None) -> ClipConfig:
    if not path.is_file():
        return config
    card = read(path)
    model, pixels = _table(card, "model_cfg", path), _table(card, "preprocess_cfg", path)
    vision, text = _table(model, "vision_cfg", path), _table(model, "text_cfg", path)
    if "width" in vision or "head_width" in vision:
        width = vision.get("head_width", HEAD_WIDTH)
        expect(path, "vision_cfg.head_width", width, config.vision.width // config.vision.heads)
    expect(path, "text_cfg.heads", text.get("heads", config.text.heads), config.text.heads)
    for name, tower, pool in (("vision_cfg", vision, "tok"), ("text_cfg", text, "argmax")):
        expect(path, f"{name}.pool_type", tower.get("pool_type", pool), pool)
        for kind in ("norm_kwargs", "act_kwargs"):
            expect(path, f"{name}.{kind}", tower.get(kind) or {}, {})
    expect(path, "text_cfg.no_causal_mask", text.get("no_causal_mask", False), False)
    activation: Activation = "quick_gelu" if model.get("quick_gelu", False) else "gelu"
    return _normalised(replace(config, activation=asked or activation), pixels, "mean", "std", path)


def _hugging_face(folder: Path, config: ClipConfig, asked: Activation | None, theirs: bool) -> ClipConfig:
    path, pixels = folder / HUGGING_FACE, folder / HUGGING_FACE_PIXELS
    card = read(path) if path.is_file() else {}
    kind = card.get("model_type", "clip")
    if path.is_file() and not theirs and kind != "clip" and "vision_config" not in card:
        return config  # of another model in the same folder
    expect(path, "model_type", kind, "clip")
    if path.is_file():
        towers = {name: _tower(card, name, path) for name in ("vision", "text")}
        _expect_towers(path, towers, config)
        config = replace(config, activation=asked or _activation(path, towers))
    return with_pixels(pixels, config)


def _tower(card: Card, name: str, path: Path) -> Card:
    """The settings of a tower; a second table, in old files, overrides the first (as in transformers)."""
    old, key = card.get(f"{name}_config_dict"), f"{name}_config"
    if old is None:
        return _table(card, key, path)
    # Keys missing in the second table have the defaults of transformers.
    return {**_table(card, key, path), **DEFAULTS[name], **_table(card, f"{name}_config_dict", path)}


DEFAULTS: dict[str, Card] = {
    "vision": {"hidden_act": "quick_gelu", "layer_norm_eps": EPSILON, "num_attention_heads": 12},
    "text": {"hidden_act": "quick_gelu", "layer_norm_eps": EPSILON, "num_attention_heads": 8},
}
"""Relevant defaults of CLIPVisionConfig and CLIPTextConfig in transformers."""


def _expect_towers(path: Path, towers: Mapping[str, Card], config: ClipConfig) -> None:
    for name, shape in (("vision", config.vision), ("text", config.text)):
        tower = towers[name]
        expect(path, f"{name}_config.num_attention_heads", tower.get("num_attention_heads", shape.heads), shape.heads)
        expect(path, f"{name}_config.layer_norm_eps", tower.get("layer_norm_eps", EPSILON), EPSILON)


def _activation(path: Path, towers: Mapping[str, Card]) -> Activation:
    # Hugging Face omits keys that equal its default, which is OpenAI's activation.
    vision, text = (towers[name].get("hidden_act", "quick_gelu") for name in ("vision", "text"))
    activation = next((name for name in ACTIVATIONS if name == vision), None)
    if activation is None:
        rule = "the activation of CLIP is quick_gelu or gelu"
        raise WeightsError(rule, f"{vision} in {path}", "use a CLIP checkpoint, or set --activation")
    if text != vision and towers["text"]:
        rule = f"both towers have one activation in {path}"
        raise WeightsError(rule, f"{vision} and {text}", "use a CLIP checkpoint, or set --activation")
    return activation


def with_pixels(path: Path, config: ClipConfig) -> ClipConfig:
    """The configuration with the normalisation of a preprocessor's file; unchanged if there is none."""
    if not path.is_file():
        return config
    card = read(path)
    expect(path, "do_rescale", card.get("do_rescale", True), True)
    factor = card.get("rescale_factor", 1 / 255)
    if not isinstance(factor, int | float) or not math.isclose(factor, 1 / 255, rel_tol=1e-4):
        expect(path, "rescale_factor", factor, 1 / 255)
    if card.get("do_normalize", True) is False:
        return replace(config, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return _normalised(config, card, "image_mean", "image_std", path)


def _normalised(config: ClipConfig, card: Card, mean: str, std: str, path: Path) -> ClipConfig:
    deviations = _channels(card, std, config.std, path)
    if min(deviations) <= 0:
        raise _wrong(path, f"{std} = {list(deviations)}, which must be greater than 0")
    return replace(config, mean=_channels(card, mean, config.mean, path), std=deviations)


def _channels(card: Card, key: str, default: tuple[float, float, float], path: Path) -> tuple[float, float, float]:
    match card.get(key, default):
        case [int() | float() as red, int() | float() as green, int() | float() as blue]:
            return float(red), float(green), float(blue)
        case other:
            raise _wrong(path, f"{key} = {str(other)[:80]}")


def expect(path: Path, key: str, value: object, expected: object, model: str = "CLIP") -> None:
    """Refuse a setting of another model."""
    if value != expected:
        rule = f"{path} describes the {model} that was asked for, with {key} = {expected}"
        raise WeightsError(rule, str(value)[:80], "name the backbone and the weights that belong together")


def _table(card: Card, key: str, path: Path) -> Card:
    table = card.get(key)
    if table is None and key in ("vision_config", "text_config", "vision_cfg", "text_cfg"):
        return {}
    table = {} if key not in card else table
    if not isinstance(table, Mapping):
        raise _wrong(path, f"{key} = {str(table)[:80]}")
    return table


def read(path: Path) -> Card:
    """The settings in a file."""
    try:
        return read_json_object(path)
    except (OSError, DocumentError) as error:
        raise _wrong(path, error) from error


def _wrong(path: Path, value: object) -> WeightsError:
    remedy = f"copy or download {path.name} again, or move it away if it belongs to other weights"
    return WeightsError(f"{path} must be the configuration of a CLIP", value, remedy)
