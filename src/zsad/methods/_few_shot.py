"""Methods with a few-shot mode: a bank of the patches of a few normal images."""

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from zsad.backbones.clip import Clip
from zsad.errors import ConfigError, InputError
from zsad.methods._base import Config, Method
from zsad.references import PatchFeatures, ReferenceBank, nearest_cosine

OLDER_MEMORY = "memory"
"""Name of the tensor [levels, entries, width] that version 0.1.0 saved in place of a bank."""


class FewShot(Method):
    """A method with a bank of normal patches; while it is empty, the method is zero-shot.

    The bank is saved and loaded with the method, whatever its number of entries.

    Args:
        clip, config: as for every method.
        widths: of the features of each stream that the method compares.

    Attributes:
        bank: patches of the normal images.
        needs_normal: whether the method is few-shot only; ``forward`` raises a ConfigError while the bank is empty.
        takes_unlabelled: whether the method can also remember images of which nobody knows whether they are normal.
    """

    needs_normal: ClassVar[bool] = False
    takes_unlabelled: ClassVar[bool] = False

    def __init__(self, clip: Clip, config: Config, *, widths: tuple[int, ...]) -> None:
        super().__init__(clip, config)
        self.bank = ReferenceBank(widths)

    @abstractmethod
    def reference_features(self, images: Float[Tensor, "batch 3 rows cols"]) -> PatchFeatures:
        """The unit features of normalised images that the bank holds and that are compared with it."""

    @property
    def is_few_shot(self) -> bool:
        """Whether the bank has entries."""
        return len(self.bank) > 0

    def start_fit(self, class_name: str) -> None:
        """Called once before the first of the images that are added together.

        Methods that learn something from the images of a class, in :meth:`finish_fit`, override it.

        Args:
            class_name: what the images show, in plain English; empty where nobody said.
        """

    # The bank may be used in training as well, and tensors made in inference mode cannot.
    @torch.inference_mode(False)
    @torch.no_grad()
    def fit_normal(self, images: Float[Tensor, "batch 3 rows cols"]) -> None:
        """Add the patches of normal images, resized and normalised, to the bank."""
        self.bank.add(self.reference_features(images))

    def fit_unlabelled(self, images: Float[Tensor, "batch 3 rows cols"]) -> None:
        """Remember images, resized and normalised, that may be normal or not; only where :attr:`takes_unlabelled`.

        Methods that can do so override it. Into which bank of theirs the images go is theirs to say.

        Raises:
            ConfigError: the method compares with normal images only.
        """
        rule = "the method must be able to compare with unlabelled images"
        raise ConfigError(rule, type(self).__name__, "give images that are known to be normal")

    def finish_fit(self) -> None:
        """Called once after the last of the images that are added together, for instance to drop entries or to learn
        prompts; what is learnt is kept in buffers, which are saved with the detector."""

    def forget_normal(self) -> None:
        """Empty all banks, for instance between classes."""
        for bank in self.banks().values():
            bank.clear()

    def banks(self) -> dict[str, ReferenceBank]:
        """All banks of the method, by the name of their attribute; most methods have one."""
        return {name: child for name, child in self.named_children() if isinstance(child, ReferenceBank)}

    @contextmanager
    def leaving_out(self, images: Collection[int]) -> Iterator[None]:
        """Without these images of the bank for the duration of a ``with`` block, for instance to score one of them.

        Args:
            images: their numbers in the bank.

        Raises:
            InputError: nothing is left of the bank.
        """
        bank = self.bank
        with torch.inference_mode(False), torch.no_grad():
            self.bank = bank.without(images)
        try:
            if not self.is_few_shot:
                rule = "an image of the memory bank is compared with other images in it"
                raise InputError(rule, "a bank of one image", "fit the detector to more, or use images outside of it")
            yield
        finally:
            self.bank = bank

    def nearest(self, features: PatchFeatures) -> Float[Tensor, "batch streams cells"]:
        """Distance of each patch from the most similar entry of the bank in each stream.

        Returns:
            1 - max(cosine similarity, 0), in [0, 1].
        """
        return (1 - nearest_cosine(features, self.bank)).clamp(0, 1).transpose(0, 1)

    def current_state(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As the base; the memory of version 0.1.0 is one of unknown images, and banks that no file has are empty."""
        found = dict(tensors)
        if (memory := found.get(OLDER_MEMORY)) is not None and memory.ndim == 3:
            found = {name: tensor for name, tensor in found.items() if name != OLDER_MEMORY}
            found |= _entries_of_unknown_images(memory)
        for name, bank in self.banks().items():
            if not any(key.startswith(f"{name}.") for key in found):
                found |= ReferenceBank(bank.widths).state_dict(prefix=f"{name}.")
        return found


def _entries_of_unknown_images(memory: Tensor) -> dict[str, Tensor]:
    """The bank for a memory [levels, entries, width]."""
    unknown = torch.full((memory.shape[1],), -1)
    bank = {f"bank.stream_{level}": entries for level, entries in enumerate(memory)}
    return bank | {
        "bank.image": unknown,
        "bank.position": unknown[:, None].repeat(1, 2),
        "bank.image_count": torch.tensor(0),
    }
