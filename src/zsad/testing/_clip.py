"""A small CLIP for tests: the true structure and the true vocabulary, a ten-thousandth of the arithmetic."""

from collections import OrderedDict
from functools import cache
from importlib.resources import files

import torch
from jaxtyping import Float
from torch import Tensor

from zsad.backbones.clip import Clip
from zsad.backbones.config import ClipConfig, PublishedWeights, TextConfig, VisionConfig
from zsad.backbones.tokenizer import Tokenizer
from zsad.backbones.weights import SkipInit

SIZE, PATCH, DEPTH = 32, 8, 4
CONFIG = ClipConfig(
    embed=24,
    activation="quick_gelu",
    vision=VisionConfig(width=32, depth=DEPTH, heads=2, image_size=SIZE, patch=PATCH),
    text=TextConfig(width=32, depth=2, heads=2, context=77, vocabulary=49408),
    weights={"published": PublishedWeights("owner/name", "gelu", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))},
)


@cache
def tokenizer() -> Tokenizer:
    """CLIP's own, of 49408 tokens."""
    return Tokenizer.from_merges(files("zsad.backbones") / "clip_merges.txt.gz", 77)


_DRAWN: OrderedDict[tuple[str, int], dict[str, Tensor]] = OrderedDict()
KEPT = 8
"""So many sets of weights are kept: drawing one takes as long as three checks."""


def build(config: ClipConfig = CONFIG, seed: int = 0) -> Clip:
    """Trainable, with random weights of such a size that every tensor matters to the answer."""
    key = repr(config), seed
    if key not in _DRAWN:
        _DRAWN[key] = _draw(config, seed).state_dict()
        if len(_DRAWN) > KEPT:
            _DRAWN.popitem(last=False)
    with torch.device("cpu"), SkipInit():
        clip = Clip("small", config, tokenizer())
    clip.load_state_dict(_DRAWN[key])
    return clip


def _draw(config: ClipConfig, seed: int) -> Clip:
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        clip = Clip("small", config, tokenizer())
        with torch.no_grad():
            for name, parameter in clip.named_parameters():
                if parameter.ndim == 1:
                    parameter.add_(0.2 * torch.randn_like(parameter))
                elif "embedding" in name and "patch" not in name:
                    parameter.normal_()
                elif "blocks" in name:
                    parameter.mul_(2)
    return clip


def small_clip(seed: int = 0) -> Clip:
    """A frozen CLIP of 4 blocks with random weights: images of 32 × 32 px, patches of 8 × 8 px."""
    return build(CONFIG, seed).freeze("test", f"test {seed} {CONFIG!r}")


def images(batch: int, rows: int = SIZE, cols: int | None = None, seed: int = 0) -> Float[Tensor, "batch 3 rows cols"]:
    """Normalised noise, with low and high frequencies."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(batch, 3, rows, cols or rows, generator=generator)
    return noise + 2 * torch.randn(batch, 3, 1, 1, generator=generator)
