"""From a name, a path or a hub repository to a frozen Clip."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zsad.backbones import config as configs
from zsad.backbones import stem
from zsad.backbones.clip import Clip
from zsad.backbones.config import (
    EMBEDDED,
    RANDOM,
    Activation,
    ClipConfig,
    PositionResize,
    VisionConfig,
    embedded_weights,
)
from zsad.backbones.state_dicts import read_state
from zsad.backbones.tokenizer import Tokenizer
from zsad.backbones.weight_files import Source, file_hash, locate, merges_beside
from zsad.errors import WeightsError
from zsad.tensors.reading import check_finite


def load(
    backbone: str = "tiny",
    weights: str | None = None,
    *,
    activation: Activation | None = None,
    position_resize: PositionResize | None = None,
) -> Clip:
    """A frozen Clip in fp32 on the CPU.

    Args:
        backbone: name of an architecture (``zsad backbones`` lists them).
        weights: a published tag of that architecture (``"openai"``), a file (OpenAI's archive, open_clip,
            Hugging Face; ``.pt .pth .bin .safetensors``, or the index of shards), a Hugging Face folder, a hub
            repository (``"owner/name"``), or ``"random"``; the only choice if None. Configuration
            and tokenizer files next to a file are used as in a folder.
        activation: overrides the activation that the weights are known to be trained with.
        position_resize: how position embeddings are resized to other grids.

    Raises:
        ConfigError: an unknown name.
        WeightsError: weights that are missing, unreadable, not finite or of another architecture.
    """
    config = configs.get(backbone)
    tag = weights or _only_choice(backbone, config)
    if tag == RANDOM:
        return _random(backbone, config.with_options(activation, position_resize))
    source = locate(backbone, tag, activation)
    options = source.config.with_options(activation, position_resize)
    tokenizer = _tokenizer(options, source.tokenizer) if options.has_text else None
    with SkipInit():  # every tensor comes from the file
        clip = Clip(backbone, options, tokenizer)
    _fill(clip, read_state(source.path, vision_only=not options.has_text), source.path)
    return clip.freeze(source.label, _fingerprint(source, options))


def _only_choice(backbone: str, config: ClipConfig) -> str:
    if embedded_weights(backbone).is_file():
        return EMBEDDED
    raise WeightsError(
        f"{backbone} needs weights to be named",
        "none",
        f"use --weights {' or '.join(config.weights) or 'PATH'}, or the path of a checkpoint",
    )


def _tokenizer(config: ClipConfig, path: Path | None) -> Tokenizer:
    """CLIP's own tokenizer, or that of the weights."""
    if path is None:
        own = files("zsad.backbones") / "clip_merges.txt.gz"
        return _fitting(_own_tokenizer(config.text.context), config, Path(str(own)))
    read = Tokenizer.from_merges if path.suffix == ".gz" else Tokenizer.from_tokenizer_json
    return _fitting(read(path, config.text.context), config, path)


@lru_cache(maxsize=4)
def _own_tokenizer(context: int) -> Tokenizer:
    """Read once: detectors share it."""
    return Tokenizer.from_merges(files("zsad.backbones") / "clip_merges.txt.gz", context)


def _fitting(tokenizer: Tokenizer, config: ClipConfig, path: Path) -> Tokenizer:
    if len(tokenizer) > config.text.vocabulary:
        raise WeightsError(
            f"{path} has at most the {config.text.vocabulary} tokens of the text tower",
            len(tokenizer),
            "use the tokenizer that came with these weights",
        )
    return tokenizer


COMPUTED = ("vision.transformer.periods",)
"""Tensors that not all weights have, since they follow from the configuration."""


