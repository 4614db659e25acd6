"""What casts doubt on a memory: whose it is, and whom it judges."""

import pytest

from tests import small
from zsad import memory_bank
from zsad.checkpoint import RememberedImage, TrainingRecord
from zsad.methods.clip import ClipDetector
from zsad.methods.fe_clip.method import FeClip

OTHER = "compared with normal images of another class: the memory bank holds "
UNKNOWN = "The class of some normal images in the memory bank was not recorded: "
SEVERAL = "One memory bank serves several classes: what is normal for one of them counts as normal for the others."


def method(images: int) -> FeClip:
    """Remembers so many images of 16 patches."""
    found = FeClip(small.frozen())
    if images:
        found.fit_normal(small.images(images))
    return found


def training_record(*names: str) -> TrainingRecord:
    return TrainingRecord(memory=tuple(RememberedImage(name, "aa", 16) for name in names))


@pytest.mark.parametrize(
    ("remembered", "judged", "said"),
    [
        ((), ("lid", "cap"), []),
        (("metal nut",), ("metal nut",), []),
        (("metal_nut",), ("Metal nut",), []),
        (("metal nut",), ("object",), []),
        (("metal nut",), ("lid",), [f"lid is {OTHER}1 normal image of metal nut (16 patches a level)."]),
        (
            ("nut", "nut"),
            ("lid", "nut", "cap", "tin"),
            [f"lid, cap and tin are {OTHER}2 normal images of nut (32 patches a level)."],
        ),
        (("nut",), ("object", "nut"), [f"object is {OTHER}1 normal image of nut (16 patches a level)."]),
        (("nut", "lid"), ("nut",), [SEVERAL]),
        (("nut", "lid"), ("object",), [SEVERAL]),
        (("",), ("object",), []),
        (
            ("",),
            ("nut",),
            [f"{UNKNOWN}1 normal image of a class that was not recorded (16 patches a level)."],
        ),
        (
            ("",),
            ("nut", "lid"),
            [f"{UNKNOWN}1 normal image of a class that was not recorded (16 patches a level).", SEVERAL],
        ),
    ],
)
def test_doubts(remembered: tuple[str, ...], judged: tuple[str, ...], said: list[str]) -> None:
    assert memory_bank.warnings(method(len(remembered)), training_record(*remembered), judged) == said


def test_a_memory_of_before_there_was_a_record_is_doubted() -> None:
    (said,) = memory_bank.warnings(method(3), TrainingRecord(("aa",)), ["nut"])
    assert said == f"{UNKNOWN}normal images of a class that was not recorded (48 patches a level)."
    (said,) = memory_bank.warnings(method(3), training_record("nut"), ["lid"])
    assert said == f"{UNKNOWN}1 normal image of nut (48 patches a level)."


def test_what_has_no_memory_has_no_doubts() -> None:
    plain = ClipDetector(small.frozen())
    assert memory_bank.warnings(plain, training_record("nut"), ["lid"]) == []
    assert (memory_bank.size(plain), memory_bank.class_counts(plain, training_record("nut"))) == (0, {})
    assert memory_bank.class_counts(method(0), training_record("nut")) == {}
