"""Drawn images and defects: same seed, same image; the mask tells the whole truth."""

import hashlib

import numpy as np
import pytest

from zsad.data.synthetic import FAMILIES, KINDS, PARTS, distract, draw_defect, part, surface
from zsad.data.synthetic.defects import DRAWN, FEWEST, VISIBLE, refuse_unusable
from zsad.errors import ConfigError, InputError

SIZES = [(97, 131), (224, 224), (32, 32), (131, 40)]


def chance(seed=0):
    return np.random.default_rng(seed)


def change(before, after):
    """The largest change of a channel at every pixel."""
    return np.abs(after.astype(int) - before.astype(int)).max(2)


@pytest.fixture(scope="module")
def granite():
    return surface(chance(3), (96, 120))[0]


@pytest.mark.parametrize("size", SIZES)
def test_surfaces_and_parts_have_the_size_and_type_that_was_asked_for(size):
    for seed in range(12):
        image, _ = surface(chance(seed), size)
        drawn, _, foreground = part(chance(seed), size)
        assert image.shape == drawn.shape == (*size, 3)
        assert image.dtype == drawn.dtype == np.uint8
        assert foreground.shape == size
        assert foreground.dtype == np.bool_
        assert 0.02 < foreground.mean() < 0.98


def test_every_family_and_part_is_reachable_under_its_own_name():
    assert {surface(chance(seed), (16, 16))[1] for seed in range(400)} == set(FAMILIES)
    assert {part(chance(seed), (16, 16))[1] for seed in range(300)} == set(PARTS)
    assert len(FAMILIES) >= 10


def test_surfaces_differ_and_are_not_blank():
    images = [surface(chance(seed), (64, 64))[0] for seed in range(60)]
    assert len({hashlib.sha256(image).hexdigest() for image in images}) == 60
    assert np.std([image.mean() for image in images]) > 20
    assert np.median([image.std() for image in images]) > 8


def test_the_foreground_of_a_part_is_where_it_looks_unlike_its_background():
    differences = []
    for seed in range(60):
        image, _, foreground = part(chance(seed), (96, 96))
        differences.append(np.abs(image[foreground].mean(0) - image[~foreground].mean(0)).max())
    assert np.mean(np.array(differences) > 10) > 0.8


def test_the_same_seed_gives_the_same_image_and_another_seed_does_not():
    def everything(seed):
        rng = chance(seed)
        image, _, foreground = part(rng, (80, 91))
        defect = draw_defect(rng, image, foreground, donor=surface(rng, (50, 60))[0])
        return [image, defect.image, defect.mask, distract(rng, defect.image)]

    for seed in range(10):
        np.random.seed(seed)  # nothing may depend on the global state
        for one, other in zip(everything(seed), everything(seed), strict=True):
            np.testing.assert_array_equal(one, other)
        assert not np.array_equal(everything(seed)[0], everything(seed + 100)[0])


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_draws_from_its_generator_alone(name):
    for seed in range(5):
        one, other = (FAMILIES[name].tones(chance(seed), (60, 71)) for _ in range(2))
        np.testing.assert_array_equal(one, other)
        assert one.dtype == np.float32
        assert not np.array_equal(one, FAMILIES[name].tones(chance(seed + 50), (60, 71)))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_draws_from_its_generator_alone(kind, granite):
    for seed in range(5):
        one, other = (draw_defect(chance(seed), granite, None, kind) for _ in range(2))
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.mask, other.mask)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_outside_of_the_mask_nothing_changes_and_inside_much_does(kind, size):
    shares = []
    for seed in range(12):
        rng = chance(seed)
        image, foreground = (surface(rng, size)[0], None) if seed % 2 else part(rng, size)[::2]
        before = image.copy()
        defect = draw_defect(rng, image, foreground, kind)
        np.testing.assert_array_equal(image, before)
        np.testing.assert_array_equal(defect.image[~defect.mask], image[~defect.mask])
        assert defect.kind == kind
        assert defect.image.dtype == np.uint8
        assert defect.mask.dtype == np.bool_
        assert foreground is None or not (defect.mask & ~foreground).any()
        visible = change(image, defect.image) >= VISIBLE
        assert visible.sum() >= FEWEST
        shares.append(visible[defect.mask].mean())
    assert np.median(shares) > 0.4


def test_every_kind_is_drawn_when_none_is_named(granite):
    assert {draw_defect(chance(seed), granite).kind for seed in range(300)} == set(KINDS)


