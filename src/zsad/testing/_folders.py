"""Folders of images for methods that score them as a whole."""

from collections.abc import Collection, Iterator, Sequence

import torch
from torch import Tensor

from zsad.errors import InputError
from zsad.methods import Evidence, LoadImages, Method, TransductiveMethod
from zsad.testing._clip import images


@torch.inference_mode()
def folder_evidence(
    method: TransductiveMethod,
    pixels: Tensor,
    class_name: str = "metal nut",
    batch: int = 3,
    unreadable: Collection[int] = (),
) -> Evidence:
    """The evidence of a folder of these images, in their order, without those that cannot be read."""
    scores = method.score_folder(loading(pixels, batch, unreadable), len(pixels), class_name)
    readable = [index for index in range(len(pixels)) if index not in unreadable]
    if sorted(scores.indices) != readable:
        raise AssertionError(f"scores of the images {scores.indices} where {readable} can be read")
    return chosen(scores.evidence, [scores.indices.index(index) for index in readable])


def loading(pixels: Tensor, batch: int = 3, unreadable: Collection[int] = ()) -> LoadImages:
    """Loads these images as a detector does."""

    def load(indices: Sequence[int]) -> Iterator[tuple[list[int], Tensor]]:
        for first in range(0, len(indices), batch):
            readable = [index for index in indices[first : first + batch] if index not in unreadable]
            if readable:
                yield readable, pixels[readable]

    return load


def answers_alone(method: Method) -> bool:
    """Whether forward scores images one by one, which a transductive method may refuse."""
    if not isinstance(method, TransductiveMethod):
        return True
    try:
        with torch.inference_mode():
            method(images(1).to(method.clip.dtype), ["metal nut"])
    except InputError:
        return False
    return True


def chosen(evidence: Evidence, rows: Sequence[int]) -> Evidence:
    """That of some images."""
    return Evidence(evidence.maps[list(rows)], evidence.score[list(rows)])
