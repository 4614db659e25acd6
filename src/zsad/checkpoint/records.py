"""What the folder of a detector holds: its files, the card, and the training record."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zsad.backbones.config import Activation, PositionResize
from zsad.calibration import Calibration
from zsad.data.decoding.ranges import check_range
from zsad.errors import ConfigError
from zsad.tiling import Tiling

CARD, TRAINED_STATE = "detector.json", "trained_state.safetensors"
TRAINING, IMAGES, MEMORY = "training.json", "images.txt", "memory.json"
CALIBRATION = "calibration.json"
FILES = (CARD, TRAINED_STATE, CALIBRATION, MEMORY, TRAINING, IMAGES)
FORMAT = 2
"""Of cards, as their entry ``format`` says. Those of version 0.1.0 have no such entry, and a threshold of 0.5 where
none was chosen."""
UNFINISHED = "unfinished"
"""The key of a card while the other files are being replaced."""
OLDER_NAMES = {TRAINED_STATE: "learnt.safetensors", IMAGES: "pictures.txt"}
"""Names of files in version 0.1.0; the folders that it wrote can be read."""


NEWER = ("value_range", "tiling")
"""Entries of cards that older versions do not know; left out where they say nothing."""


@dataclass(frozen=True)
class Card:
    """The configuration of a detector; nothing of the machine that it runs on.

    Attributes:
        method: name of the method.
        options: fields of its configuration that differ from the paper's.
        backbone, weights, activation, position_resize: as :func:`zsad.load` takes them.
        image_size: side in px at which the method runs; ``None`` is what suits the backbone.
        threshold: score in [0, 1] from which an image counts as anomalous; ``None`` where none was chosen.
        fingerprint: content hash of the backbone, and of all else that is not trained; another one is refused.
        value_range: the samples that are black and white, of all images; ``None`` is that of each file.
        tiling: how images are cut into tiles; ``None`` scores them whole.
        package, class_path: of a method that is not one of zsad: the distribution that offers it (empty for one that a
            program registered) and ``module:Class``. Nothing is imported by these; they are compared.
    """

    method: str
    options: dict[str, Any] = field(default_factory=dict)
    backbone: str = "tiny"
    weights: str | None = None
    activation: Activation | None = None
    position_resize: PositionResize | None = None
    image_size: int | None = None
    threshold: float | None = None
    fingerprint: str | None = None
    package: str | None = None
    class_path: str | None = None
    value_range: tuple[float, float] | None = None
    tiling: tuple[int, int, float] | None = None

    def __post_init__(self) -> None:
        if self.tiling is not None:
            object.__setattr__(self, "tiling", Tiling(*self.tiling).checked())
        if self.value_range is not None:
            check_range(self.value_range)
            low, high = self.value_range
            object.__setattr__(self, "value_range", (float(low), float(high)))
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ConfigError("a threshold lies in [0, 1]", self.threshold, "give a number such as 0.5")


@dataclass(frozen=True)
class RememberedImage:
    """An image in the memory bank of a detector.

    Attributes:
        class_name: what it shows, in plain English; empty where none was given.
        content: SHA-256 of the file; empty for pixels in memory.
        patches: its entries in the memory bank, at each level; 0 where a method kept none of them.
        is_normal: whether it is known to be normal; unlabelled images are not.
    """

    class_name: str
    content: str
    patches: int
    is_normal: bool = True


@dataclass(frozen=True)
class TrainingRecord:
    """The images that a detector was trained on, fitted to or calibrated on, kept with it: they are refused as tests.

    Attributes:
        images: SHA-256 of each file that it was trained on or that is in its memory bank.
        training: how it was trained; empty where it was not.
        memory: the images in its memory bank, in order.
        calibration: its thresholds, with the images that they were found on; None where it is not calibrated.
    """

    images: tuple[str, ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    memory: tuple[RememberedImage, ...] = ()
    calibration: Calibration | None = None

    @property
    def seen(self) -> tuple[str, ...]:
        """SHA-256 of each file that is no test image of this detector."""
        return tuple(dict.fromkeys([*self.images, *(self.calibration.images if self.calibration else ())]))

    @property
    def is_on_record(self) -> bool:
        """Whether the training images are recorded, as many as there were; true for a detector without training."""
        return not self.training or 0 < sum(self.training.get("classes", {}).values()) <= len(self.images)


def file_of(folder: Path, name: str) -> Path:
    """The path of a file of a detector; under its older name where only that exists."""
    older = folder / OLDER_NAMES.get(name, name)
    return older if older.exists() and not (folder / name).exists() else folder / name
