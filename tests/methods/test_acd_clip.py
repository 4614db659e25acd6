"""ACD-CLIP's groups, variants, loss, text and options, and the tensors of the authors' checkpoint."""

from collections import Counter
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.methods.test_kanoclip import copy_common
from tests.small import CONFIG, SIZE, frozen, images, tokenizer
from zsad.backbones import config as configs
from zsad.backbones.clip import Clip
from zsad.backbones.config import ClipConfig
from zsad.errors import ConfigError, InputError
from zsad.methods._trainable import TrainingConfig
from zsad.methods.acd_clip import method as acd_clip
from zsad.methods.acd_clip.method import (
    VARIANTS,
    AcdClip,
    AcdClipConfig,
    AcdClipEvidence,
    Differences,
    Variant,
    VisionGroup,
    group_ends,
)
from zsad.parts.losses import dice, focal, image_cross_entropy
from zsad.scoring import anomaly_maps
from zsad.types import Target

DEEP = replace(CONFIG, vision=replace(CONFIG.vision, depth=12), text=replace(CONFIG.text, depth=12))
BOTH: tuple[Variant, ...] = ("code", "paper")


def make(options: AcdClipConfig | None = None, backbone: ClipConfig = CONFIG, stirred: bool = True) -> AcdClip:
    """As fresh, or with every trained parameter off its start, where zeros would hide what it does."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        method = AcdClip(frozen(backbone), options or AcdClipConfig()).eval()
        if stirred:
            with torch.no_grad():
                for one in (*method.vision_groups.parameters(), *method.text_groups.parameters()):
                    one.add_(0.1 * torch.randn_like(one))
    return method


def judge(method: AcdClip, batch: int = 2) -> AcdClipEvidence:
    with torch.no_grad():
        return method(images(batch), ["nut", "carpet"][:batch])


def target() -> Target:
    masks = torch.zeros(2, SIZE, SIZE)
    masks[1, :16, :16] = 1
    return Target(torch.tensor([0.0, 1.0]), masks)


def loss(method: AcdClip) -> dict[str, Tensor]:
    return method.loss(method(images(2), ["nut", "carpet"]), target())


def apart(ours: AcdClipEvidence, theirs: AcdClipEvidence) -> float:
    maps = (ours.maps.mean(1) - theirs.maps.mean(1)).abs().max()
    return float(max(maps, (ours.score - theirs.score).abs().max()))


# --- groups


@pytest.mark.parametrize(
    ("depth", "groups", "ends"),
    [
        (24, 2, [11, 23]),
        (24, 4, [5, 11, 17, 23]),
        (12, 6, [1, 3, 5, 7, 9, 11]),
        (12, 3, [3, 7, 11]),
        (4, 4, [0, 1, 2, 3]),
    ],
)
def test_groups_end_every_nth_part_of_the_depth(depth: int, groups: int, ends: list[int]) -> None:
    assert group_ends(depth, groups) == ends


@pytest.mark.parametrize("variant", BOTH)
@pytest.mark.parametrize("groups", [2, 3, 4, 6])
def test_the_papers_numbers_of_groups_run(groups: int, variant: Variant) -> None:
    method = make(AcdClipConfig(groups=groups, variant=variant), DEEP)
    evidence = judge(method)
    assert evidence.maps.shape == (2, 1 if variant == "code" else groups, 4, 4)
    assert evidence.score.isfinite().all()
    assert all(term.isfinite() for term in loss(method).values())


@pytest.mark.parametrize(("groups", "blocks"), [(3, 4), (4, 2), (5, 4)])
def test_groups_that_do_not_divide_a_tower_are_refused(groups: int, blocks: int) -> None:
    message = rf"divides the depths of both towers; got {groups} groups for {blocks} blocks"
    with pytest.raises(ConfigError, match=message):
        AcdClip(frozen(), AcdClipConfig(groups=groups))


@pytest.mark.parametrize("groups", [2, 3, 4, 6])
def test_features_are_read_at_the_ends_of_the_groups(groups: int) -> None:
    """A fresh method of the paper's equations edits nothing, so that it reads what the plain towers hold."""
    method = make(AcdClipConfig(groups=groups, variant="paper"), DEEP, stirred=False)
    seen: list[Tensor] = []
    for group in method.vision_groups:
        group.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    judge(method)
    ends = group_ends(12, groups)
    plain = method.clip.vision(images(2), keep=ends)
    assert len(seen) == groups
    for tokens, end in zip(seen, ends, strict=True):
        torch.testing.assert_close(tokens, plain.kept[end], rtol=0, atol=0)


