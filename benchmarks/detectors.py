"""Detectors over the bare vision tower, random weights, batch 1: what a method costs beyond the passes it needs."""

import argparse

import torch

from benchmarks.timing import alternate
from zsad import methods
from zsad.backbones import weights
from zsad.backbones.clip import Clip
from zsad.methods.winclip import window_tokens

CASES = (
    ("clip", "ViT-L-14-336", 518, 1.05),
    ("winclip", "ViT-B-16-plus-240", 240, 1.15),
    ("winclip", "ViT-L-14-336", 518, 1.15),
)
LONG = ("winclip", "ViT-L-14-336")
"""Some 80 s a pass on two cores: timed once."""


def main() -> None:
    """Print each method's time over the tower's, beside what the arithmetic of its passes comes to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, fp32, fastest of {options.rounds}; bar: time over arithmetic")
    print(
        f"{'method':<10}{'backbone':<20}{'tower s':>9}{'method s':>10}{'ratio':>8}{'arithm.':>9}{'over':>7}{'bar':>6}"
    )
    for name, backbone, size, bar in CASES:
        clip = weights.load(backbone, "random")
        method = methods.get(name)(clip).eval()
        images = torch.randn(1, 3, size, size)
        with torch.inference_mode():
            seconds = alternate(
                {
                    "tower": lambda clip=clip, images=images: clip.vision(images),
                    "method": lambda method=method, images=images: method(images, ["object"]),
                },
                1 if (name, backbone) == LONG else options.rounds,
            )
        tower, whole = seconds["tower"].fastest, seconds["method"].fastest
        expected = arithmetic(name, clip, size)
        print(
            f"{name:<10}{backbone:<20}{tower:9.3f}{whole:10.3f}{whole / tower:8.3f}{expected:9.3f}"
            f"{whole / tower / expected:7.3f}{bar:6.2f}"
        )


def arithmetic(name: str, clip: Clip, size: int) -> float:
    """Multiplications of the method's encoder passes over those of one pass of the whole image."""
    side = size // clip.config.vision.patch
    whole = flops(clip, side * side + 1)
    if name != "winclip":
        return 1.0
    windows = [window_tokens((side, side), scale) for scale in (2, 3)]
    return 1 + sum(len(tokens) * flops(clip, tokens.shape[1]) for tokens in windows) / whole


def flops(clip: Clip, tokens: int) -> float:
    """Multiplications of the blocks for a sequence: four projections, two perceptron layers, and attention."""
    width = clip.config.vision.width
    return clip.config.vision.depth * (12 * tokens * width**2 + 2 * tokens**2 * width)


if __name__ == "__main__":
    main()
