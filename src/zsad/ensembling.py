"""From several detectors to one that asks all of them about one pass over the image."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from zsad import checkpoint
from zsad.checkpoint import Card, TrainingRecord
from zsad.config import from_mapping
from zsad.data.decode import decode
from zsad.errors import ConfigError
from zsad.files import content_hash
from zsad.folder_pass import chunks
from zsad.methods.ensemble import Ensemble, EnsembleConfig
from zsad.pipeline import Stages
from zsad.predictor import Detector

Fusion = Literal["ranks", "mean"]
SHARED = ("backbone", "weights", "activation", "position_resize", "image_size", "fingerprint")


def assemble(
    detectors: Sequence[Detector],
    *,
    fusion: Fusion = "ranks",
    normal: Sequence[str | os.PathLike[str]] = (),
    class_name: str = "object",
) -> Detector:
    """An ensemble of detectors, which share the backbone of the first of them.

    Args:
        detectors: loaded, with their trained tensors; on one backbone, at one image size.
        fusion: how answers become one where there are no normal images.
        normal: images that are known to be normal, by whose scores all answers become p-values.
        class_name: what these show.

    Raises:
        ConfigError: the detectors differ in backbone or image size, or one cannot score an image alone or remembers
            images.
        InputError: a normal image cannot be read.
    """
    first = detectors[0]
    for other in detectors[1:]:
        _check_like(first, other)
    for detector in detectors:
        if detector.memory_summary:
            raise ConfigError("members of an ensemble remember no images", detector.name, "name it without its memory")
    options = {
        "members": [detector.card.method for detector in detectors],
        "settings": [dict(detector.card.options) for detector in detectors],
        "fusion": "p-values" if normal else fusion,
        "normal_images": len(normal),
    }
    method = Ensemble(first.method.clip, from_mapping(EnsembleConfig, options, "the ensemble")).eval()
    for part, detector in zip(method.members, detectors, strict=True):
        part.load_state_dict(checkpoint.trained_state(detector.method), strict=False)
    card = Card("ensemble", options, **{name: getattr(first.card, name) for name in SHARED})
    made = Detector(replace(card, fingerprint=method.fingerprint), method, first.runtime)
    if normal:
        stages = Stages(method, made.image_size, made.runtime)
        decoded = (decode(path) for path in normal)
        batches = (stages.pixels(batch) for batch in chunks(decoded, made.runtime.images_at_once))
        method.calibrate(batches, class_name)
    made.training_record = _record(detectors, normal)
    return made


def _check_like(first: Detector, other: Detector) -> None:
    for what, ours, theirs in (
        ("backbone", _backbone(first), _backbone(other)),
        ("image size", f"{first.image_size} px", f"{other.image_size} px"),
    ):
        if ours != theirs:
            rule = f"the members of an ensemble have one {what}"
            remedy = "give all the same: --image-size, --backbone and --weights hold for every member"
            raise ConfigError(rule, f"{ours} of {first.name} and {theirs} of {other.name}", remedy)


def _backbone(detector: Detector) -> str:
    clip = detector.method.clip
    return f"{clip.name} ({clip.weights}, {str(clip.fingerprint)[:8]})"


def _record(detectors: Sequence[Detector], normal: Sequence[str | os.PathLike[str]]) -> TrainingRecord:
    """All images that a member was trained on, and the normal ones; no class where a training is not on record."""
    records = [detector.training_record for detector in detectors]
    images = dict.fromkeys(image for record in records for image in record.images)
    shown = dict.fromkeys(content_hash(Path(path)) for path in normal)
    trained = [detector for detector in detectors if _is_trained(detector)]
    if not trained:
        return TrainingRecord((*images, *shown))
    classes: dict[str, int] = {}
    if all(each.training_record.training and each.training_record.is_on_record for each in trained):
        for record in records:
            for name, count in record.training.get("classes", {}).items():
                classes[name] = max(count, classes.get(name, 0))
    members = [detector.card.method for detector in detectors]
    return TrainingRecord((*images, *shown), {"members": members, "classes": classes})


def _is_trained(detector: Detector) -> bool:
    has_parameters = any(parameter.requires_grad for parameter in detector.method.parameters())
    return has_parameters or bool(detector.training_record.training)