def test_defects_are_small_and_large_weak_and_strong():
    areas, strengths = [], []
    for seed in range(200):
        rng = chance(seed)
        image, _ = surface(rng, (128, 128))
        defect = draw_defect(rng, image)
        areas.append(defect.mask.mean())
        strengths.append(change(image, defect.image)[defect.mask].mean())
    low, high = np.quantile(areas, [0.1, 0.9])
    assert low < 0.003
    assert high > 0.03
    assert max(areas) < 0.5
    weak, strong = np.quantile(strengths, [0.1, 0.9])
    assert weak < 25
    assert strong > 60


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tone", [0, 128, 255])
def test_a_defect_that_cannot_be_seen_on_a_blank_image_is_drawn_so_that_it_can(kind, tone):
    blank = np.full((40, 40, 3), tone, np.uint8)
    defect = draw_defect(chance(1), blank, None, kind)
    assert (change(blank, defect.image) >= VISIBLE).sum() >= FEWEST


def test_a_foreground_of_one_pixel_still_gets_its_defect(granite):
    foreground = np.zeros(granite.shape[:2], np.bool_)
    foreground[50, 60] = True
    for seed, kind in enumerate(KINDS):
        np.testing.assert_array_equal(draw_defect(chance(seed), granite, foreground, kind).mask, foreground)


def test_foreign_texture_comes_from_the_donor(granite):
    donor = np.zeros((30, 300, 3), np.uint8)
    donor[..., 1] = 255
    for seed in range(10):
        defect = draw_defect(chance(seed), granite, None, "foreign texture", donor)
        moved = (defect.image.astype(int) - granite)[defect.mask].mean(0)
        assert moved[1] > 0 > max(moved[0], moved[2])


def test_defects_lie_where_the_object_is_and_edges_get_theirs():
    foreground = np.zeros((100, 100), np.bool_)
    foreground[:, :50] = True
    image = np.where(foreground[..., None], np.uint8(200), np.uint8(20)).repeat(3, 2)
    columns = [np.nonzero(draw_defect(chance(s), image, foreground, "chipped edge").mask)[1].max() for s in range(30)]
    assert np.mean(np.array(columns) > 42) > 0.7


@pytest.mark.parametrize("size", [(1, 1), *SIZES])
def test_distractions_change_the_image_and_keep_what_it_shows(size):
    changed = 0
    for seed in range(30):
        image, _ = surface(chance(seed), size)
        before = image.copy()
        varied = distract(chance(seed), image)
        np.testing.assert_array_equal(image, before)
        assert varied.shape == image.shape
        assert varied.dtype == np.uint8
        changed += not np.array_equal(varied, image)
        assert min(size) == 1 or np.abs(varied.astype(int) - image).mean() < 70
    assert changed > 15


def test_an_unknown_kind_is_refused_with_the_nearest_name(granite):
    with pytest.raises(ConfigError, match=r"kind of defect must be one of .*did you mean 'scratch'\?"):
        draw_defect(chance(), granite, kind="scrach")


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((20, 20, 3), np.float32),
        np.zeros((20, 20), np.uint8),
        np.zeros((20, 20, 4), np.uint8),
        np.zeros((20, 7, 3), np.uint8),
    ],
    ids=["float", "grey", "alpha", "tiny"],
)
def test_an_image_that_is_no_image_is_refused(image, granite):
    with pytest.raises(InputError, match="an image is uint8"):
        refuse_unusable(image, None, None)
    with pytest.raises(InputError, match="a donor is uint8"):
        refuse_unusable(granite, None, image)


def test_what_cannot_be_used_is_refused_before_anything_is_drawn(granite):
    tiny = np.zeros((20, 7, 3), np.uint8)
    with pytest.raises(InputError, match=r"an image is .* got uint8 \(20, 7, 3\)"):
        draw_defect(chance(), tiny)
    with pytest.raises(InputError, match="a donor is uint8"):
        draw_defect(chance(), granite, donor=tiny)
    with pytest.raises(InputError, match="at least one pixel"):
        draw_defect(chance(), granite, np.zeros(granite.shape[:2], np.bool_))


def test_a_foreground_that_does_not_fit_is_refused(granite):
    with pytest.raises(InputError, match="a foreground is bool"):
        refuse_unusable(granite, np.ones((3, 3), np.bool_), None)
    with pytest.raises(InputError, match="a foreground is bool"):
        refuse_unusable(granite, np.ones(granite.shape[:2], np.uint8), None)


def test_the_thresholds_of_a_mask_are_small():
    assert 0 < DRAWN < 0.5
    assert 0 < VISIBLE < 16
