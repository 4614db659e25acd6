"""Detectors as one graph in a file of ONNX, OpenVINO or PyTorch, and running them where PyTorch is not installed.

Importing this package is quick; what needs PyTorch or a runtime is loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zsad.export.exported import ExportedDetector, load
    from zsad.export.writing import export

__all__ = ["ExportedDetector", "export", "is_exported", "load"]

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "pt2": ".pt2"}
"""Of the files, by format. OpenVINO writes its weights beside, into a file that ends in .bin."""

_HOMES = {"ExportedDetector": "zsad.export.exported", "load": "zsad.export.exported", "export": "zsad.export.writing"}


def is_exported(detector: object) -> bool:
    """Whether this names a file of an exported detector.

    >>> is_exported("runs/nuts.onnx"), is_exported("clip-ac")
    (True, False)
    """
    return str(detector).endswith(tuple(SUFFIXES.values()))


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'zsad.export' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
