"""WinCLIP's windows and means against loops, and its passes through the tower against one window at a time."""

import pytest
import torch
from torch import Tensor

from tests.small import frozen, images, states_of
from zsad.errors import ConfigError
from zsad.methods import winclip
from zsad.methods.winclip import WinClip, WinClipConfig, harmonic_aggregate, window_tokens
from zsad.parts.prompts import ANOMALOUS_STATES, NORMAL_STATES, TEMPLATES, compose
from zsad.types import Size

GRIDS = [(4, 4), (5, 3), (2, 2), (1, 6), (15, 15)]


def slow_windows(grid: Size, side: int) -> list[list[int]]:
    rows, cols = grid
    height, width = min(side, rows), min(side, cols)
    windows = []
    for top in range(rows - height + 1):
        for left in range(cols - width + 1):
            cells = [(top + down, left + right) for down in range(height) for right in range(width)]
            windows.append([0, *(1 + row * cols + col for row, col in cells)])
    return windows


def slow_spread(scores: list[float], windows: list[list[int]], grid: Size) -> list[list[float]]:
    rows, cols = grid
    result = []
    for row in range(rows):
        line = []
        for col in range(cols):
            over = [score for score, window in zip(scores, windows, strict=True) if 1 + row * cols + col in window]
            line.append(len(over) / sum(1 / score for score in over))
        result.append(line)
    return result


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("side", [1, 2, 3, 20])
def test_windows_equal_loops(grid: Size, side: int) -> None:
    assert window_tokens(grid, side).tolist() == slow_windows(grid, side)


def test_a_window_larger_than_the_grid_is_the_grid() -> None:
    assert window_tokens((2, 3), 9).tolist() == [list(range(7))]


def test_the_papers_windows_are_as_many_as_it_says() -> None:
    assert [len(window_tokens((15, 15), side)) for side in (2, 3)] == [14 * 14, 13 * 13]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("side", [1, 2, 3, 20])
def test_spread_equals_loops(grid: Size, side: int) -> None:
    windows = window_tokens(grid, side)
    scores = torch.rand(2, len(windows), generator=torch.Generator().manual_seed(side)) * 0.98 + 0.01
    spread = harmonic_aggregate(scores, windows, grid)
    for ours, of_image in zip(spread, scores, strict=True):
        expected = torch.tensor(slow_spread(of_image.tolist(), windows.tolist(), grid))
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)


def test_one_normal_window_clears_its_cells() -> None:
    scores = torch.full((1, 9), 0.9)
    scores[0, 0] = 0
    spread = harmonic_aggregate(scores, window_tokens((4, 4), 2), (4, 4))
    expected = torch.full((1, 4, 4), 0.9)
    expected[0, :2, :2] = 0
    torch.testing.assert_close(spread, expected)


@pytest.mark.parametrize("score", [1e-6, 0.3, 0.5, 1.0])
def test_scores_that_are_all_equal_give_that_score(score: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        WinClip, "_probability", lambda self, tokens, grid, states: tokens.new_full((len(tokens),), score)
    )
    evidence = WinClip(frozen())(images(2), ["nut", "nut"])
    torch.testing.assert_close(evidence.maps, torch.full((2, 1, 4, 4), score))
    torch.testing.assert_close(evidence.score, torch.full((2,), score))
    assert evidence.maps.max() <= 1


