"""What training starts from: how each module's parameters are drawn, as papers and code have it, or as is said to be.

Draws are compared with the distribution's own quantities: bound and deviation of a uniform one, deviation of a normal.
"""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.small import frozen
from zsad import methods
from zsad.methods.acd_clip.conv_lora import ConvLora, Lora
from zsad.methods.acd_clip.method import AcdClip, AcdClipConfig
from zsad.methods.afr_clip.method import AfrClip
from zsad.methods.afr_clip.self_prompts import SelfPrompts
from zsad.methods.april_gan import AprilGan
from zsad.methods.fe_clip.method import FeClip
from zsad.methods.kanoclip.deformable_attention import DeformableAttention
from zsad.methods.kanoclip.method import KanoClip
from zsad.methods.mvfa_ad.method import MvfaAd
from zsad.methods.wmoe_clip.method import WMoEClip

WIDTH, RANK = 512, 16


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def assert_uniform(drawn: Tensor, bound: float) -> None:
    """Within ±bound, filled, and flat."""
    drawn = drawn.detach()
    assert drawn.abs().max() <= bound
    assert drawn.abs().max() > 0.95 * bound
    assert float(drawn.std()) == pytest.approx(bound / math.sqrt(3), rel=0.1)


def assert_normal(drawn: Tensor, deviation: float) -> None:
    """Of that deviation, as far as so many numbers can tell, and with tails."""
    drawn = drawn.detach()
    assert float(drawn.std()) == pytest.approx(deviation, rel=4 / math.sqrt(2 * drawn.numel()))
    assert drawn.abs().max() > 1.9 * deviation
    assert float(drawn.mean().abs()) < 4 * deviation / math.sqrt(drawn.numel())


def test_lora_of_acd_clip_starts_as_in_the_code() -> None:
    """W_down: Kaiming's uniform, whose fan-in is the rank for a matrix of (width, rank); W_up: N(0, 0.02²)."""
    for update in (
        Lora(WIDTH, RANK, 1.0, zero=False),
        ConvLora(WIDTH, RANK, 8, (3, 5), shared=False, divided=False, zero=False),
    ):
        downs, ups = ([one] if isinstance(one, Tensor) else list(one) for one in (update.down, update.up))
        for down, up in zip(downs, ups, strict=True):
            assert_uniform(down, math.sqrt(6 / RANK))
            assert_normal(up, 0.02)


def test_convolutions_of_acd_clip_start_as_in_the_code() -> None:
    """Kaiming's uniform for both, and PyTorch's own for the 1×1 that joins the branches."""
    update = ConvLora(WIDTH, RANK, 8, (3, 5), shared=False, divided=False, zero=False)
    for kernel, down, up in zip((3, 5), update.conv_down, update.conv_up, strict=True):
        assert_uniform(down.weight, math.sqrt(6 / (RANK * kernel**2)))
        assert_uniform(up.weight, math.sqrt(6 / (8 * kernel**2)))
        assert down.bias is up.bias is None
    assert_uniform(update.fusion.weight, 1 / math.sqrt(2 * WIDTH))


def test_added_updates_start_at_zero() -> None:
    for update in (
        Lora(WIDTH, RANK, 1.0, zero=True),
        ConvLora(WIDTH, RANK, 8, (3,), shared=True, divided=True, zero=True),
    ):
        ups = [update.up] if isinstance(update.up, Tensor) else list(update.up)
        assert all(up.abs().max() == 0 for up in ups)


@pytest.mark.parametrize(("variant", "scale"), [("code", 1.0), ("paper", 2.0 / 4.0)])
def test_the_variants_of_acd_clip_start_apart(variant: str, scale: float) -> None:
    """Code: blended from 0.2 on; paper: added, from zero on, plain ones with α/√r = 2/√16."""
    method = AcdClip(frozen(), AcdClipConfig(variant=variant))  # type: ignore[arg-type]
    for group in (*method.vision_groups, *method.text_groups):
        ups = group.adapter.update.up
        ups = [ups] if isinstance(ups, Tensor) else list(ups)
        if variant == "code":
            torch.testing.assert_close(group.adapter.blend, torch.full_like(group.adapter.blend, 0.2), rtol=0, atol=0)
        else:
            assert group.adapter.blend is None
        assert all((up.abs().max() > 0) == (variant == "code") for up in ups)
    assert [group.adapter.update.scale for group in method.text_groups] == [scale] * 2


