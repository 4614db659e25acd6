"""The plain definition of CLIP as a detector, written out, and the wording of its prompts."""

import pytest
import torch
from torch import Tensor

from tests.small import frozen, images, states_of
from zsad.errors import ZsadWarning
from zsad.methods.clip import ClipDetector
from zsad.methods.clip_ac import ClipAc, ClipAcConfig
from zsad.parts.similarity import anomaly_probability, state_features


@pytest.mark.parametrize("kind", [ClipDetector, ClipAc])
@pytest.mark.parametrize("temperature", [0.07, 0.01])
def test_the_definition_written_out(kind: type[ClipDetector], temperature: float) -> None:
    clip, pixels = frozen(), images(2, 40, 24)
    with torch.inference_mode():
        evidence = kind(clip, kind.config_type(temperature=temperature))(pixels, ["nut", "carpet"])
        tokens = clip.vision.norm_post(clip.vision(pixels).last) @ clip.vision.projection
        for number, name in enumerate(("nut", "carpet")):
            states = torch.stack([_state(clip.encode_prompts([p.format(name) for p in ps])) for ps in kind.templates])
            cosine = (tokens[number] / tokens[number].norm(dim=-1, keepdim=True)) @ states.T
            probability = (cosine / temperature).softmax(-1)[:, 1]
            torch.testing.assert_close(evidence.score[number], probability[0], rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(evidence.maps[number, 0], probability[1:].reshape(5, 3), rtol=1e-4, atol=1e-6)


def _state(features: Tensor) -> Tensor:
    mean = torch.stack([feature / feature.norm() for feature in features]).mean(0)
    return mean / mean.norm()


def test_there_is_one_level() -> None:
    assert ClipDetector(frozen())(images(1), ["nut"]).maps.shape == (1, 1, 4, 4)


def test_a_feature_on_a_state_is_judged_so_at_every_shape() -> None:
    states = state_features(torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0)))[None]
    for shape in ((1, 8), (1, 3, 8), (1, 3, 4, 8)):
        for state, surely in ((0, False), (1, True)):
            features = (7 * states[0, state]).expand(shape)
            probability = anomaly_probability(features, states, 0.01)
            assert probability.shape == shape[:-1]
            assert ((probability > 0.99) == surely).all()


def test_a_feature_between_the_states_is_undecided() -> None:
    states = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    between = torch.tensor([[1.0, 1.0, 5.0]])
    torch.testing.assert_close(anomaly_probability(between, states, 0.07), torch.tensor([0.5]))


def test_each_image_is_judged_by_its_own_states() -> None:
    here, there = torch.eye(2), torch.eye(2).flip(0)
    probability = anomaly_probability(torch.eye(2)[[0, 0]], torch.stack([here, there]), 0.1)
    assert probability[0] < 0.01
    assert probability[1] > 0.99


def test_a_prompt_counts_by_its_direction_and_not_by_its_length() -> None:
    prompts = torch.tensor([[[10.0, 0.0], [0.0, 0.1]]])
    torch.testing.assert_close(state_features(prompts), torch.full((1, 2), 0.5**0.5))


def test_prompts_of_clip() -> None:
    assert ClipDetector.templates == (("a photo of a normal {}",), ("a photo of an anomalous {}",))


@pytest.mark.parametrize("state", [0, 1])
def test_clip_ac_has_24_distinct_prompts_a_state(state: int) -> None:
    prompts = ClipAc.templates[state]
    assert len(prompts) == len(set(prompts)) == 24
    assert not set(ClipAc.templates[0]) & set(ClipAc.templates[1])


def test_clip_ac_says_the_same_of_both_states() -> None:
    normal = [
        prompt.replace("a normal", "an anomalous").replace("normal", "anomalous") for prompt in ClipAc.templates[0]
    ]
    assert normal == list(ClipAc.templates[1])


def test_clip_ac_says_both_states_in_the_80_templates_of_imagenet() -> None:
    """Of the notebook "Prompt Engineering for ImageNet" of CLIP's repository: its first, its last, and some between."""
    normal, anomalous = ClipAc(frozen(), ClipAcConfig(templates="imagenet")).prompts("metal nut")
    assert len(normal) == len(set(normal)) == len(set(anomalous)) == 80
    for ours, state, article in ((normal, "normal", "a"), (anomalous, "anomalous", "an")):
        thing = f"{state} metal nut"
        assert ours[0] == f"a bad photo of {article} {thing}."
        assert ours[1] == f"a photo of many {thing}."
        assert ours[35] == f"{article} {thing} in a video game."
        assert ours[44] == f"a origami {thing}."
        assert ours[76] == f"itap of my {thing}."
        assert ours[-1] == f"a tattoo of the {thing}."
        assert sum(f"the {thing}" in prompt for prompt in ours) == 24
        assert sum(f" {article} {thing}" in f" {prompt}" for prompt in ours) == 24


def test_a_long_class_name_is_said_in_those_of_the_80_that_fit() -> None:
    method = ClipAc(frozen(), ClipAcConfig(templates="imagenet"))
    name = " ".join(["nut"] * 66)
    with pytest.warns(ZsadWarning, match="of 80 templates, since the others are too long"):
        assert method(images(1), [name]).score.isfinite().all()


@pytest.mark.parametrize("kind", [ClipDetector, ClipAc])
def test_articles_fit_their_words(kind: type[ClipDetector]) -> None:
    normal, anomalous = kind.templates
    assert all(" normal {}" in prompt and " an normal" not in prompt for prompt in normal)
    assert all(" anomalous {}" in prompt and " a anomalous" not in prompt for prompt in anomalous)
    assert any(" a normal {}" in prompt for prompt in normal)
    assert any(" an anomalous {}" in prompt for prompt in anomalous)
    assert all(prompt.count("{}") == 1 for prompt in (*normal, *anomalous))


def test_states_are_normal_first() -> None:
    clip = frozen()
    expected = [_state(clip.encode_prompts([f"a photo of {state} nut"])) for state in ("a normal", "an anomalous")]
    torch.testing.assert_close(states_of(ClipDetector(clip), "nut"), torch.stack(expected))
