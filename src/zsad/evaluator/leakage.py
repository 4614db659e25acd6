"""What a detector has seen is no test for it."""

from collections.abc import Sequence

from zsad.checkpoint import TrainingRecord
from zsad.data.specification import in_words
from zsad.errors import InputError
from zsad.evaluator.plan import PlannedClass, PlannedSet


def seen_in_training(one: PlannedClass, record: TrainingRecord) -> int:
    """How many images of a class the detector was trained on, remembers or is shown for it, by their content."""
    known = {*record.images, *(shot.content for shot in one.shots)} - {""}
    return sum(item.content in known for item in one.items)


def refuse_seen(planned: Sequence[PlannedSet], record: TrainingRecord) -> None:
    """Make sure that no image was seen before.

    Raises:
        InputError: some were; it says how many of which class.
    """
    counts = [(seen_in_training(one, record), one) for data in planned for one in data.classes]
    words = [f"{count} of {len(one.items)} of {one.name} ({one.data_set})" for count, one in counts if count]
    if words:
        raise InputError(
            "a detector is evaluated on images that it was not trained on and does not remember",
            ", ".join(words),
            "name other data, or say --allow-training-data (in Python: allow_training_data=True) and results will warn",
        )


def warnings(planned: PlannedSet, record: TrainingRecord, is_trained: bool) -> list[str]:
    """What a reader must know of the images and classes that the detector has seen, in full sentences.

    Args:
        planned: the data.
        record: what is on record of the detector.
        is_trained: whether something of it is learnt by training.
    """
    said = []
    for one in planned.classes:
        if count := seen_in_training(one, record):
            said.append(
                f"{one.name}: {count} of {len(one.items)} images were seen by the detector in training or as normal "
                f"images to remember. The numbers of this class, and the means, say nothing of unseen data."
            )
    if not record.is_on_record or (is_trained and not record.training):
        said.append("It is not on record on which images the detector was trained: some of these may be among them.")
    trained_on = {in_words(name).casefold() for name in record.training.get("classes", {})}
    same = [one.name for one in planned.classes if one.prompt.casefold() in trained_on]
    if same:
        said.append(
            f"The detector was trained on classes of the same name: {', '.join(same)}. "
            f"For these it is not a zero-shot detector."
        )
    return said
