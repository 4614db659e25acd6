"""``zsad.load``: a detector by the name of its method or from its folder, on the backbone that fits it."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from zsad import calibrator, checkpoint, methods, shipped
from zsad.arguments import LoadArguments, check_detector, plain
from zsad.backbones import weights as backbone_weights
from zsad.backbones.config import EMBEDDED, FORMER, Activation, PositionResize, absolute_weights, image_size_for
from zsad.config import from_mapping
from zsad.errors import WeightsError, ZsadWarning
from zsad.methods._base import Config, Method
from zsad.methods._trainable import Trainable
from zsad.predictor import Detector
from zsad.runtime import Precision, RuntimeConfig
from zsad.tiling import Tiling

DEFAULT_DETECTOR = "auto"
SETTINGS = ("activation", "position_resize")
"""Settings of a backbone that its tensors do not determine."""


def load(
    detector: str | os.PathLike[str] | type[Method] = DEFAULT_DETECTOR,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    image_size: int | None = None,
    threshold: float | None = None,
    device: str = "auto",
    precision: Precision = "fp32",
    batch_size: int = 1,
    runtime: RuntimeConfig | None = None,
    activation: Activation | None = None,
    position_resize: PositionResize | None = None,
    options: dict[str, Any] | None = None,
    value_range: tuple[float, float] | None = None,
    tiling: Tiling | None = None,
) -> Detector:
    """Load a detector.

    Args:
        detector: name of a method (``zsad methods`` lists them), its class, or the folder of a saved detector, whose
            card then says what is not given below. Of methods that are trained the package brings one that was trained
            on the embedded backbone; a name stands for that one where nothing of the method or its backbone is changed.
        backbone: name of an architecture (``zsad backbones``). The default, ``"tiny"``, is embedded: small and
            project-trained, for trying out and for tests; real work names a real CLIP.
        weights: a published tag, a path or a hub repository, see :func:`zsad.backbones.weights.load`.
        image_size: side in px at which the method runs, rounded down to whole patches; by default what suits the
            backbone.
        threshold: score in [0, 1] from which an image counts as anomalous; by default that of the detector or
            of its calibration. Without one, images are ranked by score, and none is called normal or anomalous.
        device: ``"auto"`` takes a GPU where there is one.
        precision: ``"fp32"`` or ``"bf16"``.
        batch_size: images that go through the tower together.
        runtime: instead of these three, as one object.
        activation, position_resize: override what the weights were trained with.
        options: fields of the method's configuration, for instance ``{"sigma": 8.0}``; each replaces the card's.
        value_range: the samples that are black and white in all image files, for instance ``(0, 4095)`` for 12-bit
            data in 16-bit files; by default the range of each file's format and tags.
        tiling: cuts images into overlapping tiles, each scored as an image, for instance
            ``zsad.tiling.Tiling.of(518)``; by default images are scored whole.

    Raises:
        ConfigError, WeightsError: a name does not exist, or values or weights do not fit.
    """
    asked: dict[str, Any] = {
        "backbone": backbone,
        "weights": os.fspath(weights) if isinstance(weights, os.PathLike) else weights,
        "image_size": image_size,
        "threshold": threshold,
        "activation": activation,
        "position_resize": position_resize,
        "value_range": value_range,
        "tiling": tiling,
    }
    detector = check_detector(detector)
    given = {key: plain(value) for key, value in asked.items() if value is not None}
    others = {"device": str(device), "precision": precision, "batch_size": plain(batch_size), "options": options or {}}
    from_mapping(LoadArguments, given | others, "what is loaded")
    named = checkpoint.Card(os.fspath(detector), options or {}, **given)
    folder = Path(detector) if _is_folder(detector) else _head(named)
    saved = checkpoint.read(folder) if folder else named
    card = replace(saved, **given, options=saved.options | (options or {}))
    method_type = checkpoint.method_of(card)
    card, inner_folders = _with_inner_detectors(card, method_type, options or {})
    config = from_mapping(method_type.config_type, card.options, f"the options of {card.method}")
    image_size_for(card.backbone, card.image_size)  # what does not fit is said before the weights are read
    runtime = (runtime or RuntimeConfig(str(device), precision, int(plain(batch_size)))).resolved()
    method = _on_its_backbone(method_type, config, card)
    # What was trained or remembered on a backbone does not fit it under other settings, which are then a mistake.
    is_bound = checkpoint.trained_state(method) or (folder and checkpoint.read_training_record(folder).memory)
    swaps = {"backbone", "weights"} if is_bound else {"backbone", "weights", *SETTINGS}
    another = _is_folder(detector) and given.keys() & swaps
    if card.fingerprint not in (None, method.fingerprint) and not another:
        former = _on_former_weights(method_type, config, card)
        if former is None:
            raise _of_another_backbone(detector, given, method.clip.weights)
        _say_former(detector, card.backbone, former.clip.name)
        method, card = former, replace(card, backbone=former.clip.name)
    if folder:
        checkpoint.load_trained_state(method, folder)
    for name, inner in inner_folders.items():
        _load_inner(getattr(method, name), inner)
    if not folder and any(parameter.requires_grad for parameter in method.parameters()):
        raise shipped.untrained(named)
    kept = replace(card, fingerprint=method.fingerprint, weights=absolute_weights(card.weights, card.backbone))
    record = checkpoint.read_training_record(folder) if folder else checkpoint.TrainingRecord()
    for inner in inner_folders.values():
        record = _with_images_of(record, inner)
    loaded = Detector(kept, method, runtime, record, folder.resolve().name if folder else None)
    if loaded.calibration:
        loaded.training_record = calibrator.of_this_state(loaded.training_record, loaded.fingerprint, loaded.name)
    return loaded


def _with_inner_detectors(
    card: checkpoint.Card, method_type: type[Method], asked: Mapping[str, Any]
) -> tuple[checkpoint.Card, dict[str, Path]]:
    """The card with the methods and the configurations of the detectors that its options name, and their folders.

    Args:
        card: of the detector that has them.
        method_type: its method.
        asked: options that were given, rather than saved: tensors of those that were saved are saved with them.
    """
    folders = dict[str, Path]()
    for name in method_type.detector_options:
        inner = asked.get(name)
        if not isinstance(inner, str):
            continue
        key = f"{name}_options"
        named = replace(checkpoint.Card(inner, dict(asked.get(key, {}))), backbone=card.backbone, weights=card.weights)
        folder = Path(inner) if _is_folder(inner) else _head(named)
        if folder is None and issubclass(methods.get(inner), Trainable):
            raise shipped.untrained(named)
        if folder is not None:
            saved = checkpoint.read(folder)
            card = replace(card, options=card.options | {name: saved.method, key: saved.options | named.options})
            folders[name] = folder
        elif key not in asked:  # those that were saved are of another method
            card = replace(card, options=card.options | {key: {}})
    return card, folders


def _with_images_of(record: checkpoint.TrainingRecord, folder: Path) -> checkpoint.TrainingRecord:
    """The record of a detector into which a trained one was loaded: images of either training are no test images."""
    other = checkpoint.read_training_record(folder)
    training = {"members": [checkpoint.read(folder).method], "classes": other.training.get("classes", {})}
    return replace(record, images=tuple(dict.fromkeys([*record.images, *other.images])), training=training)


def _load_inner(method: Method, folder: Path) -> None:
    """Load the trained tensors of a detector into a module of another one.

    Raises:
        WeightsError: it was trained on another backbone.
    """
    trained_on = checkpoint.read(folder).fingerprint
    if trained_on not in (None, method.fingerprint):
        rule = f"{folder} was trained on the backbone that it is joined with"
        raise WeightsError(rule, f"another one ({method.clip.weights})", "name the backbone of its training")
    checkpoint.load_trained_state(method, folder)
    method.requires_grad_(False)


def _on_its_backbone(method_type: type[Method], config: Config, card: checkpoint.Card) -> Method:
    """The method of a card on the backbone that the card names, without trained tensors."""
    clip = backbone_weights.load(
        card.backbone, card.weights, activation=card.activation, position_resize=card.position_resize
    )
    return method_type(clip, config)


def _on_former_weights(method_type: type[Method], config: Config, card: checkpoint.Card) -> Method | None:
    """The method on the weights that were embedded under the name of its backbone; None for one saved on others."""
    name = FORMER.get(card.backbone)
    if name is None or card.weights not in (None, EMBEDDED):
        return None
    method = _on_its_backbone(method_type, config, replace(card, backbone=name))
    return method if method.fingerprint == card.fingerprint else None


def _say_former(detector: str | os.PathLike[str], backbone: str, former: str) -> None:
    text = (
        f"{detector} was saved on the weights that {backbone} had in version 0.1.0: it runs on them as {former}, "
        f"for research and tests."
    )
    warnings.warn(text, ZsadWarning, stacklevel=3)


def _of_another_backbone(detector: str | os.PathLike[str], given: dict[str, Any], weights: str) -> WeightsError:
    settings = " and ".join(f"{key} {given[key]}" for key in SETTINGS if key in given)
    remedy = "restore the weights, or name the backbone to say that another one is meant"
    if not _is_folder(detector):
        remedy = "install zsad again: its files are not of one version"
    elif settings:
        remedy = "leave them as they were, train or fit anew with them, or name the backbone as well"
    return WeightsError(
        f"the backbone of {detector} must be the one that it was saved with",
        settings or f"other weights or settings ({weights})",
        remedy,
    )


def _head(named: checkpoint.Card) -> Path | None:
    """The trained detector that the package brings for a method that is given by name; None where there is none."""
    return shipped.fitting_head(named) if named.method in methods.names() else None


def _is_folder(detector: str | os.PathLike[str]) -> bool:
    """Whether it is a path: the name of a method always means the method, and ``./clip`` the folder of that name."""
    path = Path(detector)
    is_method = isinstance(detector, str) and detector in methods.names()
    return not is_method and (len(path.parts) > 1 or os.path.isdir(path))
