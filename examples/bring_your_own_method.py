"""Write a method of your own: hold it to the promises of all methods, use it, save it, and load it by its folder.

    python examples/bring_your_own_method.py
    python examples/bring_your_own_method.py photos/part.png

A package that offers its methods to everyone who installs it is in examples/outside_package.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from torch import Tensor
from torch.nn import functional as F

import zsad
from zsad.backbones.clip import Clip
from zsad.data.synthetic import draw_defect, part
from zsad.methods import Config, Evidence, Method, Paper
from zsad.testing import check_method


class OddPatch(Method):
    """A patch is anomalous as far as it is unlike the other patches of the same image; no text, no training."""

    paper = Paper("Odd patches", "The reader of this example", "unpublished", 2026, "")
    uses_class_names = False

    def __init__(self, clip: Clip, config: Config) -> None:
        super().__init__(clip, config)

    def forward(self, images: Tensor, class_names: Sequence[str]) -> Evidence:
        """maps: [batch, levels, rows, cols]; score: [batch]; both in [0, 1]."""
        trace = self.clip.vision(images)
        patches = F.normalize(trace.last[:, 1:].float(), dim=-1)  # the first token is the class token
        similarity = (patches @ patches.mean(1, keepdim=True).mT)[..., 0]  # [batch, cells], in [-1, 1]
        maps = ((1 - similarity) / 2).clamp(0, 1).unflatten(1, (1, *trace.grid))
        return Evidence(maps=maps, score=maps.amax((1, 2, 3)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", nargs="?", help="drawn where not given")
    options = parser.parse_args()

    check_method(OddPatch)
    print("OddPatch keeps the promises of a method")

    detector = zsad.load(OddPatch)  # registers it as odd-patch
    image = options.image
    if image is None:
        rng = np.random.default_rng(0)
        good, _, foreground = part(rng, (128, 128))
        image = draw_defect(rng, good, foreground, kind="scratch").image
    prediction = detector.predict(image)
    print(f"score {prediction.score:.3f}, map of {prediction.size} px")

    with TemporaryDirectory() as folder:
        detector.save(Path(folder, "odd"))
        again = zsad.load(Path(folder, "odd")).predict(image)
        print(f"saved and loaded: score {again.score:.3f}")


if __name__ == "__main__":
    main()
