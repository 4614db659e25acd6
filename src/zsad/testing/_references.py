"""What methods promise that compare with other images: few-shot memories, and folders that score one another."""

from collections.abc import Callable

import torch

from zsad.errors import ConfigError, InputError, ZsadError
from zsad.methods import (
    Evidence,
    FewShot,
    TransductiveMethod,
)
from zsad.testing._clip import images
from zsad.testing._comparing import CLASSES, assert_same, assert_unchanged, distance, require, run, snapshot
from zsad.testing._folders import chosen, folder_evidence, loading
from zsad.testing._promises import MethodCase, promise


@promise("normal images change the answer of a few-shot method, in any order and in chunks, until it forgets them")
def a_memory_is_filled_and_emptied(case: MethodCase) -> None:
    method = case.make()
    if not isinstance(method, FewShot):
        return
    method.forget_normal()
    require(not method.is_few_shot, "a memory that is not empty at first, or after forget_normal")
    without, normal = _without_normal(method), images(4, seed=5)
    before = snapshot(method.clip)
    method.fit_normal(normal)
    few_shot = run(method)
    require(method.is_few_shot, "an empty memory after fit_normal")
    entries = method.bank.entries_by_image()
    require(len({*entries}) == 1 and len(entries) == 4, f"{entries} entries of 4 images of one size")
    if without is not None:
        require(distance(few_shot.maps.mean(1), without.maps.mean(1)) > 1e-5, "the same maps with and without one")
    assert_unchanged(method.clip, before)
    method.forget_normal()
    again = _without_normal(method)
    if without is not None and again is not None:
        assert_same(again, without)
    for chunk in (normal[2:], normal[:2]):
        method.fit_normal(chunk)
    assert_same(run(method), few_shot, rtol=1e-5, atol=1e-6)
    method.finish_fit()
    require(method.is_few_shot, "an empty memory after finish_fit")


def _without_normal(method: FewShot) -> Evidence | None:
    """What the method says with an empty memory; None where it refuses, since it is few-shot only."""
    if not method.needs_normal:
        return run(method)
    try:
        run(method)
    except ConfigError:
        return None
    raise AssertionError("an answer without normal images of a method that needs_normal")


@promise(
    "a folder's scores depend on its images alone: not on batches, their order, those that cannot be read, or twice"
)
def a_folder_is_scored_by_its_images(case: MethodCase) -> None:
    method, pixels = case.make(), images(6, seed=7)
    if not isinstance(method, TransductiveMethod) or not method.scores_folder(6):
        return
    whole = folder_evidence(method, pixels)
    for batch in (1, 4):
        assert_same(folder_evidence(method, pixels, batch=batch), whole, rtol=1e-3, atol=1e-3)
    order = [4, 1, 5, 0, 3, 2]
    assert_same(folder_evidence(method, pixels[order]), chosen(whole, order), rtol=1e-3, atol=1e-3)
    assert_same(folder_evidence(method, pixels), whole)
    readable = [0, 2, 3, 5]
    gaps = folder_evidence(method, pixels, unreadable=(1, 4))
    assert_same(gaps, folder_evidence(method, pixels[readable]), rtol=1e-3, atol=1e-3)
    require(distance(chosen(whole, readable).maps, gaps.maps) > 1e-6, "the other images do not matter to the maps")


@promise("a folder without a readable image has no scores, and one of copies has finite ones")
def odd_folders_are_answered(case: MethodCase) -> None:
    method, pixels = case.make(), images(1, seed=7).repeat(5, 1, 1, 1)
    if not isinstance(method, TransductiveMethod) or not method.scores_folder(5):
        return
    with torch.inference_mode():
        none = method.score_folder(loading(pixels, unreadable=range(5)), 5, CLASSES[0])
    require(not none.indices, f"scores of {none.indices} where none can be read")
    copies = folder_evidence(method, pixels)
    require(copies.maps.isfinite().all() and copies.score.isfinite().all(), "scores of copies that are not finite")
    require(copies.score.max() - copies.score.min() < 1e-2, f"copies with the scores {copies.score.tolist()}")


@promise("an image alone, or the only one that can be read, has a finite score or is refused with an InputError")
def one_image_is_answered_or_refused(case: MethodCase) -> None:
    method, pixels = case.make(), images(3, seed=7)
    if not isinstance(method, TransductiveMethod):
        return
    scored: list[Callable[[], Evidence]] = [lambda: method(pixels[:1], CLASSES[:1])]
    if method.scores_folder(1):
        scored = [lambda: folder_evidence(method, pixels[:1])]
    if method.scores_folder(3):
        scored.append(lambda: folder_evidence(method, pixels, unreadable=(0, 2)))
    for scores_one in scored:
        try:
            with torch.inference_mode():
                evidence = scores_one()
        except InputError:
            continue
        except ZsadError as error:
            raise AssertionError(f"refused with {type(error).__name__}: {error}") from error
        require(evidence.maps.isfinite().all() and evidence.score.isfinite().all(), "a score that is not finite")
