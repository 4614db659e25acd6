"""The memory of normal patches: what it holds, how far things are from it, and that it is saved and loaded."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.small import CONFIG, frozen, images
from zsad import checkpoint
from zsad.errors import ConfigError, WeightsError
from zsad.methods._base import Config
from zsad.methods._few_shot import FewShot
from zsad.references import PatchFeatures, distances_by_image, statistics
from zsad.types import Evidence

LEVELS, WIDTH = (1, 3), CONFIG.vision.width


class Rememberer(FewShot):
    """Nothing but the memory."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__(frozen(), Config(), widths=(width,) * len(LEVELS))

    def reference_features(self, images: Tensor) -> PatchFeatures:
        trace = self.clip.vision(images, keep=LEVELS)
        patches = (trace.kept[level][:, 1:].float() for level in LEVELS)
        return PatchFeatures(tuple(one / one.norm(dim=-1, keepdim=True) for one in patches), trace.grid)

    def forward(self, images: Tensor, class_names: Sequence[str]) -> Evidence:
        features = self.reference_features(images)
        distances = self.nearest(features).unflatten(2, (4, 4))
        return Evidence(distances, distances.mean((1, 2, 3)))


def entries(method: FewShot) -> Tensor:
    """[levels, entries, width]."""
    return torch.stack(method.bank.streams)


def streams(features: Tensor) -> PatchFeatures:
    """Unit features of a row of patches from [batch, levels, cells, width]."""
    unit = features / features.norm(dim=-1, keepdim=True)
    return PatchFeatures(tuple(unit.unbind(1)), (1, features.shape[2]))


def remembering(batch: int = 2) -> Rememberer:
    method = Rememberer()
    method.fit_normal(images(batch))
    return method


def test_the_memory_is_empty_until_something_normal_is_seen() -> None:
    method = Rememberer()
    assert not method.is_few_shot
    assert entries(method).shape == (2, 0, WIDTH)
    method.fit_normal(images(1))
    assert method.is_few_shot
    method.forget_normal()
    assert not method.is_few_shot


def test_the_memory_holds_unit_vectors_of_all_cells_and_grows() -> None:
    method = remembering()
    assert entries(method).shape == (2, 2 * 16, WIDTH)
    torch.testing.assert_close(entries(method).norm(dim=-1), torch.ones(2, 32))
    method.fit_normal(images(1, 40, 24, seed=1))
    assert entries(method).shape == (2, 2 * 16 + 15, WIDTH)


def test_images_one_by_one_are_remembered_as_together() -> None:
    method = Rememberer()
    for one in images(2):
        method.fit_normal(one[None])
    torch.testing.assert_close(entries(method), entries(remembering(2)))


@torch.no_grad()
def test_an_image_is_at_no_distance_from_itself_and_at_some_from_others() -> None:
    method = remembering()
    assert method.nearest(method.reference_features(images(2))).max() < 1e-5
    assert method.nearest(method.reference_features(images(2, seed=1))).min() > 1e-3


@torch.no_grad()
def test_the_distance_is_one_minus_the_greatest_cosine() -> None:
    method, features = remembering(), torch.randn(3, 2, 5, WIDTH, generator=torch.Generator().manual_seed(0))
    distances = method.nearest(streams(features))
    for image, level, cell in torch.cartesian_prod(*map(torch.arange, (3, 2, 5))):
        cosines = torch.nn.functional.cosine_similarity(features[image, level, cell][None], entries(method)[level])
        expected = (1 - cosines.max()).clamp(0, 1)
        torch.testing.assert_close(distances[image, level, cell], expected, rtol=1e-5, atol=1e-6)


def test_what_points_away_is_at_distance_one() -> None:
    method = Rememberer()
    along = torch.eye(WIDTH)[:1].expand(1, 2, 1, WIDTH)
    method.bank.add(streams(along))
    assert method.nearest(streams(-along)).tolist() == [[[1.0], [1.0]]]


@torch.no_grad()
def test_a_memory_in_pieces_gives_the_same_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    method = remembering()
    features = method.reference_features(images(2, seed=1))
    whole = method.nearest(features)
    for most in (1, 2 * 16 * 7):
        monkeypatch.setattr(statistics, "MAX_SIMILARITIES", most)
        torch.testing.assert_close(method.nearest(features), whole)


@torch.no_grad()
def test_bf16_is_near_fp32() -> None:
    full, half = remembering(), Rememberer().to(torch.bfloat16)
    half.fit_normal(images(2).to(torch.bfloat16))
    assert entries(half).dtype == torch.bfloat16
    assert half.nearest(half.reference_features(images(2).to(torch.bfloat16))).max() < 1e-3
    others = images(2, seed=1)
    distances = half.nearest(half.reference_features(others.to(torch.bfloat16)))
    assert distances.dtype == torch.float32
    torch.testing.assert_close(distances, full.nearest(full.reference_features(others)), rtol=0, atol=0.03)


