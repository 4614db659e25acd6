"""Slices of NIfTI volumes, and the volume of their maps."""

import gzip
import tracemalloc
from pathlib import Path

import nibabel
import numpy as np
import pytest

from zsad.data.decode import decode
from zsad.data.series import frames, nifti, volume_maps
from zsad.data.series.nifti import Volume
from zsad.data.series.volume_maps import VolumeMaps
from zsad.errors import ConfigError, InputError

R = np.random.default_rng(4)
VALUES = R.integers(-1000, 3000, (6, 7, 5)).astype(np.int16)
RAS = np.diag([1.0, 1, 1, 1])


def written(path: Path, values: np.ndarray, affine: np.ndarray = RAS, **header: object) -> Path:
    image = nibabel.Nifti1Image(values, affine)
    for key, value in header.items():
        image.header[key] = value
    nibabel.save(image, path)
    return path


def shown(path: Path, index: int, axis: int | None = None) -> np.ndarray:
    return decode(frames(path, axis=axis)[index]).pixels


@pytest.mark.parametrize(
    ("spacing", "codes", "axis"),
    [
        ((1, 1, 1), "RAS", 2),
        ((1, 1, 3), "RAS", 2),
        ((3, 1, 1), "RAS", 0),
        ((1, 3, 1), "RAS", 1),
        ((1, 3, 3), "RAS", 2),  # no single largest: axial
        ((1, 1, 1), "RSA", 1),
        ((1, 1, 1), "IAR", 0),
        ((1, 1, 1.005), "SRA", 0),
    ],
)
def test_slices_lie_across_the_largest_spacing_else_are_axial(
    tmp_path: Path, spacing: tuple[float, ...], codes: str, axis: int
) -> None:
    volume = Volume(written(tmp_path / "a.nii", VALUES, _affine(codes, spacing)))
    assert volume.axis == axis
    assert volume.count == VALUES.shape[axis]


def _affine(codes: str, spacing: tuple[float, ...]) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (code, size) in enumerate(zip(codes, spacing, strict=True)):
        row = ["RL", "AP", "SI"].index(next(pair for pair in ("RL", "AP", "SI") if code in pair))
        affine[row, axis] = size if code in "RAS" else -size
    return affine


def test_an_axis_can_be_chosen(tmp_path: Path) -> None:
    path = written(tmp_path / "a.nii", VALUES)
    assert [len(frames(path, axis=axis)) for axis in (0, 1, 2)] == [6, 7, 5]
    with pytest.raises(ConfigError, match="0, 1 or 2"):
        frames(path, axis=3)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_an_axial_slice_stands_as_radiologists_see_it(tmp_path: Path, name: str) -> None:
    """Front at the top, the patient's right on the left; of RAS both array axes run the other way."""
    path = written(tmp_path / name, VALUES)
    low, high = int(VALUES.min()), int(VALUES.max())
    expected = np.rint((VALUES[:, :, 3].T[::-1, ::-1] - low) / (high - low) * 65535)
    np.testing.assert_allclose(shown(path, 3)[..., 0], expected, atol=1)
    lps = written(tmp_path / f"lps-{name}", VALUES, np.diag([-1.0, -1, 1, 1]))
    as_stored = np.rint((VALUES[:, :, 3].T - low) / (high - low) * 65535)
    np.testing.assert_allclose(shown(lps, 3)[..., 0], as_stored, atol=1)


def test_the_head_is_at_the_top_of_other_slices(tmp_path: Path) -> None:
    values = np.zeros((4, 5, 6), np.uint8)
    values[:, :, 5] = 255  # head
    path = written(tmp_path / "a.nii", values)
    for axis in (0, 1):
        picture = shown(path, 0, axis)[..., 0]
        assert picture.shape == (6, 5 if axis == 0 else 4)
        assert picture[0].all()
        assert not picture[1:].any()


def test_the_scale_is_that_of_header_type_or_volume(tmp_path: Path) -> None:
    grey = np.full((4, 4, 3), 100, np.int16)
    grey[0, 0, 0] = 200  # of another slice
    grey[1, 1, 1] = 0
    assert shown(written(tmp_path / "a.nii", grey), 2).max() == round(65535 * 100 / 200)
    assert shown(written(tmp_path / "b.nii", grey, cal_min=50, cal_max=250), 2).max() == round(65535 * 50 / 200)
    assert shown(written(tmp_path / "c.nii", grey.astype(np.uint8)), 2).max() == round(65535 * 100 / 255)
    frame = frames(tmp_path / "a.nii")[2]
    assert decode(frame, value_range=(0, 400)).pixels.max() == round(65535 / 4)
    assert decode(frame).notes == ()
    broken = grey.astype(np.float32)
    broken[2, 2, 2] = np.nan
    assert shown(written(tmp_path / "d.nii", broken), 2).min() == 0


