"""Reading the card and the training record of a detector, and the method that the card names."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from zsad import methods
from zsad.calibration import Calibration
from zsad.checkpoint.records import (
    CALIBRATION,
    CARD,
    FORMAT,
    IMAGES,
    MEMORY,
    TRAINING,
    UNFINISHED,
    Card,
    RememberedImage,
    TrainingRecord,
    file_of,
)
from zsad.config import from_mapping
from zsad.documents import LIST_LIMIT, DocumentError, read_json_object, read_text
from zsad.errors import ConfigError
from zsad.methods._base import Method
from zsad.registry import Origin
from zsad.wording import printable


@dataclass(frozen=True)
class _Memory:
    """The content of ``memory.json``."""

    OLDER_NAMES: ClassVar[Mapping[str, str]] = {"pictures": "images"}

    images: tuple[RememberedImage, ...]


def read(folder: Path) -> Card:
    """Read a card.

    Raises:
        ConfigError: the folder has no card, or one with unknown, missing or wrong entries, or it is incomplete.
    """
    found = json_object(folder / CARD)
    if UNFINISHED in found:
        raise ConfigError(
            "a detector is saved as a whole",
            f"{folder}, where saving was cut off",
            "give the command again that saved it",
        )
    return from_mapping(Card, _of_this_format(found, folder / CARD), str(folder / CARD))


def _of_this_format(entries: dict[str, Any], path: Path) -> dict[str, Any]:
    """The entries of a card as this version would write them, without that of the format."""
    written = entries.get("format", 1)
    if type(written) is not int or not 1 <= written <= FORMAT:
        value = f"format {written!r} in {path}"
        raise ConfigError(f"a detector has a format of at most {FORMAT}", value, "install the version that saved it")
    never_chosen = written == 1 and entries.get("threshold") == 0.5
    return {
        key: None if key == "threshold" and never_chosen else value for key, value in entries.items() if key != "format"
    }


def method_of(card: Card) -> type[Method]:
    """The method that a card names, of zsad, of an installed package, or registered: never one that only a card names.

    Raises:
        ConfigError: it is not there, or is another one of the same name.
    """
    origin, recorded = methods.origin(card.method), _Recorded(card)
    if card.class_path is None or (origin is not None and recorded.is_of(origin)):
        return methods.get(card.method)
    if card.method in methods.names():
        found = "zsad" if origin is None else origin.package or origin.class_path
        rule = f"the method {card.method!r} of this detector is that of {recorded}"
        raise ConfigError(rule, f"that of {found}", f"{recorded.remedy}, and no other method of this name")
    raise ConfigError("the method of a detector is installed", f"{card.method!r} of {recorded}", recorded.remedy)


@dataclass(frozen=True)
class _Recorded:
    """Where a card says that its method comes from."""

    card: Card

    def __str__(self) -> str:
        path = printable(str(self.card.class_path))
        return f"the package {printable(self.card.package)} ({path})" if self.card.package else path

    @property
    def remedy(self) -> str:
        if self.card.package:
            return f"install the package {printable(self.card.package)}, if you trust it"
        return "run what defines it, and zsad.register(...) with the class, before loading"

    def is_of(self, origin: Origin) -> bool:
        """A package may move its modules; a program may be run as a script or imported."""
        if origin.package or self.card.package:
            return origin.package == self.card.package
        return origin.class_path.partition(":")[2] == str(self.card.class_path).partition(":")[2]


def read_training_record(folder: Path) -> TrainingRecord:
    """Read the training record of a detector; empty where there is none.

    Raises:
        ConfigError: a file of it cannot be read.
    """
    images, training = file_of(folder, IMAGES), folder / TRAINING
    calibration = folder / CALIBRATION
    try:
        known = tuple(read_text(images, LIST_LIMIT).split()) if images.exists() else ()
    except (OSError, DocumentError) as error:
        raise _unreadable(images, error) from error
    return TrainingRecord(
        known,
        _read_training(training) if training.exists() else {},
        _read_memory(folder / MEMORY),
        from_mapping(Calibration, json_object(calibration), str(calibration)) if calibration.exists() else None,
    )


def _read_training(path: Path) -> dict[str, Any]:
    """How a detector was trained; checks the counts that :class:`TrainingRecord` relies on."""
    found = json_object(path)
    counts = found.get("classes", {})
    if not isinstance(counts, dict) or not all(type(count) is int and count >= 0 for count in counts.values()):
        raise _unreadable(path, ValueError("classes are no numbers of images by name"))
    for name in ("seed", "epochs_done"):
        if type(found.get(name, 0)) is not int:
            raise _unreadable(path, ValueError(f"{name} is no whole number"))
    return found


def _read_memory(path: Path) -> tuple[RememberedImage, ...]:
    return from_mapping(_Memory, json_object(path), str(path)).images if path.exists() else ()


def json_object(path: Path) -> dict[str, Any]:
    """The content of a file of a detector.

    Raises:
        ConfigError: it cannot be read, or is no object.
    """
    try:
        return read_json_object(path, file_names=True)
    except (OSError, DocumentError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ConfigError:
    value = f"{path}: {error}"
    return ConfigError(f"a folder of a detector holds a readable {path.name}", value, "point at a saved detector")