def test_a_state_of_any_length_is_taken_whatever_was_there() -> None:
    method = remembering()
    for before in (Rememberer(), remembering(1), remembering(3)):
        before.load_state_dict(method.state_dict())
        torch.testing.assert_close(entries(before), entries(method), rtol=0, atol=0)
    method.load_state_dict(Rememberer().state_dict())
    assert not method.is_few_shot


def test_a_memory_of_another_width_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"size mismatch for bank\.stream_0"):
        Rememberer(WIDTH + 1).load_state_dict(remembering().state_dict())


def saved_by_0_1_0(memory: Tensor, folder: Path) -> None:
    checkpoint.write(checkpoint.Card("rememberer"), remembering(), checkpoint.TrainingRecord(), folder)
    save_file({"memory": memory.contiguous()}, folder / checkpoint.TRAINED_STATE)


def test_the_memory_of_an_older_version_is_of_unknown_images(tmp_path: Path) -> None:
    method, loaded = remembering(), Rememberer()
    saved_by_0_1_0(entries(method), tmp_path)
    checkpoint.load_trained_state(loaded, tmp_path)
    assert torch.equal(entries(loaded), entries(method))
    assert (loaded.bank.image.tolist(), loaded.bank.position.tolist()) == ([-1] * 32, [[-1, -1]] * 32)
    features = method.reference_features(images(2, seed=1))
    assert torch.equal(loaded.nearest(features), method.nearest(features))
    loaded.fit_normal(images(1, seed=2))
    assert loaded.bank.image.tolist() == [-1] * 32 + [0] * 16
    assert loaded.bank.entries_by_image() == [16]
    with pytest.raises(ConfigError, match="known image; got 32 entries that an older version saved"):
        distances_by_image(features, loaded.bank)


@pytest.mark.parametrize(
    ("memory", "said"),
    [
        (torch.zeros(3, WIDTH), r"differences in \['memory'\]"),
        (torch.zeros(1, 3, WIDTH), r"differences in \['bank.stream_1'\]"),
        (torch.zeros(2, 3, WIDTH + 1), r"size mismatch for bank\.stream_1"),
    ],
    ids=["no levels", "other levels", "other width"],
)
def test_an_older_memory_that_does_not_fit_is_refused(memory: Tensor, said: str, tmp_path: Path) -> None:
    saved_by_0_1_0(memory, tmp_path)
    with pytest.raises(WeightsError, match=said):
        checkpoint.load_trained_state(Rememberer(), tmp_path)


@pytest.mark.parametrize("batch", [0, 2])
def test_a_memory_is_kept_on_disk(batch: int, tmp_path: Path) -> None:
    method, fresh = Rememberer(), remembering(1)
    if batch:
        method.fit_normal(images(batch))
    checkpoint.write(checkpoint.Card("rememberer"), method, checkpoint.TrainingRecord(), tmp_path)
    checkpoint.load_trained_state(fresh, tmp_path)
    torch.testing.assert_close(entries(fresh), entries(method), rtol=0, atol=0)
    if batch:
        with pytest.raises(WeightsError, match="fits the backbone"):
            checkpoint.load_trained_state(Rememberer(WIDTH + 1), tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("bank.image", lambda image: image[1:], r"bank\.\* are of one number of entries"),
        ("bank.image", lambda image: image + 1, r"bank\.image holds numbers below bank\.image_count"),
        ("bank.image", lambda image: image - 2, r"bank\.image holds numbers below bank\.image_count"),
    ],
    ids=["fewer", "too many images", "below unknown"],
)
def test_a_bank_that_contradicts_itself_is_refused(
    name: str, change: Callable[[Tensor], Tensor], said: str, tmp_path: Path
) -> None:
    checkpoint.write(checkpoint.Card("rememberer"), remembering(), checkpoint.TrainingRecord(), tmp_path)
    path = tmp_path / checkpoint.TRAINED_STATE
    tensors = load_file(path)
    save_file(tensors | {name: change(tensors[name]).contiguous()}, path)
    with pytest.raises(WeightsError, match=said):
        checkpoint.load_trained_state(Rememberer(), tmp_path)


def test_what_is_remembered_in_inference_mode_serves_training() -> None:
    method = Rememberer()
    with torch.inference_mode():
        method.fit_normal(images(1))
    assert not any(buffer.is_inference() for buffer in method.bank.buffers())
    pixels = images(1, seed=1).requires_grad_()
    method(pixels, ["nut"]).score.sum().backward()
    assert pixels.grad is not None
    assert pixels.grad.abs().sum() > 0