def test_slope_and_intercept_of_the_header_count(tmp_path: Path) -> None:
    path = written(tmp_path / "a.nii", VALUES)
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([2, 10], "<f4").tobytes()
    path.write_bytes(content)
    image = decode(frames(path)[3], value_range=(-2000, 7000))
    expected = np.clip((VALUES[:, :, 3].T[::-1, ::-1] * 2.0 + 10 + 2000) / 9000, 0, 1) * 65535
    np.testing.assert_allclose(image.pixels[..., 0], np.rint(expected), atol=1)


def test_colours_and_time_points(tmp_path: Path) -> None:
    colours = np.zeros((3, 4, 2), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    colours["G"] = 255
    assert shown(written(tmp_path / "a.nii", colours), 1)[0, 0].tolist() == [0, 65535, 0]
    timed = R.integers(0, 255, (3, 4, 2, 5), dtype=np.uint8)
    path = written(tmp_path / "b.nii", timed)
    assert len(frames(path)) == 10
    np.testing.assert_array_equal(shown(path, 2 * 3 + 1)[..., 0], timed[:, :, 1, 3].T[::-1, ::-1] * np.uint16(257))


@pytest.mark.parametrize("cut", [10, 4000])
def test_a_truncated_volume_is_refused(tmp_path: Path, cut: int) -> None:
    path = written(tmp_path / "a.nii", R.integers(0, 255, (20, 20, 10), dtype=np.uint8))
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(path.read_bytes()[:-cut]))
    path.write_bytes(path.read_bytes()[:-cut])
    for name in ("a.nii", "b.nii.gz"):
        with pytest.raises(InputError):
            shown(tmp_path / name, 9)


@pytest.mark.parametrize("values", [np.zeros((3, 4), np.uint8), np.zeros((3, 4, 2), np.complex64)])
def test_what_is_no_volume_of_pictures_is_refused(tmp_path: Path, values: np.ndarray) -> None:
    with pytest.raises(InputError, match="three axes or more, of real numbers or RGB"):
        frames(written(tmp_path / "a.nii", values))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("codes", ["RAS", "LPI", "SRA"])
@pytest.mark.parametrize("shape", [(6, 7, 5), (3, 4, 2, 3)])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_maps_become_a_volume_of_the_same_geometry(
    tmp_path: Path, axis: int, codes: str, shape: tuple[int, ...], kind: type
) -> None:
    """A map that shows the values of the volume itself, so that each voxel comes back to its place."""
    values = R.integers(0, 256, shape).astype(np.uint8)
    affine = _affine(codes, (0.5, 0.7, 3)) + np.array([[0, 0, 0, 9], [0, 0, 0, -4], [0, 0, 0, 2], [0, 0, 0, 0]])
    nibabel.save(kind(values, affine), tmp_path / "a.nii")
    volume = Volume(tmp_path / "a.nii", axis)
    maps = VolumeMaps(volume)
    for index in reversed(range(volume.count)):
        if index != 1:
            maps.add(index, (volume.read(index).pixels[..., 0] / 65535).astype(np.float32))
    maps.write(tmp_path / "map.nii.gz", packed=True)
    maps.close()
    found = nibabel.load(tmp_path / "map.nii.gz")
    assert type(found) is kind
    assert found.get_data_dtype() == np.float32
    np.testing.assert_array_equal(found.affine, volume.affine)
    np.testing.assert_allclose(found.affine, affine, atol=1e-6)
    expected = values / 255
    expected[volume.place(1)] = np.nan
    np.testing.assert_allclose(found.get_fdata(), expected, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 2])
def test_memory_does_not_grow_with_two_hundred_slices(
    tmp_path: Path, axis: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (nifti, volume_maps):
        monkeypatch.setattr(module, "PIECE", 2**17)
    values = np.zeros((200, 60, 200), np.int16)
    values[0, 0, 0] = 1
    path = written(tmp_path / "a.nii.gz", values)
    found = frames(path, axis=axis)
    assert len(found) == 200
    tracemalloc.start()
    maps = VolumeMaps(found[0].series)
    for index, frame in enumerate(found):
        decode(frame)
        maps.add(index, np.zeros(frame.series.size, np.float32))
    maps.write(tmp_path / "map.nii", packed=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    maps.close()
    assert nibabel.load(tmp_path / "map.nii").shape == values.shape
    assert peak < 0.2 * values.nbytes  # pieces of 128 KiB, and a few slices
