"""Masks that may be read wrongly: an evaluation says so, of how many images, and counts what any of several marks."""

from pathlib import Path

import numpy as np
from PIL import Image

from tests.evaluator.making import NUT, RESOLUTION, data, detector
from zsad.evaluator.evaluation import evaluate
from zsad.results import store
from zsad.results.schema import DataSetResult


def masks_of(folder: Path) -> list[Path]:
    return sorted((folder / "metal_nut" / "ground_truth" / "square").iterdir())


def result(given: str, out: Path) -> DataSetResult:
    (found,) = evaluate(detector(2), [given], out, resolution=RESOLUTION, resamples=0).data_sets
    return found


def test_masks_that_are_plain_are_not_doubted(tmp_path: Path) -> None:
    found = result(data(tmp_path / "data", "metal_nut"), tmp_path / "out")
    assert (found.classes[0].mask_warnings, found.warnings) == ({}, ())


def test_what_is_doubtful_is_said_and_what_was_meant_is_scored(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut")
    plain = result(given, tmp_path / "plain")
    first, second, third, fourth = masks_of(tmp_path / "data")
    shown = [np.asarray(Image.open(one).convert("L")) > 0 for one in (first, second, third, fourth)]
    for path, truth in ((first, shown[0]), (second, shown[1])):
        white = np.full((*truth.shape, 4), 255, np.uint8)
        white[..., 3] = truth * 255
        Image.fromarray(white).save(path)
    Image.fromarray(np.where(shown[2][..., None], (255, 0, 0), (112, 48, 32)).astype(np.uint8)).save(third)
    Image.fromarray(shown[3].astype(np.uint8) * 255).save(fourth, "JPEG", quality=90)
    found = result(given, tmp_path / "out")
    assert found.classes[0].metrics == plain.classes[0].metrics
    assert found.classes[0].mask_warnings == {"coloured-background": 1, "lossy-mask": 1, "transparent-mask": 2}
    assert found.warnings == (
        "metal_nut: masks of 1 image with lossy compression: "
        "pixels above half of the brightest value count as anomalous.",
        "metal_nut: masks of 1 image without black: the most frequent colour of the border counts as background.",
        "metal_nut: masks of 2 images whose transparency marks the background: opaque pixels count as anomalous.",
    )
    assert store.read_class(tmp_path / "out" / NUT).mask_warnings == found.classes[0].mask_warnings


def test_several_masks_of_an_image_count_as_one(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut")
    plain = result(given, tmp_path / "plain")
    first = masks_of(tmp_path / "data")[0]
    marked = np.asarray(Image.open(first).convert("L")) > 0
    left = np.indices(marked.shape)[1] < np.median(marked.nonzero()[1])
    first.unlink()
    for number, part in ((1, marked & left), (2, marked & ~left)):
        Image.fromarray(part.astype(np.uint8) * 255).save(first.with_name(f"{first.stem}_{number}.png"))
    found = result(given, tmp_path / "out")
    assert found.classes[0].metrics == plain.classes[0].metrics
    truths = [[one.truth for one in store.read_images(tmp_path / out / NUT)] for out in ("plain", "out")]
    assert truths[0] == truths[1]
    before = store.read_json(tmp_path / "out" / "plan.json")
    Image.new("L", marked.shape[::-1]).save(first.with_name(f"{first.stem}_2.png"))
    evaluate(detector(2), [given], tmp_path / "again", resolution=RESOLUTION, resamples=0)
    assert store.read_json(tmp_path / "again" / "plan.json") != before  # a change of any of them is another evaluation
