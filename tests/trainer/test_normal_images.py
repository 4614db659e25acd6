"""Training with normal images beside each image: which ones, what the method gets of them, and running statistics."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.trainer.test_plain_loop import MEAN, STD, seed_of
from tests.trainer.toys import PAPER, TOYS, ToyConfig, draw, register_toys
from zsad.backbones.clip import Clip
from zsad.errors import InputError
from zsad.methods import BackboneFeatures, Evidence, InContextMethod, Target, TrainingConfig
from zsad.runtime import RuntimeConfig
from zsad.trainer.loop import TrainingRun
from zsad.trainer.normal_images import NormalImages
from zsad.trainer.recipe import Recipe
from zsad.trainer.training import prepare_run, samples_of, start_or_resume

SIDE, SEED, SHOTS = 32, 7, 2


class Compared(InContextMethod):
    """The distance of class tokens from those of normal images, normalised over the batch; notes what it is given."""

    paper, config_type = PAPER, ToyConfig
    training_defaults = TrainingConfig(epochs=3, batch_size=3, learning_rate=0.05)
    training_shots = SHOTS

    def __init__(self, clip: Clip, config: ToyConfig | None = None) -> None:
        super().__init__(clip, config or ToyConfig())
        self.norm, self.head = nn.BatchNorm1d(clip.config.embed), nn.Linear(clip.config.embed, 1)
        self.noted: list[tuple[Tensor, Tensor]] = []

    def extract_features(self, images: Float[Tensor, "batch 3 rows cols"]) -> BackboneFeatures:
        trace = self.clip.vision(images)
        return BackboneFeatures(trace.last[:, None, 1:], self.clip.vision.project(trace.last[:, 0]), trace.grid)

    def predict_from_features(self, features: BackboneFeatures, class_names: Sequence[str]) -> Evidence:
        return self._evidence(features.image, features.grid)

    def predict_in_context(
        self, features: BackboneFeatures, normal: BackboneFeatures, class_names: Sequence[str]
    ) -> Evidence:
        self.noted.append((features.image, normal.image))
        assert len(normal.patches) == SHOTS * len(class_names)
        return self._evidence(features.image - normal.image.unflatten(0, (-1, SHOTS)).mean(1), features.grid)

    def _evidence(self, tokens: Float[Tensor, "batch embed"], grid: tuple[int, int]) -> Evidence:
        score = self.head(self.norm(tokens))[:, 0].sigmoid()
        return Evidence(score[:, None, None, None].expand(-1, 1, *grid), score)

    def loss(self, evidence: Evidence, target: Target) -> dict[str, Float[Tensor, ""]]:
        return {"labels": ((evidence.score - target.labels) ** 2).mean()}


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TOYS, "compared", Compared)
    register_toys(monkeypatch)


@pytest.fixture
def data(tmp_path: Path) -> str:
    """Two classes of three normal and three anomalous images."""
    draw(tmp_path / "data", 3, SIDE, "tile")
    return draw(tmp_path / "data", 3, SIDE)


def prepared(data: str, folder: Path, cache_gb: float = 0.0) -> TrainingRun:
    recipe = Recipe("compared", backbone="small", weights="random")
    runtime = RuntimeConfig(cache=folder.parent / "cache", cache_gb=cache_gb)
    return prepare_run(recipe, samples_of([data], "test"), folder, seed=SEED, runtime=runtime)


def finish(run: TrainingRun, resume: bool = False) -> dict[str, Tensor]:
    done = start_or_resume(run, resume)
    list(run.extract_features())
    list(run.epochs(done))
    return load_file(run.folder / "trained_state.safetensors")


# --- which ones


def test_they_are_normal_and_of_the_class_and_never_the_image_itself(data: str) -> None:
    samples = samples_of([data], "test")
    normal = NormalImages(samples, SHOTS)
    drawn: dict[int, set[int]] = {}
    for index, sample in enumerate(samples):
        for seed in range(30):
            chosen = normal.beside(index, seed)
            assert len(set(chosen)) == SHOTS
            drawn.setdefault(index, set()).update(chosen)
            assert chosen == normal.beside(index, seed)
        of_class = {n for n, other in enumerate(samples) if other.class_name == sample.class_name and other.label == 0}
        assert drawn[index] == of_class - {index}
    assert len({tuple(normal.beside(3, seed)) for seed in range(30)}) == 3 * 2


def test_where_there_are_too_few_they_are_taken_again(data: str) -> None:
    samples = samples_of([data], "test")
    chosen = NormalImages(samples, 8).beside(0, seed=0)
    assert len(chosen) == 8
    assert sorted(map(chosen.count, set(chosen))) in ([4, 4], [2, 3, 3])


def test_a_class_with_a_single_normal_image_is_refused(data: str, tmp_path: Path) -> None:
    lonely = [sample for sample in samples_of([data], "test") if sample.class_name != "tile" or sample.kind == "square"]
    first = replace(lonely[0], class_name="tile", label=0)
    for samples in (lonely, [*lonely, first]):
        with pytest.raises(InputError, match=r"two of every class; got fewer of tile.*--classes"):
            NormalImages(samples, SHOTS)
    for number in ("001", "002"):
        (tmp_path / f"data/tile/test/good/{number}.png").unlink()
    with pytest.raises(InputError, match="two of every class"):
        prepared(data, tmp_path / "run")


# --- what the method gets


@pytest.mark.parametrize("cache_gb", [0.0, 1.0])
def test_the_method_gets_the_features_of_the_images_that_are_drawn(data: str, tmp_path: Path, cache_gb: float) -> None:
    """The order of an epoch and the draws are those that docs/training.md states."""
    run = prepared(data, tmp_path / "run", cache_gb)
    finish(run)
    method, samples = run.method, samples_of([data], "test")
    assert isinstance(method, Compared)
    pixels = [np.array(Image.open(sample.image), np.float32) / 255 for sample in samples]
    images = torch.stack([(torch.from_numpy(each).permute(2, 0, 1) - MEAN) / STD for each in pixels])
    with torch.no_grad():
        tokens = method.extract_features(images).image
    normal = NormalImages(samples, SHOTS)
    noted = iter(method.noted)
    for epoch in range(3):
        order = torch.randperm(12, generator=torch.Generator().manual_seed(seed_of(SEED, epoch)))
        for numbers in order.split(3):
            chosen = [one for n in numbers.tolist() for one in normal.beside(n, seed_of(SEED, epoch, n))]
            ours, beside = next(noted)
            torch.testing.assert_close(ours, tokens[numbers], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(beside, tokens[chosen], rtol=1e-5, atol=1e-5)
    assert next(noted, None) is None


# --- running statistics


def test_running_statistics_are_trained_saved_and_resumed(data: str, tmp_path: Path) -> None:
    whole = finish(prepared(data, tmp_path / "whole"))
    assert int(whole["norm.num_batches_tracked"]) == 3 * 4
    assert whole["norm.running_mean"].abs().max() > 1e-3
    broken = prepared(data, tmp_path / "broken")
    next(broken.epochs())
    torch.testing.assert_close(finish(prepared(data, tmp_path / "broken"), resume=True), whole, rtol=0, atol=0)
