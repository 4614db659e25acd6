"""Forward passes side by side: in order, in the caller's modes, each with its share of PyTorch's threads."""

import threading
from collections.abc import Iterator

import pytest
import torch

from zsad.passes import MAX_PASSES, forward_passes, side_by_side


@pytest.fixture(params=[1, 2, 9])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_are_in_order_and_the_threads_of_the_caller_stay(threads: int) -> None:
    assert side_by_side("cpu") == min(threads, MAX_PASSES)
    assert side_by_side("cuda") == 1
    taken = list[int]()

    def items() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    for count, (number, share) in enumerate(forward_passes(lambda n: (n, torch.get_num_threads()), items(), "cpu")):
        assert number == count
        assert share == (threads if count == 0 else threads // min(threads, MAX_PASSES))
        assert len(taken) <= count + min(threads, MAX_PASSES) + 1
    assert torch.get_num_threads() == threads


def test_the_first_pass_has_ended_before_others_begin(threads: int) -> None:
    running, most = 0, 0
    lock, seen = threading.Lock(), threading.Event()

    def run(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            assert number == 0 or seen.is_set()
        if number:
            together.wait(timeout=30)  # ends only when as many are there
        else:
            seen.set()
        with lock:
            running -= 1
        return number

    count = side_by_side("cpu")
    together = threading.Barrier(count)
    assert list(forward_passes(run, range(1 + 3 * count), "cpu")) == list(range(1 + 3 * count))
    assert most == count


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_passes_run_in_the_modes_of_their_caller(device: str) -> None:
    def modes(_: int) -> tuple[bool, bool]:
        return torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    assert set(forward_passes(modes, range(3), device)) == {(False, True)}
    with torch.inference_mode():
        assert set(forward_passes(modes, range(3), device)) == {(True, False)}
    with torch.no_grad():
        assert set(forward_passes(modes, range(3), device)) == {(False, False)}


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_an_error_of_a_pass_is_raised_at_its_place(device: str) -> None:
    results = forward_passes(lambda number: 12 // (3 - number), range(9), device)
    assert [next(results) for _ in range(3)] == [4, 6, 12]
    with pytest.raises(ZeroDivisionError):
        next(results)
