"""The ensemble: one pass for all members, and the mean of ranks, of p-values or of probabilities."""

from typing import Any

import pytest
import torch
from scipy.stats import rankdata
from torch import Tensor

from tests.methods.declared import ANSWER
from tests.small import DEPTH, frozen, images, ready
from zsad.errors import ConfigError
from zsad.methods import get
from zsad.methods.ensemble import QUANTILES, Ensemble, EnsembleConfig, ranks
from zsad.testing._folders import loading

CONSTANTS = ANSWER | {"members": ("clip", "clip-ac"), "settings": (), "fusion": "mean", "normal_images": 0}
FIVE = ("clip", "clip-ac", "coop", "april-gan", "wmoe-clip")
BESIDE_THE_TOWER = ("anomalyclip", "clip-ad", "kanoclip", "promptad")
"""Methods with a second stream that is fed by the blocks of the unchanged tower."""
READING = ("anomalygpt", "auto", "ensemble", "inctrl", "patchcore", "vcp-clip")
"""Other methods that only read the blocks of the tower."""
OWN = {"adaclip": 1, "fe-clip": 1, "winclip": 2}
"""Passes that some methods have besides: of the edited tower, and of windows of two sizes."""
CLASSES = ["nut", "screw", "nut"]


def make(members: tuple[str, ...] = FIVE, **options: Any) -> Ensemble:
    torch.manual_seed(0)
    return Ensemble(frozen(), EnsembleConfig(members=members, **options)).eval()


def passes(method: Ensemble) -> list[int]:
    """Counts the passes through all blocks."""
    counted = [0]
    method.clip.vision.transformer.register_forward_hook(lambda *_: counted.__setitem__(0, counted[0] + 1))
    return counted


def alone(method: Ensemble, pixels: Tensor, names: list[str]) -> tuple[Tensor, Tensor]:
    """Scores and maps of the members, each with passes of its own."""
    found = [part(pixels, names) for part in method.members]
    return torch.stack([one.score for one in found], 1), torch.stack([one.maps.mean(1) for one in found], 1)


def test_members_share_one_pass_once_their_blocks_are_known_and_answer_as_alone() -> None:
    method = make((*FIVE, *BESIDE_THE_TOWER[:3]), fusion="mean")
    with torch.inference_mode():
        scores, maps = alone(method, images(3), CLASSES)
        method(images(3), CLASSES)
        counted = passes(method)
        found = method(images(3), CLASSES)
        assert counted == [1]
        torch.testing.assert_close(found.maps, maps, rtol=0, atol=0)
        torch.testing.assert_close(found.score, scores.mean(1), rtol=0, atol=0)


@pytest.mark.parametrize("name", [*BESIDE_THE_TOWER, *READING, *OWN])
@torch.no_grad()
def test_a_method_shares_the_pass_of_another_unless_it_edits_the_tower(name: str) -> None:
    torch.manual_seed(0)
    clip, pixels = frozen(), images(2)
    method, plain, counted = ready(get(name)(clip).eval()), get("clip")(clip).eval(), [0]
    alone = method(pixels, CLASSES[:2])
    clip.vision.transformer.register_forward_hook(lambda *_: counted.__setitem__(0, counted[0] + 1))
    for _ in range(2):  # the second time all blocks are known
        counted[0] = 0
        with clip.vision.sharing():
            plain(pixels, CLASSES[:2])
            found = method(pixels, CLASSES[:2])
    assert counted == [1 + OWN.get(name, 0)]
    torch.testing.assert_close(found.maps, alone.maps, rtol=0, atol=0)
    torch.testing.assert_close(found.score, alone.score, rtol=0, atol=0)


def test_other_images_and_edits_have_passes_of_their_own() -> None:
    tower = frozen().vision
    first, second = images(1), images(1, seed=5)
    counted = [0]
    tower.transformer.register_forward_hook(lambda *_: counted.__setitem__(0, counted[0] + 1))
    with torch.inference_mode():
        plain, other = tower(first, keep=[0]), tower(second)
        edited = tower(first, after={0: lambda tokens, grid: 2 * tokens})
        counted[0] = 0
        with tower.sharing():
            tower(first)
            again = tower(first, keep=[0])  # runs again: block 0 was not kept
            same = tower(first, keep=[0])
            assert counted == [2]
            torch.testing.assert_close(same.kept[0], plain.kept[0], rtol=0, atol=0)
            assert again.last is same.last
            torch.testing.assert_close(tower(first, after={0: lambda tokens, grid: 2 * tokens}).last, edited.last)
            torch.testing.assert_close(tower(first.clone()).last, plain.last)
            torch.testing.assert_close(tower(second).last, other.last)
            assert counted == [5]
            assert tower(first, keep=[]).kept.keys() == set()
        counted[0] = 0
        tower(first)
        tower(first)
        assert counted == [2]


