"""AA-CLIP against its equations written out, and against what the authors' code answers on the same weights."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.methods import reproducible
from tests.methods.declared import ADAM
from tests.small import CONFIG, SIZE, frozen, images
from zsad.backbones.transformer import Block
from zsad.errors import ConfigError
from zsad.methods.aa_clip.adapters import ResidualAdapter
from zsad.methods.aa_clip.method import AaClip, AaClipConfig, AaClipEvidence
from zsad.parts.similarity import state_features
from zsad.scoring import anomaly_maps
from zsad.types import Target

CONSTANTS = {
    "sigma": 14.0,  # all of it: code; 1 token of 14 px
    "align_corners": True,
    "smoothing_window": 7,
    "levels": (6, 12, 18, 24),
    "image_blocks": 6,
    "text_blocks": 3,
    "adapter_weight": 0.1,
    "relu": False,
    "temperature": 0.01,
    "map_weight": 0.5,
    "overlap_weight": 0.1,
    "surgery": "images",
    "surgery_from": 6,  # the last 19 of 24
    "all_text_levels": False,
}
TRAINING = ADAM | {
    "epochs": 25,  # train.py: 5 and 20
    "batch_size": 2,
    "learning_rate": 5e-4,
    "betas": (0.5, 0.999),
    "schedule": "steps",
    "decay": 0.5,
    "milestones": (16000, 32000),
    "rates": {"text_": 1e-5},
    "augment": True,
    "first_stage": {"epochs": 5, "batch_size": 16},
}
RECIPE_ROWS = {
    "paper": {},
    "medical": {"sigma": 21.0, "smoothing_window": 9, "map_weight": 1.0},
    "ablation/patch_surgery": {"surgery": "patches", "all_text_levels": True},
}
RECIPE_ACTIVATION = "gelu"
TEXT = {"text_adapters", "text_projection"}
ROUTES = {
    # Without a stage both sides are trained; the class sees the last level by a projection of its own.
    "focal": TEXT | {"image_adapters", "segment"},
    "dice": TEXT | {"image_adapters", "segment"},
    "class": TEXT | {"image_adapters", "detect"},
}
LOSS_VARIANTS = [{"relu": True}]
NAMES = ["metal nut", "carpet"]
AUTHORS = json.loads((Path(__file__).parent / "authors.json").read_text(encoding="utf-8"))["aa-clip"]


def made(**options: Any) -> AaClip:
    """The small CLIP has 4 and 2 blocks, of which 1 and 1 are adapted; its grid takes a window of 3."""
    torch.manual_seed(0)
    return AaClip(frozen(), AaClipConfig(**({"sigma": 8.0, "smoothing_window": 3} | options))).eval()


def by_formula() -> AaClip:
    method = AaClip(reproducible.clip(24, 12), AaClipConfig(sigma=8.0, smoothing_window=3)).eval()
    for part in ("text_adapters", "text_projection", "image_adapters", "segment", "detect"):
        reproducible.fill(getattr(method, part))
    return method


def target() -> Target:
    masks = torch.zeros(2, SIZE, SIZE)
    masks[1, :16, :24] = 1
    return Target(torch.tensor([0.0, 1.0]), masks)


def leaky(values: Tensor) -> Tensor:
    return torch.where(values > 0, values, 0.01 * values)


def text(method: AaClip, name: str) -> Tensor:
    tower, states = method.clip.text, []
    for prompts in method.prompts(name):
        features = []
        for prompt in prompts:
            ids = torch.tensor([method.clip.tokenizer.encode(prompt)])

            def adapt(x: Tensor, _: object) -> Tensor:
                a = leaky(x @ method.text_adapters[0].update.linear.weight.T)
                return 0.9 * x + 0.1 * a / a.norm(dim=-1, keepdim=True) * x.norm(dim=-1, keepdim=True)

            tokens, _ = tower.run(ids, after={0: adapt})
            end = tower.norm_final(tokens[0, -1])
            features.append(leaky(method.text_projection.linear.weight @ end))
        states.append(state_features(torch.stack(features)[None])[0])
    return torch.stack(states)


def patches(method: AaClip, image: Tensor) -> list[Tensor]:
    """The normed patches of the four levels."""
    tokens, _ = method.clip.vision.embed(image[None])
    levels = []
    for number, block in enumerate(method.clip.vision.transformer.blocks):
        tokens = block(tokens)
        if number == 0:
            a = leaky(tokens @ method.image_adapters[0].update.linear.weight.T)
            scale = tokens.norm(dim=-1, keepdim=True) / a.norm(dim=-1, keepdim=True)
            tokens = 0.9 * tokens + 0.1 * scale * a
        levels.append(method.clip.vision.norm_post(tokens[0, 1:]))
    return levels


def unit(values: Tensor) -> Tensor:
    return values / values.norm(dim=-1, keepdim=True)


@torch.no_grad()
@pytest.mark.parametrize("relu", [False, True])
def test_maps_and_scores_are_those_of_the_equations(relu: bool) -> None:
    method = made(relu=relu, map_weight=0.3)
    evidence = method(images(2), NAMES)
    maps = anomaly_maps(evidence, (SIZE, SIZE), method.config)
    for number, name in enumerate(NAMES):
        states, levels = text(method, name), patches(method, images(2)[number])
        total = torch.zeros(4, 4)
        for level, layer in zip(levels, method.segment, strict=True):
            projected = level @ layer.linear.weight.T
            cosines = unit(leaky(projected) if relu else projected) @ states.T
            total += (cosines[:, 1] - cosines[:, 0]).unflatten(0, (4, 4))
        weights = torch.exp(-0.5 * torch.tensor([-1.0, 0.0, 1.0]) ** 2)  # σ = 8 px = 1 patch
        kernel = (weights[:, None] * weights / weights.sum() ** 2)[None, None]
        blurred = F.conv2d(F.pad(total[None, None], (1, 1, 1, 1), mode="reflect"), kernel)
        expected = 0.5 + F.interpolate(blurred, (SIZE, SIZE), mode="bilinear", align_corners=True)[0, 0] / 16
        torch.testing.assert_close(maps[number], expected, rtol=0, atol=1e-5)
        projected = levels[-1] @ method.detect.linear.weight.T
        cosine = unit(leaky(projected) if relu else projected).mean(0) @ states[1]
        score = 0.3 * expected.max() + 0.7 * (1 + cosine) / 2
        torch.testing.assert_close(evidence.score[number], score, rtol=0, atol=1e-5)


def test_the_sentences() -> None:
    """dataset/constants.py: 3 normal and 5 anomalous states in 2 templates."""
    normal, anomalous = made().prompts("nut")
    assert normal == ["nut.", "a photo of nut.", "a nut.", "a photo of a nut.", "the nut.", "a photo of the nut."]
    assert anomalous == [
        "a damaged nut.",
        "a photo of a damaged nut.",
        "a broken nut.",
        "a photo of a broken nut.",
        "a nut with flaw.",
        "a photo of a nut with flaw.",
        "a nut with defect.",
        "a photo of a nut with defect.",
        "a nut with damage.",
        "a photo of a nut with damage.",
    ]


@torch.no_grad()
def test_the_authors_code_answers_the_same() -> None:
    """Sums of their levels' cosine differences, their class branch, first stage and losses: docs/methods/aa-clip.md."""
    method, names = by_formula(), ["object"] * 2
    assert (len(method.text_adapters), len(method.image_adapters), method.blocks) == (3, 6, [5, 11, 17, 23])
    evidence = method(reproducible.images(2), names)
    sums = 16 * (anomaly_maps(evidence, (SIZE, SIZE), method.config) - 0.5)
    torch.testing.assert_close(sums[:, ::4, ::4], torch.tensor(AUTHORS["sums"]), rtol=0, atol=1e-5)
    maps = anomaly_maps(evidence, (SIZE, SIZE), method.config).amax((1, 2))
    score = maps / 2 + (1 + torch.tensor(AUTHORS["class_cosines"])) / 4
    torch.testing.assert_close(evidence.score, score, rtol=0, atol=1e-5)
    terms = method.loss(evidence, target())
    first, segmentation, of_class = AUTHORS["losses"]
    assert float(terms["focal"] + terms["dice"]) == pytest.approx(segmentation, abs=1e-4)
    assert float(terms["class"]) == pytest.approx(of_class, abs=1e-5)
    method.train().begin_stage(0)
    evidence = method(reproducible.images(2), names)
    torch.testing.assert_close(evidence.margins[:, 0], torch.tensor(AUTHORS["text_stage"]), rtol=0, atol=1e-5)
    assert float(sum(method.loss(evidence, target()).values())) == pytest.approx(first, abs=1e-4)


