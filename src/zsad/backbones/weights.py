"""From a name, a path or a hub repository to a frozen Clip."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path

import torch
from torch import Tensor

from zsad.backbones import cards, hub, stem
from zsad.backbones import config as configs
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
from zsad.backbones.prompt_cache import cache_dir
from zsad.backbones.reading import read_state
from zsad.backbones.tokenizer import Tokenizer
from zsad.backbones.undrawn import Undrawn
from zsad.errors import WeightsError, unknown_name
from zsad.files import write_atomically

HUB_FILES = ("open_clip_model.safetensors", "model.safetensors", "open_clip_pytorch_model.bin", "pytorch_model.bin")
MERGES = "merges.txt.gz"
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")


@dataclass(frozen=True)
class Source:
    """Weights found on this machine.

    Attributes:
        path: the file with the tensors.
        config: the architecture, with what these weights were trained with.
        tokenizer: ``tokenizer.json`` or merges where the weights bring them; CLIP's own where they do not.
        label: where the weights came from, for people.
    """

    path: Path
    config: ClipConfig
    tokenizer: Path | None
    label: str


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
            Hugging Face; ``.pt .pth .bin .safetensors``), a Hugging Face folder, a hub repository
            (``"owner/name"``), or ``"random"``; where not given, the only one that there is.
        activation: overrides what the weights are known to have been trained with.
        position_resize: how the position table is resized to other grids.

    Raises:
        ConfigError: an unknown name.
        WeightsError: weights that are missing, unreadable or of another architecture.
    """
    config = configs.get(backbone)
    tag = weights or _only_choice(backbone, config)
    if tag == RANDOM:
        return _random(backbone, config.with_options(activation, position_resize))
    source = find(backbone, tag)
    options = source.config.with_options(activation, position_resize)
    with Undrawn():  # every tensor comes from the file
        clip = Clip(backbone, options, _tokenizer(options, source.tokenizer))
    _fill(clip, read_state(source.path), source.path)
    return clip.freeze(source.label, _fingerprint(source, options))


def find(backbone: str, weights: str) -> Source:
    """Locate weights: the embedded file, a path on disk, or the hub (downloaded once, then cached)."""
    config = configs.get(backbone)
    if weights == EMBEDDED and embedded_weights(backbone).is_file():
        with as_file(embedded_weights(backbone)) as path:
            return Source(path, config, _merges_beside(path), f"embedded ({config.about})")
    if weights in config.weights:
        known = config.weights[weights]
        used = replace(config, activation=known.activation, mean=known.mean, std=known.std)
        return Source(hub.weights(known.repo, (HUB_FILES[0], HUB_FILES[2])), used, None, f"{weights} ({known.repo})")
    if Path(weights).exists():
        return _on_disk(Path(weights), config)
    if weights.count("/") == 1 and not weights.endswith(SUFFIXES):
        return _on_hub(weights, config)
    if "/" in weights or weights.endswith(SUFFIXES):
        raise WeightsError("the weights must exist", weights, "give the path of a file or of a Hugging Face folder")
    raise unknown_name(f"set of weights for {backbone}", weights, configs.weight_names(backbone))


def _only_choice(backbone: str, config: ClipConfig) -> str:
    if embedded_weights(backbone).is_file():
        return EMBEDDED
    raise WeightsError(
        f"{backbone} needs weights to be named",
        "none",
        f"say --weights {' or '.join(config.weights) or 'PATH'}, or the path of a checkpoint",
    )


def _on_disk(path: Path, config: ClipConfig) -> Source:
    if path.is_file():
        return Source(path, config, _merges_beside(path), str(path))
    found = next((path / name for name in HUB_FILES if (path / name).is_file()), None)
    if found is None:
        raise WeightsError(f"a folder of weights holds one of {', '.join(HUB_FILES)}", path, "name the file itself")
    return _beside(found, config, str(path))


def _beside(path: Path, config: ClipConfig, label: str) -> Source:
    """Weights with the cards and the tokenizer that lie beside them."""
    tokenizer = path.with_name("tokenizer.json")
    found = tokenizer if tokenizer.is_file() else _merges_beside(path)
    return Source(path, cards.described(path, config), found, label)


