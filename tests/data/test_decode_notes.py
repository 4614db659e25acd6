"""What a user is told of an image beside its pixels: further pages and frames, and a range that is hardly used."""

from io import BytesIO

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.data.making import png, saved, tiff, with_tag
from tests.data.test_decode import refusal
from zsad.data.decode import decode

FIRST, SECOND = Image.new("RGB", (4, 3), (255, 0, 0)), Image.new("RGB", (4, 3), (0, 0, 255))
NOISE = np.random.default_rng(2).integers(0, 65536, (21, 18), dtype=np.uint16)


def notes(source: object) -> tuple[str, ...]:
    return decode(source, "part.x").notes


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF", "WEBP", "AVIF", "JPEG"])
def test_nothing_is_said_of_a_single_image(kind: str) -> None:
    assert notes(saved(FIRST, kind)) == ()


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "AVIF", "MPO"])
def test_further_frames_are_counted(kind: str) -> None:
    content = saved(FIRST, kind, save_all=True, append_images=[SECOND, FIRST])
    assert notes(content) == ("frame 1 of 3 was read",)


def test_smaller_images_in_a_jpeg_are_previews() -> None:
    content = saved(FIRST, "MPO", save_all=True, append_images=[SECOND.resize((2, 2))])
    assert Image.open(BytesIO(content)).n_frames == 2
    assert notes(content) == ()


def test_what_follows_the_first_frame_may_be_damaged() -> None:
    content = saved(FIRST, "MPO", save_all=True, append_images=[SECOND])
    cut = content[: content.rindex(b"\xff\xd8\xff") + 3]
    assert notes(cut) == ("the first frame was read; what follows it is damaged",)


def test_several_netpbm_images_in_a_file() -> None:
    one = b"P5 1 2 65535\n\x10\x00\xf0\x00"
    assert notes(one) == notes(one + b"\n") == ()
    assert notes(one + one) == ("image 1 of several was read",)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_further_pages_are_counted(dtype: type) -> None:
    pages = np.stack([(NOISE >> 8).astype(dtype)] * 7)
    assert "page 1 of 7 was read" in notes(tiff(pages, photometric="minisblack"))


def test_stacks_that_are_written_as_one_page_are_counted() -> None:
    stream = BytesIO()
    tifffile.imwrite(stream, np.stack([NOISE] * 5), imagej=True)
    assert notes(stream.getvalue()) == ("page 1 of 5 was read",)
    one_page = tiff(NOISE, photometric="minisblack", description="ImageJ=1.54f\nimages=60\nslices=60\n", metadata=None)
    assert notes(one_page) == ("page 1 of 60 was read",)
    metamorph = tiff(NOISE, photometric="minisblack", extratags=[(33629, 5, 9, (1, 1) * 9, True)])
    assert notes(metamorph) == ("page 1 of 9 was read",)


def test_smaller_copies_and_masks_are_no_pages() -> None:
    stream = BytesIO()
    with tifffile.TiffWriter(stream) as file:
        file.write(NOISE, photometric="minisblack", subifds=1)
        file.write(NOISE[::2, ::2], photometric="minisblack", subfiletype=1)
        file.write(NOISE[::4, ::4], photometric="minisblack", subfiletype=1)
        file.write(NOISE.astype(bool), photometric="minisblack", subfiletype=4)
    assert notes(stream.getvalue()) == ()


def test_what_follows_the_first_page_of_a_slide_are_levels() -> None:
    stream = BytesIO()
    with tifffile.TiffWriter(stream) as file:
        file.write(NOISE, photometric="minisblack", description="Aperio Image Library v12", metadata=None)
        file.write(NOISE[::2, ::2], photometric="minisblack", metadata=None)
    assert notes(stream.getvalue()) == ()


def test_pages_without_end_are_not_counted_for_ever() -> None:
    one = tiff(NOISE[:1, :1], photometric="minisblack", metadata=None)
    with tifffile.TiffFile(BytesIO(one)) as file:
        next_page = file.pages[0].offset + 2 + 12 * len(file.pages[0].tags)
    loop = bytearray(one)
    loop[next_page : next_page + 4] = loop[4:8]
    assert len(notes(bytes(loop))) == 1  # the one value that it uses
    many = tiff(np.stack([NOISE[:1, :2]] * 1005), photometric="minisblack", metadata=None)
    assert notes(many)[0] == "page 1 of more than 1000 was read"


def test_a_thumbnail_is_never_read_in_place_of_the_image() -> None:
    thumbnail = tiff((NOISE >> 8).astype(np.uint8), photometric="minisblack", subfiletype=1)
    assert "thumbnail" in refusal(thumbnail).value
    raw = tiff(NOISE, photometric="minisblack", extratags=[(50706, 1, 4, (1, 4, 0, 0), True)])
    mosaic = with_tag(tiff(NOISE, photometric="minisblack"), 262, 32803)
    for content in (raw, mosaic):
        assert refusal(content).rule == "a camera raw file is not supported"


def test_strips_that_are_missing_are_not_filled_in() -> None:
    """Pillow reads the head of the file in place of a strip at offset 0."""
    assert "missing" in refusal(with_tag(tiff(NOISE, photometric="minisblack"), 273, 0)).value


@pytest.mark.parametrize(("top", "said"), [(4095, True), (4096, False), (65535, False)])
def test_an_image_that_uses_a_sixteenth_of_its_range_is_said_to(top: int, said: bool) -> None:
    grey = np.array([[0, top]], dtype=np.uint16)
    expected = (f"its values, 0 to {top} of 65535, use a sixteenth of the range or less; scored as they are",)
    assert notes(png(grey, 0)) == notes(grey) == (expected if said else ())
    assert notes(65535 - grey) == (
        (f"its values, {65535 - top} to 65535 of 65535, use a sixteenth of the range or less; scored as they are",)
        if said
        else ()
    )


def test_of_eight_bits_a_sixteenth_is_sixteen_levels() -> None:
    assert "0 to 15 of 255" in notes(np.array([[0, 15]], dtype=np.uint8))[0]
    assert notes(np.array([[0, 16]], dtype=np.uint8)) == ()
