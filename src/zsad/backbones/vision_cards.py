"""Configuration files of Hugging Face next to weights of vision towers without text."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from zsad.backbones.cards import HUGGING_FACE, HUGGING_FACE_PIXELS, expect, read, with_pixels
from zsad.backbones.config import Activation, ClipConfig


def described(weights: Path, config: ClipConfig, activation: Activation | None = None) -> ClipConfig:
    """The architecture with the settings of the configuration files next to weights; unchanged if there are none.

    Args:
        weights: the file.
        config: the architecture.
        activation: if given, overrides the architecture's.

    Raises:
        WeightsError: a configuration file cannot be read, or is that of another architecture.
    """
    path = weights.with_name(HUGGING_FACE)
    if path.is_file():
        for key, (value, expected) in _settings(read(path), config).items():
            expect(path, key, value, expected, "backbone")
    described = with_pixels(weights.with_name(HUGGING_FACE_PIXELS), config)
    return replace(described, activation=activation or config.activation)


def _settings(card: Mapping[str, object], config: ClipConfig) -> dict[str, tuple[object, object]]:
    """What the file says and the architecture has, by key; keys that are left out have the defaults of transformers."""
    vision, is_v3 = config.vision, config.vision.rotary_base is not None
    kind = "dinov3_vit" if is_v3 else "dinov2_with_registers" if vision.registers else "dinov2"
    gated, epsilon = ("use_gated_mlp", 1e-5) if is_v3 else ("use_swiglu_ffn", 1e-6)
    settings = {
        "model_type": (card.get("model_type"), kind),
        "num_attention_heads": (card.get("num_attention_heads", 6 if is_v3 else 12), vision.heads),
        "hidden_act": (card.get("hidden_act", "gelu"), "gelu"),
        "layer_norm_eps": (card.get("layer_norm_eps", epsilon), vision.epsilon),
        gated: (card.get(gated, False), False),
    }
    return settings | ({"rope_theta": (card.get("rope_theta", 100.0), vision.rotary_base)} if is_v3 else {})
