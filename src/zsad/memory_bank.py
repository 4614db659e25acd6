"""What a detector remembers of normal things, in numbers and in words, and what casts doubt on it.

A memory is of one class: patches that are normal on a screw say nothing of a carpet.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from zsad import methods
from zsad.checkpoint import TrainingRecord
from zsad.data.specification import in_words
from zsad.errors import ConfigError
from zsad.methods._base import Method
from zsad.methods._few_shot import FewShot
from zsad.wording import pluralised

ANY = "object"
"""The class that is told to a detector where nobody says what images show."""
UNNAMED = "a class that is not on record"


def few_shot(method: Method, name: str) -> FewShot:
    """The method, if it can compare with normal images.

    Args:
        method: of the detector.
        name: of the method.

    Raises:
        ConfigError: it has no few-shot mode.
    """
    if isinstance(method, FewShot):
        return method
    having = ", ".join(name for name, other in methods.available().items() if issubclass(other, FewShot))
    raise ConfigError("the detector must have a few-shot mode", name, f"choose one of {having}")


def size(method: Method) -> int:
    """Patches that are remembered at each level; 0 of methods without a memory."""
    return method.memory.shape[1] if isinstance(method, FewShot) else 0


def class_counts(method: Method, training_record: TrainingRecord) -> dict[str, int]:
    """How many normal images of which class are remembered, as far as it is on record; ``""`` where unnamed."""
    return dict(Counter(one.class_name for one in training_record.memory)) if size(method) else {}


def summary(remembered: Mapping[str, int], patches: int) -> str:
    """A memory in words, by its classes and the patches at each level; empty where there is none.

    >>> summary({"metal nut": 4, "": 1}, 1280)
    '4 normal images of metal nut, 1 normal image of a class that is not on record (1,280 patches a level)'
    """
    if not patches:
        return ""
    images = [f"{pluralised(number, 'normal image')} of {name or UNNAMED}" for name, number in remembered.items()]
    return f"{', '.join(images) or f'normal images of {UNNAMED}'} ({pluralised(patches, 'patch', 'patches')} a level)"


def warnings(method: Method, training_record: TrainingRecord, class_names: Sequence[str]) -> list[str]:
    """What a reader must know where classes are judged by what a detector remembers, in full sentences.

    Args:
        method, training_record: of the detector.
        class_names: what is judged. The one class ``"object"`` may be anything.
    """
    patches, remembered = size(method), class_counts(method, training_record)
    if not patches:
        return []
    known, brief = {_plain(name) for name in remembered} - {""}, summary(remembered, patches)
    judged = [] if [*map(_plain, class_names)] == [ANY] else list(class_names)
    others = [name for name in judged if _plain(name) not in known]
    said = []
    if "" in remembered or sum(one.patches for one in training_record.memory) != patches:
        said += [f"It is not on record of which class all is that the detector remembers: {brief}."] if others else []
    elif others:
        said.append(
            f"{_listed(others)} {'is' if len(others) == 1 else 'are'} judged by the memory of another class: the "
            f"detector remembers {brief}."
        )
    if len(remembered) > 1 or (len(judged) > 1 and not known):
        said.append(
            "One memory serves several classes: what is normal on one of them passes as normal on the others, too."
        )
    return said


def _plain(name: str) -> str:
    return in_words(name).casefold()


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
