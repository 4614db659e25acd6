"""A detector on disk: a folder with a JSON card (its configuration), its trained tensors and its training record."""

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import save
from torch import Tensor

from zsad import methods
from zsad.backbones.config import Activation, PositionResize
from zsad.calibration import Calibration
from zsad.config import from_mapping
from zsad.documents import LIST_LIMIT, DocumentError, read_json_object, read_text
from zsad.errors import ConfigError, InputError, WeightsError
from zsad.files import flush, replacing, write_atomically
from zsad.locks import alone
from zsad.methods._base import Method
from zsad.methods._few_shot import FewShot
from zsad.registry import Origin
from zsad.tensors.reading import check_finite, read_safetensors
from zsad.wording import printable

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

    def __post_init__(self) -> None:
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
class _Memory:
    """The content of ``memory.json``."""

    OLDER_NAMES: ClassVar[Mapping[str, str]] = {"pictures": "images"}

    images: tuple[RememberedImage, ...]


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


def write(
    card: Card, method: Method, training_record: TrainingRecord, folder: Path, dtype: torch.dtype | None = None
) -> None:
    """Write card, trained tensors and the training record into the folder, which is made where it does not exist.

    All files are flushed to disk before any of them replaces an old one. The training record is replaced first and the
    card, which makes the folder loadable, last; meanwhile the card says that the detector is incomplete. After an
    interruption the folder holds the old detector, the new one, or one that is refused as incomplete.

    Args:
        card: the configuration.
        method: with the trained tensors.
        training_record: the images it was trained on or fitted to.
        folder: of the detector.
        dtype: type to which floating-point tensors are rounded; by default they are written as they are.

    Raises:
        InputError: the folder cannot be made or written, or has files of these names that are not a detector's.
        ConfigError: another process writes into the folder.
    """
    tensors = trained_state(method)
    if dtype is not None:
        tensors = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    memory, calibration = [asdict(image) for image in training_record.memory], training_record.calibration
    contents = {
        IMAGES: "".join(f"{content}\n" for content in training_record.images).encode(),
        TRAINING: _json(dict(training_record.training)) if training_record.training else b"",
        MEMORY: _json({"images": memory}) if memory else b"",
        CALIBRATION: _json(asdict(calibration)) if calibration else b"",
        TRAINED_STATE: save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}) if tensors else b"",
        CARD: _json(_entries(card)),
    }
    with alone(folder):
        try:
            _check_ours(folder)
            _replace(contents, folder)
        except OSError as error:
            raise InputError("the folder of a detector must be writable", error, "choose another folder") from error


def write_calibration(calibration: Calibration, folder: Path) -> None:
    """Calibrate a detector in its folder, whose other files stay: what an interruption leaves can always be loaded.

    The calibration replaces an earlier one, and then a threshold of the card.

    Args:
        calibration: of the detector as it is in the folder.
        folder: of the detector.

    Raises:
        ConfigError: there is no detector, or another process writes into the folder.
        InputError: the folder cannot be written.
    """
    with alone(folder):
        card = read(folder)
        try:
            write_atomically(folder / CALIBRATION, _json(asdict(calibration)), lasting=True)
            if card.threshold is not None:
                write_atomically(folder / CARD, _json(_entries(replace(card, threshold=None))), lasting=True)
        except OSError as error:
            raise InputError("the folder of a detector must be writable", error, "choose another folder") from error


def _entries(card: Card) -> dict[str, Any]:
    """The entries of the card's file; the origin of the method only where that is another package."""
    origin = methods.origin(card.method)
    entries = asdict(card if origin is None else replace(card, **asdict(origin)))
    left_out = ("package", "class_path") if origin is None else ()
    return {"format": FORMAT, **{key: value for key, value in entries.items() if key not in left_out}}


def _json(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=2) + "\n").encode("utf-8")


def _check_ours(folder: Path) -> None:
    """Refuse to replace files that are not a detector's. A detector has its card before any other file."""
    found = [name for name in FILES if file_of(folder, name).exists()]
    if found and not (CARD in found and _is_card(folder / CARD)):
        rule = "a detector replaces a detector and no other file"
        raise InputError(rule, f"{', '.join(found)} from elsewhere in {folder}", "choose another folder")


def _is_card(path: Path) -> bool:
    try:
        return bool(_object(path).keys() & {"method", UNFINISHED})
    except ConfigError:
        return False


def _replace(contents: Mapping[str, bytes], folder: Path) -> None:
    """Replace the files of a detector; those without content are removed."""
    with ExitStack() as stack:  # the last one that is entered is the first that takes its place
        for name in FILES:
            if contents[name]:
                staged = stack.enter_context(replacing(folder / name, lasting=True))
                staged.write_bytes(contents[name])
                flush(staged)
        older = [folder / name for name in OLDER_NAMES.values() if (folder / name).exists()]
        if older or any(_differs(folder / name, contents[name]) for name in (CARD, IMAGES, MEMORY)):
            write_atomically(folder / CARD, _json({UNFINISHED: "it was being saved"}), lasting=True)
        for path in (*older, *(folder / name for name, content in contents.items() if not content)):
            path.unlink(missing_ok=True)


