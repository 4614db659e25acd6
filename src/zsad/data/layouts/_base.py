"""What a data-set layout is: a way to read off folders which image shows what. Needs only the standard library."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from zsad.errors import ConfigError

NORMAL, ANOMALOUS = 0, 1


@dataclass(frozen=True)
class PublishedCount:
    """How many images a class has as it was published.

    Attributes:
        normal, anomalous: of the test split, on which detectors are evaluated.
        train: of the training split, if there is one.
    """

    normal: int
    anomalous: int
    train: int = 0


NO_COUNTS: Mapping[str, PublishedCount] = MappingProxyType({})


@dataclass(frozen=True)
class Sample:
    """One image of a data set.

    Attributes:
        image: the file.
        label: 0 normal, 1 anomalous, None unknown.
        class_name: what it shows, such as ``"bottle"``.
        kind: the kind of defect, ``"good"`` for normal images, ``"unknown"`` for unlabelled ones.
        mask: the file with the ground truth per pixel, if there is one; see
            :func:`zsad.data.masks.ground_truth.read_mask`.
        split: ``"train"`` or ``"test"``.
        lost_mask: the mask that a list names, where that was never made: neither it nor any other is in its folder.
        further_masks: where each defect has a mask of its own, those after the first.
        saturation: the file that says how many pixels of each mask suffice; see :mod:`zsad.data.masks.saturation`.
    """

    image: Path
    label: int | None
    class_name: str
    kind: str
    mask: Path | None
    split: str
    lost_mask: Path | None = None
    further_masks: tuple[Path, ...] = ()
    saturation: Path | None = None

    @property
    def picture(self) -> Path:
        """The image, under its name of version 0.1.0."""
        warnings.warn("Sample.picture is deprecated; use Sample.image", DeprecationWarning, stacklevel=2)
        return self.image

    @property
    def masks(self) -> tuple[Path, ...]:
        """All of its masks: what any of them marks is anomalous."""
        return () if self.mask is None else (self.mask, *self.further_masks)

    def with_masks(self, masks: Sequence[Path]) -> "Sample":
        """The sample with these masks."""
        return replace(self, mask=masks[0] if masks else None, further_masks=tuple(masks[1:]))

    def source(self, root: Path) -> str:
        """The image's path below the root of its data set, with ``/``; where it lies elsewhere, the whole path."""
        return (self.image.relative_to(root) if self.image.is_relative_to(root) else self.image).as_posix()


class Layout(ABC):
    """How one data set, or one family of them, lies on disk.

    Attributes:
        title: name for people.
        about: one line with the source, and the terms if there are any.
        classes: names of its classes; () where they are read off the folders.
        counts: what each class holds as published; empty where the layout is that of any data.
        has_masks: whether it was published with masks.
        is_list: whether a list names its files; what else lies in their folders may be of other data.
    """

    title: ClassVar[str]
    about: ClassVar[str]
    classes: ClassVar[tuple[str, ...]] = ()
    counts: ClassVar[Mapping[str, PublishedCount]] = NO_COUNTS
    has_masks: ClassVar[bool] = True
    is_list: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All samples below ``root``, in natural order.

        Raises:
            InputError: ``root`` does not exist or does not have this layout.
        """

    @classmethod
    def is_own(cls, samples: Sequence[Sample]) -> bool:
        """Whether this is the data set that the layout is named after, or a part of it, by the names of the classes."""
        found = {sample.class_name for sample in samples}
        return bool(found) and found <= {*cls.classes, *cls.counts}


def check_outside(layout: type[Layout]) -> None:
    """Refuse a layout of another package or program that does not say what it is.

    Raises:
        ConfigError: ``title`` or ``about`` is missing.
    """
    for name in ("title", "about"):
        if not isinstance(getattr(layout, name, None), str):
            rule = "a data set layout has a title and one line about its source"
            raise ConfigError(rule, f"{layout.__qualname__} without {name}", f'define {name} = "..." in the class')
