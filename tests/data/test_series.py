"""Files of several frames: each frame, one at a time, in any order, in memory that does not grow with them."""

import sys
import tracemalloc
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.data.making import dicom, item, tiff
from zsad.data.decode import decode
from zsad.data.decoding import dicom as dicom_reader
from zsad.data.frame_names import frame_name
from zsad.data.series import Frame, FrameSelection, expand, frames, open_series, sequential
from zsad.data.series import frame as frame_module
from zsad.data.series.sequential import Sequential
from zsad.data.sources import scan
from zsad.errors import ConfigError, DependencyError, InputError

R = np.random.default_rng(3)
PAGES = R.integers(0, 256, (12, 21, 18), dtype=np.uint8)
DEEP = R.integers(0, 4096, (60, 9, 8), dtype=np.uint16)
TWELVE = {"BitsStored": 12, "HighBit": 11}


def rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=-1)


def pixels(path: Path, **options: object) -> list[np.ndarray]:
    return [decode(frame).pixels for frame in frames(path, **options)]


# --- which frames ---


@pytest.mark.parametrize(
    ("text", "count", "chosen"),
    [
        (":", 3, [0, 1, 2]),
        ("0:100:5", 12, [0, 5, 10]),
        ("2:", 4, [2, 3]),
        ("-2:", 4, [2, 3]),
        (":-3", 4, [0]),
        ("1", 4, [1]),
        ("-1", 4, [3]),
        ("7", 4, []),
    ],
)
def test_frames_are_chosen_as_python_slices(text: str, count: int, chosen: list[int]) -> None:
    assert [*FrameSelection.parse(text).of(count)] == chosen


@pytest.mark.parametrize("text", ["", "a", "1:2:0", "1:2:-1", "1,2", "1:2:3:4", "1.5"])
def test_what_is_no_selection_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="START:STOP:STEP"):
        FrameSelection.parse(text)


@pytest.mark.parametrize(("text", "most"), [("3", 4), ("-1", None), ("0:9:2", 9), ("-5:9", None), (":-1", None)])
def test_no_more_frames_are_counted_than_are_needed(text: str, most: int | None) -> None:
    assert FrameSelection.parse(text).most == most


def test_a_frame_has_the_name_of_its_file_and_its_number(tmp_path: Path) -> None:
    (tmp_path / "part.tif").write_bytes(tiff(PAGES, photometric="minisblack"))
    frame = frames(tmp_path / "part.tif", "-1")[0]
    assert str(frame) == decode(frame).source == f"{tmp_path}/part.tif#11"
    assert frame_name(str(frame)) == (tmp_path / "part.tif", 11)
    np.testing.assert_array_equal(decode(str(frame)).pixels, rgb(PAGES[11]))
    assert scan([str(frame)]).images == [Path(str(frame))]
    with pytest.raises(InputError, match="frames 0 to 11; got 12"):
        decode(f"{tmp_path}/part.tif#12")
    with pytest.raises(InputError, match="must exist"):
        decode(f"{tmp_path}/gone.tif#1")


def test_a_file_whose_name_ends_so_is_that_file(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "part", PAGES, photometric="minisblack")
    Image.fromarray(PAGES[0]).save(tmp_path / "part#3", "PNG")
    np.testing.assert_array_equal(decode(tmp_path / "part#3").pixels, rgb(PAGES[0]))


def test_single_images_and_files_that_cannot_be_read_keep_their_place(tmp_path: Path) -> None:
    Image.fromarray(PAGES[0]).save(tmp_path / "b.png")
    (tmp_path / "a.tif").write_bytes(tiff(PAGES, photometric="minisblack"))
    (tmp_path / "c.tif").write_bytes(b"II*\0broken")
    (tmp_path / "d.nii").write_bytes(b"\x5c\x01\0\0" + bytes(340) + b"n+1\0")
    found = scan([tmp_path], with_series=True)
    sources, skipped = expand(found.images, FrameSelection(0, None, 8))
    names = [Path(source).name for source in sources]
    assert names == ["a.tif#0", "a.tif#8", "b.png", "c.tif"]
    assert [Path(one.source).name for one in skipped] == ["d.nii"]
    assert [Path(one.source).name for one in scan([tmp_path]).skipped_files] == ["d.nii"]
    _, none = expand(found.images[:1], FrameSelection(50))
    assert "none of the 12" in none[0].message


def test_a_file_of_another_kind_is_no_series(tmp_path: Path) -> None:
    Image.fromarray(PAGES[0]).save(tmp_path / "a.jpg")
    assert frames(tmp_path / "a.jpg") == [tmp_path / "a.jpg"]
    with pytest.raises(InputError, match="a series is a TIFF"):
        open_series(tmp_path / "a.jpg")


# --- pages and frames that are found without reading the others ---


