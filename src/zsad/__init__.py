"""Zero-shot visual anomaly detection with vision-language models.

>>> import numpy as np, zsad
>>> detector = zsad.load("clip")
>>> prediction = detector.predict(np.zeros((64, 64, 3), np.uint8), class_name="metal nut")
>>> prediction.anomaly_map.shape
(64, 64)

Importing this package is quick: PyTorch is loaded on first use of a name that needs it.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

from zsad.errors import ConfigError, DependencyError, InputError, WeightsError, ZsadError

if TYPE_CHECKING:
    from zsad.evaluator.evaluation import evaluate
    from zsad.extending import register
    from zsad.loading import load
    from zsad.predictor import Detector
    from zsad.trainer.training import train
    from zsad.types import DecodedImage, Failure, Prediction

__version__ = version("zsad")

__all__ = [
    "ConfigError",
    "DecodedImage",
    "DependencyError",
    "Detector",
    "Failure",
    "InputError",
    "Prediction",
    "WeightsError",
    "ZsadError",
    "evaluate",
    "load",
    "register",
    "train",
]

_HOMES = {
    "Detector": "zsad.predictor",
    "evaluate": "zsad.evaluator.evaluation",
    "load": "zsad.loading",
    "register": "zsad.extending",
    "train": "zsad.trainer.training",
    "Failure": "zsad.types",
    "DecodedImage": "zsad.types",
    "Prediction": "zsad.types",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'zsad' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
