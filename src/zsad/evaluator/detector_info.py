"""The detector that is held against data, as results name it."""

import hashlib
import json
from dataclasses import asdict

import torch

from zsad import checkpoint, memory_bank
from zsad.evaluator.results import DetectorInfo
from zsad.predictor import Detector


def detector_info(detector: Detector) -> DetectorInfo:
    """Who it is, what it was trained on, and what it remembers."""
    card, clip, settings = detector.card, detector.method.clip, detector.settings
    training = detector.training_record.training
    return DetectorInfo(
        name=detector.name,
        method=card.method,
        options=card.options,
        backbone=clip.name,
        weights=clip.weights,
        image_size=settings.image_size,
        precision=settings.precision,
        device=settings.device,
        fingerprint=fingerprint(detector),
        trained_on=training.get("classes", {}),
        seed=training.get("seed"),
        epochs=training.get("epochs_done"),
        remembers=memory_bank.class_counts(detector.method, detector.training_record),
        memory=memory_bank.size(detector.method),
    )


def fingerprint(detector: Detector) -> str:
    """Content hash of all that decides the answers: method and its configuration, size, backbone, learnt tensors."""
    method = detector.method
    settings = detector.settings
    words = [detector.card.method, asdict(method.config), settings.image_size, settings.precision, method.fingerprint]
    digest = hashlib.sha256(json.dumps(words, sort_keys=True).encode())
    for name, tensor in sorted(checkpoint.trained_state(method).items()):
        content = tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode() + content)
    return digest.hexdigest()