def surgical(method: AaClip, batch: Tensor, over_images: bool) -> list[Tensor]:
    """The tower whose blocks (all but none of 4 are before layer 6 of 24) attend by their values alone."""
    tokens, _ = method.clip.vision.embed(batch)
    levels = []
    for block in method.clip.vision.transformer.blocks:
        assert isinstance(block, Block)
        x = block.norm_1(tokens)
        value = x @ block.attention.qkv.weight[64:].T + block.attention.qkv.bias[64:]
        heads = []
        for head in value.split(16, dim=-1):
            h = head.transpose(0, 1) if over_images else head
            mixed = (h @ h.transpose(1, 2) / 4).softmax(-1) @ h
            heads.append(mixed.transpose(0, 1) if over_images else mixed)
        tokens = tokens + block.attention.out(torch.cat(heads, -1))
        tokens = tokens + block.mlp(block.norm_2(tokens))
        levels.append(method.clip.vision.project(tokens[:, 1:]))
    return levels


@torch.no_grad()
@pytest.mark.parametrize("surgery", ["images", "patches"])
@pytest.mark.parametrize("every", [False, True])
def test_the_first_stage_is_that_of_the_code(surgery: str, every: bool) -> None:
    method = made(surgery=surgery, all_text_levels=every).train()
    method.begin_stage(0)
    evidence = method(images(2), NAMES)
    states = torch.stack([text(method, name) for name in NAMES])
    token = unit(method.clip.vision.project(method.clip.vision(images(2)).last[:, 0]))
    levels = surgical(method, images(2), surgery == "images")
    expected = []
    for level in levels if every else levels[-1:]:
        products = (unit(level) + token[:, None]) @ states.mT
        expected.append((products[..., 1] - products[..., 0]).unflatten(1, (4, 4)))
    torch.testing.assert_close(evidence.margins, torch.stack(expected, 1), rtol=0, atol=1e-5)
    overlap = (states[:, 0] * states[:, 1]).sum(1).mean() ** 2
    terms = method.loss(evidence, target())
    torch.testing.assert_close(terms["overlap"], 0.1 * overlap, rtol=1e-5, atol=1e-7)
    logits = evidence.margins / 0.01
    focal, dice = torch.zeros(()), torch.zeros(())
    masks = target().masks
    for level in range(logits.shape[1]):
        p = F.interpolate(logits[:, level : level + 1], (SIZE, SIZE), mode="bilinear", align_corners=True)[:, 0]
        p = p.sigmoid()
        right = torch.where(masks == 1, p * (1 - 1e-5) + (1 - p) * 1e-5, (1 - p) * (1 - 1e-5) + p * 1e-5) + 1e-5
        focal += (-((1 - right) ** 2) * right.log()).mean()
        for q, g in ((p, masks), (1 - p, 1 - masks)):
            dice += (1 - (2 * (q * g).sum((1, 2)) + 1) / (q.sum((1, 2)) + g.sum((1, 2)) + 1)).mean()
    torch.testing.assert_close(terms["focal"], focal, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(terms["dice"], dice, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("stage", "trained"), [(0, "text_"), (1, "")])
def test_each_stage_trains_its_side(stage: int, trained: str) -> None:
    method = made().train()
    method.begin_stage(stage)
    torch.stack(list(method.loss(method(images(2), NAMES), target()).values())).sum().backward()
    reached = {name for name, one in method.named_parameters() if one.grad is not None and one.grad.abs().max() > 0}
    ours = {name for name, one in method.named_parameters() if one.requires_grad}
    of_text = {name for name in ours if name.startswith("text_")}
    assert reached == (of_text if trained else ours - of_text)


@torch.no_grad()
def test_outside_of_training_the_stage_does_not_matter() -> None:
    method = made()
    before = method(images(2), NAMES)
    method.begin_stage(0)
    after = method(images(2), NAMES)
    assert isinstance(after, AaClipEvidence)
    assert after.overlap is None
    torch.testing.assert_close(after.maps, before.maps)


def test_projections_start_as_xaviers_uniform() -> None:
    config = replace(CONFIG, vision=replace(CONFIG.vision, width=96))
    method = AaClip(frozen(config), AaClipConfig())
    for layer, fans in ((method.segment[0], 96 + 24), (method.detect, 96 + 24), (method.text_projection, 32 + 24)):
        bound = (6 / fans) ** 0.5
        assert layer.linear.bias is None
        assert 0.95 * bound < float(layer.linear.weight.detach().abs().max()) <= bound
    adapter = method.image_adapters[0]
    assert isinstance(adapter, ResidualAdapter)
    assert 0.95 * (6 / 192) ** 0.5 < float(adapter.update.linear.weight.detach().abs().max()) <= (6 / 192) ** 0.5


@pytest.mark.parametrize(
    "options",
    [{"levels": ()}, {"adapter_weight": 1.5}, {"map_weight": -0.1}, {"image_blocks": 0}, {"text_blocks": 13}],
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        AaClipConfig(**options)
