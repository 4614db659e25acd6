"""From a checkpoint that the authors' code saved to a detector on disk."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zsad import checkpoint, methods
from zsad.arguments import check_folder
from zsad.backbones import config as architectures
from zsad.backbones import weights as backbone_weights
from zsad.backbones.config import Activation, PositionResize, absolute_weights, image_size_for
from zsad.checkpoint import Card, TrainingRecord
from zsad.config import from_mapping
from zsad.errors import ConfigError, ImportRefused
from zsad.files import contents_hash
from zsad.methods import Method, PublishedDetector, Trainable
from zsad.tensors.reading import read_safetensors, read_saved

SUFFIXES = (".pt", ".pth", ".pyth", ".safetensors")
"""Of checkpoints in a folder."""


@dataclass(frozen=True)
class ImportSettings:
    """What is chosen at an import, as :func:`zsad.load` takes it; ``None`` is what the authors' code used.

    Attributes:
        backbone: name of an architecture.
        weights: by default the first published ones of the backbone, or the embedded ones.
        image_size: side in px.
        activation, position_resize: of the backbone.
        options: fields of the method's configuration that replace the inferred ones.
    """

    backbone: str | None = None
    weights: str | None = None
    image_size: int | None = None
    activation: Activation | None = None
    position_resize: PositionResize | None = None
    options: Mapping[str, Any] | None = None


def importable() -> list[str]:
    """Names of the methods of whose authors' checkpoints the form is known."""
    return [name for name, method in methods.available().items() if _reads(method)]


def import_detector(
    path: str | os.PathLike[str],
    method: str,
    folder: str | os.PathLike[str],
    settings: ImportSettings | None = None,
) -> Card:
    """Save the detector of a published checkpoint; the file is read as data, and no code in it runs.

    Args:
        path: file of the authors' training: an archive of PyTorch or safetensors; or a folder of the files of one
            training, where its code saves several.
        method: name of the method, one of :func:`importable`.
        folder: of the new detector.
        settings: see :class:`ImportSettings`.

    Returns:
        The card of the detector. Its training record says that it was imported, and from which file.

    Raises:
        ConfigError: no form of a checkpoint is known for the method, or a setting does not exist.
        ImportRefused: names or shapes are not those of that code, or do not fit the backbone.
        WeightsError: the file or the weights of the backbone cannot be read.
        InputError: the folder cannot be written.
    """
    method_type = methods.get(method)
    if not _reads(method_type):
        rule = f"the form of the authors' checkpoints is known for {', '.join(importable())}"
        raise ConfigError(rule, method, f"train it: zsad train {method}")
    assert issubclass(method_type, Trainable)
    path, settings = Path(path), settings or ImportSettings()
    image_size_for(settings.backbone or method_type.paper_backbone, settings.image_size)  # before the file is read
    files = _files(path)
    published = method_type.from_published(_joined(files))
    card = _card(method, method_type, published, settings)
    made = _filled(method_type, card, published.tensors)
    finished = replace(card, fingerprint=made.fingerprint, weights=absolute_weights(card.weights, card.backbone))
    source = {"imported": {"file": path.name, "content": contents_hash(files)}}
    checkpoint.write(finished, made, TrainingRecord(training=source), check_folder(folder))
    return finished


def _reads(method: type[Method]) -> bool:
    """Whether a method overrides the reader of its base."""
    return issubclass(method, Trainable) and method.from_published.__func__ is not Trainable.from_published.__func__  # type: ignore[attr-defined]  # of a class method


def _files(path: Path) -> list[Path]:
    """The file, or those in the folder that may be checkpoints."""
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.name[0] != ".")
    if not found:
        value = f"{path} without a file *{', *'.join(SUFFIXES)}"
        raise ImportRefused("a folder holds the files of one training", value, "name the file, or another folder")
    return found


def _joined(files: Sequence[Path]) -> Mapping[str, Any]:
    """The entries of all files; numbers, such as that of the epoch, may differ between them.

    Raises:
        ImportRefused: tensors are in two files under one name.
    """
    content: dict[str, Any] = {}
    homes: dict[str, Path] = {}
    for file in files:
        for key, value in _content(file).items():
            if key in homes and isinstance(value, Tensor | Mapping):
                rule = "each entry of a checkpoint is in one file of its folder"
                raise ImportRefused(rule, f"{key} in {homes[key].name} and {file.name}", "put one of them elsewhere")
            content[key], homes[key] = value, file
    return content


def _content(path: Path) -> Mapping[str, Any]:
    content = read_safetensors(path)[0] if path.suffix == ".safetensors" else read_saved(path)
    if isinstance(content, Tensor):
        return {"": content}
    if not isinstance(content, Mapping):
        value = f"a value of type {type(content).__name__} in {path}"
        raise ImportRefused(
            "a checkpoint holds tensors by name", value, "name the file that the authors' training saved"
        )
    return content


def _card(method: str, kind: type[Method], published: PublishedDetector, settings: ImportSettings) -> Card:
    """The configuration, without options that are the method's defaults."""
    backbone = settings.backbone or published.backbone
    options = published.options | dict(settings.options or {})
    config = asdict(from_mapping(kind.config_type, options, f"the options of {method}"))
    defaults = asdict(kind.config_type())
    chosen = {key: value for key, value in options.items() if config[key] != defaults[key]}
    image_size = image_size_for(backbone, settings.image_size or published.image_size)
    tags = [tag for tag in architectures.weight_names(backbone) if tag != architectures.RANDOM]
    weights = settings.weights or (tags[0] if tags else None)
    activation = settings.activation or published.activation
    position_resize = settings.position_resize or published.position_resize
    return Card(method, chosen, backbone, weights, activation, position_resize, image_size)


def _filled(kind: type[Method], card: Card, tensors: Mapping[str, Tensor]) -> Method:
    """The method with the trained tensors."""
    clip = backbone_weights.load(
        card.backbone, card.weights, activation=card.activation, position_resize=card.position_resize
    )
    made = kind(clip, from_mapping(kind.config_type, card.options, f"the options of {card.method}"))
    wanted = checkpoint.trained_state(made)
    rule, remedy = f"the checkpoint fits {card.method} on {card.backbone}", "name the backbone that it was trained on"
    if odd := sorted(wanted.keys() ^ tensors.keys()):
        raise ImportRefused(rule, f"differences in {', '.join(odd[:3])}", "leave the options as they are inferred")
    for name, tensor in wanted.items():
        if tensor.shape != tensors[name].shape:
            value = f"{name} of shape {tuple(tensors[name].shape)} where {tuple(tensor.shape)} is needed"
            raise ImportRefused(rule, value, remedy)
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(tensors[name])
    return made
