"""What is checked of every checkpoint of the authors of a method."""

import pytest
import torch

from zsad.errors import ConfigError, ImportRefused
from zsad.methods import Trainable
from zsad.methods._published import checked, numbered, size, tensor_set


def test_a_method_without_a_known_form_says_so() -> None:
    with pytest.raises(ConfigError, match="form of the authors' checkpoints is known"):
        Trainable.from_published({})


def test_names_of_data_parallel_lose_their_prefix_and_others_do_not() -> None:
    one, two = torch.zeros(1), torch.ones(1)
    assert tensor_set({"a": {"module.x": one, "module.y": two}}, "a") == {"x": one, "y": two}
    assert tensor_set({"module.x": one, "y": two, "epoch": 3}) == {"module.x": one, "y": two}


def test_numbered_names_are_counted_without_gaps_and_bounded() -> None:
    tensors = {f"p.{number}": torch.zeros(2, 3) for number in (0, 1, 3)}
    assert numbered(tensors, "p.{}") == 2
    assert [size(tensors, "p.0", axis) for axis in (0, 1, -1)] == [2, 3, 3]
    with pytest.raises(ImportRefused, match="more than 64"):
        numbered({f"p.{number}": torch.zeros(1) for number in range(65)}, "p.{}")
    with pytest.raises(ImportRefused, match=r"axis 2; got shape \(2, 3\)"):
        size(tensors, "p.0", 2)
    with pytest.raises(ImportRefused, match=r"axis 0; got shape \(0,\)"):
        size({"none": torch.zeros(0)}, "none", 0)


def test_unused_tensors_are_left_out_by_their_whole_names() -> None:
    tensors = {"a": torch.zeros(2, dtype=torch.float16), "dead.0": torch.zeros(3)}
    found = checked(tensors, {"a": (2,)}, [r"dead\.\d"])
    assert [*found] == ["a"]
    assert found["a"].dtype == torch.float32
    with pytest.raises(ImportRefused, match=r"got dead\.0, one of 1"):
        checked(tensors, {"a": (2,)}, ["dead"])
