"""A detector on disk: a folder with a JSON card that says how to make it again, and from which backbone."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zsad.backbones.config import Activation, PositionResize
from zsad.config import from_mapping
from zsad.errors import ConfigError, InputError
from zsad.files import write_atomically

CARD = "detector.json"


@dataclass(frozen=True)
class Card:
    """What a detector is made of; nothing of the machine that it runs on.

    Attributes:
        method: name of the method.
        options: fields of its configuration that differ from the paper's.
        backbone, weights, activation, position_resize: as :func:`zsad.load` takes them.
        image_size: side in px at which the method runs; ``None`` is what suits the backbone.
        threshold: score in [0, 1] from which a picture counts as anomalous.
        fingerprint: content hash of the backbone; another one is refused.
    """

    method: str
    options: dict[str, Any] = field(default_factory=dict)
    backbone: str = "tiny"
    weights: str | None = None
    activation: Activation | None = None
    position_resize: PositionResize | None = None
    image_size: int | None = None
    threshold: float = 0.5
    fingerprint: str | None = None


def write(card: Card, folder: Path) -> None:
    """Write the card into the folder, which is made where it does not exist.

    Raises:
        InputError: the folder cannot be made or written.
    """
    try:
        write_atomically(folder / CARD, (json.dumps(asdict(card), indent=2) + "\n").encode("utf-8"))
    except OSError as error:
        raise InputError("the folder of a detector must be writable", error, "choose another folder") from error


def read(folder: Path) -> Card:
    """Read a card.

    Raises:
        ConfigError: the folder has no card, or one with unknown, missing or wrong entries.
    """
    path = folder / CARD
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"a folder of a detector holds a readable {CARD}", error, "point at a saved detector"
        ) from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold an object", type(values).__name__, "point at a saved detector")
    return from_mapping(Card, values, str(path))
