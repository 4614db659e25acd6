"""KAnoCLIP beside its equations: features, prompts, hinge, maps, scores, and every row of its ablation."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.parts.test_vv_attention import slow_stream
from tests.small import CONFIG, DEPTH, SIZE, frozen, images, tokenizer
from zsad.backbones import config as configs
from zsad.backbones.clip import Clip
from zsad.backbones.transformer import l2_normalize
from zsad.errors import ConfigError, InputError
from zsad.methods._base import Config
from zsad.methods.kanoclip.method import (
    KanoClip,
    KanoClipConfig,
    KanoClipEvidence,
    combine,
    knowledge_hinge,
    local_loss,
)
from zsad.parts.losses import dice, focal
from zsad.parts.maps import resize, smooth
from zsad.parts.prompts import embed_text
from zsad.scoring import anomaly_maps
from zsad.types import BackboneFeatures, Target

NAMES = ["metal nut", "carpet"]
SAID = (("a scratched metal nut", "a metal nut with a dent"), ("a carpet with a hole",))


def make(**options: object) -> KanoClip:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return KanoClip(frozen(), KanoClipConfig(**options))  # type: ignore[arg-type]


def copy_common(source: nn.Module, copy: nn.Module) -> None:
    """Parameters that both have become equal, whatever else an option makes the second one draw."""
    known = dict(source.named_parameters())
    with torch.no_grad():
        for name, one in copy.named_parameters():
            if name in known and known[name].shape == one.shape:
                one.copy_(known[name])


def target(descriptions: tuple[tuple[str, ...], ...] = SAID) -> Target:
    masks = torch.zeros(2, SIZE, SIZE)
    masks[1, :16, :16] = 1
    return Target(torch.tensor([0.0, 1.0]), masks, descriptions)


@torch.no_grad()
def judge(method: KanoClip, names: list[str] = NAMES) -> KanoClipEvidence:
    evidence = method(images(2), names)
    assert isinstance(evidence, KanoClipEvidence)
    return evidence


# 2.2, prompts


def test_prompts_of_words_are_the_sentences() -> None:
    method = make(prompt_length=4)
    assert method.prompts is not None
    clip = method.clip
    with torch.no_grad():
        method.prompts.prefixes[0] = embed_text(clip, "a photo of the")
        method.prompts.prefixes[1] = embed_text(clip, "an image of some")
        states = method.states(["metal nut"], 1)[0]
        for state, start, adjectives in (
            (states[0], "a photo of the", ("normal", "perfect")),
            (states[1], "an image of some", ("abnormal", "defective")),
        ):
            sentences = clip.encode_prompts([f"{start} {adjective} metal nut" for adjective in adjectives])
            torch.testing.assert_close(state, l2_normalize(l2_normalize(sentences).mean(0)), rtol=1e-4, atol=1e-5)


def test_a_class_is_encoded_once_and_shared_by_its_images() -> None:
    method, calls = make(), []
    method.clip.text.register_forward_hook(lambda *_: calls.append(1))
    states = method.states(["metal nut", "carpet", "metal nut"], 3)
    assert len(calls) == 2
    torch.testing.assert_close(states[0], states[2], rtol=0, atol=0)
    assert (states[0] - states[1]).abs().max() > 1e-3
    judge(method)
    judge(method)
    assert len(calls) == 4  # remembered where no gradient is asked for


def test_the_states_are_unit_vectors_with_prefixes_of_their_own() -> None:
    method = make()
    assert method.prompts is not None
    assert method.prompts.prefixes.shape == (2, 12, CONFIG.text.width)
    before = judge(method).states
    torch.testing.assert_close(before.norm(dim=-1), torch.ones(2, 2))
    with torch.no_grad():
        method.prompts.prefixes[1, :, 0].add_(5)
    after = judge(method).states
    torch.testing.assert_close(after[:, 0], before[:, 0], rtol=0, atol=0)
    assert (after[:, 1] - before[:, 1]).abs().max() > 1e-3


@pytest.mark.parametrize("learned", [True, False])
def test_one_class_name_for_each_image(learned: bool) -> None:
    with pytest.raises(InputError, match="every image has one class name; got 1 for 2"):
        make(learned_prompts=learned)(images(2), ["carpet"])


def test_without_learned_prompts_the_fixed_ones_are_used() -> None:
    method = make(learned_prompts=False)
    sentences = ["a photo of a normal carpet", "a photo of an abnormal carpet"]
    expected = l2_normalize(torch.cat([method.clip.encode_prompts([one]) for one in sentences]))
    torch.testing.assert_close(method.states(["carpet"], 1)[0], expected)


# 2.2.2, KD loss


def test_the_hinge_by_hand() -> None:
    normal, abnormal = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])
    states = torch.stack([normal, abnormal])[None]
    far = math.sqrt(2)
    for knowledge, margin, expected in (
        (abnormal, 0.0, 0.0),  # nearer to the abnormal prompts: nothing left to learn
        (normal, 0.0, far),
        (torch.tensor([0.6, 0.8, 0.0]), 0.0, 0.0),
        (torch.tensor([0.8, 0.6, 0.0]), 0.0, math.sqrt(0.8) - math.sqrt(0.4)),
        (abnormal, 1.0, 0.0),
        (abnormal, 2.0, 2 - far),
    ):
        torch.testing.assert_close(knowledge_hinge(states, knowledge[None], margin), torch.tensor(expected))


def test_the_hinge_of_each_image_is_averaged() -> None:
    states = torch.eye(2).expand(2, 2, 2)
    knowledge = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(knowledge_hinge(states, knowledge), torch.tensor(math.sqrt(2) / 2))


def test_a_satisfied_hinge_has_no_gradient_and_another_pulls_the_prompts() -> None:
    states = torch.eye(2)[None].requires_grad_()
    knowledge_hinge(states, torch.tensor([[0.1, 0.995]])).backward()
    assert states.grad is not None
    assert states.grad.abs().max() == 0
    knowledge_hinge(states, torch.tensor([[0.995, 0.1]])).backward()
    assert states.grad[0, 1] @ torch.tensor([0.995, 0.1]) < 0  # a step brings w^a nearer to w^k
    assert states.grad[0, 0] @ torch.tensor([0.1, -0.995]) < 0  # and w^n away from it


def test_the_knowledge_of_an_image_is_the_mean_of_its_descriptions() -> None:
    method = make(margin=1.0)
    evidence = judge(method)
    means = [l2_normalize(l2_normalize(method.clip.encode_prompts(list(said))).mean(0)) for said in SAID]
    expected = knowledge_hinge(evidence.states, torch.stack(means), 1.0)
    torch.testing.assert_close(method.loss(evidence, target())["knowledge"], expected)
    other = method.loss(evidence, target((SAID[0], ("a carpet that is torn in half",))))["knowledge"]
    assert (other - expected).abs() > 1e-5


def test_descriptions_steer_the_prompts() -> None:
    method = make(margin=1.0)
    assert method.prompts is not None
    prefixes, clip = method.prompts.prefixes, method.clip
    knowledge = torch.stack([l2_normalize(l2_normalize(clip.encode_prompts(list(said))).mean(0)) for said in SAID])

    def nearer() -> Tensor:
        distances = (method.states(NAMES, 2) - knowledge[:, None]).norm(dim=-1)
        return (distances[:, 0] - distances[:, 1]).detach()

    optimiser, before = torch.optim.Adam([prefixes], lr=0.02), nearer()
    for _ in range(10):
        optimiser.zero_grad()
        method.loss(method(images(2), NAMES), target())["knowledge"].backward()
        optimiser.step()
    assert (nearer() > before + 0.05).all()


@pytest.mark.parametrize(
    ("descriptions", "value"),
    [((), "0 described of 2"), (((), SAID[1]), "1 described of 2"), (SAID[:1], "1 described")],
)
def test_an_image_without_descriptions_is_refused(descriptions: tuple[tuple[str, ...], ...], value: str) -> None:
    method = make()
    with pytest.raises(ConfigError, match=rf"at least one description .*{value}.*knowledge_weight to 0"):
        method.loss(judge(method), target(descriptions))


@pytest.mark.parametrize("options", [{"knowledge_weight": 0.0}, {"learned_prompts": False}])
def test_without_the_kd_loss_no_descriptions_are_needed(options: dict[str, object]) -> None:
    method = make(**options)
    assert set(method.loss(judge(method), target(()))) == {"global", "local"}


# 2.3, CLIP-VV


@torch.no_grad()
def test_the_stages_are_the_stream_written_out() -> None:
    method, pixels = make(), images(2, 40, 24)
    features, stream = method.extract_features(pixels), slow_stream(method.clip, pixels, 0)
    assert features.grid == (5, 3)
    expected = torch.stack([stream[level][:, 1:] for level in range(DEPTH)], 1)
    torch.testing.assert_close(features.patches, expected, rtol=1e-4, atol=1e-4)
    vision = method.clip.vision
    torch.testing.assert_close(features.image, vision.project(vision(pixels).last[:, 0]))
    of_stream = make(global_token="vv").extract_features(pixels).image
    torch.testing.assert_close(of_stream, vision.project(stream[DEPTH - 1][:, 0]), rtol=1e-4, atol=1e-4)
    assert (of_stream - features.image).abs().max() > 1e-2


@torch.no_grad()
def test_without_the_stream_the_stages_are_outputs_of_blocks() -> None:
    method, pixels = make(vv_attention=False, levels=(12, 24)), images(2)
    trace = method.clip.vision(pixels, keep=[1, 3])
    expected = torch.stack([trace.kept[1], trace.kept[3]], 1)[:, :, 1:]
    torch.testing.assert_close(method.extract_features(pixels).patches, expected, rtol=0, atol=0)


@torch.no_grad()
def test_where_the_stream_starts() -> None:
    method, pixels = make(levels=(18, 24), vv_from=18), images(1)
    stream = slow_stream(method.clip, pixels, 2)
    torch.testing.assert_close(method.extract_features(pixels).patches[:, 1], stream[3][:, 1:], rtol=1e-4, atol=1e-4)


def test_the_papers_blocks_on_the_papers_tower() -> None:
    with torch.device("meta"):
        method = KanoClip(Clip("ViT-L-14-336", configs.get("ViT-L-14-336"), tokenizer()))
    assert method.levels == [5, 11, 17, 23]
    assert method.vv_from == 5
    shapes = {name: tuple(one.shape) for name, one in method.named_parameters() if not name.startswith("clip.")}
    assert shapes["prompts.prefixes"] == (2, 12, 768)
    assert shapes["stages.3.read_patches.1.weight"] == (256, 1024)
    assert shapes["stages.0.read_states.1.weight"] == (256, 768)
    assert shapes["adapter.down.weight"] == (192, 768)
    assert shapes["adapter.up.weight"] == (768, 192)
    with torch.device("meta"):
        visual, text = method.stages[0](torch.empty(1, 37 * 37, 1024), torch.empty(1, 2, 768), (37, 37))
    assert (visual.shape, text.shape) == ((1, 37 * 37, 256), (1, 2, 256))


# 2.4, Bi-CMCI, equations 9 and 10


def test_the_stages_map_is_a_softmax_of_cosines_and_the_final_one_their_mean() -> None:
    method = make(layer_scale=1.0)
    features, evidence = method.extract_features(images(2)), judge(method)
    for number, stage in enumerate(method.stages):
        visual, text = stage(features.patches[:, number], evidence.states, features.grid)
        cosines = F.cosine_similarity(visual[:, :, None], text[:, None], dim=-1)
        expected = (cosines / 0.07).softmax(-1)[..., 1].unflatten(1, features.grid)
        torch.testing.assert_close(evidence.maps[:, number], expected.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(evidence.localised, evidence.maps.mean(1))


def test_the_printed_order_of_equation_9_is_one_softmax_of_the_sum_of_the_stages() -> None:
    method = make(layer_scale=1.0, norm="sum")
    features, evidence = method.extract_features(images(2)), judge(method)
    summed = torch.zeros(2, 16, 2)
    for number, stage in enumerate(method.stages):
        visual, text = stage(features.patches[:, number], evidence.states, features.grid)
        summed += F.cosine_similarity(visual[:, :, None], text[:, None], dim=-1).detach()
    expected = (summed / 0.07).softmax(-1)[..., 1].unflatten(1, features.grid)
    torch.testing.assert_close(evidence.maps, expected[:, None], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(evidence.localised, expected, rtol=1e-4, atol=1e-5)
    assert {"knowledge", "global", "local"} == set(method.loss(evidence, target()))


def test_equation_10_is_m_a_under_the_softmax() -> None:
    abnormal = torch.rand(2, 4, 3, generator=torch.Generator().manual_seed(0))
    expected = smooth(resize(abnormal, (32, 24)), 2.0)
    torch.testing.assert_close(combine(1 - abnormal, abnormal, (32, 24), Config(sigma=2.0)), expected)


def test_equation_10_of_maps_that_do_not_add_up_to_one() -> None:
    normal, abnormal = torch.full((1, 2, 2), 0.5), torch.full((1, 2, 2), 0.9)
    torch.testing.assert_close(combine(normal, abnormal, (4, 4), Config(sigma=1.0)), torch.full((1, 4, 4), 0.7))


@pytest.mark.parametrize("sigma", [0.0, 4.0])
def test_the_score_is_half_the_sum_of_equation_12(sigma: float) -> None:
    method = make(sigma=sigma)
    evidence, features = judge(method), method.extract_features(images(2))
    adapted = F.relu(method.adapter.norm(features.image) @ method.adapter.down.weight.T) @ method.adapter.up.weight.T
    cosines = F.cosine_similarity(adapted[:, None], evidence.states, dim=-1)
    highest = anomaly_maps(evidence, (SIZE, SIZE), Config(sigma=sigma)).amax((1, 2))
    expected = ((cosines / 0.07).softmax(-1)[:, 1] + highest) / 2
    torch.testing.assert_close(evidence.score, expected.detach(), rtol=1e-4, atol=1e-5)


def test_the_adapters_residual_brings_the_class_token_back() -> None:
    image = torch.randn(2, CONFIG.embed)
    adapters = [make(adapter_residual=residual).adapter for residual in (0.0, 0.5)]
    torch.testing.assert_close(adapters[1](image), adapters[0](image) + 0.5 * image)


# 2.5, losses


def test_the_local_loss_is_equation_15() -> None:
    """Of the mean of the stages, which is smaller than the masks."""
    method, masks = make(layer_scale=1.0), target().masks
    evidence = judge(method)
    mean = evidence.maps.mean(1, keepdim=True)
    assert mean.shape[2:] == (4, 4)
    abnormal = F.interpolate(mean, (SIZE, SIZE), mode="bilinear", align_corners=False)[:, 0]
    expected = focal(abnormal, masks) + dice(1 - abnormal, 1 - masks) + dice(abnormal, masks)
    torch.testing.assert_close(method.loss(evidence, target())["local"], expected)
    assert local_loss(masks, masks, align_corners=False) < 1e-4
    assert local_loss(1 - masks, masks, align_corners=False) > 1


def test_the_terms_are_weighted() -> None:
    plain, weighted = make(margin=1.0), make(margin=1.0, knowledge_weight=2.0, global_weight=3.0, local_weight=4.0)
    ones, others = (method.loss(judge(method), target()) for method in (plain, weighted))
    assert set(ones) == {"knowledge", "global", "local"}
    for name, factor in (("knowledge", 2), ("global", 3), ("local", 4)):
        torch.testing.assert_close(others[name], factor * ones[name])
    expected = F.binary_cross_entropy(judge(plain).score, target().labels)
    torch.testing.assert_close(ones["global"], expected)


def test_training_under_autocast_keeps_probabilities_in_full_precision() -> None:
    method = make(layer_scale=1.0)
    full = judge(method)
    with torch.autocast("cpu", torch.bfloat16):
        evidence = method(images(2), NAMES)
    for values in (evidence.maps, evidence.score, evidence.localised):
        assert values.dtype == torch.float32
    torch.testing.assert_close(evidence.maps.detach(), full.maps, rtol=0, atol=0.03)
    assert (evidence.score - full.score).abs().max() < 0.03
    for term in method.loss(evidence, target()).values():
        assert term.dtype == torch.float32


def test_an_observation_kept_in_half_precision_is_judged() -> None:
    method = make(layer_scale=1.0)
    seen = method.extract_features(images(2))
    kept = BackboneFeatures(seen.patches.to(torch.bfloat16), seen.image.to(torch.bfloat16), seen.grid)
    torch.testing.assert_close(
        method.predict_from_features(kept, NAMES).maps.detach(), judge(method).maps, rtol=0, atol=0.03
    )


# options


@pytest.mark.parametrize(
    ("options", "name", "shape"),
    [
        ({"prompt_length": 5}, "prompts.prefixes", (2, 5, 32)),
        ({"hidden": 64}, "stages.1.read_patches.1.weight", (64, 32)),
        ({"groups": 8}, "stages.0.patches_themselves.branch.shift.weight", (2, 32)),
        ({"reduction": 3}, "adapter.down.weight", (8, 24)),
        ({"fusion": "linear"}, "stages.3.weight", (24, 32)),
    ],
)
def test_options_of_size(options: dict[str, object], name: str, shape: tuple[int, ...]) -> None:
    assert tuple(make(**options).get_parameter(name).shape) == shape


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.02},
        {"levels": (6, 12)},
        {"heads": 2},
        {"stride": 1},
        {"layer_scale": 0.5},
        {"vv_attention": False},
        {"norm": "sum"},
        {"fusion": "linear"},
        {"fusion": "none"},
        {"learned_prompts": False},
    ],
)
def test_options_that_change_the_maps(options: dict[str, object]) -> None:
    base = {"layer_scale": 1.0}
    ours, other = make(**base), make(**(base | options))
    if "layer_scale" not in options:
        copy_common(ours, other)
    assert (judge(other).localised - judge(ours).localised).abs().max() > 1e-4


@pytest.mark.parametrize("options", [{"global_token": "vv"}, {"conv_adapter": False}, {"adapter_residual": 0.5}])
def test_options_that_change_the_score_alone(options: dict[str, object]) -> None:
    before, after = judge(make()), judge(make(**options))
    torch.testing.assert_close(after.maps, before.maps, rtol=0, atol=0)
    assert (after.score - before.score).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt_length": 0}, "are at least 1"),
        ({"stride": 0}, "are at least 1"),
        ({"hidden": 100, "groups": 5}, "multiple of heads and of groups; got 100, 8 and 5"),
        ({"hidden": 24, "groups": 5}, "multiple of heads and of groups"),
        ({"levels": ()}, "where V-V attention has begun"),
        ({"vv_from": 7}, r"where V-V attention has begun; got \(6, 12, 18, 24\) from 7"),
        ({"global_token": "vv", "vv_attention": False}, "needs the stream"),
        ({"margin": -1.0}, "are at least 0"),
        ({"local_weight": float("nan")}, r"local_weight lies in .*; got nan"),
    ],
)
def test_configurations_that_cannot_be_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        KanoClipConfig(**options)  # type: ignore[arg-type]


def test_stages_of_original_blocks_may_end_before_the_stream_would_begin() -> None:
    assert make(levels=(3, 24), vv_attention=False).levels == [0, 3]