def _merges_beside(path: Path) -> Path | None:
    """The vocabulary that ``zsad pretrain`` leaves beside its weights."""
    merges = path.with_name(MERGES)
    return merges if merges.is_file() else None


def _on_hub(repo: str, config: ClipConfig) -> Source:
    path = hub.weights(repo, HUB_FILES)
    hub.companions(repo, (*cards.FILES, "tokenizer.json"), path)
    return _beside(path, config, repo)


def _tokenizer(config: ClipConfig, path: Path | None) -> Tokenizer:
    """CLIP's own tokenizer, or the one that came with the weights."""
    if path is None:
        with as_file(files("zsad.backbones") / "clip_merges.txt.gz") as own:
            return _tokenizer(config, own)
    read = Tokenizer.from_merges if path.suffix == ".gz" else Tokenizer.from_tokenizer_json
    return _fitting(read(path, config.text.context), config, path)


def _fitting(tokenizer: Tokenizer, config: ClipConfig, path: Path) -> Tokenizer:
    if len(tokenizer) > config.text.vocabulary:
        raise WeightsError(
            f"{path} has at most the {config.text.vocabulary} tokens of the text tower",
            len(tokenizer),
            "use the tokenizer that came with these weights",
        )
    return tokenizer


def _fill(clip: Clip, state: Mapping[str, Tensor], path: Path) -> None:
    expected = clip.state_dict()
    missing, extra = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    wrong = [name for name in expected if name in state and expected[name].shape != state[name].shape]
    if missing or extra or wrong:
        raise WeightsError(
            f"{path} must hold weights of {clip.name}",
            _difference(expected, state, missing, extra, wrong),
            _remedy(state, clip.name),
        )
    clip.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)


def _difference(
    expected: Mapping[str, Tensor], state: Mapping[str, Tensor], missing: list[str], extra: list[str], wrong: list[str]
) -> str:
    if wrong:
        return f"{wrong[0]} of shape {tuple(state[wrong[0]].shape)} where {tuple(expected[wrong[0]].shape)} is expected"
    return f"{len(missing)} missing tensors, {len(extra)} too many (first: {(missing + extra)[0]})"


def _remedy(state: Mapping[str, Tensor], asked: str) -> str:
    """Name the other architectures that the tensors do fit."""
    fitting = [name for name in configs.names() if name != asked and _fits(configs.get(name), state)]
    return f"say --backbone {' or '.join(fitting)}" if fitting else "check that the download is whole"


def _fits(config: ClipConfig, state: Mapping[str, Tensor]) -> bool:
    """Whether the tensors that tell architectures apart have the shapes of this one."""
    vision, text = config.vision, config.text
    shapes = {
        **_stem_shape(vision),
        "vision.position_embedding": (vision.grid**2 + 1, vision.width),
        "vision.projection": (vision.width, config.embed),
        "text.token_embedding.weight": (text.vocabulary, text.width),
        f"vision.transformer.blocks.{vision.depth - 1}.norm_1.weight": (vision.width,),
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
            clip = Clip(backbone, config, _tokenizer(config, _merges_beside(path)))
    return clip.freeze(
        "random (untrained; for tests and timing only)", f"random {torch.__version__} {_identity(config)}"
    )


def _fingerprint(source: Source, config: ClipConfig) -> str:
    """Content hash of the weights file, its tokenizer and the configuration."""
    parts = [file_hash(source.path), _identity(config), file_hash(source.tokenizer) if source.tokenizer else ""]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _identity(config: ClipConfig) -> str:
    """What of a configuration changes a feature; not what is only said of it."""
    names = ("embed", "activation", "vision", "text", "position_resize", "mean", "std")
    return repr([getattr(config, name) for name in names])


def file_hash(path: Path) -> str:
    """SHA-256 of a file, remembered by path, size and time of change so that gigabytes are hashed once."""
    status = path.stat()
    identity = hashlib.sha256(f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}".encode()).hexdigest()
    memo = cache_dir() / "hashes" / identity
    with suppress(OSError, UnicodeDecodeError):
        if len(known := memo.read_text(encoding="ascii")) == hashlib.sha256().digest_size * 2:
            return known
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with suppress(OSError):
        write_atomically(memo, digest.encode("ascii"))
    return digest