def _differs(path: Path, content: bytes) -> bool:
    return (path.read_bytes() if path.exists() else b"") != content


def trained_state(method: Method) -> dict[str, Tensor]:
    """The tensors of a method that do not come from elsewhere, by name: trained parameters, and banks with entries."""
    empty = [name for name, bank in method.banks().items() if not len(bank)] if isinstance(method, FewShot) else []
    prefixes = tuple(f"{name}." for name in empty)
    return {name: tensor for name, tensor in _own_state(method).items() if not name.startswith(prefixes)}


def _own_state(method: Method) -> dict[str, Tensor]:
    """As :func:`trained_state`, with empty banks."""
    elsewhere = tuple(f"{child}." for child in method.foreign)
    return {name: tensor.detach() for name, tensor in method.state_dict().items() if not name.startswith(elsewhere)}


def state_fingerprint(name: str, method: Method, image_size: int, precision: str) -> str:
    """Content hash of all that decides the answers: method and its configuration, size, backbone, trained tensors.

    Args:
        name: of the method.
        method: with its trained tensors.
        image_size: side in px at which it runs.
        precision: in which it runs.
    """
    identity = [name, asdict(method.config), image_size, precision, method.fingerprint]
    digest = sha256(json.dumps(identity, sort_keys=True).encode())
    for tensor_name, tensor in sorted(trained_state(method).items()):
        content = tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        digest.update(f"{tensor_name} {tuple(tensor.shape)} {tensor.dtype}".encode() + content)
    return digest.hexdigest()


def load_trained_state(method: Method, folder: Path) -> None:
    """Load the trained tensors of a folder into a method, and convert them to the precision of the method.

    Raises:
        WeightsError: they are missing, unreadable, not finite, or of another type or shape than the method needs on
            this backbone.
    """
    path, wanted = file_of(folder, TRAINED_STATE), _own_state(method)
    remedy = "copy the folder again, or train again"
    if not wanted:
        return
    tensors = method.current_state(_read_tensors(path, remedy) if _is_needed(path, method, wanted) else {})
    if tensors.keys() != wanted.keys():
        odd = sorted(tensors.keys() ^ wanted.keys())
        raise WeightsError(f"{path} holds the tensors of its method", f"differences in {odd[:3]}", "check the options")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() != wanted[name].is_floating_point() or tensor.is_complex():
            raise WeightsError(f"{path} holds the tensors of its method", f"{name} of {tensor.dtype}", remedy)
    try:
        method.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise WeightsError(
            f"{path} fits the backbone and the options",
            str(error).splitlines()[-1].strip(" \t."),
            "name those it was made for, or train again",
        ) from error
    check_finite(trained_state(method), path, "train again, at a lower learning rate")


def _is_needed(path: Path, method: Method, wanted: Mapping[str, Tensor]) -> bool:
    """Whether a detector needs its file of tensors: an untrained one without a memory has none."""
    has_memory = (path.parent / MEMORY).exists()
    return os.path.lexists(path) or has_memory or method.current_state({}).keys() != wanted.keys()


def _read_tensors(path: Path, remedy: str) -> dict[str, Tensor]:
    try:
        return read_safetensors(path)[0]
    except WeightsError as error:
        raise WeightsError(f"{path} must be readable", error.value, remedy) from error


def read(folder: Path) -> Card:
    """Read a card.

    Raises:
        ConfigError: the folder has no card, or one with unknown, missing or wrong entries, or it is incomplete.
    """
    found = _object(folder / CARD)
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
        from_mapping(Calibration, _object(calibration), str(calibration)) if calibration.exists() else None,
    )


def _read_training(path: Path) -> dict[str, Any]:
    """How a detector was trained; checks the counts that :class:`TrainingRecord` relies on."""
    found = _object(path)
    counts = found.get("classes", {})
    if not isinstance(counts, dict) or not all(type(count) is int and count >= 0 for count in counts.values()):
        raise _unreadable(path, ValueError("classes are no numbers of images by name"))
    for name in ("seed", "epochs_done"):
        if type(found.get(name, 0)) is not int:
            raise _unreadable(path, ValueError(f"{name} is no whole number"))
    return found


def _read_memory(path: Path) -> tuple[RememberedImage, ...]:
    return from_mapping(_Memory, _object(path), str(path)).images if path.exists() else ()


def _object(path: Path) -> dict[str, Any]:
    try:
        return read_json_object(path, file_names=True)
    except (OSError, DocumentError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ConfigError:
    value = f"{path}: {error}"
    return ConfigError(f"a folder of a detector holds a readable {path.name}", value, "point at a saved detector")
