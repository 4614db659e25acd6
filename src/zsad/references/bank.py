"""A bank of patch features that knows which image, and which position in it, each entry came from."""

from collections.abc import Collection
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zsad.errors import ConfigError
from zsad.references.features import PatchFeatures


class ReferenceBank(nn.Module):
    """Unit features of reference patches.

    The bank is data of a detector, like its trained tensors: all of it is in the state dict, whatever the number of
    entries. Entries of one image stand together, in the order in which images were added.

    Args:
        widths: of the features of each stream.

    Attributes:
        image: number of the image, from 0, that each entry came from; rotated copies of an image share its number. -1
            where it is unknown, in what an older version saved.
        position: (row, col) on the grid of patches that each entry came from; -1 where it is unknown.
        image_count: number of images that were added, also of those of which no entry is left.
        unselected: number of entries, the last of the bank, that were added since :meth:`keep` last chose from it.
    """

    image: Int[Tensor, "entries"]
    position: Int[Tensor, "entries 2"]
    image_count: Int[Tensor, ""]

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.widths, self.unselected = widths, 0
        for number, width in enumerate(widths):
            self.register_buffer(f"stream_{number}", torch.empty(0, width))
        self.register_buffer("image", torch.empty(0, dtype=torch.long))
        self.register_buffer("position", torch.empty(0, 2, dtype=torch.long))
        self.register_buffer("image_count", torch.zeros((), dtype=torch.long))

    @property
    def streams(self) -> tuple[Float[Tensor, "entries _"], ...]:
        """Features of all entries, for each stream."""
        return tuple(getattr(self, f"stream_{number}") for number in range(len(self.widths)))

    @property
    def images(self) -> int:
        """Number of images that were added, also of those of which no entry is left."""
        return int(self.image_count)

    def __len__(self) -> int:
        return len(self.image)

    def patches_of(self, image: int) -> PatchFeatures:
        """The features of an image as they were added, of its first copy; no entry of it was dropped."""
        entries = (self.image == image).nonzero().flatten()
        rows, cols = (self.position[entries].amax(0) + 1).tolist()
        first = entries[: rows * cols]
        return PatchFeatures(tuple(stream[first][None] for stream in self.streams), (rows, cols))

    def entries_by_image(self) -> list[int]:
        """Number of entries of each image."""
        return self.image[self.image >= 0].bincount(minlength=self.images).tolist()

    # A bank must serve training as well, which tensors made in inference mode cannot.
    @torch.inference_mode(False)
    @torch.no_grad()
    def add(self, features: PatchFeatures, copies: int = 1) -> None:
        """Add the patches of a batch of images.

        Args:
            features: of all copies of the first image, then of the second.
            copies: of each image, for instance at several angles; they are one image to all statistics.

        Raises:
            ConfigError: the features are of other streams or widths than the bank has.
        """
        widths = tuple(stream.shape[-1] for stream in features.streams)
        if widths != self.widths:
            rule = "a bank takes features of its own streams and widths"
            raise ConfigError(rule, f"{widths} for {self.widths}", "use one method and configuration for all images")
        batch, cells = features.streams[0].shape[:2]
        for number, stream in enumerate(features.streams):
            ours = getattr(self, f"stream_{number}")
            setattr(self, f"stream_{number}", torch.cat([ours, stream.flatten(0, 1).to(ours)]))
        numbers = torch.arange(batch).div(copies, rounding_mode="floor").repeat_interleave(cells) + self.images
        rows, cols = features.grid
        positions = torch.cartesian_prod(torch.arange(rows), torch.arange(cols)).reshape(cells, 2).repeat(batch, 1)
        self.image = torch.cat([self.image, numbers.to(self.image.device)])
        self.position = torch.cat([self.position, positions.to(self.position.device)])
        self.image_count = self.image_count + batch // copies
        self.unselected += batch * cells

    def copy(self) -> "ReferenceBank":
        """A bank with the same entries; what is added to either does not change the other."""
        other = ReferenceBank(self.widths)
        for name, buffer in self.named_buffers():
            setattr(other, name, buffer)
        other.unselected = self.unselected
        return other

    def keep(self, entries: Int[Tensor, "kept"]) -> None:
        """Drop all entries but these."""
        entries = entries.sort().values.to(self.image.device)
        for number, stream in enumerate(self.streams):
            setattr(self, f"stream_{number}", stream[entries])
        self.image, self.position, self.unselected = self.image[entries], self.position[entries], 0

    def without(self, images: Collection[int]) -> "ReferenceBank":
        """A bank with the entries of all other images; the numbers of images stay."""
        other = self.copy()
        left_out = torch.tensor([*images], dtype=torch.long, device=self.image.device)
        other.keep(torch.isin(self.image, left_out, invert=True).nonzero().flatten())
        return other

    def clear(self) -> None:
        """Drop all entries, and begin to number images anew."""
        self.keep(torch.empty(0, dtype=torch.long))
        self.image_count = torch.zeros_like(self.image_count)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """As in PyTorch, except that the bank takes the number of entries that it is given."""
        for name, ours in list(self.named_buffers(recurse=False)):
            saved = state_dict.get(f"{prefix}{name}")
            if isinstance(saved, Tensor) and saved.ndim == ours.ndim > 0:
                setattr(self, name, ours.new_empty(len(saved), *ours.shape[1:]))
        self.unselected = 0
        super()._load_from_state_dict(state_dict, prefix, *rest)
        errors = rest[-1]
        if {len(buffer) for buffer in self.buffers() if buffer.ndim} != {len(self)}:
            errors.append(f"the streams, images and positions of {prefix}* are of one number of entries")
        elif len(self) and not -1 <= int(self.image.min()) <= int(self.image.max()) < max(1, self.images):
            errors.append(f"{prefix}image holds numbers below {prefix}image_count")
