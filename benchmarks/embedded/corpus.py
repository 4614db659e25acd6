"""Images of the corpus that never trained, and what the towers make of images and words."""

import json
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from zsad.backbones import weight_files
from zsad.backbones.clip import Clip
from zsad.backbones.config import RANDOM
from zsad.backbones.transformer import l2_normalize
from zsad.data.decode import decode
from zsad.data.preprocess import to_batch
from zsad.metrics import percentiles, stratified_weights
from zsad.parts.similarity import state_features
from zsad.results.schema import Metric
from zsad.tools.pretrain.store import HOLD_OUT, CorpusImage

BACKBONE = "tiny"
TEMPLATES = ("{}", "a photo of a {}", "a close-up photo of a {}", "an image of a {}")
"""Chosen before anything was measured."""
BATCH, RESAMPLES = 16, 1000


def held_out(corpus: Sequence[CorpusImage]) -> list[CorpusImage]:
    """Every 20th image, of any source, that has a label."""
    return [entry for entry in corpus[::HOLD_OUT] if entry.label]


def untaught(tag: str | None) -> frozenset[str]:
    """Sources of which no image trained these weights, as their card says; random ones are read as the embedded."""
    path = weight_files.locate(BACKBONE, "embedded" if tag in (None, RANDOM) else tag).path
    card = json.loads(path.with_name("card.json").read_text(encoding="utf-8"))
    return frozenset(name for name, one in card["sources"].items() if not one["trained"])


@torch.inference_mode()
def image_features(clip: Clip, files: Sequence[str]) -> Float[Tensor, "images embed"]:
    """Class tokens in the joint space, of unit length."""
    side, found = clip.config.vision.image_size, []
    for start in range(0, len(files), BATCH):
        images = [decode(file) for file in files[start : start + BATCH]]
        batch = to_batch(images, (side, side), clip.config.mean, clip.config.std)
        found.append(l2_normalize(clip.vision.project(clip.vision(batch.pixels).last[:, 0])))
    return torch.cat(found)


def text_features(clip: Clip, names: Sequence[str]) -> Float[Tensor, "names embed"]:
    """Mean of the unit features of each name in every template, of unit length."""
    prompts = [template.format(name) for name in names for template in TEMPLATES]
    return state_features(clip.encode_prompts(prompts).unflatten(0, (len(names), len(TEMPLATES))))


def mean_of(values: Float[np.ndarray, "images"], shares: Float[np.ndarray, "images"] | None = None) -> Metric:
    """The mean over images, with its bootstrap interval; where all are alike, a bootstrap cannot say how sure it is.

    Args:
        values: of each image.
        shares: how much each image counts; all alike where not given.
    """
    counting = np.ones(len(values)) if shares is None else shares
    mean = float(values @ counting / counting.sum())
    if len(set(values.tolist())) == 1:
        return Metric(mean)
    copies = stratified_weights(np.zeros(len(values), int), RESAMPLES)
    return Metric(mean, *percentiles(copies @ (values * counting) / (copies @ counting)))
