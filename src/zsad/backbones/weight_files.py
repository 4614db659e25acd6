"""Where weights are: in the package, on disk as file, folder or shards, or on the hub; and hashes of their content."""

import hashlib
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.resources import as_file
from pathlib import Path

from zsad.backbones import cards, vision_cards
from zsad.backbones import config as configs
from zsad.backbones.config import EMBEDDED, Activation, ClipConfig, embedded_weights
from zsad.backbones.prompt_cache import cache_dir, trim
from zsad.backbones.state_dicts import INDEX, shards
from zsad.errors import WeightsError, unknown_name
from zsad.files import write_atomically

SECONDS = 10.0
"""Timeout of the one request to the hub; after it only the cache is used."""


@dataclass(frozen=True)
class Repository:
    """A repository of the hub.

    Attributes:
        name: ``"owner/name"``.
        files: its files; ``None`` where the request failed, with the reason in ``failure``.
    """

    name: str
    files: frozenset[str] | None
    failure: str = ""

    def fetch(self, file: str) -> Path | None:
        """The file, downloaded if it is not in the cache; ``None`` if the repository does not have it.

        Raises:
            WeightsError: the download fails.
        """
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        if self.files is not None and file not in self.files:
            return None
        try:
            return Path(hf_hub_download(self.name, file, etag_timeout=SECONDS, local_files_only=self.files is None))
        except LocalEntryNotFoundError as error:
            if self.files is None:
                return None
            raise missing_weights(self, file, _line(error)) from error
        except Exception as error:  # the client of the hub raises errors of several HTTP libraries
            raise missing_weights(self, file, _line(error)) from error

    def first(self, names: Sequence[str]) -> Path:
        """The first of the files that exists in the repository, or, without a connection, in its cache.

        Raises:
            WeightsError: none exists; the message says what to download and where to put it.
        """
        for name in names:
            if path := self.fetch(name):
                return path
        raise missing_weights(self, names[0], self.failure or f"none of {', '.join(names)} in the repository")


def list_repository(name: str) -> Repository:
    """The files of a repository, by one request without retries."""
    from huggingface_hub import HfApi

    try:
        listed = HfApi().model_info(name, timeout=SECONDS).siblings or []
    except Exception as error:  # as above
        return Repository(name, None, _line(error))
    return Repository(name, frozenset(sibling.rfilename for sibling in listed))


def missing_weights(repository: Repository, what: str, failure: str) -> WeightsError:
    """The error for a file neither in the repository nor in the cache, with the remedy."""
    repo, wanted = repository.name, what if what.endswith("files") else f"{what} and the .json files"
    return WeightsError(
        f"the weights of {repo} must be on this machine, downloadable or in the cache",
        failure,
        f"check the name; on a machine with a connection download {wanted} of huggingface.co/{repo}, "
        "copy them into one folder on this machine, and use --weights FOLDER",
    )


def _line(error: Exception) -> str:
    """The error of the client in one line."""
    from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled, RepositoryNotFoundError

    if isinstance(error, OfflineModeIsEnabled):
        return "no connection, for HF_HUB_OFFLINE is set"
    if isinstance(error, GatedRepoError):
        return "a repository whose terms have to be accepted on its page, by the account of HF_TOKEN"
    if isinstance(error, RepositoryNotFoundError):
        return "no such repository, or a private one"
    message = str(error).strip()
    return f"{type(error).__name__}: {message.splitlines()[0][:200]}" if message else type(error).__name__


HUB_FILES = ("open_clip_model.safetensors", "model.safetensors", "open_clip_pytorch_model.bin", "pytorch_model.bin")
OPEN_CLIP_FILES, HUGGING_FACE_FILES = HUB_FILES[::2], HUB_FILES[1::2]
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
        config: the architecture, with the settings of these weights.
        tokenizer: ``tokenizer.json`` or merges that come with the weights; None for CLIP's own.
        label: a description of where the weights came from.
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


def locate(backbone: str, weights: str, activation: Activation | None = None) -> Source:
    """Locate weights: the embedded file, a path on disk, or the hub (downloaded once, then cached).

    Args:
        backbone: name of an architecture.
        weights: as :func:`zsad.backbones.weights.load` takes them.
        activation: overrides the configuration files of the weights.
    """
    config = configs.get(backbone)
    if weights == EMBEDDED and embedded_weights(backbone).is_file():
        with as_file(embedded_weights(backbone)) as path:
            return Source(path, config, merges_beside(path), f"embedded ({config.about})")
    if weights in config.weights:
        known = config.weights[weights]
        used = replace(config, activation=known.activation, mean=known.mean, std=known.std)
        files = OPEN_CLIP_FILES if config.has_text else HUGGING_FACE_FILES
        downloaded = list_repository(known.repo).first(files)
        return Source(downloaded, used, None, f"{weights} ({known.repo})")
    if Path(weights).exists():
        return _with_configuration(_on_disk(Path(weights)), config, weights, activation)
    if weights.count("/") == 1 and not weights.endswith(SUFFIXES):
        return _with_configuration(_on_hub(weights), config, weights, activation)
    if "/" in weights or weights.endswith(SUFFIXES):
        raise WeightsError("the weights must exist", weights, "give the path of a file or of a Hugging Face folder")
    raise unknown_name(f"set of weights for {backbone}", weights, configs.weight_names(backbone))