def test_text_features_are_read_at_the_end_token_of_every_group() -> None:
    method = make(AcdClipConfig(groups=3, variant="paper"), DEEP, stirred=False)
    seen: list[Tensor] = []
    for group in method.text_groups:
        group.norm.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    judge(method, 1)
    prompts = [prompt for state in method.prompts("nut") for prompt in state]
    for number, prompt in enumerate(prompts):
        ids = torch.tensor([tokenizer().encode(prompt)])
        _, kept = method.clip.text.run(ids, keep=[3, 7, 11])
        for tokens, end in zip(seen, (3, 7, 11), strict=True):
            torch.testing.assert_close(tokens[number], kept[end][0, -1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("adapter", ["conv-lora", "lora"])
def test_zero_up_projections_leave_the_tower_as_it_is(adapter: Any) -> None:
    method = make(AcdClipConfig(variant="paper", adapter=adapter), stirred=False)
    edits = {end: group.adapter for end, group in zip(method.vision_ends, method.vision_groups, strict=True)}
    edited, plain = (method.clip.vision(images(2), after=after).last for after in (edits, {}))
    torch.testing.assert_close(edited, plain, rtol=0, atol=0)


# --- the tensors of the authors' checkpoint


def real(groups: int) -> AcdClip:
    """On the true architecture, with shapes and no numbers."""
    with torch.device("meta"):
        clip = Clip("ViT-L-14-336", configs.get("ViT-L-14-336"), tokenizer()).freeze("none", "meta")
        return AcdClip(clip, AcdClipConfig(groups=groups))


def shapes(module: nn.Module) -> Counter[tuple[int, ...]]:
    return Counter(tuple(one.shape) for one in module.parameters() if one.requires_grad)


def test_three_groups_have_the_tensors_of_the_authors_checkpoint() -> None:
    method = real(3)
    assert sum(one.numel() for one in method.text_groups.parameters()) == 80_640
    assert sum(one.numel() for one in method.vision_groups.parameters()) == 9_880_338
    assert shapes(method.text_groups) == Counter({(1, 1, 768): 3, (768,): 6, (768, 16): 3, (16, 768): 3})
    per_group = {
        (1, 1, 1024): 1,  # blend
        (1024, 16): 2,  # W_down and W_up of two branches
        (16, 1024): 2,
        (8, 16, 3, 3): 1,
        (16, 8, 3, 3): 1,
        (8, 16, 5, 5): 1,
        (16, 8, 5, 5): 1,
        (1024, 2048, 1, 1): 1,
        (768,): 2 * 2 + 2,  # layer norms and last biases of the two heads
        (256, 1024): 2,
        (256,): 2 + 1,
        (768, 256): 2,
        (256, 768): 1,  # gateway
        (6, 256): 1,
        (6,): 1,
    }
    assert sum(per_group.values()) == 26
    assert shapes(method.vision_groups) == Counter({shape: 3 * count for shape, count in per_group.items()})


def test_rates_and_bounds_of_the_training_name_what_they_should() -> None:
    training, method = AcdClip.training_defaults, make()
    trained = [name for name, one in method.named_parameters() if one.requires_grad]
    assert {name for name in trained if "text_" in name} == {name for name in trained if name.startswith("text_groups")}
    assert training.rates == {"text_": 5e-4}
    assert training.clip_norms == {"blend": 1.0}
    assert sum("blend" in name for name in trained) == 4
    assert isinstance(training, TrainingConfig)
    assert (training.epochs, training.batch_size, training.learning_rate) == (20, 6, 1e-3)
    assert training.rate(2) == pytest.approx(0.81)


# --- differences between paper and code


@pytest.mark.parametrize("variant", BOTH)
@pytest.mark.parametrize("point", [field.name for field in fields(Differences)])
def test_each_difference_alone_matters(point: str, variant: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(method: AcdClip) -> tuple[AcdClipEvidence, Tensor]:
        with torch.no_grad():
            return judge(method), sum(loss(method).values(), torch.zeros(()))

    ours = make(AcdClipConfig(variant=variant))
    before, before_loss = answers(ours)
    flipped = replace(VARIANTS[variant], **{point: not getattr(VARIANTS[variant], point)})
    monkeypatch.setattr(acd_clip, "VARIANTS", {variant: flipped})
    theirs = make(AcdClipConfig(variant=variant))
    copy_common(ours, theirs)
    after, after_loss = answers(theirs)
    assert (before_loss - after_loss).abs() > 1e-5
    if point == "dice_of_both_states":
        assert apart(after, before) == 0
    else:
        assert apart(after, before) > 1e-5


def test_the_variants_differ_in_every_point() -> None:
    code, paper = VARIANTS["code"], VARIANTS["paper"]
    assert all(getattr(code, field.name) != getattr(paper, field.name) for field in fields(Differences))


def test_only_the_last_group_judges_the_class_token() -> None:
    heads = {
        variant: [hasattr(one, "detect") for one in make(AcdClipConfig(variant=variant)).vision_groups]
        for variant in BOTH
    }
    assert heads == {"code": [True, True], "paper": [False, True]}


# --- loss


def test_the_loss_is_its_terms_written_out() -> None:
    method = make()
    with torch.no_grad():
        evidence = method(images(2), ["nut", "carpet"])
        terms, (masks, labels) = method.loss(evidence, target()), (target().masks, target().labels)
    maps = F.interpolate(evidence.logits, (SIZE, SIZE), mode="bilinear", align_corners=True)[:, 0].sigmoid()
    torch.testing.assert_close(terms["focal"], focal(maps, masks))
    torch.testing.assert_close(terms["dice"], dice(maps, masks) + dice(1 - maps, 1 - masks))
    torch.testing.assert_close(terms["class"], image_cross_entropy(evidence.image, labels))


def test_the_papers_dice_counts_the_anomalous_state_only() -> None:
    method = make(AcdClipConfig(variant="paper"))
    with torch.no_grad():
        evidence = method(images(2), ["nut", "carpet"])
        terms = method.loss(evidence, target())
    maps = F.interpolate(evidence.logits, (SIZE, SIZE), mode="bilinear", align_corners=True).sigmoid().mean(1)
    torch.testing.assert_close(terms["dice"], dice(maps, target().masks))


@pytest.mark.parametrize(
    ("weight", "term"), [("focal_weight", "focal"), ("dice_weight", "dice"), ("class_weight", "class")]
)
def test_weights_scale_their_terms(weight: str, term: str) -> None:
    with torch.no_grad():
        once, thrice = (loss(make(replace(AcdClipConfig(), **{weight: value}))) for value in (1.0, 3.0))
    for name in once:
        torch.testing.assert_close(thrice[name], once[name] * (3 if name == term else 1))


# --- options


@pytest.mark.parametrize("variant", BOTH)
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("adapter", "lora"),
        ("fusion", "static"),
        ("kernels", (3,)),
        ("rank", 8),
        ("conv_rank", 4),
        ("hidden", 32),
        ("temperature", 0.2),
        ("image_temperature", 0.1),
        ("map_weight", 0.5),
        ("sigma", 0.0),
    ],
)
def test_every_option_reaches_the_answer(option: str, value: Any, variant: Variant) -> None:
    options = AcdClipConfig(variant=variant)
    ours, theirs = make(options), make(replace(options, **{option: value}))
    copy_common(ours, theirs)
    assert apart(judge(theirs), judge(ours)) > 1e-4


def test_blend_reaches_the_codes_adapters_and_alpha_the_papers() -> None:
    for variant, option, value in (("code", "blend", 0.6), ("paper", "alpha", 9.0)):
        options = AcdClipConfig(variant=variant)
        assert apart(judge(make(replace(options, **{option: value}))), judge(make(options))) > 1e-4


def test_static_fusion_pairs_levels_of_the_same_number() -> None:
    method = make(AcdClipConfig(fusion="static"))
    texts, visual = torch.randn(3, 2, 2, 32), torch.randn(3, 16, 32)
    for number, group in enumerate(method.vision_groups):
        assert isinstance(group, VisionGroup)
        torch.testing.assert_close(group.describe(visual, texts), texts[:, number], rtol=0, atol=0)


@pytest.mark.parametrize("weight", [0.0, 0.1, 0.5, 1.0])
def test_the_score_mixes_the_whole_image_with_the_maximum_of_the_smoothed_map(weight: float) -> None:
    evidence = judge(make(AcdClipConfig(map_weight=weight)))
    peak = anomaly_maps(evidence, (SIZE, SIZE), AcdClipConfig()).amax((1, 2))
    torch.testing.assert_close(evidence.score, (1 - weight) * evidence.image + weight * peak)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": 1}, "fuses at least 2 groups; got 1"),
        ({"kernels": ()}, "kernels have odd sides"),
        ({"kernels": (3, 4)}, "kernels have odd sides"),
        ({"kernels": (-1,)}, "kernels have odd sides"),
        ({"rank": 0}, "rank, conv_rank and hidden are at least 1"),
        ({"conv_rank": 0}, "rank, conv_rank and hidden are at least 1"),
        ({"hidden": 0}, "rank, conv_rank and hidden are at least 1"),
        ({"map_weight": 1.5}, r"lies in \[0, 1\]; got 1.5"),
        ({"map_weight": float("nan")}, r"map_weight lies in .*; got nan"),
        ({"image_temperature": 0.0}, "temperature is greater than 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AcdClipConfig(**options)


# --- text


def test_there_are_6_normal_and_10_anomalous_prompts() -> None:
    normal, anomalous = make().prompts("metal nut")
    assert (len(set(normal)), len(set(anomalous))) == (6, 10)
    assert not set(normal) & set(anomalous)
    assert all(prompt.count("metal nut") == 1 and "{" not in prompt for prompt in (*normal, *anomalous))


def test_a_class_is_encoded_once_a_step_and_once_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    method, names, passes = make(), ["nut", "carpet", "nut", "nut"], []
    run = method.clip.text.run
    monkeypatch.setattr(method.clip.text, "run", lambda *a, **k: (passes.append(1), run(*a, **k))[1])
    for step in (1, 2):
        method(images(4), names)
        assert len(passes) == 2 * step
    with torch.inference_mode():
        method(images(4), names)
        method(images(4), names)
    assert len(passes) == 6


def test_a_class_name_is_missing() -> None:
    with pytest.raises(InputError, match="every image has one class name; got 1 for 2"):
        make()(images(2), ["nut"])


def test_under_autocast_the_answer_is_fp32_and_near() -> None:
    method, full = make(stirred=False), judge(make(stirred=False))
    with torch.autocast("cpu", torch.bfloat16):
        half = judge(method)
    assert half.maps.dtype == half.score.dtype == half.logits.dtype == half.image.dtype == torch.float32
    torch.testing.assert_close(half.maps, full.maps, rtol=0, atol=0.05)
    torch.testing.assert_close(half.score, full.score, rtol=0, atol=0.02)