def test_pages_of_a_tiff_in_any_order_without_copies_and_masks(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for number, page in enumerate(PAGES):
            file.write(page, photometric="minisblack", metadata=None)
            file.write(page[::2, ::2], photometric="minisblack", subfiletype=1, metadata=None)
            if number == 3:
                file.write(page.astype(bool), photometric="minisblack", subfiletype=4, metadata=None)
    found = frames(tmp_path / "a.tif")
    assert len(found) == 12
    for index in (11, 0, 5, 4):
        np.testing.assert_array_equal(decode(found[index]).pixels, rgb(PAGES[index]))
    assert decode(tmp_path / "a.tif").notes == ("page 1 of 12 was read",)


@pytest.mark.parametrize("options", [{"photometric": "minisblack", "bitspersample": 12}, {"photometric": "miniswhite"}])
def test_pages_that_pillow_does_not_read(tmp_path: Path, options: dict[str, object]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", DEEP[:3], metadata=None, **options)
    expected = (DEEP[:3] / 4095 if "bitspersample" in options else 1 - DEEP[:3] / 65535) * 65535
    np.testing.assert_allclose(np.stack(pixels(tmp_path / "a.tif")), rgb(np.rint(expected)), atol=0)


def test_planes_of_stacks_that_are_written_as_one_page(tmp_path: Path) -> None:
    described = "ImageJ=1.54f\nimages=5\nslices=5\n"
    stack = np.ascontiguousarray(DEEP[:5].reshape(45, 8))
    content = bytearray(tiff(stack, photometric="minisblack", description=described, metadata=None, byteorder=">"))
    with tifffile.TiffFile(BytesIO(bytes(content))) as file:
        for code, value in ((257, 9), (278, 9), (279, 9 * 8 * 2)):
            tag = file.pages[0].tags[code]
            size = {3: 2, 4: 4}[int(tag.dtype)]
            content[tag.valueoffset : tag.valueoffset + size] = value.to_bytes(size, "big")
    (tmp_path / "a.tif").write_bytes(content)
    np.testing.assert_array_equal(np.stack(pixels(tmp_path / "a.tif")), rgb(DEEP[:5]))


def many_frames(**elements: object) -> bytes:
    return dicom(DEEP.reshape(-1, 8), Rows=9, NumberOfFrames=60, **TWELVE, **elements)


def test_sixty_frames_of_a_dicom_file(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(many_frames())
    found = pixels(tmp_path / "a.dcm")
    np.testing.assert_allclose(np.stack(found), rgb(np.rint(DEEP / 4095 * 65535)), atol=1)
    assert decode(tmp_path / "a.dcm").notes == ("frame 1 of 60 was read",)


class Counting(BytesIO):
    """Counts the bytes that are read."""

    amount = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.amount += len(content)
        return content


def test_one_frame_is_read_without_the_others() -> None:
    content = dicom(np.tile(DEEP.reshape(-1, 8), (1, 40)), Rows=9, Columns=320, NumberOfFrames=60, **TWELVE)
    stream = Counting(content)
    image = dicom_reader.read_frame(stream, "a", 37)
    np.testing.assert_allclose(image.pixels, rgb(np.rint(np.tile(DEEP[37], (1, 40)) / 4095 * 65535)), atol=1)
    assert len(content) > 340_000
    assert stream.amount < 20_000


def test_each_frame_has_its_own_window(tmp_path: Path) -> None:
    groups = [item(FrameVOILUTSequence=[item(WindowCenter=500.5 + number, WindowWidth=1001)]) for number in range(60)]
    (tmp_path / "a.dcm").write_bytes(many_frames(PerFrameFunctionalGroupsSequence=groups))
    for index in (0, 59):
        low, high = index, index + 1000
        expected = np.clip((DEEP[index].astype(float) - low) / (high - low), 0, 1) * 65535
        image = decode(frames(tmp_path / "a.dcm")[index])
        np.testing.assert_allclose(image.pixels, rgb(np.rint(expected)), atol=1)


@pytest.mark.parametrize("table", [True, False], ids=["offset table", "none"])
def test_compressed_frames(tmp_path: Path, table: bool) -> None:
    from pydicom.encaps import encapsulate

    content = [imagecodecs.ljpeg_encode(frame, bitspersample=12) for frame in DEEP[:5]]
    plain = dicom(
        DEEP[0],
        "JPEGLosslessSV1",
        content[0],
        NumberOfFrames=5,
        PixelData=encapsulate(content, has_bot=table),
        **TWELVE,
    )
    (tmp_path / "a.dcm").write_bytes(plain)
    np.testing.assert_allclose(np.stack(pixels(tmp_path / "a.dcm")), rgb(np.rint(DEEP[:5] / 4095 * 65535)), atol=1)


def test_deflated_frames(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(
        dicom(DEEP[:4].reshape(-1, 8), "DeflatedExplicitVRLittleEndian", Rows=9, NumberOfFrames=4, **TWELVE)
    )
    np.testing.assert_allclose(np.stack(pixels(tmp_path / "a.dcm")), rgb(np.rint(DEEP[:4] / 4095 * 65535)), atol=1)


def test_a_truncated_frame_is_refused_and_the_others_are_not(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(many_frames()[:-30])
    found = frames(tmp_path / "a.dcm")
    decode(found[58])
    with pytest.raises(InputError, match=r"#59 .*truncated"):
        decode(found[59])


# --- frames that are decoded one after the other ---


@pytest.mark.parametrize(("kind", "suffix"), [("GIF", "gif"), ("PNG", "png"), ("WEBP", "webp")])
def test_frames_of_animations(tmp_path: Path, kind: str, suffix: str) -> None:
    still = [Image.fromarray(np.full((8, 9, 3), 40 * number, np.uint8)) for number in range(6)]
    still[0].save(tmp_path / f"a.{suffix}", kind, save_all=True, append_images=still[1:], lossless=True)
    found = frames(tmp_path / f"a.{suffix}")
    assert [int(decode(found[index]).pixels.mean()) for index in (0, 1, 2, 4, 3, 5, 0)] == [0, 40, 80, 160, 120, 200, 0]
    still[0].save(tmp_path / f"b.{suffix}", kind)
    assert frames(tmp_path / f"b.{suffix}") == [tmp_path / f"b.{suffix}"]


def video(path: Path, count: int, rate: int = 25) -> None:
    """Grey pictures, each by one level lighter than the one before."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(rate))
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 32, 16, "yuv420p", 400_000
        for number in range(count):
            picture = av.VideoFrame.from_ndarray(np.full((16, 32, 3), number, np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def test_pictures_of_ten_seconds_of_video(tmp_path: Path) -> None:
    video(tmp_path / "a.mp4", 250)
    found = frames(tmp_path / "a.mp4", "0:250:50")
    assert [frame.index for frame in found if isinstance(frame, Frame)] == [0, 50, 100, 150, 200]
    for index in (0, 2, 1, 4, 0):
        image = decode(found[index])
        assert image.size == (16, 32)
        assert abs(image.pixels.mean() - 50 * index) < 3
    assert len(frames(tmp_path / "a.mp4")) == 250
    with pytest.raises(InputError, match="read frame by frame"):
        decode(tmp_path / "a.mp4")


def test_a_playlist_is_not_followed(tmp_path: Path) -> None:
    video(tmp_path / "a.mp4", 2)
    (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile {tmp_path}/a.mp4\n")
    with pytest.raises(InputError):
        frames(tmp_path / "list.mp4")


class Stream:
    """Counts how often it is begun."""

    def __init__(self, count: int) -> None:
        self.count, self.begun = count, 0

    def __call__(self):
        self.begun += 1
        return (np.full((1, 1, 3), number, np.uint8) for number in range(self.count))


def test_frames_asked_for_nearly_in_order_are_decoded_once() -> None:
    stream = Stream(20)
    found = Sequential(stream, range(0, 20, 2))
    order = [2, 0, 6, 4, 8, 14, 12, 10, 16, 18]
    assert [int(found.get(index)[0, 0, 0]) for index in order] == order
    assert stream.begun == 1
    assert int(found.get(0)[0, 0, 0]) == 0
    assert stream.begun == 2
    with pytest.raises(InputError, match="only 20"):
        found.get(20)
    with pytest.raises(InputError, match="only 20"):
        found.get(21)
    assert stream.begun == 2


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequential, "MOST_KEPT", 9)
    stream = Stream(20)
    found = Sequential(stream, range(20))
    assert [int(found.get(index)[0, 0, 0]) for index in (9, 8, 7)] == [9, 8, 7]
    assert stream.begun == 1
    assert int(found.get(1)[0, 0, 0]) == 1  # let go of, and decoded again
    assert stream.begun == 2


# --- resources ---


def test_few_files_are_open_at_a_time(tmp_path: Path) -> None:
    found = []
    for number in range(frame_module.MOST_OPEN + 3):
        (tmp_path / f"{number}.tif").write_bytes(tiff(PAGES + np.uint8(number), photometric="minisblack"))
        found.append(frames(tmp_path / f"{number}.tif")[0])
        decode(found[-1])
    is_open = [frame.series._handle is not None for frame in found]
    assert is_open == [False] * 3 + [True] * frame_module.MOST_OPEN
    np.testing.assert_array_equal(decode(found[0]).pixels, rgb(PAGES[0]))


def test_memory_does_not_grow_with_the_number_of_pages(tmp_path: Path) -> None:
    big = np.zeros((40, 128, 128), np.uint8)
    (tmp_path / "a.tif").write_bytes(tiff(big, photometric="minisblack"))
    found = frames(tmp_path / "a.tif")
    tracemalloc.start()
    for frame in found:
        decode(frame)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 128 * 128 * 3 < big.nbytes


@pytest.mark.parametrize(("package", "extra", "name"), [("av", "video", "a.mp4"), ("nibabel", "volumes", "a.nii.gz")])
def test_a_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, extra: str, name: str
) -> None:
    (tmp_path / name).write_bytes(b"\0")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DependencyError, match=rf"zsad\[{extra}\]"):
        frames(tmp_path / name)
