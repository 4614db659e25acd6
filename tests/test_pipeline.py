"""Stages of a prediction: batches that do not fit, and the path of a GPU, whose steps run on a CPU as well."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from tests import small
from zsad.checkpoint import Card
from zsad.methods import Config, Evidence
from zsad.methods._base import Method
from zsad.methods.clip import ClipDetector
from zsad.predictor import Detector
from zsad.runtime import AUTO, RuntimeConfig
from zsad.types import Failure


class Mean(Method):
    """The mean of each image, on a device with room for some."""

    paper = ClipDetector.paper

    def __init__(self, room: int, logits: bool = False) -> None:
        super().__init__(small.frozen(), Config(sigma=0.0))
        self.room, self.logits = room, logits
        self.sizes: list[int] = []

    def forward(self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]) -> Evidence:
        self.sizes.append(len(images))
        if len(images) > self.room:
            raise torch.OutOfMemoryError("out of memory")
        score = images.mean((1, 2, 3)).sigmoid()
        maps = score[:, None, None, None].expand(-1, 1, 4, 4)
        return Evidence(maps, score, logits=maps.logit() if self.logits else None)


def files(folder: Path, count: int) -> list[Path]:
    """Every fourth cannot be read."""
    paths = [folder / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        pixels = np.full((9 + number, 7, 3), 20 * number, np.uint8)
        Image.fromarray(pixels).save(path) if number % 4 != 3 else path.write_bytes(b"no image")
    return paths


def detector(room: int, batch: int, logits: bool = False) -> Detector:
    return Detector(Card("clip"), Mean(room, logits), RuntimeConfig(batch_size=batch))


@pytest.mark.parametrize("logits", [False, True])
def test_a_batch_that_does_not_fit_is_split(tmp_path: Path, logits: bool) -> None:
    paths = [path for number, path in enumerate(files(tmp_path, 8)) if number % 4 != 3]
    whole, split = detector(8, 6, logits), detector(2, 6, logits)
    expected = [answer[1].score for answer in whole.stream(paths) if not isinstance(answer, Failure)]
    found = [answer[1].score for answer in split.stream(paths) if not isinstance(answer, Failure)]
    assert found == expected
    assert len(found) == 6
    assert split.method.sizes == [6, 3, 2, 1, 3, 2, 1]


def test_an_image_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        list(detector(0, 2).stream(files(tmp_path, 2)))


@pytest.mark.parametrize("count", [0, 1, 4, 13])
@pytest.mark.parametrize("batch", [1, 3])
def test_passes_that_follow_one_another_give_the_same(
    count: int, batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, one = files(tmp_path, count), detector(99, batch)
    expected = list(one.stream(paths))
    # What a GPU does: threads prepare, and a batch is launched before the last one is fetched.
    monkeypatch.setattr(RuntimeConfig, "device_type", "other")
    found = list(one.stream(paths))
    assert len(found) == len(expected) == count
    for ours, theirs in zip(found, expected, strict=True):
        if isinstance(ours, Failure) or isinstance(theirs, Failure):
            assert ours == theirs
            continue
        assert (ours[0].source, ours[1].score) == (theirs[0].source, theirs[1].score)
        np.testing.assert_array_equal(ours[1].anomaly_map, theirs[1].anomaly_map)


def test_the_batch_size_is_that_of_the_device_unless_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    assert RuntimeConfig("cpu", batch_size=AUTO).images_at_once == 1
    assert RuntimeConfig("cuda", batch_size=AUTO).images_at_once == 32
    assert RuntimeConfig("cuda", batch_size=5).images_at_once == 5
