"""What the page of an evaluation reads of each class. What is missing is None, and the page says so."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zsad.evaluator import disk
from zsad.evaluator.results import ImageResult, WorstImage
from zsad.metrics.curves import Curve


@dataclass(frozen=True)
class ClassFiles:
    """What lies beside the result of a class.

    Attributes:
        images: each image.
        curves: by the names of their metrics.
        misses: the worst.
        worst: folder of their files.
    """

    images: tuple[ImageResult, ...] | None = None
    curves: Mapping[str, Curve] | None = None
    misses: tuple[WorstImage, ...] | None = None
    worst: Path = Path()


def read_kept(folder: Path | None) -> ClassFiles:
    """What lies in the folder of a class.

    Raises:
        InputError, ConfigError: a file is there and cannot be read.
    """
    if folder is None:
        return ClassFiles()
    return ClassFiles(
        images=disk.read_images(folder) if (folder / disk.IMAGES).is_file() else None,
        curves=disk.read_curves(folder) if (folder / disk.CURVES).is_file() else None,
        misses=disk.read_misses(folder) if (folder / disk.WORST / disk.MISSES).is_file() else None,
        worst=folder / disk.WORST,
    )
