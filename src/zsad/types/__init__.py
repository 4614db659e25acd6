"""The data types that the packages pass to each other: small frozen dataclasses.

file -> DecodedImage -> ImageBatch -> Trace (-> BackboneFeatures) -> Evidence -> Prediction -> report

Axis vocabulary, used in every shape annotation: ``batch`` (images), ``rows`` and ``cols`` (pixels or grid cells, said
where it matters), ``tokens`` (class token first, then patches row by row), ``width`` (of a tower), ``embed`` (of the
joint space), ``levels`` (depths of the tower), ``prompts`` (texts), ``states`` (always two, in this order: normal,
anomalous).

Types that hold tensors are loaded where they are first named, so that what needs none of them needs no PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from zsad.types.identity import Identity
from zsad.types.images import DecodedImage, Failure, Prediction, Size

if TYPE_CHECKING:
    from zsad.types.tensors import BackboneFeatures, Evidence, ImageBatch, Target, Trace

__all__ = [
    "BackboneFeatures",
    "DecodedImage",
    "Evidence",
    "Failure",
    "Identity",
    "ImageBatch",
    "Prediction",
    "Size",
    "Target",
    "Trace",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'zsad.types' has no attribute {name!r}")
    return getattr(import_module("zsad.types.tensors"), name)
