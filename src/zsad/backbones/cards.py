"""What published weights say beside their tensors: activation and normalisation, which no tensor tells."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from zsad.backbones.config import Activation, ClipConfig
from zsad.documents import DocumentError, read_json_object
from zsad.errors import WeightsError

OPEN_CLIP, HUGGING_FACE, HUGGING_FACE_PIXELS = "open_clip_config.json", "config.json", "preprocessor_config.json"
FILES = (OPEN_CLIP, HUGGING_FACE, HUGGING_FACE_PIXELS)


def described(weights: Path, config: ClipConfig) -> ClipConfig:
    """The architecture with what the cards beside a file of weights say; where there are none, unchanged.

    Raises:
        WeightsError: a card cannot be read, or says what CLIP never had.
    """
    folder = weights.parent
    if weights.name.startswith("open_clip"):
        return _open_clip(folder / OPEN_CLIP, config)
    return _pixels(folder / HUGGING_FACE_PIXELS, _hugging_face(folder / HUGGING_FACE, config))


def _open_clip(path: Path, config: ClipConfig) -> ClipConfig:
    if not path.is_file():
        return config
    card = _read(path)
    model, pixels = _table(card, "model_cfg", path), _table(card, "preprocess_cfg", path)
    activation: Activation = "quick_gelu" if model.get("quick_gelu", False) else "gelu"
    return _normalised(replace(config, activation=activation), pixels, "mean", "std", path)


def _hugging_face(path: Path, config: ClipConfig) -> ClipConfig:
    if not path.is_file():
        return config
    # Hugging Face leaves out keys that equal its default, which is OpenAI's activation.
    name = _table(_read(path), "vision_config", path).get("hidden_act", "quick_gelu")
    if name not in ("quick_gelu", "gelu"):
        raise WeightsError("the activation of CLIP is quick_gelu or gelu", f"{name} in {path}", "use a CLIP checkpoint")
    return replace(config, activation="quick_gelu" if name == "quick_gelu" else "gelu")


def _pixels(path: Path, config: ClipConfig) -> ClipConfig:
    return _normalised(config, _read(path), "image_mean", "image_std", path) if path.is_file() else config


def _normalised(config: ClipConfig, card: Mapping[str, object], mean: str, std: str, path: Path) -> ClipConfig:
    return replace(config, mean=_channels(card, mean, config.mean, path), std=_channels(card, std, config.std, path))


def _channels(
    card: Mapping[str, object], key: str, default: tuple[float, float, float], path: Path
) -> tuple[float, float, float]:
    match card.get(key, default):
        case [int() | float() as red, int() | float() as green, int() | float() as blue]:
            return float(red), float(green), float(blue)
        case other:
            raise _wrong(path, f"{key} = {other}")


def _table(card: Mapping[str, object], key: str, path: Path) -> Mapping[str, object]:
    table = card.get(key, {})
    if not isinstance(table, Mapping):
        raise _wrong(path, f"{key} = {table}")
    return table


def _read(path: Path) -> Mapping[str, object]:
    try:
        return read_json_object(path)
    except (OSError, DocumentError) as error:
        raise _wrong(path, error) from error


def _wrong(path: Path, value: object) -> WeightsError:
    return WeightsError(f"{path} must be the configuration of a CLIP", value, "download it again")
