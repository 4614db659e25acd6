"""Methods that score a folder as a whole: its images are the references of one another."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zsad.methods._base import Method
from zsad.passes import forward_passes
from zsad.types import Evidence, Size

LoadImages = Callable[[Sequence[int]], Iterator[tuple[list[int], Tensor]]]
"""Reads the images of some indices from their files, in this order, without those that cannot be read. Each batch has
at least one image: the indices, and normalised pixels [batch, 3, rows, cols] on the device of the method."""


@dataclass(frozen=True)
class FolderScores:
    """The result of a method for all images of a folder that could be read.

    Attributes:
        evidence: of these images, on the CPU, maps on the patch grid.
        indices: which image of the folder each is.
        explanation: one or two sentences for users: what judged the images, and why. May be empty.
        by_one_another: whether the images judged one another; false where each was judged alone after all.
    """

    evidence: Evidence
    indices: list[int]
    explanation: str
    by_one_another: bool = True

    @classmethod
    def of_none(cls, grid: Size = (1, 1)) -> "FolderScores":
        """The result where no image could be read."""
        return cls(Evidence(torch.empty(0, 1, *grid), torch.empty(0)), [], "")


class TransductiveMethod(Method):
    """A method that may score several images by one another.

    A detector asks :meth:`scores_folder` first; where the answer is no, it gives the images to ``forward``, batch by
    batch, as for any other method. A ``forward`` that cannot score an image alone raises an ``InputError``.
    """

    @abstractmethod
    def scores_folder(self, count: int) -> bool:
        """Whether so many images are scored by one another, with :meth:`score_folder`.

        Args:
            count: of the images, at least 1, readable or not.
        """

    @abstractmethod
    def score_folder(self, load: LoadImages, count: int, class_name: str) -> FolderScores:
        """Score all images of a folder by one another.

        Memory must not grow with the number of images by more than low-resolution maps: features of a bounded number of
        images are held at a time. Scores do not depend on how ``load`` forms its batches.

        Args:
            load: gives the images of some indices; may be called several times.
            count: of the images, readable or not; their indices are 0..count - 1.
            class_name: what they show, in plain English.

        Returns:
            Scores of all images that could be read; :meth:`FolderScores.of_none` where none could.

        Raises:
            InputError: too few images can be read for any of them to have a score.
        """

    def explain(self, count: int) -> str:
        """What judges so many images that are given to ``forward``, in a sentence for users; may be empty.

        Args:
            count: of the images.
        """
        return ""


def scored_alone(
    method: Method, load: LoadImages, indices: Sequence[int], class_name: str, explanation: str
) -> FolderScores:
    """The images of a folder that can be read, each by the forward pass of a method.

    Args:
        method: that judges images one by one.
        load: gives the images.
        indices: of the images.
        class_name: what they show, in plain English.
        explanation: for users, where an image has a score.

    Raises:
        InputError: an image can be read, and the method refuses it.
    """
    found, parts = list[int](), list[Evidence]()

    def judge(batch: tuple[list[int], Tensor]) -> tuple[list[int], Evidence]:
        return batch[0], method(batch[1], [class_name] * len(batch[1]))

    for batch, evidence in forward_passes(judge, load(indices), method.clip.device.type):
        found += batch
        parts.append(evidence)
    if not found:
        return FolderScores.of_none()
    maps, scores = torch.cat([part.maps.cpu() for part in parts]), torch.cat([part.score.cpu() for part in parts])
    return FolderScores(Evidence(maps, scores), found, explanation, by_one_another=False)
