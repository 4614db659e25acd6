"""WMoE-CLIP written out image by image, its chance and its certainty, and every option."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.methods.test_kanoclip import copy_common
from tests.methods.test_wmoe_clip_wavelets import slow_haar
from tests.small import CONFIG, SIZE, frozen, images, tokenizer
from zsad.backbones import config as configs
from zsad.backbones.clip import Clip
from zsad.backbones.config import ClipConfig
from zsad.backbones.transformer import l2_normalize
from zsad.errors import ConfigError
from zsad.methods.wmoe_clip import method as wmoe_clip
from zsad.methods.wmoe_clip.experts import imbalance
from zsad.methods.wmoe_clip.method import WMoEClip, WMoEClipConfig, WMoEClipEvidence
from zsad.parts.losses import dice, focal, image_cross_entropy
from zsad.types import Evidence, Target

NONE = WMoEClipConfig(distribution_sampling=False, wavelet_attention=False, semantic_experts=False)
ALL = WMoEClipConfig()
SAME_WIDTHS = replace(CONFIG, embed=32)


def make(options: WMoEClipConfig = ALL, backbone: ClipConfig = CONFIG) -> WMoEClip:
    """With every trained parameter off its start, where zeros would hide what it does."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        method = WMoEClip(frozen(backbone), options).eval()
        with torch.no_grad():
            for one in method.parameters():
                if one.requires_grad:
                    one.add_(0.1 * torch.randn_like(one))
    return method


def judge(method: WMoEClip, batch: int = 2, rows: int = SIZE, cols: int = SIZE) -> WMoEClipEvidence:
    with torch.no_grad():
        return method.predict_from_features(method.extract_features(images(batch, rows, cols)), ["nut"] * batch)


def target(batch: int = 2) -> Target:
    masks = torch.zeros(batch, SIZE, SIZE)
    masks[1:, :16, :8] = 1
    return Target(masks.amax((1, 2)), masks)


def assert_differ(ours: Evidence, theirs: Evidence, least: float = 1e-4) -> None:
    assert (ours.score - theirs.score).abs().max() > least
    assert (ours.maps - theirs.maps).abs().max() > least


# --- the paper's equations, one image at a time


def two_layers(x: Tensor, first: Any, last: Any) -> Tensor:
    return last(F.relu(first(x)))


def slow_text(method: WMoEClip, image: Tensor) -> Tensor:
    """F_T [2, embed] of equations 1 and 4, of words and vectors put together token by token."""
    vectors = method.prompts.vectors
    clip = method.clip
    if method.sampling:
        autoencoder = method.sampling.autoencoder
        mean = autoencoder.mean(F.relu(autoencoder.encoder[0](image)))
        decoded = two_layers(mean, autoencoder.decoder[0], autoencoder.decoder[2])
        sample = method.sampling.fit(mean if method.config.sample == "latent" else decoded)
        if method.config.sample == "scaled":
            vectors = torch.stack(
                [torch.stack([v + sample * v.norm() / sample.norm() for v in own]) for own in vectors]
            )
        else:
            vectors = vectors + sample
    features = []
    for state, word in enumerate(("good", "damaged")):
        before = clip.text.token_embedding(torch.tensor(clip.tokenizer.encode(f"a photo of a {word}")[:-1]))
        after = clip.text.token_embedding(torch.tensor(clip.tokenizer.encode(".")[1:]))
        features.append(clip.text(torch.cat([before, vectors[state], after])[None])[0])
    return torch.stack(features)


def slow_refinement(method: WMoEClip, level: int, text: Tensor, patches: Tensor) -> Tensor:
    """Equations 5-7 of F_I [rows, cols, embed], with keys and values of every patch."""
    own = method.refinements[level]
    low, *bands = (band[0] for band in slow_haar(patches[None], 2 if method.config.transform == "decimated" else 1))
    high = torch.zeros_like(low)
    for band in bands:
        high = high + (band.abs() if method.config.high == "magnitude" else band)
    gate = torch.empty_like(low)
    channels = own.channels(F.relu((low + high).flatten(0, 1).mean(0)))
    for row in range(len(low)):
        for col in range(low.shape[1]):
            cell = own.cells(F.relu(own.pointwise(low[row, col] + high[row, col])))
            gate[row, col] = torch.sigmoid(channels + cell)
    enhanced = (high * gate + low).flatten(0, 1)
    weights = (own.query(text) @ own.key(enhanced).T / text.shape[-1] ** 0.5).softmax(-1)
    refined: Tensor = weights @ own.value(enhanced)
    return text + refined if method.config.residual else refined


def slow_probability(method: WMoEClip, feature: Tensor, text: Tensor) -> Tensor:
    cosines = torch.stack([F.cosine_similarity(feature, state, dim=-1) for state in text], -1)
    return (cosines * method.logit_scale.exp()).softmax(-1)[..., 1]


