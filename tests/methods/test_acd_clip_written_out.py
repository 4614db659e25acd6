"""ACD-CLIP against itself written out: block by block, token by token, prompt by prompt, one softmax of two a time.

For ``variant="code"`` this is what the authors' code does from image to answer (commit 2026067: forward, fusion and
``test.py``), its blur by SciPy and its enlargement by NumPy.
"""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.methods.test_acd_clip import BOTH, DEEP, judge, make
from tests.methods.test_acd_clip_conv_lora import slow_adapter
from tests.small import PATCH, images
from tests.test_scoring import aligned
from zsad.methods.acd_clip.method import ANOMALOUS_STATES, NORMAL_STATES, TEMPLATES, AcdClip, AcdClipConfig, Variant
from zsad.scoring import anomaly_maps

ndimage = pytest.importorskip("scipy.ndimage", reason="the oracle of the blur is SciPy")


def slow_texts(method: AcdClip, class_name: str) -> Tensor:
    """[group, state, joint], one prompt at a time."""
    divided, text = method.config.differences.divided_by_kernel, method.clip.text
    levels: list[list[Tensor]] = [[] for _ in method.text_groups]
    for words in (NORMAL_STATES, ANOMALOUS_STATES):
        features: list[list[Tensor]] = [[] for _ in method.text_groups]
        for prompt in [
            template.replace("{}", word.replace("{}", class_name)) for word in words for template in TEMPLATES
        ]:
            ids = torch.tensor([method.clip.tokenizer.encode(prompt)])
            tokens = text.token_embedding(ids) + text.position_embedding[: ids.shape[1]]
            per_group = len(text.transformer.blocks) // len(method.text_groups)
            for index, block in enumerate(text.transformer.blocks):
                tokens = block(tokens)
                if (index + 1) % per_group == 0:
                    number = (index + 1) // per_group - 1
                    group = method.text_groups[number]
                    tokens = slow_adapter(group.adapter, tokens, (1, ids.shape[1]), divided)
                    feature = group.norm(tokens[0, -1])
                    features[number].append(feature / feature.norm())
        for level, one in zip(levels, features, strict=True):
            mean = torch.stack(one).mean(0)
            level.append(mean / mean.norm())
    return torch.stack([torch.stack(level) for level in levels])


def slow_head(head: nn.Module, tokens: Tensor) -> Tensor:
    """Two layers with a leaky rectifier of slope 0.01 between them, layer norm, unit length: numbers and no modules."""
    first, last = (head.layers[number] for number in (0, 2))
    hidden = tokens @ first.weight.T + first.bias
    made = torch.where(hidden > 0, hidden, 0.01 * hidden) @ last.weight.T + last.bias
    centred = made - made.mean(-1, keepdim=True)
    normed = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * head.norm.weight + head.norm.bias
    return normed / normed.square().sum(-1, keepdim=True).sqrt()


def slow_gelu(x: Tensor) -> Tensor:
    """x times the Gaussian's distribution function at x."""
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def slow_gate(method: AcdClip, number: int, visual: Tensor) -> list[list[Tensor]]:
    """Weights [group][state]: a softmax over the groups for each state."""
    groups, gates = len(method.text_groups), method.vision_groups[number].gateway.gates
    mean = visual[0].mean(0)
    said = [gate[2](slow_gelu(gate[0](mean))) for gate in gates]
    logits = [[said[0][2 * j + s] if len(said) == 1 else said[s][j] for s in range(2)] for j in range(groups)]
    powers = [[logits[j][s].exp() for s in range(2)] for j in range(groups)]
    return [[powers[j][s] / sum(power[s] for power in powers) for s in range(2)] for j in range(groups)]


def slow(method: AcdClip, image: Tensor, class_name: str) -> tuple[Tensor, Tensor]:
    """The fused map on the grid and P(anomalous) of the whole image, one softmax of two a time."""
    logits, whole = slow_logits(method, image, class_name)
    if method.config.variant == "paper":
        return logits.softmax(-1)[..., 1].mean(0), whole
    return logits.mean(0).softmax(-1)[..., 1], whole


def slow_logits(method: AcdClip, image: Tensor, class_name: str) -> tuple[Tensor, Tensor]:
    """[group, row, column, state], and P(anomalous) of the whole image."""
    variant, texts, vision = method.config.variant, slow_texts(method, class_name), method.clip.vision
    tokens, grid = vision.embed(image[None])
    per_group = len(vision.transformer.blocks) // len(method.vision_groups)
    logits, whole = [], []
    for index, block in enumerate(vision.transformer.blocks):
        tokens = block(tokens)
        if (index + 1) % per_group:
            continue
        number = (index + 1) // per_group - 1
        group = method.vision_groups[number]
        tokens = slow_adapter(group.adapter, tokens, grid, variant == "paper")
        visual = slow_head(group.segment, tokens[:, 1:])
        weights = slow_gate(method, number, visual)
        states = [sum(weights[j][s] * texts[j, s] for j in range(len(texts))) for s in range(2)]
        if variant == "paper":
            states = [state / state.norm() for state in states]
        else:
            patches = slow_head(group.detect, tokens[:, 1:])[0]
            whole.append(torch.stack([(patches @ texts[number, s]).mean() for s in range(2)]))
        logits.append(torch.stack([visual[0] @ state / method.config.temperature for state in states], -1))
    levels = torch.stack(logits).unflatten(1, grid)
    if variant == "paper":
        feature = slow_head(method.vision_groups[-1].detect, tokens[:, :1])[0, 0]
        return levels, torch.stack([feature @ texts[-1, s] for s in range(2)]).softmax(0)[1]
    return levels, torch.stack(whole).mean(0).softmax(0)[1]


