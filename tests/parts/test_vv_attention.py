"""The V-V stream against explicit heads, products and a softmax."""

import pytest
import torch
from torch import Tensor

from tests.small import CONFIG, DEPTH, assert_unchanged, frozen, images, snapshot
from zsad.backbones.clip import Clip
from zsad.errors import ConfigError
from zsad.parts.vv_attention import needed_blocks, run_with_tower, vv_stream


@pytest.fixture(scope="module")
def clip() -> Clip:
    return frozen()


def slow_stream(clip: Clip, pixels: Tensor, start: int) -> dict[int, Tensor]:
    """S_l = Proj(softmax(V Vᵀ / √d) V) + S_(l-1), head by head; V from the original path."""
    width, heads = CONFIG.vision.width, CONFIG.vision.heads
    head = width // heads
    tokens = clip.vision.embed(pixels)[0]
    stream, read = None, {}
    for index, block in enumerate(clip.vision.transformer.blocks):
        if index == start:
            stream = tokens
        if stream is not None:
            attention = block.attention
            normal = torch.nn.functional.layer_norm(tokens, (width,), block.norm_1.weight, block.norm_1.bias)
            value = normal @ attention.qkv.weight[2 * width :].T + attention.qkv.bias[2 * width :]
            joined = []
            for number in range(heads):
                v = value[..., number * head : (number + 1) * head]
                joined.append((v @ v.transpose(1, 2) / head**0.5).softmax(-1) @ v)
            stream = torch.cat(joined, -1) @ attention.out.weight.T + attention.out.bias + stream
            read[index] = stream
        tokens = block(tokens)
    return read


@pytest.mark.parametrize("start", range(DEPTH))
def test_the_stream_equals_the_equations_written_out(clip: Clip, start: int) -> None:
    pixels, levels = images(2, 40, 24), range(start, DEPTH)
    trace = clip.vision(pixels, keep=needed_blocks(start, levels))
    stream, expected = vv_stream(clip.vision, trace, start, levels), slow_stream(clip, pixels, start)
    assert list(stream) == list(levels)
    for level in levels:
        torch.testing.assert_close(stream[level], expected[level], rtol=1e-4, atol=1e-5)


def test_only_the_levels_asked_for_are_read(clip: Clip) -> None:
    trace = clip.vision(images(1), keep=needed_blocks(1, [1, 3]))
    some, all_of_them = (vv_stream(clip.vision, trace, 1, levels) for levels in ([1, 3], [1, 2, 3]))
    assert list(some) == [1, 3]
    torch.testing.assert_close(some[3], all_of_them[3], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("start", "levels", "needed"), [(0, [0], [-1]), (0, [2], [-1, 0, 1]), (2, [2, 3], [1, 2]), (3, [3], [2])]
)
def test_what_is_needed_is_enough_and_no_more(clip: Clip, start: int, levels: list[int], needed: list[int]) -> None:
    assert needed_blocks(start, levels) == needed
    vv_stream(clip.vision, clip.vision(images(1), keep=needed), start, levels)
    for missing in needed:
        trace = clip.vision(images(1), keep=[index for index in needed if index != missing])
        with pytest.raises(
            ConfigError, match=rf"must keep every block under the V-V stream; got without \[{missing}\]"
        ):
            vv_stream(clip.vision, trace, start, levels)


def test_the_tower_and_its_trace_are_not_changed(clip: Clip) -> None:
    before = snapshot(clip)
    trace = clip.vision(images(1), keep=needed_blocks(1, [3]))
    kept = {index: tokens.clone() for index, tokens in trace.kept.items()}
    vv_stream(clip.vision, trace, 1, [3])
    assert_unchanged(clip, before)
    torch.testing.assert_close(dict(trace.kept), kept, rtol=0, atol=0)
    torch.testing.assert_close(clip.vision(images(1)).last, trace.last, rtol=0, atol=0)


@pytest.mark.parametrize("start", range(DEPTH))
def test_the_stream_beside_the_tower_is_the_same_and_keeps_nothing_of_it(clip: Clip, start: int) -> None:
    pixels, levels = images(2, 40, 24), sorted({start, DEPTH - 1})
    trace, stream = run_with_tower(clip.vision, pixels, start, levels)
    kept = clip.vision(pixels, keep=needed_blocks(start, levels))
    torch.testing.assert_close(stream, vv_stream(clip.vision, kept, start, levels), rtol=0, atol=0)
    torch.testing.assert_close(trace.last, kept.last, rtol=0, atol=0)
    assert trace.grid == kept.grid
    assert not trace.kept


@pytest.mark.parametrize("start", range(DEPTH))
@torch.no_grad()
def test_the_stream_beside_a_shared_pass_is_the_same(clip: Clip, start: int) -> None:
    pixels, levels = images(2, 40, 24), sorted({start, DEPTH - 1})
    apart, expected = run_with_tower(clip.vision, pixels, start, levels, keep=[1])
    with clip.vision.sharing():
        clip.vision(pixels)
        for _ in range(2):
            trace, stream = run_with_tower(clip.vision, pixels, start, levels, keep=[1])
            torch.testing.assert_close(stream, expected, rtol=0, atol=0)
            torch.testing.assert_close(trace.last, apart.last, rtol=0, atol=0)
            assert trace.kept.keys() == {1}
            torch.testing.assert_close(trace.kept[1], apart.kept[1], rtol=0, atol=0)