def _on_disk(path: Path) -> Path:
    """The file itself, or the weights in a folder."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise WeightsError("weights are a regular file or a folder", f"{path}, a pipe or device", "name a file")
    file = next((path / name for name in (*HUB_FILES, *SHARDED) if (path / name).is_file()), None)
    if file is None:
        raise WeightsError(f"a folder of weights holds one of {', '.join(HUB_FILES)}", *_wrong_folder(path))
    return file


def _wrong_folder(folder: Path) -> tuple[str, str]:
    """Value and remedy for a folder without weights of a known name."""
    names = sorted(entry.name for entry in folder.iterdir())
    ours = [name for name in names if name.endswith(SUFFIXES)]
    theirs = [name for name in names if name.endswith(OTHERS)]
    if ours:
        examples = " or ".join(str(folder / name) for name in ours[:3])
        return f"{folder} with {', '.join(ours[:3])}", f"name the file itself: --weights {examples}"
    if theirs:
        return f"{folder} with {theirs[0]}, of another framework", "use the weights for PyTorch"
    return f"{folder} without weights", "copy the weights and their .json files into it"


def _with_configuration(path: Path, config: ClipConfig, label: str, activation: Activation | None) -> Source:
    """Weights with the configuration files and the tokenizer next to them."""
    tokenizer = path.with_name(TOKENIZER)
    if not config.has_text:
        return Source(path, vision_cards.described(path, config, activation), None, label)
    own_tokenizer = tokenizer if tokenizer.is_file() else merges_beside(path)
    return Source(path, cards.described(path, config, activation), own_tokenizer, label)


def merges_beside(path: Path) -> Path | None:
    """The vocabulary that ``zsad pretrain`` writes next to its weights."""
    merges = path.with_name(MERGES)
    return merges if merges.is_file() else None


def _on_hub(name: str) -> Path:
    """Weights of a repository, with their shards and configuration files."""
    repository = list_repository(name)
    path = repository.first((*HUB_FILES, *SHARDED))
    if path.name.endswith(INDEX):
        for shard in sorted(set(shards(path).values())):
            if repository.fetch(shard) is None:
                raise missing_weights(repository, shard, repository.failure or f"no {shard} in the repository")
    companions = [repository.fetch(file) for file in (*cards.FILES, TOKENIZER)]
    if repository.files is None and not any(companions):
        # The settings of the weights would be unchecked.
        raise missing_weights(repository, "the .json files", repository.failure)
    return path


SETTLED = 2 * 10**9
"""Nanoseconds for which a file must be unchanged before its hash is cached: clocks of file systems are coarse."""
ROOM = 16 * 10**6
"""Maximum bytes of all cached hashes."""


def file_hash(path: Path) -> str:
    """SHA-256 of a file, cached by path, device, inode, size, and modification and change times.

    Programs cannot set the change time: a file that replaces another one of equal size and modification time is hashed
    again.
    """
    status = path.stat()
    known = _cached_hash(memo := _memo(path, status))
    if known:
        return known
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if time.time_ns() - max(status.st_ctime_ns, status.st_mtime_ns) > SETTLED and _memo(path, path.stat()) == memo:
        with suppress(OSError):
            write_atomically(memo, _sealed(memo, digest).encode("ascii"))
            trim(memo.parent, ROOM)
    return digest


def _memo(path: Path, status: os.stat_result) -> Path:
    parts = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    identity = "\0".join([str(path.resolve()), *map(str, parts)]).encode("utf-8", "surrogateescape")
    return cache_dir() / "hashes" / hashlib.sha256(identity).hexdigest()


def _cached_hash(memo: Path) -> str | None:
    with suppress(OSError, UnicodeDecodeError):
        digest = memo.read_bytes()[:200].decode("ascii")
        if digest == _sealed(memo, digest[:64]):
            return digest[:64]
    return None


def _sealed(memo: Path, digest: str) -> str:
    """The hash with a checksum, so that damage is detected."""
    return digest + hashlib.sha256(f"{memo.name} {digest}".encode()).hexdigest()
