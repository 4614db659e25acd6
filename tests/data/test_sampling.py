"""Some of the images of a data set, for a quick look."""

from collections import Counter
from pathlib import Path

from zsad.data.layouts import Sample
from zsad.data.sampling import subset


def sample(number: int, label: int | None, class_name: str = "nut") -> Sample:
    return Sample(Path(f"{number}.png"), label, class_name, "", None, "test")


SAMPLES = [sample(number, (0, 1, None)[number % 3], "nut" if number < 30 else "bolt") for number in range(45)]


def test_as_many_of_each_class_and_state_as_there_are_up_to_the_number() -> None:
    chosen = subset(SAMPLES, 7)
    assert Counter((one.class_name, one.label) for one in chosen) == {
        **{("nut", label): 7 for label in (0, 1, None)},
        **{("bolt", label): 5 for label in (0, 1, None)},
    }
    assert chosen == [one for one in SAMPLES if one in chosen]
    assert subset(SAMPLES, 7) == chosen
    assert [one for one in chosen if one.label == 0] != [one for one in SAMPLES if one.label == 0][: len(chosen)]


def test_all_where_no_number_is_given() -> None:
    assert subset(SAMPLES, None) == subset(SAMPLES, 100) == SAMPLES
    assert subset([], 3) == []
