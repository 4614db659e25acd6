"""What is remembered, normal and unlabelled images, and how far patches are from it."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from zsad.methods.auto.joining import Scale
from zsad.methods.auto.ordinary import Statistic, log_distances
from zsad.references import PatchFeatures, ReferenceBank, nearest_distance


@dataclass(frozen=True)
class Remembered:
    """Two banks, either of which may be empty.

    Attributes:
        normal: of images that are known to be normal; the nearest of all their patches counts.
        unlabelled: of the more ordinary images of a folder.
        mutual: the statistic over the images of that folder.
        window: see :func:`zsad.references.distances_by_image`.
    """

    normal: ReferenceBank
    unlabelled: ReferenceBank
    mutual: Statistic
    window: int | None

    def log_distances(self, patches: PatchFeatures) -> Float[Tensor, "batch cells"]:
        """Log distances of new patches; their mean where both banks have entries."""
        banks = ((self.normal, nearest_distance), (self.unlabelled, self.mutual))
        found = [log_distances(patches, bank, statistic, self.window) for bank, statistic in banks if len(bank)]
        return torch.stack(found).mean(0)

    def scale(self) -> Scale:
        """Of the log distances of all images, at least two, each compared with the others as a new one is."""
        rows = []
        for image in self.normal.image.unique().tolist():
            others = replace(self, normal=self.normal.without([image]))
            rows.append(others.log_distances(self.normal.patches_of(image)))
        for image in self.unlabelled.image.unique().tolist():
            others = replace(self, unlabelled=self.unlabelled.without([image]))
            rows.append(others.log_distances(self.unlabelled.patches_of(image)))
        return Scale.of(torch.cat(rows))