def slow_answer(
    method: AcdClip, image: Tensor, class_name: str, *, sigma: float, window: int, share: float
) -> tuple[np.ndarray, float]:
    """Map and score of the authors' code: logits of each group and state are blurred on the grid, enlarged with aligned
    corners, averaged over the groups; one softmax; (1 - share) · class + share · maximum of the map."""
    logits, whole = slow_logits(method, image, class_name)
    truncate = (window // 2) / sigma
    planes = logits.permute(0, 3, 1, 2).numpy().astype(np.float64)
    enlarged = np.array(
        [
            [
                aligned(
                    ndimage.gaussian_filter(plane, sigma, mode="mirror", truncate=truncate),
                    (image.shape[1], image.shape[2]),
                )
                for plane in states
            ]
            for states in planes
        ]
    )
    normal, anomalous = np.exp(enlarged.mean(0))
    anomaly_map = anomalous / (normal + anomalous)
    return anomaly_map, (1 - share) * float(whole) + share * float(anomaly_map.max())


@pytest.mark.parametrize("variant", BOTH)
@pytest.mark.parametrize("size", [(32, 32), (40, 24)])
def test_the_method_written_out_block_by_block(variant: Variant, size: tuple[int, int]) -> None:
    method, pixels, names = make(AcdClipConfig(variant=variant)), images(2, *size), ["metal nut", "wood"]
    with torch.no_grad():
        evidence = method(pixels, names)
        for number, name in enumerate(names):
            anomaly_map, whole = slow(method, pixels[number], name)
            torch.testing.assert_close(evidence.maps[number].mean(0), anomaly_map, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(evidence.image[number], whole, rtol=1e-4, atol=1e-5)
    assert evidence.maps.shape[1] == (1 if variant == "code" else 2)


def test_three_groups_written_out() -> None:
    method = make(AcdClipConfig(groups=3), DEEP)
    with torch.no_grad():
        anomaly_map, whole = slow(method, images(1)[0], "nut")
    torch.testing.assert_close(judge(method, 1).maps[0, 0], anomaly_map, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(judge(method, 1).image[0], whole, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("groups", [2, 3])
@pytest.mark.parametrize(("sigma", "window", "share"), [(1.0, 7, 0.1), (1.5, 9, 0.5)], ids=["industrial", "medical"])
@pytest.mark.parametrize("size", [(72, 72), (56, 40)])
def test_the_answer_of_the_code(size: tuple[int, int], sigma: float, window: int, share: float, groups: int) -> None:
    options = AcdClipConfig(groups=groups, sigma=sigma * PATCH, smoothing_window=window, map_weight=share)
    method, pixels, names = make(options, DEEP), images(2, *size), ["metal nut", "wood"]
    with torch.no_grad():
        evidence = method(pixels, names)
        maps = anomaly_maps(evidence, size, options)
        for number, name in enumerate(names):
            expected, score = slow_answer(method, pixels[number], name, sigma=sigma, window=window, share=share)
            np.testing.assert_allclose(maps[number].numpy(), expected, rtol=0, atol=1e-5)
            np.testing.assert_allclose(float(evidence.score[number]), score, rtol=0, atol=1e-5)
    assert np.ptp(expected) > 0.02


def test_the_constants_of_the_codes_answer() -> None:
    """Blur of 7x7 tokens with sigma 1, tokens of 14 px, corners aligned, 0.9 · class + 0.1 · maximum, tau 0.1."""
    config = AcdClipConfig()
    assert (config.sigma / 14, config.smoothing_window, config.align_corners) == (1.0, 7, True)
    assert (config.map_weight, config.temperature, config.image_temperature) == (0.1, 0.1, 1.0)


def test_the_constants_of_the_codes_adapters_and_training() -> None:
    """Ranks 16 and 8, alpha 2, kernels 3 and 5, blend 0.2, perceptrons of 256; Adam's betas as they are; augmented."""
    config, training = AcdClipConfig(), AcdClip.training_defaults
    assert (config.rank, config.conv_rank, config.alpha, config.kernels) == (16, 8, 2.0, (3, 5))
    assert (config.blend, config.hidden) == (0.2, 256)
    assert (config.focal_weight, config.dice_weight, config.class_weight) == (1.0, 1.0, 1.0)
    assert (training.schedule, training.decay, training.betas, training.augment) == (
        "exponential",
        0.9,
        (0.9, 0.999),
        True,
    )
