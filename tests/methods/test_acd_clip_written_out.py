"""ACD-CLIP against itself written out: block by block, token by token, prompt by prompt, one softmax of two a time."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.methods.test_acd_clip import BOTH, DEEP, judge, make
from tests.parts.test_conv_lora import slow_adapter
from tests.small import images
from zsad.methods.acd_clip import ANOMALOUS_STATES, NORMAL_STATES, TEMPLATES, AcdClip, AcdClipConfig, Variant


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
    return F.normalize(head.norm(head.layers(tokens)), dim=-1)


def slow(method: AcdClip, picture: Tensor, class_name: str) -> tuple[Tensor, Tensor]:
    """The fused map and P(anomalous) of the whole picture, one softmax of two a time."""
    variant, texts, vision = method.config.variant, slow_texts(method, class_name), method.clip.vision
    tokens, grid = vision.embed(picture[None])
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
        weights = group.gateway.weights(visual)[0]
        states = [sum(weights[j, s] * texts[j, s] for j in range(len(texts))) for s in range(2)]
        if variant == "paper":
            states = [state / state.norm() for state in states]
        else:
            patches = slow_head(group.detect, tokens[:, 1:])[0]
            whole.append(torch.stack([(patches @ texts[number, s]).mean() for s in range(2)]))
        logits.append(torch.stack([visual[0] @ state / method.config.temperature for state in states], -1))
    if variant == "paper":
        anomaly_map = torch.stack(logits).softmax(-1)[..., 1].mean(0)
        feature = slow_head(method.vision_groups[-1].detect, tokens[:, :1])[0, 0]
        return anomaly_map.reshape(grid), torch.stack([feature @ texts[-1, s] for s in range(2)]).softmax(0)[1]
    anomaly_map = torch.stack(logits).mean(0).softmax(-1)[..., 1]
    return anomaly_map.reshape(grid), torch.stack(whole).mean(0).softmax(0)[1]


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
