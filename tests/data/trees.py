"""Small data sets on disk, whole or damaged."""

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (12, 16)


def image(path: Path, seed: int, size: tuple[int, int] = SIZE) -> Path:
    """Noise, another one for every seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def mask(path: Path, size: tuple[int, int] = SIZE, values: tuple[int, ...] = (0, 255)) -> Path:
    """Stripes of the values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.resize(np.array(values, np.uint8), size[0])
    Image.fromarray(np.repeat(rows[:, None], size[1], axis=1)).save(path)
    return path


def mvtec_tree(root: Path, classes: tuple[str, ...] = ("nut", "bolt"), seed: int = 0) -> Path:
    """Each class with two images to train on, three normal and three bent ones with masks; no two are alike."""
    for number, name in enumerate(classes):
        first = seed + 100 * number
        for index in range(2):
            image(root / name / "train" / "good" / f"{index}.png", first + index)
        for index in range(3):
            image(root / name / "test" / "good" / f"{index}.png", first + 10 + index)
            image(root / name / "test" / "bent" / f"{index}.png", first + 20 + index)
            mask(root / name / "ground_truth" / "bent" / f"{index}_mask.png")
    return root
