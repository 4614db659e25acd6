"""VCP-CLIP beside the steps of its authors' code written out."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.formula import noise
from tests.methods.declared import ADAM
from tests.small import CONFIG, SIZE, frozen, images
from zsad.errors import ConfigError
from zsad.methods.vcp_clip import VcpClip, VcpClipConfig, prompts
from zsad.methods.vcp_clip import method as method_module
from zsad.trainer.recipe import Recipe
from zsad.types import Target

# All of it: code, commit 4dd96ec.
CONSTANTS = {
    "sigma": 8.0,
    "align_corners": True,
    "smoothing_window": None,
    "levels": (6, 12, 18, 24),
    "temperature": 0.07,
    "prompt_length": 2,
    "deep_length": 1,
    "deep_layers": 11,
    "heads": 8,
    "refined_weight": 0.8,
    "score_share": 2000 / 268324,  # the 2,000 highest of 518 · 518 pixels
}
TRAINING = ADAM | {
    "epochs": 10,
    "batch_size": 32,
    "learning_rate": 4e-5,  # on VisA; 2e-5 on MVTec AD
    "betas": (0.5, 0.999),
    "rates": {"log_scale": 0.01},
}
READS_NO_NAMES = True
RECIPE_ROWS = {"paper": {}}
PROMPTS = {f"prompts.{part}" for part in ("queries", "context", "fit", "deep", "project", "norm")}
EVERY = PROMPTS | {"patch_layers", "attention", "raw_log_scale", "refined_log_scale"}
ROUTES = {"focal": EVERY, "dice": EVERY}

NAMES = ["carpet"] * 3


def stirred(config: VcpClipConfig | None = None) -> VcpClip:
    """With numbers of such a size that each matters, on a text tower of three blocks."""
    clip = frozen(replace(CONFIG, text=replace(CONFIG.text, depth=3)))
    method = VcpClip(clip, config)
    with torch.no_grad():
        for name, one in method.named_parameters():
            if not name.startswith("clip."):
                one.copy_((1 if "deep" in name or "queries" in name else 0.3) * noise(name, one.shape))
        method.raw_log_scale.fill_(math.log(3))
        method.refined_log_scale.fill_(math.log(2))
    return method.eval()


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def slow_texts(method: VcpClip, image: Tensor) -> Tensor:
    """Of one image, padded to the context: positions first, then the deep prompt, so that words keep their places."""
    own, text, states = method.prompts, method.clip.text, []
    padded = functional.pad(image, (1, 1))
    weight = own.context.weight[:, 0]
    convolved = torch.stack([padded[i : i + 3] @ weight.T for i in range(len(image))], 1) + own.context.bias[:, None]
    vectors = own.queries + own.fit(convolved)
    for words in ("a photo of a good", "a photo of a damaged"):
        ids = method.clip.tokenizer.encode(words)
        embedded = text.token_embedding(torch.tensor(ids))
        end = len(ids) - 1 + 2
        tokens = torch.cat([embedded[:-1], vectors, embedded[-1:], torch.zeros(77 - len(ids) - 2, 32)])
        tokens = tokens + text.position_embedding
        tokens = torch.cat([tokens[:1], own.project(own.deep[0]), tokens[1:-1]])
        for number, block in enumerate(text.transformer.blocks):
            if number:
                tokens = torch.cat([tokens[:1], own.project(own.deep[number]), tokens[2:]])
            tokens = block(tokens[None])[0]
        tokens = torch.cat([tokens[:1], tokens[2:]])
        last = functional.layer_norm(tokens[end], (32,), own.norm.weight, own.norm.bias, 1e-6)
        states.append(unit(text.project(last)))
    return torch.stack(states)


def slow_refined(method: VcpClip, texts: Tensor, patches: Tensor) -> Tensor:
    """Attention of two texts over the patches, head by head and without a scale."""
    attention, heads = method.attention, []
    query, key, value = attention.query(texts), attention.key(patches), attention.value(patches)
    size = query.shape[1] // method.config.heads
    for head in range(method.config.heads):
        part = slice(head * size, (head + 1) * size)
        heads.append((query[:, part] @ key[:, part].T).softmax(-1) @ value[:, part])
    return unit(attention.out(torch.cat(heads, 1)))


def test_maps_and_scores_are_those_of_the_steps_written_out() -> None:
    method, pixels = stirred(VcpClipConfig(score_share=0.01)), images(2, 40, 24)
    evidence, vision = method(pixels, NAMES[:2]), method.clip.vision
    trace = vision(pixels, keep=[0, 1, 2, 3])  # of 4 blocks, as the 6th, 12th, 18th and 24th
    for number in range(2):
        texts = slow_texts(method, vision.project(trace.last[:, 0])[number])
        for level in range(4):
            patches = trace.kept[level][number, 1:]
            raw = 3 * unit(method.patch_layers[level](patches)) @ texts.T
            refined = 2 * unit(patches) @ slow_refined(method, texts, unit(patches)).T
            for found, odds in ((evidence.raw, raw), (evidence.refined, refined)):
                expected = odds[:, 1] - odds[:, 0]
                torch.testing.assert_close(found[number, level].flatten(), expected, rtol=1e-3, atol=1e-4)
    mixed = 0.2 * evidence.raw.sigmoid().mean(1) + 0.8 * evidence.refined.sigmoid().mean(1)
    torch.testing.assert_close(evidence.maps, mixed[:, None])
    highest = []
    for odds in (evidence.raw, evidence.refined):
        large = functional.interpolate(odds, (40, 24), mode="bilinear", align_corners=True).sigmoid().mean(1)
        highest.append(large.flatten(1).sort(dim=1, descending=True).values[:, :10].mean(1))  # 0.01 · 960
    torch.testing.assert_close(evidence.score, (highest[0] + highest[1]) / 2)


def test_the_loss_is_that_of_the_code_written_out() -> None:
    method = stirred()
    target = Target(torch.tensor([0.0, 1.0, 1.0]), torch.zeros(3, SIZE, SIZE))
    target.masks[1:, :20, 8:30] = 1
    evidence = method(images(3), NAMES)
    terms, focal, dice = method.loss(evidence, target), torch.zeros(()), torch.zeros(())
    for odds in (*evidence.raw.unbind(1), *evidence.refined.unbind(1)):
        large = functional.interpolate(odds[:, None], (SIZE, SIZE), mode="bilinear", align_corners=True)
        maps, masks = large[:, 0].sigmoid(), target.masks
        true = torch.where(masks == 1, maps, 1 - maps)
        focal = focal - ((1 - true) ** 2 * true.log()).mean()
        dice += (1 - (2 * (maps * masks).sum((1, 2)) + 1) / (maps.sum((1, 2)) + masks.sum((1, 2)) + 1)).mean()
    torch.testing.assert_close(terms["focal"], focal, rtol=1e-3, atol=0)
    torch.testing.assert_close(terms["dice"], dice)


def test_deep_prompts_are_dropped_out_in_training_alone() -> None:
    method = stirred()
    image = noise("image", torch.Size((2, 24)))
    still = method.prompts(method.clip, image)
    torch.testing.assert_close(method.prompts(method.clip, image), still, rtol=0, atol=0)
    torch.manual_seed(0)
    assert (method.train().prompts(method.clip, image) - still).abs().max() > 1e-3


def test_every_block_of_the_text_has_a_deep_prompt_unless_there_are_none() -> None:
    deep = frozen(replace(CONFIG, text=replace(CONFIG.text, depth=12)))
    assert [tuple(one.shape) for one in VcpClip(deep).prompts.deep] == [(1, 32)] * 12
    none = VcpClip(deep, VcpClipConfig(deep_length=0))
    assert (len(none.prompts.deep), none.prompts.project, none.prompts.norm) == (0, None, None)
    assert none.eval()(images(1), NAMES[:1]).score.isfinite().all()


def test_words_numbers_and_starts_of_the_code() -> None:
    assert prompts.STATES == ("a photo of a good", "a photo of a damaged")
    assert (prompts.KERNEL, prompts.DROPOUT, prompts.EPSILON, prompts.REFERENCE_DEPTH) == (3, 0.1, 1e-6, 12)
    assert method_module.REFERENCE_DEPTH == 24
    torch.manual_seed(0)
    wide = frozen(replace(CONFIG, embed=256, text=replace(CONFIG.text, width=256)))
    method = VcpClip(wide)
    deep = torch.cat([*method.prompts.deep])
    assert deep.abs().max() <= 1
    assert float(deep.detach().std()) == pytest.approx(3**-0.5, rel=0.1)  # uniform in [-1, 1]
    assert float(method.prompts.queries.detach().std()) == pytest.approx(0.88, rel=0.15)  # N(0, 1) cut off at 2
    assert float(method.prompts.project.weight.detach().std()) == pytest.approx((2 / 256) ** 0.5, rel=0.05)
    scales = torch.stack([method.raw_log_scale, method.refined_log_scale])
    torch.testing.assert_close(scales.exp(), torch.tensor([1 / 0.07] * 2))
    assert Recipe("vcp-clip", backbone="ViT-L-14-336").tower_activation() == "gelu"


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"levels": ()}, "there are levels"),
        ({"prompt_length": 0}, "prompt_length and heads are at least 1"),
        ({"heads": 0}, "prompt_length and heads are at least 1"),
        ({"deep_length": -1}, "deep_length at least 0"),
        ({"deep_layers": 12}, r"lie in 0\.\.11"),
        ({"refined_weight": 1.5}, r"lie in \[0, 1\]"),
        ({"score_share": 0.0}, r"lie in \[0, 1\]"),
    ],
)
def test_options_without_a_meaning_are_refused(options: dict[str, object], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        VcpClipConfig(**options)  # type: ignore[arg-type]


def test_heads_divide_the_width_of_the_patches() -> None:
    with pytest.raises(ConfigError, match="the 32 channels of the vision tower are a multiple of the heads; got 5"):
        VcpClip(frozen(), VcpClipConfig(heads=5))