def test_a_window_of_tokens_is_not_taken_for_the_whole_image() -> None:
    method = make(("winclip", "clip"), fusion="mean")
    with torch.inference_mode():
        scores, maps = alone(method, images(2), CLASSES[:2])
        found = method(images(2), CLASSES[:2])
    torch.testing.assert_close(found.maps, maps)
    torch.testing.assert_close(found.score, scores.mean(1))


def test_a_folder_is_scored_by_mean_ranks() -> None:
    method, pixels = make(fusion="ranks"), images(4)
    with torch.inference_mode():
        found = method.score_folder(loading(pixels, batch=1, unreadable=(2,)), 4, "nut")
        scores, maps = alone(method, pixels[[0, 1, 3]], ["nut"] * 3)
    assert found.indices == [0, 1, 3]
    expected = torch.from_numpy(rankdata(scores.numpy(), axis=0) - 0.5).mean(1) / 3
    torch.testing.assert_close(found.evidence.score, expected.float(), rtol=0, atol=1e-6)
    for member in range(len(FIVE)):
        of_all = rankdata(maps[:, member].numpy()).reshape(maps[:, member].shape)
        # Batches of one and of three images differ in their last bits, which may exchange neighbours.
        close = torch.from_numpy((of_all - 0.5) / of_all.size).float()
        assert (found.evidence.maps[:, member] - close).abs().max() < 3 / of_all.size
    assert "3 images" in found.explanation
    assert method.score_folder(loading(pixels[:1], batch=1, unreadable=(0,)), 1, "nut").indices == []


def test_ranks_are_those_of_scipy() -> None:
    values = torch.randint(0, 5, (40,), generator=torch.Generator().manual_seed(0)).float()
    expected = (rankdata(values.numpy()) - 0.5) / 40
    torch.testing.assert_close(ranks(values).double(), torch.from_numpy(expected), rtol=0, atol=1e-6)


def test_p_values_are_conformal_and_averaged() -> None:
    method = make(("clip", "clip-ac"), fusion="p-values", normal_images=5)
    normal, pixels = images(5, seed=3), images(3)
    with torch.inference_mode():
        method.calibrate([normal[:2], normal[2:]], "nut")
        known, known_maps = alone(method, normal, ["nut"] * 5)
        scores, maps = alone(method, pixels, ["nut"] * 3)
        found = method(pixels, ["nut"] * 3)
    p = (1 + (known[None] >= scores[:, None]).sum(1)) / 6
    torch.testing.assert_close(found.score, 1 - p.float().mean(1), rtol=0, atol=1e-6)
    for member in range(2):
        below = (known_maps[:, member].flatten()[:, None] < maps[:, member].flatten()).float().mean(0)
        # All normal patches, of which quantiles are kept.
        assert (found.maps[:, member].flatten() - below).abs().max() < 1 / 80 + 2 / QUANTILES
    assert not method.scores_folder(3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"members": ()}, "number of members"),
        ({"members": ("clip",), "settings": ({}, {})}, "settings are given for each member"),
        ({"fusion": "p-values"}, "need normal images; got 0"),
        ({"normal_images": 3}, "need normal images; got 3 with fusion mean"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EnsembleConfig(**options)


@pytest.mark.parametrize("member", ["musc", "patchcore", "auto", "ensemble"])
def test_members_that_cannot_score_an_image_alone_are_refused(member: str) -> None:
    with pytest.raises(ConfigError, match=f"scores an image alone, without normal images; got {member}"):
        make((member,))


def test_settings_are_those_of_each_member() -> None:
    method = make(("clip", "clip"), settings=({}, {"temperature": 1.0}))
    assert [part.config.temperature for part in method.members] == [0.07, 1.0]
    with pytest.raises(ConfigError, match="settings of clip"):
        make(("clip",), settings=({"sigmma": 1},))


@torch.inference_mode()
def test_the_score_of_a_member_is_what_its_options_say() -> None:
    method = make(("clip", "clip"), settings=({}, {"image_score": "map", "map_share": 0.01}), fusion="mean")
    scores, maps = method.answers(images(2), CLASSES[:2])
    torch.testing.assert_close(scores[:, 1], maps[:, 1].flatten(1).amax(1), rtol=0, atol=0)
    assert (scores[:, 0] - scores[:, 1]).abs().max() > 1e-4


def test_what_is_saved_is_what_the_members_learnt_and_no_backbone() -> None:
    from zsad.checkpoint import trained_state

    method = make(("clip", "april-gan"))
    names = [*trained_state(method)]
    assert names
    assert all(name.startswith("parts.1.linear") for name in names)
    assert method.fingerprint == method.clip.fingerprint
    assert len(method.clip.vision.transformer.blocks) == DEPTH
    assert get("ensemble") is Ensemble
