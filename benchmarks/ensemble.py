"""Five methods that leave the tower as it is, one by one and as an ensemble on one pass; random weights, batch 1."""

import argparse

import torch

from benchmarks.timing import alternate
from zsad import methods
from zsad.backbones import weights
from zsad.methods.ensemble import Ensemble, EnsembleConfig

MEMBERS = ("clip", "clip-ac", "coop", "april-gan", "wmoe-clip")
SIZES = {"tiny": 448, "ViT-B-16-plus-240": 240, "ViT-L-14-336": 518}
BAR = 1.3


def main() -> None:
    """Print each method's time over the tower's, the ensemble's over the dearest of them, and over their sum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backbones", nargs="+", default=[*SIZES], choices=[*SIZES])
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, fp32, fastest of {options.rounds}; ensemble / dearest: at most {BAR}")
    for backbone in options.backbones:
        measure(backbone, options.rounds)


def measure(backbone: str, rounds: int) -> None:
    """One backbone."""
    clip = weights.load(backbone, "random")
    torch.manual_seed(0)
    made = {name: methods.get(name)(clip).eval() for name in MEMBERS}
    made["ensemble"] = Ensemble(clip, EnsembleConfig(members=MEMBERS)).eval()
    images = torch.randn(1, 3, SIZES[backbone], SIZES[backbone])
    with torch.inference_mode():
        alternatives = {"tower": lambda: clip.vision(images)} | {
            name: lambda method=method: method(images, ["object"]) for name, method in made.items()
        }
        seconds = alternate(alternatives, rounds)
    fastest = {name: taken.fastest for name, taken in seconds.items()}
    for name, taken in fastest.items():
        print(f"{backbone:<20}{name:<12}{taken:9.3f} s{taken / fastest['tower']:8.3f} of the tower")
    dearest = max(MEMBERS, key=fastest.__getitem__)
    together = sum(fastest[name] for name in MEMBERS)
    print(
        f"{backbone:<20}ensemble / dearest ({dearest}) {fastest['ensemble'] / fastest[dearest]:.3f}, "
        f"/ all five one by one {fastest['ensemble'] / together:.3f}"
    )


if __name__ == "__main__":
    main()
