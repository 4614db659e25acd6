"""The texts nearest to some images that never trained, as a table and as a sheet to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.embedded.corpus import image_features, text_features
from benchmarks.embedded.markdown import table
from zsad.backbones.clip import Clip
from zsad.data.decode import decode
from zsad.drawing.render import INK, PAPER, QUIET, eight_bit, save_image, shortened
from zsad.tools.pretrain.store import CorpusImage

IMAGES, TEXTS, SEED = 12, 5, 0
SIDE, LINE, COLUMNS, MARGIN = 224, 17, 4, 12
"""Of the sheet, in px but for the columns."""


@dataclass(frozen=True)
class Nearest:
    """An image by its source and label, and the texts that are nearest to it, with their cosines."""

    source: str
    label: str
    texts: tuple[tuple[str, float], ...]


def choose(entries: Sequence[CorpusImage]) -> list[CorpusImage]:
    """One image of each of some sources; sources and images are drawn, not picked."""
    rng = np.random.default_rng(SEED)
    sources = sorted({entry.source for entry in entries})
    drawn = rng.permutation(sources)[:IMAGES].tolist()
    groups = ([entry for entry in entries if entry.source == source] for source in drawn)
    return [group[int(rng.integers(len(group)))] for group in groups]


def texts(clip: Clip, chosen: Sequence[CorpusImage], corpus: Sequence[CorpusImage]) -> list[Nearest]:
    """The nearest of all labels of the corpus."""
    labels = sorted({entry.label for entry in corpus if entry.label})
    cosines = image_features(clip, [entry.file for entry in chosen]) @ text_features(clip, labels).T
    first = cosines.topk(min(TEXTS, len(labels)))
    return [
        Nearest(entry.source, str(entry.label), tuple((labels[at], value) for at, value in zip(*one, strict=True)))
        for entry, *one in zip(chosen, first.indices.tolist(), first.values.tolist(), strict=True)
    ]


def text(found: Sequence[Nearest], labels: int) -> str:
    """The table."""
    rows = [[one.source, one.label, *_cells(one)] for one in found]
    head = ["source", "label", *(str(number + 1) for number in range(TEXTS))]
    return "\n\n".join(
        [
            f"The {TEXTS} nearest of the {labels:,} labels of the corpus, with cosines; one image of each of "
            f"{len(found)} sources, both drawn with seed {SEED}.",
            table(head, rows),
        ]
    )


def draw(chosen: Sequence[CorpusImage], found: Sequence[Nearest], path: Path) -> None:
    """The images, squashed as the tower sees them, each with its label and its nearest texts."""
    width, height = SIDE + MARGIN, SIDE + (TEXTS + 2) * LINE
    rows = -(-len(found) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * width + MARGIN, rows * height + MARGIN), PAPER)
    for number, (entry, one) in enumerate(zip(chosen, found, strict=True)):
        _draw(sheet, entry, one, MARGIN + number % COLUMNS * width, MARGIN + number // COLUMNS * height)
    save_image(sheet, path)


def _draw(sheet: Image.Image, entry: CorpusImage, one: Nearest, left: int, top: int) -> None:
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    image = Image.fromarray(eight_bit(decode(entry.file).pixels))
    sheet.paste(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC), (left, top))
    lines = [f"{one.label} ({one.source})", *(f"{cosine:.2f}  {name}" for name, cosine in one.texts)]
    for number, line in enumerate(lines):
        at = left, top + SIDE + 4 + number * LINE
        draw.text(at, shortened(line, font, SIDE), QUIET if number else INK, font)


def _cells(one: Nearest) -> list[str]:
    """The texts; empty where the corpus has too few labels."""
    return [*(f"{name} {cosine:.2f}" for name, cosine in one.texts), *[""] * (TEXTS - len(one.texts))]
