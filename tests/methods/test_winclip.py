"""WinCLIP's windows and means against loops, and its passes through the tower against one window at a time."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.small import frozen, images, states_of
from zsad import checkpoint
from zsad.errors import ConfigError, WeightsError
from zsad.methods import winclip
from zsad.methods.winclip import WinClip, WinClipConfig, arithmetic_aggregate, harmonic_aggregate, window_tokens
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
        WinClip, "_probability", lambda self, features, states: features.new_full((len(features),), score)
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


# --- WinCLIP+ ---


def slow_features(method: WinClip, pixels: Tensor) -> tuple[list[list[Tensor]], Size]:
    """Unit features of one image: of the windows of each scale, and of its patches."""
    clip = method.clip
    tokens, grid = clip.vision.embed(pixels[None])
    found = []
    for side in method.config.scales:
        windows = [
            clip.vision.transformer(tokens[0, chosen][None], (1, 1))[0][0, 0] for chosen in slow_windows(grid, side)
        ]
        found.append([clip.vision.norm_post(last) @ clip.vision.projection for last in windows])
    found.append([*clip.vision.transformer(tokens, grid)[0][0, 1:]])
    return [[feature / feature.norm() for feature in features] for features in found], grid


@pytest.mark.parametrize("size", [(32, 32), (40, 24), (16, 16)])
@torch.inference_mode()
def test_with_normal_images_the_map_is_joined_with_the_distances_from_them(size: Size) -> None:
    """Section 4 of the paper: M = min (1 - <F, r>) / 2 over the references, for windows of 2 and 3 and for patches."""
    method, pixels, normal = WinClip(frozen()), images(2, *size), images(3, *size, seed=4)
    alone = method(pixels, ["nut", "carpet"])
    method.fit_normal(normal)
    evidence = method(pixels, ["nut", "carpet"])
    references = [slow_features(method, one)[0] for one in normal]
    for number in range(2):
        features, grid = slow_features(method, pixels[number])
        distances = [
            [min((1 - float(mine @ other)) / 2 for one in references for other in one[scale]) for mine in of_scale]
            for scale, of_scale in enumerate(features)
        ]
        small, middle = (slow_spread(distances[scale], slow_windows(grid, scale + 2), grid) for scale in (0, 1))
        reference = (torch.tensor(small) + torch.tensor(middle) + torch.tensor(distances[2]).reshape(grid)) / 3
        torch.testing.assert_close(
            evidence.maps[number, 0], (alone.maps[number, 0] + reference) / 2, rtol=1e-4, atol=1e-5
        )
        torch.testing.assert_close(
            evidence.score[number], (alone.score[number] + reference.max()) / 2, rtol=1e-4, atol=1e-5
        )


@torch.inference_mode()
def test_without_normal_images_again_nothing_has_changed() -> None:
    method, pixels = WinClip(frozen()), images(2)
    alone = method(pixels, ["nut", "carpet"])
    method.fit_normal(images(2, seed=4))
    method.forget_normal()
    again = method(pixels, ["nut", "carpet"])
    assert torch.equal(again.maps, alone.maps)
    assert torch.equal(again.score, alone.score)


@pytest.mark.parametrize(
    ("options", "reaches"),
    [
        ({"patch_reference": False}, ("maps", "score")),
        ({"patch_features": "projected"}, ("maps", "score")),
        ({"reference_average": "arithmetic"}, ("maps", "score")),
        ({"few_shot_score": "text"}, ("score",)),
        ({"few_shot_score": "reference"}, ("score",)),
    ],
    ids=str,
)
@torch.inference_mode()
def test_options_of_the_few_shot_mode_reach_the_answer(options: dict[str, Any], reaches: tuple[str, ...]) -> None:
    clip, pixels = frozen(), images(2)
    found = []
    for config in (WinClipConfig(), WinClipConfig(**options)):
        method = WinClip(clip, config)
        method.fit_normal(images(2, seed=4))
        found.append(method(pixels, ["nut", "nut"]))
    for name in ("maps", "score"):
        change = float((getattr(found[0], name) - getattr(found[1], name)).abs().max())
        assert (change > 1e-5) == (name in reaches), name


def test_scores_of_one_source_alone() -> None:
    clip, pixels = frozen(), images(2)
    scores = {}
    with torch.inference_mode():
        for rule in ("mean", "text", "reference"):
            method = WinClip(clip, WinClipConfig(few_shot_score=rule))
            zero_shot = method(pixels, ["nut", "nut"]).score
            method.fit_normal(images(2, seed=4))
            scores[rule] = method(pixels, ["nut", "nut"]).score
    torch.testing.assert_close(scores["text"], zero_shot)
    torch.testing.assert_close(scores["mean"], (scores["text"] + scores["reference"]) / 2)


def test_the_mean_over_windows_may_be_arithmetic() -> None:
    windows = window_tokens((2, 3), 2)
    spread = arithmetic_aggregate(torch.tensor([[0.2, 0.6]]), windows, (2, 3))
    torch.testing.assert_close(spread, torch.tensor([[[0.2, 0.4, 0.6], [0.2, 0.4, 0.6]]]))


def test_an_untrained_detector_without_a_memory_has_no_tensors(tmp_path: Path) -> None:
    """As those that version 0.1.0 saved."""
    checkpoint.write(checkpoint.Card("winclip"), WinClip(frozen()), checkpoint.TrainingRecord(), tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.suffix] == [checkpoint.CARD]
    method = WinClip(frozen())
    method.fit_normal(images(1))
    checkpoint.load_trained_state(method, tmp_path)
    assert not method.is_few_shot
    (tmp_path / checkpoint.MEMORY).write_text('{"images": []}')
    with pytest.raises(WeightsError, match=r"trained_state\.safetensors must be readable"):
        checkpoint.load_trained_state(method, tmp_path)
