"""Resizing and normalising, against CLIP's own preprocessing."""

import numpy as np
import pytest
import torch

from zsad.backbones.config import CLIP_MEAN, CLIP_STD
from zsad.data.preprocess import to_batch
from zsad.types import DecodedImage, Size

RNG = np.random.default_rng(5)
PLAIN = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def image(rows: int, cols: int, dtype: type = np.uint8) -> DecodedImage:
    return DecodedImage(
        RNG.integers(0, np.iinfo(dtype).max, (rows, cols, 3), dtype=dtype, endpoint=True), f"{rows}x{cols}"
    )


@pytest.mark.parametrize("size", [(24, 24), (16, 40), (70, 33)])
@pytest.mark.parametrize("shape", [(24, 24), (100, 37), (20, 20), (1, 1), (1, 50)])
def test_8_bit_equals_clips_own(size: Size, shape: Size) -> None:
    transformers = pytest.importorskip("transformers")
    processor = transformers.CLIPImageProcessorPil(
        do_center_crop=False, size={"height": size[0], "width": size[1]}, resample=3
    )
    given = image(*shape)
    expected = processor(given.pixels, input_data_format="channels_last", return_tensors="pt")["pixel_values"]
    found = to_batch([given], size, CLIP_MEAN, CLIP_STD).pixels
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_the_constants_are_clips() -> None:
    constants = pytest.importorskip("transformers.image_utils")
    assert list(CLIP_MEAN) == constants.OPENAI_CLIP_MEAN
    assert list(CLIP_STD) == constants.OPENAI_CLIP_STD


@pytest.mark.parametrize("size", [(24, 24), (16, 40), (70, 33)])
def test_16_bit_is_the_same_filter_but_finer(size: Size) -> None:
    """A 16-bit image of 8-bit values gives what those give, to within the rounding of 8 bits in two passes.

    The values keep away from black and white, where the 8-bit filter also clips between its passes.
    """
    shallow = DecodedImage(image(50, 37).pixels // 4 + 96, "shallow")
    deep = DecodedImage(shallow.pixels.astype(np.uint16) * 257, "deep")
    found, expected = (to_batch([given], size, *PLAIN).pixels for given in (deep, shallow))
    torch.testing.assert_close(found, expected, rtol=0, atol=1.01 / 255)
    assert found.unique().numel() > 256


def test_16_bit_at_its_own_size_is_exact() -> None:
    deep = image(6, 9, np.uint16)
    expected = torch.from_numpy(deep.pixels.astype(np.float32).transpose(2, 0, 1)[None] / 65535)
    torch.testing.assert_close(to_batch([deep], (6, 9), *PLAIN).pixels, expected, rtol=1e-7, atol=0)


def test_16_bit_never_leaves_the_range() -> None:
    """A bicubic filter overshoots at an edge; 8-bit resizing clips there, and so must this."""
    edge = np.zeros((8, 8, 3), dtype=np.uint16)
    edge[:, 4:] = 65535
    found = to_batch([DecodedImage(edge, "edge")], (64, 64), *PLAIN).pixels
    assert (found.min().item(), found.max().item()) == (0, 1)


def test_normalisation_is_per_channel() -> None:
    """(value - mean) / std, in the order red, green, blue."""
    pixels = np.full((2, 2, 3), (255, 0, 51), dtype=np.uint8)
    found = to_batch([DecodedImage(pixels, "flat")], (1, 1), (0.5, 0.25, 0.1), (0.5, 0.5, 0.2)).pixels
    torch.testing.assert_close(found, torch.tensor([1.0, -0.5, 0.5]).reshape(1, 3, 1, 1), rtol=0, atol=1e-6)


def test_a_batch_is_its_images_one_by_one() -> None:
    images = [image(20, 30), image(7, 5, np.uint16), image(64, 1)]
    batch = to_batch(images, (16, 24), CLIP_MEAN, CLIP_STD)
    alone = torch.cat([to_batch([each], (16, 24), CLIP_MEAN, CLIP_STD).pixels for each in images])
    torch.testing.assert_close(batch.pixels, alone, rtol=0, atol=0)
    assert batch.sizes == ((20, 30), (7, 5), (64, 1))
    assert batch.sources == ("20x30", "7x5", "64x1")


def test_what_a_backbone_gets() -> None:
    pixels = to_batch([image(20, 30)] * 2, (16, 24), CLIP_MEAN, CLIP_STD).pixels
    assert pixels.shape == (2, 3, 16, 24)
    assert pixels.dtype == torch.float32
    assert pixels.is_contiguous()
    assert to_batch([], (16, 24), CLIP_MEAN, CLIP_STD).pixels.shape == (0, 3, 16, 24)


def test_the_images_are_left_alone() -> None:
    for dtype in (np.uint8, np.uint16):
        given = image(8, 8, dtype)
        before = given.pixels.copy()
        given.pixels.flags.writeable = False
        to_batch([given], (8, 8), CLIP_MEAN, CLIP_STD).pixels.zero_()
        np.testing.assert_array_equal(given.pixels, before, strict=True)
