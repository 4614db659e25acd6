"""Methods that can also compare with a few pictures of normal things."""

from abc import abstractmethod

from jaxtyping import Float
from torch import Tensor

from zsad.methods._base import Method


class FewShot(Method):
    """A method with a memory of normal patches; while it is empty, the method is zero-shot."""

    @abstractmethod
    def fit_normal(self, images: Float[Tensor, "batch 3 rows cols"]) -> None:
        """Add the patches of normalised images of normal things to the memory."""
