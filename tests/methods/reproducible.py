"""A small CLIP and trained modules whose weights are a formula, so that numbers computed elsewhere can be compared."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from tests.small import CONFIG, PATCH, SIZE, tokenizer
from zsad.backbones.clip import Clip

GRID = SIZE // PATCH


def values(count: int, seed: int) -> Tensor:
    """Numbers in [-1, 1] that look random and do not depend on any generator: sines of a quadratic phase."""
    steps = torch.arange(count, dtype=torch.float64)
    return torch.sin(0.7 * seed + 1.3 * steps + 0.11 * seed * steps + 0.005 * steps**2).float()


def fill(module: nn.Module, scale: float = 1.5) -> None:
    """Every trained or frozen parameter by the formula: matrices by their fan-in, vectors around what they start at."""
    with torch.no_grad():
        for seed, (name, parameter) in enumerate(sorted(module.named_parameters()), 1):
            drawn = values(parameter.numel(), seed).reshape(parameter.shape)
            if parameter.ndim > 1:
                parameter.copy_(drawn * scale / parameter[0].numel() ** 0.5)
            elif parameter.ndim == 1:
                parameter.copy_(0.2 * drawn + float("norm" in name and name.endswith("weight")))


def clip(depth: int = 24, text_depth: int = 2) -> Clip:
    """Of 24 blocks, under plain GELU, as the code of APRIL-GAN, MVFA-AD and AA-CLIP runs."""
    vision, text = replace(CONFIG.vision, depth=depth), replace(CONFIG.text, depth=text_depth)
    made = Clip("small", replace(CONFIG, vision=vision, text=text, activation="gelu"), tokenizer())
    fill(made)
    return made.freeze("by formula", f"by formula {depth} {text_depth}")


def images(batch: int, seed: int = 3) -> Tensor:
    """Normalised images of the size of the small CLIP."""
    return 2 * values(batch * 3 * SIZE * SIZE, seed).reshape(batch, 3, SIZE, SIZE)
