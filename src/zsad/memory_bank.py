"""The memory bank of a few-shot detector: its size, its classes, and warnings about how it is used.

A memory bank is of one class: patches that are normal on a screw say nothing about a carpet.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from torch import Tensor

from zsad import methods
from zsad.checkpoint import TrainingRecord
from zsad.data.specification import in_words
from zsad.errors import ConfigError
from zsad.methods import FewShot, Method
from zsad.references import ReferenceBank
from zsad.runtime import without_tf32
from zsad.wording import pluralised

ANY = "object"
"""The class name that is used where none is given."""
UNNAMED = "a class that was not recorded"


def few_shot(method: Method, name: str) -> FewShot:
    """The method, if it has a few-shot mode.

    Args:
        method: of the detector.
        name: of the method.

    Raises:
        ConfigError: it has no few-shot mode.
    """
    if isinstance(method, FewShot):
        return method
    few_shot_methods = ", ".join(name for name, other in methods.available().items() if issubclass(other, FewShot))
    raise ConfigError("the detector must have a few-shot mode", name, f"choose one of {few_shot_methods}")


def takes_unlabelled(method: FewShot, name: str) -> FewShot:
    """The method, if it can remember images of which nobody knows whether they are normal.

    Args:
        method: of the detector.
        name: of the method.

    Raises:
        ConfigError: it compares with normal images only.
    """
    if method.takes_unlabelled:
        return method
    able = ", ".join(
        name for name, other in methods.available().items() if issubclass(other, FewShot) and other.takes_unlabelled
    )
    remedy = "give images that are known to be normal" + (f", or choose one of {able}" if able else "")
    raise ConfigError("the detector must be able to compare with unlabelled images", name, remedy)


def fit(method: FewShot, batches: Iterable[Tensor], add: Callable[[Tensor], None], class_name: str = "") -> list[int]:
    """Add batches of images to a method, and let it finish.

    Args:
        method: that remembers them.
        batches: normalised images [batch, 3, rows, cols] on the device of the method.
        add: its ``fit_normal`` or ``fit_unlabelled``.
        class_name: what they show, if that is known.

    Returns:
        Entries that are left of each of these images.

    Raises:
        whatever stops the fit; what the method remembers is then as it was.
    """
    before = remembered(method)
    images_before = {name: bank.images for name, bank in method.banks().items()}
    try:
        method.start_fit(class_name)
        for images in batches:
            with without_tf32():
                add(images)
        with without_tf32():
            method.finish_fit()
    except BaseException:
        restore(method, before)
        raise
    return [
        entries for name, bank in method.banks().items() for entries in bank.entries_by_image()[images_before[name] :]
    ]


def remembered(method: FewShot) -> dict[str, ReferenceBank | Tensor]:
    """All that a method has of its images: copies of its banks, and the buffers that it sets when it finishes a fit."""
    banks = {name: bank.copy() for name, bank in method.banks().items()}
    return {**banks, **dict(method.named_buffers(recurse=False))}


def restore(method: FewShot, before: Mapping[str, ReferenceBank | Tensor]) -> None:
    """Give a method back what :func:`remembered` found."""
    for name, value in before.items():
        setattr(method, name, value)


def size(method: Method) -> int:
    """Patches in the memory bank at each level; 0 for methods without one."""
    return sum(map(len, method.banks().values())) if isinstance(method, FewShot) else 0


def class_counts(method: Method, training_record: TrainingRecord) -> dict[str, int]:
    """Number of normal images by class, as far as recorded; ``""`` for images without a class name."""
    normal = [image.class_name for image in training_record.memory if image.is_normal]
    return dict(Counter(normal)) if size(method) else {}


def unlabelled_count(method: Method, training_record: TrainingRecord) -> int:
    """Number of images of which nobody said whether they are normal."""
    return sum(not image.is_normal for image in training_record.memory) if size(method) else 0


def summary(counts: Mapping[str, int], patches: int, unlabelled: int = 0) -> str:
    """A memory bank in words: its images by class, and its patches at each level; empty where there is none.

    >>> summary({"metal nut": 4, "": 1}, 1280)
    '4 normal images of metal nut, 1 normal image of a class that was not recorded (1,280 patches a level)'
    >>> summary({}, 900, unlabelled=9)
    '9 unlabelled images (900 patches a level)'
    """
    if not patches:
        return ""
    images = [f"{pluralised(number, 'normal image')} of {name or UNNAMED}" for name, number in counts.items()]
    images += [pluralised(unlabelled, "unlabelled image")] if unlabelled else []
    return f"{', '.join(images) or f'normal images of {UNNAMED}'} ({pluralised(patches, 'patch', 'patches')} a level)"


def described(method: Method, training_record: TrainingRecord) -> str:
    """The :func:`summary` of the memory bank of a detector."""
    unlabelled = unlabelled_count(method, training_record)
    return summary(class_counts(method, training_record), size(method), unlabelled)


def warnings(method: Method, training_record: TrainingRecord, class_names: Sequence[str]) -> list[str]:
    """Warnings about scoring images of these classes with the memory bank of a detector, in full sentences.

    Args:
        method, training_record: of the detector.
        class_names: of the images that are scored. ``"object"`` alone may be any class.
    """
    patches, counts = size(method), Counter(image.class_name for image in training_record.memory)
    if not patches:
        return []
    known, brief = {_plain(name) for name in counts} - {""}, described(method, training_record)
    scored = [] if [*map(_plain, class_names)] == [ANY] else list(class_names)
    foreign = [name for name in scored if _plain(name) not in known]
    sentences = []
    if "" in counts or sum(image.patches for image in training_record.memory) != patches:
        if foreign:
            sentences.append(f"The class of some normal images in the memory bank was not recorded: {brief}.")
    elif foreign:
        verb = "is" if len(foreign) == 1 else "are"
        sentences.append(
            f"{_listed(foreign)} {verb} compared with normal images of another class: the memory bank holds {brief}."
        )
    if len(counts) > 1 or (len(scored) > 1 and not known):
        sentences.append(
            "One memory bank serves several classes: what is normal for one of them counts as normal for the others."
        )
    return sentences


def _plain(name: str) -> str:
    return in_words(name).casefold()


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
