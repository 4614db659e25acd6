"""Every row of the table "Image formats" in docs/data.md: right against another reader, or refused by name."""

from pathlib import Path

import numpy as np
import pytest

from tests.data.formats import FORMATS, Format
from zsad.data.decode import decode
from zsad.data.masks.ground_truth import read_mask
from zsad.errors import InputError

IMAGES = [one for one in FORMATS if not one.is_mask and callable(one.expected)]
REFUSED = [one for one in FORMATS if isinstance(one.expected, str)]
MASKS = [one for one in FORMATS if one.is_mask]


def written(one: Format, folder: Path) -> Path:
    path = folder / one.name
    path.write_bytes(one.make())
    return path


@pytest.mark.parametrize("one", IMAGES, ids=lambda one: one.what)
def test_images_are_read_as_another_reader_reads_them(one: Format, tmp_path: Path) -> None:
    image = decode(written(one, tmp_path))
    assert callable(one.expected)
    expected = one.expected(one.make())
    assert image.pixels.dtype == expected.dtype
    np.testing.assert_allclose(image.pixels.astype(int), expected.astype(int), rtol=0, atol=one.tolerance, strict=True)
    assert [note.startswith(one.note) for note in image.notes] == [True] * bool(one.note)


@pytest.mark.parametrize("one", REFUSED, ids=lambda one: one.what)
def test_what_is_not_read_is_refused_by_its_kind(one: Format, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        decode(written(one, tmp_path))
    assert caught.value.rule.startswith(str(one.expected))
    assert one.name in caught.value.value


@pytest.mark.parametrize("one", MASKS, ids=lambda one: one.what)
def test_masks_mark_the_defect(one: Format, tmp_path: Path) -> None:
    path = written(one, tmp_path)
    assert callable(one.expected)
    expected = one.expected(one.make())
    np.testing.assert_array_equal(read_mask(path, expected.shape), expected, strict=True)


def test_there_are_thirty_of_each() -> None:
    assert len(IMAGES) >= 30
    assert len(REFUSED) + len(MASKS) >= 30
