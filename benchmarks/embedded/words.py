"""Do images and words meet? Images of the corpus that never trained, and the labels that they should be given.

    python -m benchmarks.embedded words --corpus CAPTIONS.jsonl --controls --out runs/words

Classes are all labels that occur among these images. An image is right at k if fewer than k other labels are as near
to it as its own. ``--weights`` measures weights that are not in the package.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from benchmarks.embedded import damage, nearest
from benchmarks.embedded.corpus import BACKBONE, TEMPLATES, held_out, image_features, mean_of, text_features, untaught
from benchmarks.embedded.markdown import leave, percent, table
from zsad.backbones import weights
from zsad.backbones.clip import Clip
from zsad.backbones.config import RANDOM
from zsad.errors import InputError
from zsad.results.schema import Metric
from zsad.tools.pretrain.store import HOLD_OUT, CorpusImage, read_corpus

FIRST = (1, 5)
"""How many of the nearest labels may hold the right one."""
ALIKE = 2
"""How many of the first groups are of all images: images counting alike, and labels."""


@dataclass(frozen=True)
class Named:
    """How some of the images are named.

    Attributes:
        what: which images.
        images: how many.
        right: share of which the right label is among the nearest 1, and the nearest 5.
    """

    what: str
    images: int
    right: tuple[Metric, ...]


def add(verbs: Any) -> None:
    """Add the command."""
    parser: ArgumentParser = verbs.add_parser("words", help="what images that never trained are called")
    parser.add_argument("--corpus", type=Path, required=True, metavar="CAPTIONS.jsonl")
    parser.add_argument("--weights", metavar="PATH", help="weights of tiny, with their card (default: the package's)")
    parser.add_argument("--controls", action="store_true", help="also random weights")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.set_defaults(run=run)


def run(options: Namespace) -> None:
    """Measure, print, and draw the sheet of nearest texts."""
    corpus, unseen = read_corpus(options.corpus), untaught(options.weights)
    entries = held_out(corpus)
    if not entries:
        raise InputError(f"every {HOLD_OUT}th image never trains, and some have labels", options.corpus, "add labels")
    clips = {"trained": weights.load(BACKBONE, options.weights)}
    if options.controls:
        clips["random weights"] = weights.load(BACKBONE, RANDOM)
    named, flaws = {}, {}
    for what, clip in clips.items():
        places = ranks(clip, entries)
        named[what] = summary(entries, places, unseen)
        flaws[what] = damage.told(clip, corpus, unseen)
    chosen = nearest.choose(entries)
    texts = nearest.texts(clips["trained"], chosen, corpus)
    options.out.mkdir(parents=True, exist_ok=True)
    nearest.draw(chosen, texts, options.out / "nearest.png")
    parts = [
        f"Weights: {clips['trained'].weights}, fingerprint {str(clips['trained'].fingerprint)[:12]}.",
        text(named, entries),
        damage.text(flaws),
        nearest.text(texts, len({entry.label for entry in corpus if entry.label})),
    ]
    numbers = {
        "fingerprint": clips["trained"].fingerprint,
        "templates": TEMPLATES,
        "classes": len({entry.label for entry in entries}),
        "named": {what: [asdict(one) for one in rows] for what, rows in named.items()},
        "damage": {what: [asdict(one) for one in rows] for what, rows in flaws.items()},
        "nearest": [asdict(one) for one in texts],
    }
    leave("words", "\n\n".join(parts), numbers, options.out)


def ranks(clip: Clip, entries: Sequence[CorpusImage]) -> Int[np.ndarray, "images"]:
    """How many other labels are at least as near to each image as its own."""
    labels = sorted({str(entry.label) for entry in entries})
    own = torch.tensor([labels.index(str(entry.label)) for entry in entries])
    return places(image_features(clip, [entry.file for entry in entries]), text_features(clip, labels), own)


def places(
    images: Float[Tensor, "images embed"], texts: Float[Tensor, "labels embed"], own: Int[Tensor, "images"]
) -> Int[np.ndarray, "images"]:
    """How many other texts are at least as near to each image as its own."""
    cosines = images @ texts.T
    return ((cosines >= cosines.gather(1, own[:, None])).sum(1) - 1).numpy()


def summary(entries: Sequence[CorpusImage], found: Int[np.ndarray, "images"], unseen: frozenset[str]) -> list[Named]:
    """All images, all with labels counting alike, those of sources that train and that do not, and by source."""
    labels, sources = [entry.label for entry in entries], np.array([entry.source for entry in entries])
    never = np.isin(sources, list(unseen))
    groups = {
        "images alike": np.ones(len(labels)),
        "labels alike": np.array([1 / labels.count(one) for one in labels]),
    }
    if never.any():
        groups |= {"sources that train": ~never, "sources that never train": never}
    groups |= {f"{name}{' (never trains)' * (name in unseen)}": sources == name for name in sorted(set(sources))}
    return [_named(what, found, one.astype(float)) for what, one in groups.items() if one.any()]


def _named(what: str, found: Int[np.ndarray, "images"], shares: Float[np.ndarray, "images"]) -> Named:
    some = shares > 0
    right = ((found[some] < most).astype(float) for most in FIRST)
    return Named(what, int(some.sum()), tuple(mean_of(one, shares[some]) for one in right))


def text(named: dict[str, list[Named]], entries: Sequence[CorpusImage]) -> str:
    """The table of shares and their ratios to chance, and that of the sources."""
    labels = [str(entry.label) for entry in entries]
    classes, commonest = len(set(labels)), max(labels.count(one) for one in set(labels)) / len(labels)
    whole = [[what, one.what, *_cells(one, classes)] for what, rows in named.items() for one in rows[:ALIKE]]
    chance = ["chance", "", *(cell for most in FIRST for cell in (f"{100 * min(most / classes, 1):.2f}", "1"))]
    head = ["weights", "counted", *(word for most in FIRST for word in (f"top-{most}", "times chance"))]
    (rows, *_) = named.values()
    by_source = [[one.what, str(one.images), *map(percent, one.right)] for one in rows[ALIKE:]]
    return "\n\n".join(
        [
            f"{len(labels)} labelled images that never trained (every {HOLD_OUT}th of the corpus), {classes} labels, "
            f"percent with 95 % bootstrap intervals over images. Whoever always names the commonest label is right "
            f"in {100 * commonest:.1f} %.",
            table(head, [*whole, chance]),
            table(["source", "images", *(f"top-{most}" for most in FIRST)], by_source),
        ]
    )


def _cells(one: Named, classes: int) -> list[str]:
    """Shares, and how many times chance they are."""
    cells = []
    for most, right in zip(FIRST, one.right, strict=True):
        chance = min(most / classes, 1)
        value, *ends = (f"{end / chance:.1f}" for end in (right.value, right.low, right.high) if end is not None)
        cells += [percent(right), f"{value} ({'–'.join(ends)})" if ends else value]
    return cells
