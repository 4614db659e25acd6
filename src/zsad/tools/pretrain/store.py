"""Prepared images on disk, drawn or photographed, damaged or not: what the CNN sees in them.

Images are made once and read many times: the arrays are memory-mapped, and image ``n`` depends on nothing but the
recipe's seed, the corpus and ``n``.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from zsad.backbones import config as configs
from zsad.data.synthetic import part, surface
from zsad.data.synthetic.drawing import eight_bits
from zsad.data.synthetic.scenes import crop, scene
from zsad.documents import read_json_lines
from zsad.errors import ConfigError, InputError
from zsad.files import write_atomically
from zsad.tools.pretrain.recipe import PretrainingRecipe
from zsad.tools.pretrain.teacher import DEEP_CHANNELS, EARLY_CHANNELS, MIDDLE_CHANNELS, POOLED_CHANNELS, Teacher

Split = Literal["train", "validation"]
FEATURES = ("early", "middle", "deep", "pooled")
HOLD_OUT = 20
"""Every 20th image of the corpus never trains."""
SHOWS_DAMAGE = ("casting", "crack-surfaces")
"""Corpus sources whose images show real damage without a mask: no defect is drawn and no state is taught on them."""


@dataclass(frozen=True)
class CorpusImage:
    """One image of the corpus."""

    file: str
    caption: str
    label: str | None
    source: str


@dataclass(frozen=True)
class Meta:
    """What is known of one prepared image; one that is drawn has no source."""

    name: str
    caption: str | None
    kinds: tuple[str, ...]
    has_state: bool
    source: str | None


@dataclass(frozen=True)
class DrawnImage:
    """An image before the CNN has seen it; ``coverage`` is the damaged share of each patch."""

    image: np.ndarray
    coverage: np.ndarray
    meta: Meta


class Store:
    """The prepared images of one split."""

    def __init__(self, folder: Path) -> None:
        self.meta = [_meta(cast(dict[str, Any], row)) for _, row in read_json_lines(folder / "meta.jsonl")]
        self.coverage, self.early, self.middle, self.deep, self.pooled = (
            np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("coverage", *FEATURES)
        )

    def __len__(self) -> int:
        return len(self.meta)


def read_corpus(captions: Path) -> list[CorpusImage]:
    """The entries of a JSON-lines file with the keys file (relative to the file's parent's parent or parent), caption,
    label and source.

    Raises:
        InputError: the file is missing or has other keys.
    """
    try:
        rows: list[Any] = [row for _, row in read_json_lines(captions, file_names=True)]
        return [
            CorpusImage(str(_locate(captions, row["file"])), row["caption"], row["label"], row["source"])
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            "a corpus is a JSON-lines file with the keys file, caption, label and source",
            f"{captions}: {error!r}",
            "see docs/pretraining.md",
        ) from error


def training(corpus: Sequence[CorpusImage], sources: Collection[str]) -> list[CorpusImage]:
    """The images that may train: all but every 20th, of these sources or, where none is named, of any."""
    kept = (entry for number, entry in enumerate(corpus) if number % HOLD_OUT)
    return [entry for entry in kept if not sources or entry.source in sources]


def validating(corpus: Sequence[CorpusImage]) -> list[CorpusImage]:
    """Every 20th image, of any source."""
    return list(corpus[::HOLD_OUT])


def prepare(recipe: PretrainingRecipe, corpus: list[CorpusImage], split: Split, folder: Path, workers: int) -> Store:
    """Make the images of a split, or open them where they have been made."""
    if not (folder / "meta.jsonl").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        images = CorpusDataset(recipe, corpus, split)
        loader = DataLoader(images, batch_size=32, num_workers=workers, collate_fn=list)
        _write(folder, len(images), loader, images.grid)
    return Store(folder)


class CorpusDataset(Dataset[DrawnImage]):
    """Images made on demand, each from its own generator."""

    def __init__(self, recipe: PretrainingRecipe, corpus: list[CorpusImage], split: Split) -> None:
        vision = configs.get(recipe.backbone).vision
        self.recipe, self.side, self.grid, self.split = recipe, vision.image_size, vision.grid, split
        self.corpus = validating(corpus) if split == "validation" else training(corpus, recipe.sources)
        if not self.corpus and recipe.procedural < 1:
            raise ConfigError("a recipe that is not all procedural needs a corpus", "none", "say --corpus FILE")

    def __len__(self) -> int:
        return self.recipe.validation if self.split == "validation" else self.recipe.images

    def __getitem__(self, number: int) -> DrawnImage:
        rng = np.random.default_rng([self.recipe.seed, int(self.split == "validation"), number])
        image, foreground, name, entry = self._scene(rng)
        source = entry.source if entry else None
        has_state = source not in SHOWS_DAMAGE
        drawn = scene(rng, image, foreground, self.recipe.damaged if has_state else 0.0)
        caption = entry.caption if entry else None
        kinds = tuple(sorted(set(drawn.kinds)))
        return DrawnImage(drawn.image, self._coverage(drawn.mask), Meta(name, caption, kinds, has_state, source))

    def _scene(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None, str, CorpusImage | None]:
        size = (self.side, self.side)
        choice = rng.random()
        if choice < self.recipe.procedural / 2:
            image, name = surface(rng, size)
            return image, None, name, None
        if choice < self.recipe.procedural:
            image, name, foreground = part(rng, size)
            return image, foreground, name, None
        entry = self.corpus[int(rng.integers(len(self.corpus)))]
        image = crop(rng, eight_bits(entry.file), self.side)
        return image, None, entry.label or "scene", entry

    def _coverage(self, mask: np.ndarray) -> np.ndarray:
        cell = self.side // self.grid
        return mask.reshape(self.grid, cell, self.grid, cell).mean((1, 3), dtype=np.float32)


def _write(folder: Path, count: int, batches: "DataLoader[DrawnImage]", grid: int) -> None:
    arrays = {
        "coverage": ((grid, grid), np.float16),
        "early": ((EARLY_CHANNELS, grid, grid), np.float16),
        "middle": ((MIDDLE_CHANNELS, grid, grid), np.float16),
        "deep": ((DEEP_CHANNELS, grid // 2, grid // 2), np.float16),
        "pooled": ((POOLED_CHANNELS,), np.float16),
    }
    files = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (count, *shape))
        for name, (shape, dtype) in arrays.items()
    }
    metas, start = [], 0
    for drawn, features in _with_features(tqdm(batches, desc=f"images ({folder.name})", mininterval=5)):
        rows = slice(start, start + len(drawn))
        files["coverage"][rows] = [item.coverage for item in drawn]
        for name, values in features.items():
            files[name][rows] = values
        metas += [json.dumps(asdict(item.meta)) for item in drawn]
        start += len(drawn)
    write_atomically(folder / "meta.jsonl", ("\n".join(metas) + "\n").encode())


def _with_features(batches: "tqdm[list[DrawnImage]]") -> Iterator[tuple[list[DrawnImage], dict[str, np.ndarray]]]:
    teacher = Teacher().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    for drawn in batches:
        images = torch.from_numpy(np.stack([item.image for item in drawn])).permute(0, 3, 1, 2) / 255
        with torch.autocast("cpu", torch.bfloat16):
            features = teacher(images)
        yield drawn, {name: getattr(features, name).float().numpy() for name in FEATURES}


def _meta(row: dict[str, Any]) -> Meta:
    return Meta(row["name"], row["caption"], tuple(row["kinds"]), row["has_state"], row["source"])


def _locate(captions: Path, file: str) -> Path:
    beside = captions.parent / file
    return beside if beside.exists() else captions.parent.parent / file
