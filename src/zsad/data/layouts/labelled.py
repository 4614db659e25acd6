"""Labelled images of one class: a folder of good ones, and a folder for each kind of defect."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from zsad.data.layouts._base import ANOMALOUS, NORMAL, Layout, Sample
from zsad.data.layouts._trees import another_tree, folders_in, images_of, masks_of, name_of, spelled
from zsad.errors import InputError

GOOD = ("good", "normal", "ok")
MASKS = ("ground_truth", "masks", "mask")


class Labelled(Layout):
    """``good/*`` (or ``normal``, ``ok``) and ``<kind>/*`` for each kind of defect; masks are optional.

    The mask of ``<kind>/<stem>.*`` is ``<stem>.*`` or ``<stem>_mask.*`` in ``ground_truth/<kind>``, or in ``masks``;
    several are numbered, ``<stem>_mask_1.*``, or lie in ``ground_truth/<kind>/<stem>``. All images are of one class,
    named after the folder. Images outside these folders are ignored.
    """

    title = "Labelled folders"
    about = "Your own images of one class, in a folder good and one for each kind of defect."

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All samples, folder by folder.

        Raises:
            InputError: there is not one folder of normal images, none in it, or a mask fits two images.
        """
        kinds = [folder for folder in folders_in(root) if folder.name.casefold() not in MASKS]
        good = _good(root, kinds)
        samples = [sample for kind in kinds for sample in _samples_of_kind(root, kind, is_good=kind == good)]
        if not any(sample.label == NORMAL for sample in samples):
            raise InputError("the folder of normal images has some", good, "check that the data are complete")
        _check_masks(samples)
        return samples


def _good(root: Path, kinds: Sequence[Path]) -> Path:
    good = [kind for kind in kinds if kind.name.casefold() in GOOD]
    if len(good) != 1:
        tree = "one folder of normal images, called good, normal or ok"
        remedy = "name the folder of one class; images without labels are layout 'folder', MVTec's tree is 'mvtec'"
        raise another_tree("this layout", tree, root, remedy)
    return good[0]


def _samples_of_kind(root: Path, kind: Path, is_good: bool) -> Iterator[Sample]:
    class_name = name_of(root)
    if is_good:
        yield from (Sample(image, NORMAL, class_name, "good", None, "test") for image in images_of(kind))
    else:
        images = images_of(kind)
        masks = _masks(root, kind, images)
        for image in images:
            yield Sample(image, ANOMALOUS, class_name, name_of(kind), None, "test").with_masks(masks.get(image, ()))


def _masks(root: Path, kind: Path, images: Sequence[Path]) -> dict[Path, tuple[Path, ...]]:
    """The masks of the images of a kind; those in a folder of the kind take precedence."""
    folders = [folder for folder in reversed(folders_in(root)) if folder.name.casefold() in MASKS]  # ground_truth wins
    masks_of_images: dict[Path, tuple[Path, ...]] = {}
    for folder in folders:
        loose = masks_of(images, kind, folder)
        masks_of_images |= {image: masks for image, masks in loose.items() if masks and masks[0].parent == folder}
    for folder in folders:
        of_kind = masks_of(images, kind, spelled(folder / kind.name))
        masks_of_images |= {image: masks for image, masks in of_kind.items() if masks}
    return masks_of_images


def _check_masks(samples: Sequence[Sample]) -> None:
    """Refuse a mask that fits images of several folders: it would be wrong for one of them."""
    first: dict[Path, Sample] = {}
    for sample in samples:
        for mask in sample.masks:
            if first.setdefault(mask, sample) != sample:
                value = f"{mask} for {first[mask].image} and {sample.image}"
                raise InputError("a mask belongs to one image", value, "put masks into ground_truth/<kind>")
