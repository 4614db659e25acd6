"""Where weights are: in the package, on disk as file, folder or shards, or on the hub."""

from dataclasses import dataclass, replace
from importlib.resources import as_file
from pathlib import Path

from zsad.backbones import cards, hub
from zsad.backbones import config as configs
from zsad.backbones.config import EMBEDDED, Activation, ClipConfig, embedded_weights
from zsad.backbones.reading import INDEX, shards
from zsad.errors import WeightsError, unknown_name

HUB_FILES = ("open_clip_model.safetensors", "model.safetensors", "open_clip_pytorch_model.bin", "pytorch_model.bin")
SHARDED = tuple(name + INDEX for name in HUB_FILES)
MERGES, TOKENIZER = "merges.txt.gz", "tokenizer.json"
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", INDEX)
OTHERS = (".h5", ".msgpack", ".onnx", ".gguf", ".tflite")
"""Weights of other frameworks."""


@dataclass(frozen=True)
class Source:
    """Weights found on this machine.

    Attributes:
        path: the file with the tensors, or the index of its shards.
        config: the architecture, with what these weights were trained with.
        tokenizer: ``tokenizer.json`` or merges where the weights bring them; CLIP's own where they do not.
        label: where the weights came from, for people.
    """

    path: Path
    config: ClipConfig
    tokenizer: Path | None
    label: str

    @property
    def files(self) -> list[Path]:
        """All files that the tensors come from."""
        if not self.path.name.endswith(INDEX):
            return [self.path]
        return [self.path, *(self.path.with_name(name) for name in sorted(set(shards(self.path).values())))]


def find(backbone: str, weights: str, activation: Activation | None = None) -> Source:
    """Locate weights: the embedded file, a path on disk, or the hub (downloaded once, then cached).

    Args:
        backbone: name of an architecture.
        weights: as :func:`zsad.backbones.weights.load` takes them.
        activation: wins over what is said beside the weights.
    """
    config = configs.get(backbone)
    if weights == EMBEDDED and embedded_weights(backbone).is_file():
        with as_file(embedded_weights(backbone)) as path:
            return Source(path, config, merges_beside(path), f"embedded ({config.about})")
    if weights in config.weights:
        known = config.weights[weights]
        used = replace(config, activation=known.activation, mean=known.mean, std=known.std)
        found = hub.ask(known.repo).first((HUB_FILES[0], HUB_FILES[2]))
        return Source(found, used, None, f"{weights} ({known.repo})")
    if Path(weights).exists():
        return _beside(_on_disk(Path(weights)), config, weights, activation)
    if weights.count("/") == 1 and not weights.endswith(SUFFIXES):
        return _beside(_on_hub(weights), config, weights, activation)
    if "/" in weights or weights.endswith(SUFFIXES):
        raise WeightsError("the weights must exist", weights, "give the path of a file or of a Hugging Face folder")
    raise unknown_name(f"set of weights for {backbone}", weights, configs.weight_names(backbone))


def _on_disk(path: Path) -> Path:
    """The file itself, or that of a folder."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise WeightsError("weights are a regular file or a folder", f"{path}, a pipe or device", "name a file")
    found = next((path / name for name in (*HUB_FILES, *SHARDED) if (path / name).is_file()), None)
    if found is None:
        raise WeightsError(f"a folder of weights holds one of {', '.join(HUB_FILES)}", *_instead(path))
    return found


def _instead(folder: Path) -> tuple[str, str]:
    """What a folder without weights of a known name holds, and what to do about it."""
    names = sorted(one.name for one in folder.iterdir())
    ours = [name for name in names if name.endswith(SUFFIXES)]
    theirs = [name for name in names if name.endswith(OTHERS)]
    if ours:
        some = " or ".join(str(folder / name) for name in ours[:3])
        return f"{folder} with {', '.join(ours[:3])}", f"name the file itself: --weights {some}"
    if theirs:
        return f"{folder} with {theirs[0]}, of another framework", "bring the weights for PyTorch"
    return f"{folder} without weights", "bring the weights and the .json files beside them into it"


def _beside(path: Path, config: ClipConfig, label: str, activation: Activation | None) -> Source:
    """Weights with the cards and the tokenizer that lie beside them."""
    tokenizer = path.with_name(TOKENIZER)
    found = tokenizer if tokenizer.is_file() else merges_beside(path)
    return Source(path, cards.described(path, config, activation), found, label)


def merges_beside(path: Path) -> Path | None:
    """The vocabulary that ``zsad pretrain`` leaves beside its weights."""
    merges = path.with_name(MERGES)
    return merges if merges.is_file() else None


def _on_hub(name: str) -> Path:
    """Weights of a repository, with their shards, and what says how they were trained."""
    repository = hub.ask(name)
    path = repository.first((*HUB_FILES, *SHARDED))
    if path.name.endswith(INDEX):
        for shard in sorted(set(shards(path).values())):
            if repository.fetch(shard) is None:
                raise hub.missing(repository, shard, repository.failure or f"no {shard} in the repository")
    beside = [repository.fetch(one) for one in (*cards.FILES, TOKENIZER)]
    if repository.files is None and not any(beside):
        # Weights would run under settings that nobody has checked.
        raise hub.missing(repository, "the .json files", repository.failure)
    return path
