"""``ExportedDetector``: predictions from an exported graph, without PyTorch.

files, decoded ahead in threads -> resized as before export -> graph: map and score -> map at the size of the image
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import TypeVar, cast, overload

import numpy as np
from PIL import Image

from zsad.calibration import Calibration, Decision
from zsad.calibration.deciding import Deciding
from zsad.config import check_class_name
from zsad.data.decode import Source, decode
from zsad.data.reading import read_file
from zsad.data.resizing import to_array
from zsad.errors import ConfigError, InputError
from zsad.export import SUFFIXES
from zsad.export.card import ExportCard
from zsad.export.enlarging import resized
from zsad.export.sessions import LOADERS, Session, checked
from zsad.files import content_hash
from zsad.threads import helpers, in_order, readers
from zsad.types import DecodedImage, Failure, Identity, Prediction, Size

T = TypeVar("T")
Answer = tuple[DecodedImage, Prediction] | Failure
ANY = "object"
"""The class name that is used where none is given."""


class ExportedDetector(Deciding):
    """A detector in one file, ready to predict. Made by :func:`load`; answers as :class:`zsad.Detector` does.

    Attributes:
        card: what the file says of it.
        explanation: empty; that of a detector says what judged the images.
        scored_together: false; a detector may score images by one another.
        value_range: the samples that are black and white, of all images; may be set.
    """

    explanation, scored_together = "", False

    def __init__(self, card: ExportCard, session: Session, source: str, threshold: float | None = None) -> None:
        self.card, self._session, self._source = card, session, source
        self._threshold = card.threshold if threshold is None else threshold
        self._given_pixel_threshold = card.pixel_threshold
        self.memory_summary, self.value_range = card.memory, card.value_range

    def __repr__(self) -> str:
        return f"<ExportedDetector {self.name}: {self._source}>"

    @property
    def name(self) -> str:
        """For tables."""
        return self.card.name

    @property
    def image_size(self) -> int:
        """Side in px at which it runs."""
        return self.card.image_size

    @property
    def identity(self) -> Identity:
        """What it is and where it runs."""
        card = self.card
        return Identity(card.method, card.backbone, card.weights, card.image_size, card.precision, self._session.device)

    @property
    def fingerprint(self) -> str:
        """Content hash of all that decides scores and maps: of its files, and the range of samples."""
        file = Path(self._source)
        files = [file, file.with_suffix(".bin")] if file.suffix == SUFFIXES["openvino"] else [file]
        return sha256(repr((*map(content_hash, files), self.value_range)).encode()).hexdigest()

    @property
    def calibration(self) -> Calibration | None:
        """As the detector had it when it was exported."""
        return self.card.calibration

    @property
    def given_threshold(self) -> float | None:
        """Score in [0, 1] that was given as the threshold, here or before the export; None where none was."""
        return self._threshold

    def decision(self, class_name: str = ANY) -> Decision:
        """How images of a class are decided."""
        return super().decision(self._class(class_name))

    def calibration_warnings(self, class_name: str = ANY) -> list[str]:
        """Warnings about deciding on images of a class, in full sentences; mostly none."""
        return super().calibration_warnings(self._class(class_name))

    def memory_warnings(self, class_name: str = ANY) -> list[str]:
        """Warnings about scoring images with what it remembers, in full sentences; often none."""
        asked = self._class(class_name)
        if not self.card.memory or _plain(asked) == _plain(self.card.class_name):
            return list(self.card.warnings)
        return [f"{asked} is compared with what was remembered for {self.card.class_name}: {self.card.memory}."]

    @overload
    def predict(self, images: Source, class_name: str = ANY) -> Prediction: ...

    @overload
    def predict(self, images: list[Source], class_name: str = ANY) -> list[Prediction]: ...

    def predict(self, images: Source | list[Source], class_name: str = ANY) -> Prediction | list[Prediction]:
        """Score one image, or a list of images.

        Args:
            images: as :meth:`zsad.Detector.predict` takes them.
            class_name: what they show; by default what the detector was exported for.

        Raises:
            InputError: an image cannot be read, or its score is not finite.
            ConfigError: the detector was exported for another class.
        """
        if isinstance(images, str | os.PathLike | bytes | Image.Image | np.ndarray):
            return self.predict([images], class_name)[0]
        name = self._class(class_name)
        decoded = [decode(image, _name(image, number), self.value_range) for number, image in enumerate(images)]
        return [self._predicted(image, self._resized(image), name, None) for image in decoded]

    def stream(
        self,
        sources: Iterable[T],
        class_name: str = ANY,
        size: Size | None = None,
        progress: Callable[[int], None] | None = None,
        read: Callable[[T], DecodedImage | Failure] | None = None,
    ) -> Iterator[Answer]:
        """Score files one by one, in order; a file without a score gives a :class:`Failure`, and the rest goes on.

        Args:
            sources: paths, or what ``read`` takes.
            class_name: what they show; by default what the detector was exported for.
            size: (rows, cols) of all maps; by default each has the size of its image.
            progress: never called; that of a detector is, where files are compared with one another first.
            read: from a source to its image, called in threads; by default, files are decoded.

        Raises:
            ConfigError: the detector was exported for another class.
        """
        name, reading = self._class(class_name), cast(Callable[[T], DecodedImage | Failure], read or self.read)

        def prepare(source: T) -> tuple[DecodedImage | Failure, np.ndarray | None]:
            item = reading(source)
            return item, None if isinstance(item, Failure) else self._resized(item)

        with readers(helpers()) as pool:
            for item, pixels in in_order(pool, prepare, sources, helpers()):
                if isinstance(item, Failure) or pixels is None:
                    assert isinstance(item, Failure)
                    yield item
                    continue
                try:
                    yield item, self._predicted(item, pixels, name, size)
                except InputError as error:
                    yield Failure(item.source, str(error))

    def read(self, path: str | os.PathLike[str]) -> DecodedImage | Failure:
        """The image in a file as this detector takes it, or why there is none."""
        return read_file(path, self.value_range)

    def _resized(self, image: DecodedImage) -> np.ndarray:
        side = self.card.image_size
        return to_array([image], (side, side), (0, 0, 0), (1, 1, 1))  # the graph normalises

    def _predicted(self, image: DecodedImage, pixels: np.ndarray, class_name: str, size: Size | None) -> Prediction:
        maps, scores = checked(self._session(pixels), 1, self.card.image_size, self._source)
        decided, score = self.decision(class_name), float(scores[0])
        return Prediction(
            image.source,
            class_name,
            score,
            decided.threshold,
            resized(maps[0], size or image.size),
            decided.p_value(score) if math.isfinite(score) else None,
            decided.pixel_threshold,
            image,
        )

    def _class(self, class_name: str) -> str:
        """The class of the images, if this detector is for it.

        Raises:
            ConfigError: it was exported for another one, or the name is not text on one line.
        """
        asked, ours = check_class_name(class_name), self.card.class_name
        if _plain(asked) in (ANY, _plain(ours)):
            return ours
        if self.card.uses_class_names:
            rule = f"{self._source} scores images of the class that it was exported for, {ours}"
            raise ConfigError(rule, asked, f"leave out the class name, or export with --class-name {asked!r}")
        return asked


def load(
    path: str | os.PathLike[str],
    *,
    threshold: float | None = None,
    device: str = "auto",
    value_range: tuple[float, float] | None = None,
) -> ExportedDetector:
    """Load an exported detector.

    Args:
        path: of a file that ``zsad export`` or :func:`zsad.export.export` wrote.
        threshold: score in [0, 1] from which an image counts as anomalous; by default that of the detector.
        device: ``"auto"``, ``"cpu"`` or what the runtime of the format has.
        value_range: the samples that are black and white in all image files; by default those of the detector.

    Raises:
        InputError: the file does not exist, is damaged, or was not written by zsad.
        ConfigError: its suffix is of no format, or the threshold or the device does not fit.
        DependencyError: the runtime of its format is not installed.
    """
    file = Path(path)
    if file.suffix == SUFFIXES["pt2"]:
        rule = "an exported detector is read without running what is in its file"
        raise ConfigError(rule, f"{file}, of PyTorch", "export it with --format onnx, or run it with torch.export.load")
    if file.suffix not in LOADERS:
        rule = f"an exported detector is a file that ends in {', '.join(LOADERS)}"
        raise ConfigError(rule, str(file), "name one, or export a detector with zsad export")
    if threshold is not None and not 0 <= threshold <= 1:
        raise ConfigError("a threshold lies in [0, 1]", threshold, "give a number such as 0.5")
    card, session = LOADERS[file.suffix](file, device)
    detector = ExportedDetector(card, session, str(file), threshold)
    detector.value_range = value_range or detector.value_range
    return detector


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())


def _name(image: Source, number: int) -> str | None:
    return None if isinstance(image, str | os.PathLike) else f"image {number}"