def slow_context(method: WMoEClip, tokens: Tensor) -> Tensor:
    """x_a: the linear layers on every token, then the mean."""
    assert method.aggregation
    adapted = [adapter(level) for adapter, level in zip(method.aggregation.adapters, tokens, strict=True)]
    return torch.cat(adapted, -1).mean(0)


def slow_judge(method: WMoEClip, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Maps [levels, rows, cols] and score of one image."""
    trace = method.clip.vision(pixels[None], keep=(0, 1, 2, 3))
    tokens = torch.stack([trace.kept[block][0, 1:] for block in range(4)])
    image = method.clip.vision.project(trace.last[0, 0])
    image = l2_normalize(image) if method.config.unit_class_token else image
    text, maps = slow_text(method, image), []
    for level in range(4):
        patches = method.projections[level](tokens[level]).unflatten(0, trace.grid)
        states = slow_refinement(method, level, text, patches) if method.config.wavelet_attention else text
        maps.append(slow_probability(method, patches, states))
    if method.aggregation:
        context = slow_context(method, tokens)
        image = image + method.aggregation.experts(context[None], method.aggregation.experts.route(context[None]))[0]
    whole = slow_probability(method, image, text)
    return torch.stack(maps), (whole + torch.stack(maps).mean(0).max()) / 2


@pytest.mark.parametrize(
    "options",
    [
        ALL,
        NONE,
        replace(NONE, distribution_sampling=True),
        replace(NONE, wavelet_attention=True),
        replace(NONE, semantic_experts=True),
        replace(ALL, residual=True, high="magnitude"),
        replace(ALL, sample="latent"),
        replace(ALL, sample="scaled"),
        replace(ALL, transform="decimated", unit_class_token=True),
    ],
)
@pytest.mark.parametrize("size", [(32, 32), (40, 24)])
def test_the_method_written_out(options: WMoEClipConfig, size: tuple[int, int]) -> None:
    method = make(options)
    evidence = judge(method, 3, *size)
    with torch.no_grad():
        for number, pixels in enumerate(images(3, *size)):
            maps, score = slow_judge(method, pixels)
            torch.testing.assert_close(evidence.maps[number], maps, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(evidence.score[number], score, rtol=1e-4, atol=1e-5)


def test_the_losses_are_equations_2_3_and_9_to_11() -> None:
    method = make(replace(ALL, kl_weight=0.5))
    evidence = judge(method)
    assert method.sampling
    with torch.no_grad():
        image = method.extract_features(images(2)).image
        mean, log_variance = method.sampling.autoencoder(image)
        decoded = method.sampling.autoencoder.decode(mean)
    divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1)
    torch.testing.assert_close(evidence.divergence, divergence)
    torch.testing.assert_close(evidence.reconstruction, ((decoded - image) ** 2).sum(1))
    large = F.interpolate(evidence.maps, (SIZE, SIZE), mode="bilinear", align_corners=False)
    truth, terms = target(), method.loss(evidence, target())
    expected = {
        "cross_entropy": image_cross_entropy(evidence.score, truth.labels),
        "focal": sum(focal(large[:, level], truth.masks) for level in range(4)),
        "dice": sum(dice(large[:, level], truth.masks) for level in range(4)),
        "divergence": 0.5 * divergence.mean(),
        "reconstruction": evidence.reconstruction.mean(),
    }
    torch.testing.assert_close(terms, expected)


def test_in_training_equation_3_is_averaged_over_the_samples() -> None:
    method = make().train()
    assert method.sampling
    with torch.no_grad():
        image = method.extract_features(images(2)).image
        torch.manual_seed(1)
        evidence = method(images(2), ["nut"] * 2)
        torch.manual_seed(1)
        sampled = method.sampling(image)
    mean, log_variance = sampled.posterior
    errors = torch.stack([((sampled.decoded[:, 0, i] - image) ** 2).sum(1) for i in range(2)], 1)
    assert (errors[:, 0] - errors[:, 1]).abs().min() > 1e-2
    torch.testing.assert_close(evidence.reconstruction, errors.mean(1))
    torch.testing.assert_close(evidence.divergence, -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1))
    torch.testing.assert_close(method.loss(evidence, target())["reconstruction"], errors.mean())


def test_a_method_without_ctds_has_no_terms_of_it() -> None:
    method = make(NONE)
    evidence = judge(method)
    assert set(method.loss(evidence, target())) == {"cross_entropy", "focal", "dice"}
    assert evidence.divergence.abs().max() == evidence.reconstruction.abs().max() == 0
    assert evidence.routing.shape == (2, 0)


# --- chance and certainty


@pytest.mark.parametrize("backbone", [CONFIG, SAME_WIDTHS])
def test_samples_differ_in_training_and_are_the_posterior_mean_in_use(backbone: ClipConfig) -> None:
    method = make(backbone=backbone)
    assert method.sampling
    with torch.no_grad():
        image = method.extract_features(images(2)).image
        noisy = method.sampling.train()(image).decoded
        still = method.sampling.eval()(image)
        mean = method.sampling.autoencoder.decode(still.posterior.mean)
    assert noisy.shape == (2, 1, 2, backbone.embed)
    assert (noisy[:, :, 0] - noisy[:, :, 1]).abs().max() > 1e-2
    assert (noisy[0] - noisy[1]).abs().max() > 1e-2
    torch.testing.assert_close(still.decoded, mean[:, None, None].expand(-1, 1, 2, -1))


def test_both_states_get_the_same_samples_beside_vectors_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    method, seen = make().train(), []
    text = method.clip.text.forward
    monkeypatch.setattr(method.clip.text, "forward", lambda prompts: (seen.append(prompts), text(prompts))[1])
    with torch.no_grad():
        method(images(3), ["nut"] * 3)
    good, damaged = (prompts[:, -4:-2] for prompts in seen)  # what follows is "." and the end
    r_good, r_damaged = good - method.prompts.vectors[0], damaged - method.prompts.vectors[1]
    torch.testing.assert_close(r_good, r_damaged, rtol=1e-4, atol=1e-5)
    assert (method.prompts.vectors[0] - method.prompts.vectors[1]).abs().min() > 0
    assert (r_good[:, 0] - r_good[:, 1]).abs().max() > 1e-2


def test_scaled_samples_are_as_long_as_the_vectors_that_they_are_added_to() -> None:
    method = make(replace(ALL, sample="scaled"))
    added = 50 * torch.randn(3, 2, 32)
    seen: list[Tensor] = []
    insert_vectors = wmoe_clip.insert_vectors
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(wmoe_clip, "insert_vectors", lambda *given: (seen.append(given[2]), insert_vectors(*given))[1])
        method.prompts(method.clip, added)
    for own, vectors in zip(seen, method.prompts.vectors, strict=True):
        r = own - vectors
        torch.testing.assert_close(r.norm(dim=-1), vectors.norm(dim=-1).expand(3, -1), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(F.cosine_similarity(r, added, dim=-1), torch.ones(3, 2), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sample", ["decoded", "latent", "scaled"])
def test_what_pulls_at_the_autoencoder(sample: Any) -> None:
    """The maps pull at the encoder, and at the decoder where the prompts hold its results; equation 3 pulls at both."""
    for term, decoder in (("focal", sample != "latent"), ("reconstruction", True)):
        method = make(replace(ALL, sample=sample)).train()
        torch.manual_seed(0)
        method.loss(method(images(2), ["nut"] * 2), target())[term].backward()
        assert method.sampling
        pulled = {
            name
            for name, one in method.sampling.autoencoder.named_children()
            if any(p.grad is not None and p.grad.abs().sum() > 0 for p in one.parameters())
        }
        assert pulled == {"encoder", "mean", "log_variance"} | ({"decoder"} if decoder else set()), term
        vectors = method.prompts.vectors.grad
        assert (vectors is not None and bool(vectors.abs().sum() > 0)) == (term == "focal")


def test_draws_are_averaged_and_the_same_each_time() -> None:
    plain, method = make(), make(replace(ALL, draws=5))
    torch.manual_seed(1)
    first = judge(method)
    torch.manual_seed(2)
    torch.testing.assert_close(judge(method).maps, first.maps, rtol=0, atol=0)
    assert_differ(first, judge(plain), 1e-6)
    with torch.no_grad():
        one_by_one = torch.cat([method(image[None], ["nut"]).score for image in images(2)])
    torch.testing.assert_close(first.score, one_by_one, rtol=1e-5, atol=1e-6)


def test_many_draws_are_encoded_as_many_prompts_and_averaged() -> None:
    method = make(replace(ALL, draws=3))
    with torch.no_grad():
        image = method.extract_features(images(2)).image
        sampled = method.sampling(image)  # type: ignore[misc]
        averaged = method._text(sampled, 2)
        singles = [method.prompts(method.clip, sampled.vectors[:, draw]) for draw in range(3)]
    torch.testing.assert_close(averaged, torch.stack(singles).mean(0), rtol=1e-4, atol=1e-5)
    assert (singles[0] - singles[1]).abs().max() > 1e-3


def test_without_ctds_text_is_encoded_once_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    method, calls = make(NONE), []
    text = method.clip.text.forward
    monkeypatch.setattr(method.clip.text, "forward", lambda prompts: (calls.append(1), text(prompts))[1])
    judge(method)
    judge(method, 1)
    assert len(calls) == 2
    method(images(2), ["nut"] * 2)
    assert len(calls) == 4


# --- how training starts


def test_experts_add_nothing_to_begin_with() -> None:
    answers = []
    for options in (ALL, replace(ALL, semantic_experts=False)):
        torch.manual_seed(0)
        answers.append(judge(WMoEClip(frozen(), options).eval()))
    torch.testing.assert_close(answers[0].score, answers[1].score)


def test_two_experts_of_eight_are_active() -> None:
    routing = judge(make(), 5).routing
    assert routing.shape == (5, 8)
    assert (routing > 0).sum(1).tolist() == [2] * 5
    torch.testing.assert_close(routing.sum(1), torch.ones(5))


def test_the_scale_is_learned_from_the_temperature_on() -> None:
    method = make(replace(ALL, temperature=0.5))
    fresh = WMoEClip(frozen(), replace(ALL, temperature=0.5))
    torch.testing.assert_close(fresh.logit_scale.exp(), torch.tensor(2.0))
    assert_differ(judge(method), judge(make()))
    method(images(2), ["nut"] * 2).maps.sum().backward()
    assert method.logit_scale.grad is not None
    assert method.logit_scale.grad.abs() > 0


# --- options and recipes


@pytest.mark.parametrize(
    "change",
    [
        {"wavelet_attention": False},
        {"distribution_sampling": False},
        {"levels": (12, 24, 6, 18)},
        {"prompt_length": 3},
        {"unit_class_token": True},
        {"sample": "latent"},
        {"sample": "scaled"},
        {"draws": 4},
        {"transform": "decimated"},
        {"high": "magnitude"},
        {"residual": True},
    ],
)
def test_options_change_the_answer(change: dict[str, Any]) -> None:
    before, after = make(), make(replace(ALL, **change))
    copy_common(before, after)
    assert (judge(before).maps - judge(after).maps).abs().max() > 1e-6


@pytest.mark.parametrize("change", [{"semantic_experts": False}, {"active_experts": 3}, {"experts": 5}])
def test_options_of_the_experts_change_the_score_alone(change: dict[str, Any]) -> None:
    before, after = make(), make(replace(ALL, **change))
    copy_common(before, after)
    assert (judge(before).score - judge(after).score).abs().max() > 1e-6
    torch.testing.assert_close(judge(before).maps, judge(after).maps)


def test_any_number_of_levels_fills_the_context() -> None:
    for levels in ((24,), (6, 12, 24), (6, 10, 12, 18, 24)):
        method = make(replace(ALL, levels=levels))
        assert judge(method).maps.shape == (2, len(levels), 4, 4)
        assert method.aggregation
        assert sum(adapter.out_features for adapter in method.aggregation.adapters) == CONFIG.embed


def test_weights_of_the_loss_are_used() -> None:
    terms = [
        make(options).loss(judge(make(options)), target())
        for options in (ALL, replace(ALL, kl_weight=3.0), replace(ALL, balance_weight=2.0))
    ]
    torch.testing.assert_close(terms[1]["divergence"], 3 * terms[0]["divergence"])
    torch.testing.assert_close(terms[2]["balance"], 2 * imbalance(judge(make()).routing))
    assert "balance" not in terms[0]


def test_noise_at_the_gate_is_an_option_of_training() -> None:
    routings = []
    for noise in (0.0, 5.0):
        method = make(replace(ALL, gate_noise=noise)).train()
        torch.manual_seed(0)
        routings.append(method(images(4), ["nut"] * 4).routing)
    assert ((routings[0] > 0) != (routings[1] > 0)).any()


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"levels": ()}, "at least one level"),
        ({"prompt_length": 0}, "at least one vector"),
        ({"active_experts": 0}, "at least one expert is active"),
        ({"active_experts": 9}, "at most all of them"),
        ({"draws": -1}, "draws is at least 0"),
        ({"kl_weight": -1.0}, "kl_weight is at least 0"),
        ({"gate_noise": float("nan")}, r"gate_noise lies in .*; got nan"),
        ({"balance_weight": -0.1}, "balance_weight is at least 0"),
    ],
)
def test_options_out_of_range_are_refused(change: dict[str, Any], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        WMoEClipConfig(**change)


def test_the_papers_shapes() -> None:
    with torch.device("meta"):
        method = WMoEClip(Clip("ViT-L-14-336", configs.get("ViT-L-14-336"), tokenizer()))
    shapes = {key: tuple(one.shape) for key, one in method.named_parameters() if one.requires_grad}
    assert method.blocks == [5, 11, 17, 23]
    assert shapes["prompts.vectors"] == (2, 2, 768)
    assert shapes["projections.0.weight"] == (768, 1024)
    assert shapes["refinements.3.key.weight"] == (768, 768)
    assert shapes["aggregation.adapters.0.weight"] == (192, 1024)
    assert shapes["aggregation.experts.gate.weight"] == (8, 768)
    assert not any(key.startswith("sampling.fit") for key in shapes)
