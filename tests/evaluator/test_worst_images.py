"""The worst misses: the right ones, drawn at one size."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.evaluator.making import NUT, RESOLUTION, data, detector
from zsad.evaluator.evaluation import evaluate
from zsad.evaluator.worst_images import SIDE, WorstImages
from zsad.results import store
from zsad.results.schema import ImageResult
from zsad.types import DecodedImage, Prediction


def result(number: int, label: int, score: float, pixel_auroc: float | None = None) -> ImageResult:
    return ImageResult(f"{number}.png", "", label, "", score, score, None, pixel_auroc)


def offer(worst: WorstImages, found: ImageResult, rows: int = 30, cols: int = 20, mask: bool = True) -> None:
    pixels = np.full((rows, cols, 3), int(255 * found.score), np.uint8)
    anomaly_map = np.full((10, 10), found.score, np.float32)
    truth = np.eye(10, dtype=bool) if mask else None
    worst.offer(
        found, DecodedImage(pixels, found.source), Prediction(found.source, "nut", found.score, 0.5, anomaly_map), truth
    )


def test_the_worst_of_each_kind_are_kept_in_their_order(tmp_path: Path) -> None:
    worst, scores = WorstImages(), [0.5, 0.125, 0.75, 0.25, 0.125, 0.625, 1.0, 0.0]
    for number, score in enumerate(scores):
        offer(worst, result(number, 0, score))
        offer(worst, result(10 + number, 1, score, 1 - score if number else None))
    worst.write(tmp_path)
    found = store.read_worst_images(tmp_path)
    assert [(miss.why, miss.source, miss.score) for miss in found] == [
        ("missed", "17.png", 0.0),
        ("missed", "11.png", 0.125),
        ("missed", "14.png", 0.125),
        ("missed", "13.png", 0.25),
        ("false alarm", "6.png", 1.0),
        ("false alarm", "2.png", 0.75),
        ("false alarm", "5.png", 0.625),
        ("false alarm", "0.png", 0.5),
        ("misplaced", "16.png", 1.0),
        ("misplaced", "12.png", 0.75),
        ("misplaced", "15.png", 0.625),
        ("misplaced", "13.png", 0.25),
    ]
    assert (found[4].image, found[4].overlay) == ("false-alarm-1.jpg", "false-alarm-1-overlay.jpg")
    with Image.open(tmp_path / "worst" / found[5].image) as image:
        assert image.size == (20, 30)
        assert (np.abs(np.asarray(image).astype(int) - 191) <= 1).all()


@pytest.mark.parametrize(("rows", "cols", "shown"), [(1036, 300, (150, 518)), (5, 2000, (518, 1)), (8, 4, (4, 8))])
def test_all_that_is_drawn_has_the_shape_of_the_image(
    rows: int, cols: int, shown: tuple[int, int], tmp_path: Path
) -> None:
    worst = WorstImages()
    offer(worst, result(0, 1, 0.5, 0.25), rows, cols)
    worst.write(tmp_path)
    for miss in store.read_worst_images(tmp_path):
        assert miss.mask is not None
        for name in (miss.image, miss.mask, miss.overlay):
            with Image.open(tmp_path / "worst" / name) as image:
                assert image.size == shown


def test_what_has_no_mask_has_none_drawn(tmp_path: Path) -> None:
    worst = WorstImages()
    offer(worst, result(0, 1, 0.5), mask=False)
    worst.write(tmp_path)
    (miss,) = store.read_worst_images(tmp_path)
    assert (miss.why, miss.mask, miss.pixel_auroc) == ("missed", None, None)
    assert len(list((tmp_path / "worst").iterdir())) == 3


def test_memory_does_not_grow_with_the_images() -> None:
    worst, held = WorstImages(), []
    tracemalloc.start()
    for number in range(40):
        offer(worst, result(number, number % 2, abs(number % 2 - number / 40), number / 40), SIDE, SIDE)
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert max(held[20:]) < 1.2 * held[15]


def test_an_evaluation_leaves_its_worst_misses(tmp_path: Path) -> None:
    evaluate(detector(), [data(tmp_path / "data", "metal_nut")], tmp_path / "out", resolution=RESOLUTION, resamples=0)
    images = {image.source: image for image in store.read_images(tmp_path / "out" / NUT)}
    found = store.read_worst_images(tmp_path / "out" / NUT)
    assert [miss.why for miss in found] == ["missed"] * 4 + ["false alarm"] * 4 + ["misplaced"] * 4
    for miss in found:
        image = images[miss.source]
        assert (miss.score, miss.pixel_auroc) == (image.score, image.pixel_auroc)
        assert image.label == (miss.why != "false alarm")
    assert [miss.score for miss in found[:4]] == sorted(image.score for image in images.values() if image.label)
