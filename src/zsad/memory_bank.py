"""The memory bank of a few-shot detector: its size, its classes, and warnings about how it is used.

A memory bank is of one class: patches that are normal on a screw say nothing about a carpet.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from zsad import methods
from zsad.checkpoint import TrainingRecord
from zsad.data.specification import in_words
from zsad.errors import ConfigError
from zsad.methods import FewShot, Method
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


def size(method: Method) -> int:
    """Patches in the memory bank at each level; 0 for methods without one."""
    return len(method.bank) if isinstance(method, FewShot) else 0


def class_counts(method: Method, training_record: TrainingRecord) -> dict[str, int]:
    """Number of normal images by class, as far as recorded; ``""`` for images without a class name."""
    return dict(Counter(image.class_name for image in training_record.memory)) if size(method) else {}


def summary(counts: Mapping[str, int], patches: int) -> str:
    """A memory bank in words: its images by class, and its patches at each level; empty where there is none.

    >>> summary({"metal nut": 4, "": 1}, 1280)
    '4 normal images of metal nut, 1 normal image of a class that was not recorded (1,280 patches a level)'
    """
    if not patches:
        return ""
    images = [f"{pluralised(number, 'normal image')} of {name or UNNAMED}" for name, number in counts.items()]
    return f"{', '.join(images) or f'normal images of {UNNAMED}'} ({pluralised(patches, 'patch', 'patches')} a level)"


def warnings(method: Method, training_record: TrainingRecord, class_names: Sequence[str]) -> list[str]:
    """Warnings about scoring images of these classes with the memory bank of a detector, in full sentences.

    Args:
        method, training_record: of the detector.
        class_names: of the images that are scored. ``"object"`` alone may be any class.
    """
    patches, counts = size(method), class_counts(method, training_record)
    if not patches:
        return []
    known, brief = {_plain(name) for name in counts} - {""}, summary(counts, patches)
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
