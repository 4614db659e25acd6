"""Counts of each image against the images themselves, repeated as often as a draw takes them."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics.test_accumulators import SHAPES, drawn
from zsad.errors import InputError
from zsad.metrics import ImageCounts, PixelMetrics, Undefined, stratified_weights
from zsad.metrics.per_image import BINS

MAPS, MASKS = drawn(9, 60)
WEIGHTS = stratified_weights(MASKS.any((1, 2)), 6, seed=2)
NAMES = ("auroc", "average_precision", "f1_max", "pro")


def expected(maps: np.ndarray, masks: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Each draw by itself: images repeated, every score kept and sorted."""
    draws = []
    for copies in weights:
        chosen = np.repeat(np.arange(len(maps)), copies)
        found = PixelMetrics(precision="float32").update(maps[chosen], masks[chosen]).compute()
        draws.append([np.nan if isinstance(found[name], Undefined) else found[name] for name in NAMES])
    return dict(zip(NAMES, np.array(draws).T, strict=True))


def assert_near(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray], atol: float) -> None:
    assert found.keys() == wanted.keys()
    for name, values in found.items():
        np.testing.assert_allclose(values, wanted[name], rtol=0, atol=atol, err_msg=name)


def smooth(size: int = 518) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities as a detector gives them: patches of 14 px, enlarged."""
    rng = np.random.default_rng(5)
    masks = np.zeros((6, size, size), bool)
    logits = rng.normal(-2, 1, (6, 1, 37, 37))
    for number in range(3):
        masks[number, 100:160, 40 * number : 40 * number + 90] = masks[number, 300:320, 300:310] = True
        logits[number, 0, 7:12, 3 * number : 3 * number + 6] += 1.5
    maps = torch.nn.functional.interpolate(torch.from_numpy(logits).sigmoid(), (size, size), mode="bilinear")
    return maps[:, 0].float().numpy(), masks


SMOOTH, SMOOTH_MASKS = smooth()


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_metrics_of_draws_are_those_of_repeated_images(shape: str) -> None:
    maps = SHAPES[shape](MAPS).astype(np.float32)
    # Of these small maps a single pixel is 0.002 of what there is to be found.
    assert_near(ImageCounts().update(maps, MASKS).resampled(WEIGHTS), expected(maps, MASKS, WEIGHTS), 2e-3)


@pytest.mark.parametrize("shape", ["plain", "8th power", "30th power", "crowded below 1", "logits", "stretched"])
def test_maps_of_real_size_take_little_and_lose_little(shape: str, tmp_path: Path) -> None:
    shapes = {
        **SHAPES,
        "8th power": lambda maps: maps**8,
        "stretched": lambda maps: (maps - maps.min()) / (maps.max() - maps.min()),
    }
    maps = shapes[shape](SMOOTH).astype(np.float32)
    weights = np.array([[1, 1, 1, 1, 1, 1], [0, 2, 1, 3, 0, 0]])
    ImageCounts().update(maps, SMOOTH_MASKS).save(tmp_path / "counts.npz")
    assert (tmp_path / "counts.npz").stat().st_size < 20_000 * len(maps)
    found = ImageCounts.load(tmp_path / "counts.npz").resampled(weights)
    assert_near(found, expected(maps, SMOOTH_MASKS, weights), 3e-4)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(-2, 4), st.booleans()), min_size=6, max_size=6), min_size=1, max_size=5),
    st.data(),
)
def test_ties_and_draws_that_define_nothing(images: list[list[tuple[int, bool]]], data: st.DataObject) -> None:
    maps, masks = np.moveaxis(np.array(images).reshape(-1, 2, 3, 2), 3, 0)
    row = st.lists(st.integers(0, 3), min_size=len(maps), max_size=len(maps))
    weights = np.array(data.draw(st.lists(row.filter(any), min_size=1, max_size=4)))
    counts = ImageCounts().update(maps / 4, masks)
    assert_near(counts.resampled(weights), expected(maps / 4, masks, weights), 1e-6)


def test_batches_merges_and_files_keep_the_order_of_images(tmp_path: Path) -> None:
    whole = ImageCounts().update(MAPS, MASKS)
    merged = ImageCounts().update(MAPS[:4], MASKS[:4])
    merged.merge(ImageCounts().update(list(MAPS[4:]), torch.from_numpy(MASKS[4:])))
    whole.save(tmp_path / "below" / "counts.npz")
    read = ImageCounts.load(tmp_path / "below" / "counts.npz")
    assert len(whole) == len(merged) == len(read) == 9
    assert [path.name for path in (tmp_path / "below").iterdir()] == ["counts.npz"]
    for other in (merged, read):
        assert_near(other.resampled(WEIGHTS), whole.resampled(WEIGHTS), 0)


def test_images_of_other_sizes_and_no_images_have_files(tmp_path: Path) -> None:
    sizes = [(60, 60), (7, 9), (1, 1)]
    maps, masks = ([one[number, :rows, :cols] for number, (rows, cols) in enumerate(sizes)] for one in (MAPS, MASKS))
    counts = ImageCounts().update(maps, masks)
    counts.save(tmp_path / "counts.npz")
    read, weights = ImageCounts.load(tmp_path / "counts.npz"), WEIGHTS[:, :3]
    assert_near(read.resampled(weights), counts.resampled(weights), 0)
    ImageCounts().save(tmp_path / "none.npz")
    assert len(ImageCounts.load(tmp_path / "none.npz")) == 0


def test_noise_keeps_to_its_bins() -> None:
    maps = np.random.default_rng(0).random((1, 518, 518), dtype=np.float32)
    masks = maps[::-1, ::-1] > 0.5
    counts = ImageCounts().update(maps, masks)
    assert BINS / 2 < len(counts._rows[0].bins) <= BINS
    assert_near(counts.resampled(np.array([[1]])), expected(maps, masks, np.array([[1]])), 3e-4)


def test_many_draws_of_many_images_need_little_memory() -> None:
    counts = ImageCounts()
    for start in range(6):
        counts.update(np.roll(SMOOTH, start, 0)[:5] ** (1 + start / 10), SMOOTH_MASKS[:5])
    tracemalloc.start()
    found = counts.resampled(stratified_weights([1, 1, 1, 0, 0] * 6, 1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found["pro"].shape == (1000,)
    assert peak < 200e6


def test_nothing_is_added_by_a_batch_that_is_refused() -> None:
    counts = ImageCounts().update(MAPS[:2], MASKS[:2])
    with pytest.raises(InputError, match="map 1 are within"):
        counts.update([MAPS[0], MAPS[1] * np.nan], list(MASKS[:2]))
    assert len(counts) == 2


def test_wrong_weights_are_refused() -> None:
    for counts, images in ((ImageCounts(), 0), (ImageCounts().update(MAPS, MASKS), 8)):
        with pytest.raises(InputError, match="how many copies it takes"):
            counts.resampled(np.ones((1, images), np.int64))


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "counts.npz"
    ImageCounts().update(MAPS, MASKS).save(path)
    with np.load(path) as file:
        arrays = dict(file)
    content = path.read_bytes()
    damaged = [b"", b"nothing", content[:-50], content[:200] + bytes(200) + content[400:]]
    for changed in (
        {"lengths": arrays["lengths"][:-1]},
        {"lengths": arrays["lengths"] + 1},
        {"share": arrays["share"].astype(str)},
        {"regions": arrays["regions"].astype(float)},
        {"normal": arrays["normal"][1:]},
        {"normal": np.array([None])},
    ):
        np.savez(path, **arrays | changed)
        damaged.append(path.read_bytes())
    np.savez(path, **{name: array for name, array in arrays.items() if name != "steps"})
    damaged.append(path.read_bytes())
    for bad in damaged:
        path.write_bytes(bad)
        with pytest.raises(InputError, match=r"counts of images are a whole file|arrays lie in an \.npz file"):
            ImageCounts.load(path)
    with pytest.raises(InputError, match=r"must be readable; got .*missing\.npz"):
        ImageCounts.load(tmp_path / "missing.npz")