def test_fe_clip_starts_with_adapters_at_zero_and_pytorchs_f_c() -> None:
    method = FeClip(frozen())
    assert all(one.abs().max() == 0 for one in method.stages.parameters())
    assert_uniform(method.align[0].weight, 1 / math.sqrt(32))


def test_afr_clip_starts_with_clips_texts_and_little_noise_in_the_prompts() -> None:
    method = AfrClip(frozen())
    torch.testing.assert_close(method.textual.weight, torch.eye(24), rtol=0, atol=0)
    assert method.textual.bias.abs().max() == 0
    assert method.prompts is not None
    assert method.prompts.learned is not None
    assert_normal(method.prompts.learned, 0.02)
    for one in (method.visual[0].weight, method.prompts.heads.weight):  # type: ignore[union-attr]
        assert_uniform(one, 1 / math.sqrt(one.shape[1]))


def test_wmoe_clip_starts_with_nothing_added_by_experts_and_the_priors_variance() -> None:
    method = WMoEClip(frozen())
    assert_normal(method.prompts.vectors, 0.02)
    assert method.aggregation is not None
    assert method.sampling is not None
    experts, autoencoder = method.aggregation.experts, method.sampling.autoencoder
    zero = (experts.gate, *experts.outer, autoencoder.log_variance)
    assert all(one.abs().max() == 0 for layer in zero for one in layer.parameters())
    drawn = (*experts.inner, autoencoder.mean, autoencoder.encoder[0], autoencoder.decoder[2])
    for layer in drawn:
        assert_uniform(layer.weight, 1 / math.sqrt(24))
    torch.testing.assert_close(method.logit_scale.exp(), torch.tensor(1 / 0.07))


def test_kanoclip_starts_with_short_prefixes_small_branches_and_samples_at_rest() -> None:
    method = KanoClip(frozen())
    assert method.prompts is not None
    assert_normal(method.prompts.prefixes, 0.02)
    scales = [one for name, one in method.named_parameters() if ".scale" in name]
    assert len(scales) == 4 * 6
    for scale in scales:
        torch.testing.assert_close(scale, torch.full_like(scale, 1e-4), rtol=0, atol=0)
    assert DeformableAttention(32, 4, 4, 2).shift.weight.abs().max() == 0


def test_self_prompts_are_noise_and_heads() -> None:
    made = SelfPrompts(5, WIDTH, 320, learned=True)
    assert made.learned is not None
    assert made.heads is not None
    assert_normal(made.learned, 0.02)
    assert (made.learned.shape, made.heads.weight.shape) == ((5, WIDTH), (5 * WIDTH, 320))


def test_april_gan_starts_with_pytorchs_linear_layers() -> None:
    method = AprilGan(frozen())
    assert len(method.linear) == 4
    for layer in method.linear:
        assert_uniform(layer.weight, 1 / math.sqrt(32))
        assert layer.bias.abs().max() <= 1 / math.sqrt(32)


def test_mvfa_ad_starts_with_pytorchs_linear_layers() -> None:
    method = MvfaAd(frozen())
    assert len(method.adapters) == 4
    for number, level in enumerate(method.adapters):
        for adapter in (level.segment, level.detect):
            assert_uniform(adapter.down.weight, 1 / math.sqrt(32))
            assert (adapter.up is None) == (number == 3)
            if adapter.up is not None:
                assert_uniform(adapter.up.weight, 1 / math.sqrt(24))


@pytest.mark.parametrize(
    "make", [found for found in map(methods.get, methods.built_in()) if issubclass(found, methods.Trainable)]
)
def test_another_seed_is_another_start(make: Callable[..., torch.nn.Module]) -> None:
    first, second = make(frozen()), make(frozen())
    pairs = zip(first.named_parameters(), second.parameters(), strict=True)
    moved = {name for (name, one), other in pairs if one.requires_grad and not torch.equal(one, other)}
    assert moved