def _fill(clip: Clip, state: Mapping[str, Tensor], path: Path) -> None:
    expected = clip.state_dict()
    state = {**{name: expected[name] for name in COMPUTED if name in expected}, **state}
    missing, extra = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    wrong = [name for name in expected if name in state and expected[name].shape != state[name].shape]
    if missing or extra or wrong:
        raise WeightsError(
            f"{path} must hold weights of {clip.name}",
            _difference(expected, state, missing, extra, wrong),
            _remedy(state, clip.name),
        )
    numbers = {name: tensor.float() for name, tensor in state.items()}
    check_finite(numbers, path, "train again, or take an earlier checkpoint")
    clip.load_state_dict(numbers, assign=True)


def _difference(
    expected: Mapping[str, Tensor], state: Mapping[str, Tensor], missing: list[str], extra: list[str], wrong: list[str]
) -> str:
    if wrong:
        return f"{wrong[0]} of shape {tuple(state[wrong[0]].shape)} where {tuple(expected[wrong[0]].shape)} is expected"
    return f"{len(missing)} missing tensors, {len(extra)} too many (first: {(missing + extra)[0]})"


def _remedy(state: Mapping[str, Tensor], asked: str) -> str:
    """Name other architectures that fit the tensors."""
    fitting = [name for name in configs.names() if name != asked and _fits(configs.get(name), state)]
    return f"use --backbone {' or '.join(fitting)}" if fitting else "check that the download is whole"


def _fits(config: ClipConfig, state: Mapping[str, Tensor]) -> bool:
    """Whether the tensors that distinguish architectures have the shapes of this one."""
    vision, text = config.vision, config.text
    shapes = {
        **_stem_shape(vision),
        f"vision.transformer.blocks.{vision.depth - 1}.norm_1.weight": (vision.width,),
    }
    if vision.rotary_base is None:
        shapes["vision.position_embedding"] = (vision.grid**2 + 1, vision.width)
    if vision.layer_scale:
        shapes["vision.transformer.blocks.0.scale_1"] = (vision.width,)
    if vision.registers:
        shapes["vision.registers"] = (vision.registers, vision.width)
    if config.has_text:
        shapes |= {
            "vision.projection": (vision.width, config.embed),
            "text.token_embedding.weight": (text.vocabulary, text.width),
            f"text.transformer.blocks.{text.depth - 1}.norm_1.weight": (text.width,),
        }
    return all(name in state and tuple(state[name].shape) == shape for name, shape in shapes.items())


def _stem_shape(vision: VisionConfig) -> dict[str, tuple[int, ...]]:
    if vision.stem == "patches":
        return {"vision.patch_embedding.weight": (vision.width, 3, vision.patch, vision.patch)}
    return {"vision.patch_embedding.projection.weight": (vision.width, stem.CHANNELS, 1, 1)}


def _random(backbone: str, config: ClipConfig) -> Clip:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        with as_file(embedded_weights(backbone)) as path:
            merges = merges_beside(path)
            clip = Clip(backbone, config, _tokenizer(config, merges) if config.has_text else None)
    vocabulary = f" {file_hash(merges)}" if merges else ""
    return clip.freeze(
        "random (untrained; for tests and timing only)", f"random {torch.__version__} {_identity(config)}{vocabulary}"
    )


def _fingerprint(source: Source, config: ClipConfig) -> str:
    """Content hash of the weights, their tokenizer and the configuration."""
    files = "".join(file_hash(path) for path in source.files)
    parts = [files, _identity(config), file_hash(source.tokenizer) if source.tokenizer else ""]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _identity(config: ClipConfig) -> str:
    """The part of a configuration that changes features, without descriptions."""
    names = ("embed", "activation", "vision", "text", "position_resize", "mean", "std")
    added = config.vision.additions
    return repr([getattr(config, name) for name in names]) + (repr(added) if added else "")


DRAWS = (Tensor.normal_, Tensor.uniform_, nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_)


class SkipInit(TorchFunctionMode):
    """A context in which weights of new layers are allocated on the CPU without being initialised.

    The meta device is not used: there PyTorch runs random initialisations and products through ``torch._dynamo``, whose
    import takes a second.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func in DRAWS:
            return args[0] if args else given["tensor"]
        return (torch.empty if func is torch.randn else func)(*args, **given)