@pytest.mark.parametrize("size", [(32, 32), (40, 24), (16, 16)])
def test_the_method_written_out_one_window_at_a_time(size: Size) -> None:
    clip, pixels, names = frozen(), images(2, *size), ["nut", "carpet"]
    method = WinClip(clip)
    with torch.inference_mode():
        evidence = method(pixels, names)
        tokens, grid = clip.vision.embed(pixels)
        for number, name in enumerate(names):
            states = slow_states(method, name)

            def judge(chosen: list[int], number: int = number, states: Tensor = states) -> float:
                last = clip.vision.transformer(tokens[number, chosen][None], (1, 1))[0][0, 0]
                feature = clip.vision.norm_post(last) @ clip.vision.projection
                return float(((states @ (feature / feature.norm())) / 0.07).softmax(0)[1])

            whole = judge(list(range(tokens.shape[1])))
            scales = []
            for side in (2, 3):
                windows = slow_windows(grid, side)
                scales.append(slow_spread([judge(window) for window in windows], windows, grid))
            expected = 3 / (1 / torch.tensor(scales[0]) + 1 / torch.tensor(scales[1]) + 1 / whole)
            torch.testing.assert_close(evidence.maps[number, 0], expected, rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(evidence.score[number], torch.tensor(whole), rtol=1e-4, atol=1e-6)


def slow_states(method: WinClip, name: str) -> Tensor:
    states = []
    for words in (NORMAL_STATES, ANOMALOUS_STATES):
        prompts = [template.replace("{}", word.replace("{}", name)) for word in words for template in TEMPLATES]
        features = method.clip.encode_prompts(prompts)
        mean = (features / features.norm(dim=-1, keepdim=True)).mean(0)
        states.append(mean / mean.norm())
    return torch.stack(states)


@pytest.mark.parametrize("most", [1, 5, 17, 100, 10**9])
def test_how_many_windows_go_at_once_changes_nothing(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    method = WinClip(frozen())
    expected = method(images(3), ["nut", "carpet", "nut"])
    monkeypatch.setattr(winclip, "MAX_TOKENS", most)
    evidence = method(images(3), ["nut", "carpet", "nut"])
    torch.testing.assert_close(evidence.maps, expected.maps, rtol=1e-5, atol=1e-6)


def test_no_pass_is_larger_than_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    method, sizes = WinClip(frozen()), []
    method.clip.vision.transformer.register_forward_pre_hook(lambda module, inputs: sizes.append(inputs[0].shape[:2]))
    monkeypatch.setattr(winclip, "MAX_TOKENS", 60)
    method(images(2), ["nut", "nut"])
    windows = [batch * tokens for batch, tokens in sizes[1:]]
    assert sum(batch for batch, _ in sizes[1:]) == 2 * (9 + 4)
    assert max(windows) <= 60
    assert len(windows) == 2 + 2


def test_scales_are_configurable() -> None:
    clip = frozen()
    answers = [
        WinClip(clip, WinClipConfig(scales=scales))(images(1), ["nut"]).maps for scales in ((2, 3), (2,), (1, 4))
    ]
    assert (answers[0] - answers[1]).abs().max() > 1e-4
    assert (answers[0] - answers[2]).abs().max() > 1e-4


@pytest.mark.parametrize("scales", [(), (0,), (2, -1)])
def test_windows_that_are_none_are_refused(scales: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="at least one window of at least 1 patch"):
        WinClipConfig(scales=scales)


# --- prompts


def test_there_are_22_distinct_templates_for_7_and_4_states() -> None:
    assert len(TEMPLATES) == len(set(TEMPLATES)) == 22
    assert len(set(NORMAL_STATES)) == len(NORMAL_STATES) == 7
    assert len(set(ANOMALOUS_STATES)) == len(ANOMALOUS_STATES) == 4
    assert not set(NORMAL_STATES) & set(ANOMALOUS_STATES)
    assert all(text.count("{}") == 1 for text in (*TEMPLATES, *NORMAL_STATES, *ANOMALOUS_STATES))


def test_every_state_is_said_in_every_template() -> None:
    prompts = compose(NORMAL_STATES, TEMPLATES, "metal nut")
    assert len(set(prompts)) == 7 * 22
    assert prompts[:2] == ["a photo of a metal nut.", "a photo of the metal nut."]
    assert "a photo of the metal nut without flaw for visual inspection." in prompts
    assert not any("{" in prompt for prompt in prompts)


def test_braces_in_a_class_name_stay_as_they_are() -> None:
    assert compose(["damaged {}"], ["the {}."], "{0} {x}") == ["the damaged {0} {x}."]


def test_normal_and_anomalous_are_said_alike_but_for_the_state() -> None:
    clip = frozen()
    method = WinClip(clip)
    torch.testing.assert_close(states_of(method, "nut"), slow_states(method, "nut"), rtol=1e-5, atol=1e-6)
