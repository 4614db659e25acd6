"""Other normal images of the class of each training image, for methods that are trained with them."""

from collections.abc import Sequence

import torch

from zsad.data.layouts import Sample
from zsad.errors import InputError


class NormalImages:
    """Draws normal images of the same class.

    Args:
        samples: the training set.
        count: normal images beside each image.

    Raises:
        InputError: an image has no other image of its class that is normal.
    """

    def __init__(self, samples: Sequence[Sample], count: int) -> None:
        self._class_names, self._count = [sample.class_name for sample in samples], count
        self._normal: dict[str, list[int]] = {name: [] for name in self._class_names}
        for index, sample in enumerate(samples):
            if sample.label == 0:
                self._normal[sample.class_name].append(index)
        alone = sorted(name for name, normal in self._normal.items() if len(normal) < 2)
        if alone:
            rule = "a training with normal images beside each image has two of every class"
            raise InputError(rule, f"fewer of {', '.join(alone)}", "leave these classes out: --classes")

    def beside(self, index: int, seed: int) -> list[int]:
        """Indices of normal images of the class of an image, without itself; all differ where there are enough.

        Args:
            index: of the image in the training set.
            seed: of the draw.
        """
        others = [other for other in self._normal[self._class_names[index]] if other != index]
        order = torch.randperm(len(others), generator=torch.Generator().manual_seed(seed)).tolist()
        return [others[order[number % len(order)]] for number in range(self._count)]
