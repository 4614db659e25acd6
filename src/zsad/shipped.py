"""Heads: the detectors that the package brings, trained tensors of a method on an embedded backbone."""

import json
import shlex
from dataclasses import fields
from importlib.resources import as_file, files
from pathlib import Path

from zsad import methods
from zsad.backbones import config as architectures
from zsad.backbones.config import EMBEDDED
from zsad.checkpoint import CARD, Card, read
from zsad.config import from_mapping
from zsad.errors import ConfigError
from zsad.methods._base import Config


def head(method: str, backbone: str) -> Path:
    """The folder of the trained detector that the package brings for a method on the embedded weights of a backbone."""
    with as_file(files("zsad") / "assets" / backbone / "heads" / method) as folder:
        return folder


def heads(method: str) -> list[str]:
    """The architectures for which the package brings a trained detector of the method."""
    return [name for name in architectures.names() if (head(method, name) / CARD).is_file()]


def fitting_head(asked: Card) -> Path | None:
    """The trained detector of the package that has the requested configuration; ``None`` where there is none.

    Args:
        asked: the requested configuration. Trained detectors are for the embedded weights as they are. Image size,
            threshold and the options that all methods share (``sigma``) may differ, since they do not affect training;
            all other options must be those of the training.

    Raises:
        ConfigError: an option does not exist, or the card of the trained detector cannot be read.
    """
    folder = head(asked.method, asked.backbone)
    return folder if asked.backbone in heads(asked.method) and not _differences(asked, read(folder)) else None


def untrained(asked: Card) -> ConfigError:
    """The error for a method that is given by name and has to be trained first in the requested configuration."""
    if not issubclass(methods.get(asked.method), methods.Trainable):
        remedy = f"put trained detectors together: zsad {asked.method} DETECTOR ... --out DIR"
        rule = f"the members of the {asked.method} are trained before it is used"
        return ConfigError(rule, "their names alone", remedy)
    value = "the method's name alone"
    remedy = (
        f"run zsad train {asked.method}{_as_typed(asked)} --data LAYOUT:PATH --out DIR, then name DIR as the detector"
    )
    for backbone in heads(asked.method):
        differences = ", ".join(_differences(asked, read(head(asked.method, backbone))))
        value += f" (the trained one of the package differs in {differences})"
        remedy += f"; that of the package is for {backbone} with its {EMBEDDED} weights"
    return ConfigError(f"{asked.method} is trained before it is used", value, remedy)


def _as_typed(asked: Card) -> str:
    """The requested configuration as options of ``zsad train``."""
    words = [
        *(("--backbone", asked.backbone) if asked.backbone != Card.backbone else ()),
        *(("--weights", asked.weights) if asked.weights not in (None, EMBEDDED) else ()),
        *(("--activation", asked.activation) if asked.activation else ()),
        *(("--position-resize", asked.position_resize) if asked.position_resize else ()),
        *(word for key, value in asked.options.items() for word in ("--set", f"{key}={json.dumps(value)}")),
    ]
    return "".join(f" {shlex.quote(str(word))}" for word in words)


def _differences(asked: Card, of_head: Card) -> list[str]:
    """The parts of the requested configuration in which the trained detector differs."""
    differs = {
        "backbone": asked.backbone != of_head.backbone,
        "weights": asked.weights not in (None, EMBEDDED),
        "activation": asked.activation is not None,
        "position_resize": asked.position_resize is not None,
    }
    kind, what = methods.get(asked.method).config_type, f"the options of {asked.method}"
    ours, theirs = (from_mapping(kind, card.options, what) for card in (asked, of_head))
    shared = {field.name for field in fields(Config)}
    options = [name for name in sorted(asked.options.keys() - shared) if getattr(ours, name) != getattr(theirs, name)]
    return [*(name for name, is_other in differs.items() if is_other), *options]
