"""PromptAD against its equations written out: prompts, losses, one step of learning, map and score; and its memory."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.small import DEPTH, frozen, images
from zsad import checkpoint, memory_bank
from zsad.backbones.clip import Clip
from zsad.errors import ConfigError
from zsad.methods.promptad.learning import BATCH, LEAST_RATE, LossOptions, Optimisation, learn, losses, prototypes
from zsad.methods.promptad.method import IMAGE, MAP, PromptAd, PromptAdConfig
from zsad.methods.promptad.prompts import DEVIATION, PromptCounts, PromptFeatures, StatePrompts

CONSTANTS = {
    "sigma": 2.4,  # 4 px of 400
    "align_corners": False,
    "smoothing_window": None,
    "levels": (6, 16),  # of 24: blocks 3 and 8 of 12
    "image_prompts": 3,
    "map_prompts": 1,
    "anomalous_prompts": 4,
    "normal_vectors": 4,
    "anomalous_vectors": 1,
    "suffix_last": False,
    "wordings": (
        "damaged {}",
        "flawed {}",
        "abnormal {}",
        "imperfect {}",
        "blemished {}",
        "{} with flaw",
        "{} with defect",
        "{} with damage",
    ),
    "class_wordings": (),
    "image_epochs": 100,
    "map_epochs": 1,
    "learning_rate": 0.002,
    "momentum": 0.9,
    "weight_decay": 0.0005,
    "align_weight": 0.001,
    "margin": 0.0,
    "exponential_scale": False,
    "margin_by_channel": True,
    "seed": 111,
}
BACKBONE = "ViT-B-16-plus-240"
READS_NO_NAMES = True

QUICK = {"image_epochs": 2}


def fitted(count: int = 2, class_name: str = "metal nut", **options: object) -> PromptAd:
    method = PromptAd(frozen(), PromptAdConfig(**(QUICK | options))).eval()  # type: ignore[arg-type]
    memory_bank.fit(method, [images(count, seed=4)], method.fit_normal, class_name)
    return method


def state_prompts(clip: Clip, **counts: object) -> StatePrompts:
    given = {"normal": 3, "anomalous": 4, "normal_vectors": 4, "anomalous_vectors": 1, "is_suffix_last": False}
    generator = torch.Generator().manual_seed(0)
    wordings = ("damaged {}", "{} with a hole")
    return StatePrompts(clip, "metal nut", wordings, PromptCounts(**(given | counts)), generator)  # type: ignore[arg-type]


# --- prompts


def embedded(clip: Clip, text: str) -> Tensor:
    return clip.text.token_embedding(torch.tensor(clip.tokenizer.encode(text)))


@pytest.mark.parametrize("last", [False, True])
@torch.no_grad()
def test_prompts_are_vectors_words_and_suffixes(last: bool) -> None:
    """[P] thing.  [P] wording.  and [P] [A] thing. as in the code, or [P] thing. [A] as in the paper."""
    clip = frozen()
    prompts = state_prompts(clip, is_suffix_last=last)
    start, end = embedded(clip, "")[:1], embedded(clip, "")[-1:]

    def feature(*parts: Tensor) -> Tensor:
        return clip.text(torch.cat([start, *parts, end])[None])[0]

    thing = embedded(clip, "metal nut.")[1:-1]
    normal = [feature(vectors, thing) for vectors in prompts.normal]
    wordings = [embedded(clip, text)[1:-1] for text in ("damaged metal nut.", "metal nut with a hole.")]
    manual = [feature(vectors, words) for words in wordings for vectors in prompts.normal]
    learned = [
        feature(vectors, thing, suffix) if last else feature(vectors, suffix, thing)
        for suffix in prompts.anomalous
        for vectors in prompts.normal
    ]
    found = prompts(clip)
    for ours, expected in ((found.normal, normal), (found.manual, manual), (found.learned, learned)):
        torch.testing.assert_close(ours, torch.stack(expected), rtol=1e-4, atol=1e-5)
    assert [len(each) for each in (normal, manual, learned)] == [3, 6, 12]


def test_vectors_are_drawn_from_a_seed_with_a_deviation_of_two_hundredths() -> None:
    clip = frozen()
    drawn = torch.cat([each.flatten() for each in state_prompts(clip, normal=16, normal_vectors=16).parameters()])
    assert math.isclose(float(drawn.detach().std()), 0.02, rel_tol=0.05)
    assert DEVIATION == 0.02
    again = state_prompts(clip, normal=16, normal_vectors=16).normal
    assert torch.equal(again, state_prompts(clip, normal=16, normal_vectors=16).normal)


def test_a_class_name_that_is_too_long_is_shortened() -> None:
    with pytest.warns(UserWarning, match="class name is too long"):
        fitted(class_name="a " * 75 + "b", image_epochs=1)


# --- losses


def features_of(*counts: int) -> PromptFeatures:
    generator = torch.Generator().manual_seed(1)
    return PromptFeatures(*(torch.randn(count, 5, generator=generator) for count in counts))


def unit(values: Tensor) -> Tensor:
    return values / values.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize("is_map", [False, True])
def test_the_losses_written_out(by_channel: bool, is_map: bool) -> None:
    prompts = features_of(3, 6, 12)
    seen = unit(torch.randn(*((2, 4, 5) if is_map else (2, 5)), generator=torch.Generator().manual_seed(2)))
    found = losses(prompts, seen, LossOptions(4.6, 0.1, 0.5, by_channel))

    normal = unit(prompts.normal.mean(0))
    all_anomalous = torch.cat([prompts.manual, prompts.learned])
    anomalous = unit(all_anomalous.mean(0))
    contrast, rows = 0.0, seen.reshape(-1, 5)
    for row in rows:
        cosines = [float(row @ normal), *(float(row @ unit(each)) for each in all_anomalous)]
        exponentials = [math.exp(4.6 * cosine) for cosine in cosines]
        contrast -= math.log(exponentials[0] / sum(exponentials)) / len(rows)
    near, far = (seen - normal) ** 2, (seen - anomalous) ** 2
    axis = 1 if by_channel else seen.ndim - 1
    margin = (near.sum(axis) - far.sum(axis) + 0.1).clamp_min(0).mean()
    gap = unit(prompts.manual).mean(0) - unit(prompts.learned).mean(0)
    assert found["contrast"].item() == pytest.approx(contrast, rel=1e-4)
    assert found["margin"].item() == pytest.approx(margin.item(), rel=1e-4)
    assert found["align"].item() == pytest.approx(0.5 * gap.norm().item() ** 2, rel=1e-4)


def test_the_margin_has_something_to_say() -> None:
    """Features nearer to the anomalous than to the normal state."""
    prompts = features_of(1, 1, 1)
    seen = prototypes(prompts)[1:]
    assert losses(prompts, seen, LossOptions(1.0, 0.0, 0.0, False))["margin"] > 0.1


# --- learning


def test_a_step_is_one_of_gradient_descent_with_momentum_on_a_cosine_schedule() -> None:
    clip = frozen()
    prompts, other = state_prompts(clip), state_prompts(clip)
    seen = unit(torch.randn(2, clip.config.embed, generator=torch.Generator().manual_seed(3)))
    options = LossOptions(4.6, 0.0, 0.001, False)
    steps = list(learn(clip, prompts, seen, Optimisation(3, 0.5, 0.9, 0.01), options))
    parameters, velocity = list(other.parameters()), [0.0, 0.0]
    expected = []
    for step in range(3):
        rate = LEAST_RATE + (0.5 - LEAST_RATE) * (1 + math.cos(math.pi * step / 3)) / 2
        loss = torch.stack(list(losses(other(clip), seen, options).values())).sum()
        gradients = torch.autograd.grad(loss, parameters)
        expected.append(loss.item())
        with torch.no_grad():
            for index, (parameter, gradient) in enumerate(zip(parameters, gradients, strict=True)):
                velocity[index] = 0.9 * velocity[index] + gradient + 0.01 * parameter
                parameter -= rate * velocity[index]
    assert steps == pytest.approx(expected, rel=1e-4)
    assert steps[2] < steps[0]
    for ours, theirs in zip(prompts.parameters(), parameters, strict=True):
        torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=1e-3, atol=1e-5)


def test_more_images_than_a_batch_are_several_steps() -> None:
    clip = frozen()
    seen = unit(torch.randn(BATCH + 1, clip.config.embed))
    assert BATCH == 400
    assert (
        len(list(learn(clip, state_prompts(clip), seen, Optimisation(2, 1e-3, 0, 0), LossOptions(1, 0, 0, False)))) == 4
    )


def test_class_tokens_and_patches_have_prompts_of_their_own() -> None:
    method = fitted()
    assert (method.states[IMAGE] - method.states[MAP]).abs().max() > 1e-3
    torch.testing.assert_close(method.states.norm(dim=-1), torch.ones(2, 2))
    assert not any(parameter.requires_grad for parameter in method.parameters())


def test_prompts_are_of_the_class_of_the_normal_images() -> None:
    first, second, unnamed = fitted(), fitted(class_name="carpet"), fitted(class_name="")
    assert (first.states - second.states).abs().max() > 1e-3
    assert torch.equal(unnamed.states, fitted(class_name="object").states)


def test_further_wordings_are_learnt_from_too() -> None:
    assert (fitted().states - fitted(class_wordings=("{} with a crack",)).states).abs().max() > 1e-4


# --- map and score


@pytest.mark.parametrize("exponential", [False, True])
@torch.no_grad()
def test_map_and_score_written_out(exponential: bool) -> None:
    method = fitted(exponential_scale=exponential)
    vision, image = method.clip.vision, images(1, seed=7)
    normal = vision(images(2, seed=4), keep=range(DEPTH))
    trace = vision(image, keep=range(-1, DEPTH))
    distances = torch.zeros(16)
    for block in (0, 2):  # levels 6 and 16 of 24 are blocks 1 and 3 of 4
        memory = unit(normal.kept[block][:, 1:]).flatten(0, 1)
        distances += (1 - (unit(trace.kept[block][0, 1:]) @ memory.T).amax(1)) / 2 / 2
    stream = trace.kept[-1]
    for block in range(DEPTH):  # V-V attention along every block, without an MLP
        attention = vision.transformer.blocks[block].attention
        weight, bias = attention.qkv.weight.chunk(3)[2], attention.qkv.bias.chunk(3)[2]
        normed = vision.transformer.blocks[block].norm_1(trace.kept[block - 1])
        heads = F.linear(normed, weight, bias).unflatten(-1, (2, 16)).transpose(1, 2)
        mixed = (heads @ heads.mT / 4).softmax(-1) @ heads
        stream = stream + attention.out(mixed.transpose(1, 2).flatten(2))
    patches = unit(vision.norm_post(stream[0, 1:]) @ vision.projection)
    token = unit(vision.norm_post(trace.last[0, 0]) @ vision.projection)
    scale = method.clip.logit_scale.item()
    scale = math.exp(scale) if exponential else scale
    text = (scale * patches @ method.states[MAP].T).softmax(-1)[:, 1]
    probability = (scale * token @ method.states[IMAGE].T).softmax(-1)[1]
    found = method(image, ["anything"])
    expected = 1 / (1 / text + 1 / distances)
    torch.testing.assert_close(found.maps.flatten(), expected, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(found.score[0], 1 / (1 / probability + 1 / distances.max()), rtol=1e-3, atol=1e-5)


@torch.no_grad()
def test_a_patch_that_was_seen_is_no_anomaly() -> None:
    assert fitted()(images(2, seed=4), ["nut"] * 2).maps.max() < 1e-5


# --- memory


def test_without_normal_images_it_says_how_to_fit_it() -> None:
    with pytest.raises(ConfigError, match=r"few-shot only.*got no normal image.*zsad fit promptad --normal DIR"):
        PromptAd(frozen())(images(1), ["nut"])


def test_what_was_learnt_is_saved_and_forgotten(tmp_path: Path) -> None:
    method = fitted()
    assert {"states", "bank.stream_0", "bank.stream_1"} <= checkpoint.trained_state(method).keys()
    other = PromptAd(frozen(), method.config).eval()
    other.load_state_dict(method.state_dict())
    with torch.inference_mode():
        assert torch.equal(other(images(1), ["nut"]).maps, method(images(1), ["nut"]).maps)
    method.forget_normal()
    assert not method.states.any()
    assert not method.is_few_shot


def test_a_fit_that_failed_leaves_nothing_for_the_next() -> None:
    method = fitted()
    states = method.states

    def broken() -> object:
        yield images(1, seed=8)
        raise KeyError

    with pytest.raises(KeyError):
        memory_bank.fit(method, broken(), method.fit_normal, "nut")  # type: ignore[arg-type]
    assert torch.equal(method.states, states)
    memory_bank.fit(method, [images(2, seed=4)], method.fit_normal, "metal nut")
    torch.testing.assert_close(method.states, states)
    assert method.bank.images == 4


def test_what_is_learnt_for_a_while_is_forgotten_after() -> None:
    method = fitted()
    before, states = memory_bank.remembered(method), method.states
    memory_bank.fit(method, [images(1, seed=8)], method.fit_normal, "carpet")
    assert not torch.equal(method.states, states)
    memory_bank.restore(method, before)
    assert torch.equal(method.states, states)
    assert method.bank.images == 2


def test_chunks_are_learnt_from_together() -> None:
    method = PromptAd(frozen(), PromptAdConfig(**QUICK)).eval()  # type: ignore[arg-type]
    memory_bank.fit(method, images(2, seed=4).split(1), method.fit_normal, "metal nut")
    torch.testing.assert_close(method.states, fitted().states, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wordings": ()}, "an anomalous wording"),
        ({"levels": ()}, "at least one level"),
        ({"wordings": ("damaged",)}, "one {} for the class name"),
        ({"class_wordings": ("{} {}",)}, "one {} for the class name"),
        ({"class_wordings": ("{0} {}",)}, "one {} for the class name"),
        ({"levels": (25,)}, r"a layer lies in 1\.\.24"),
        ({"image_prompts": 0}, "number of prompts"),
        ({"anomalous_vectors": 0}, "learnt vectors"),
        ({"map_epochs": 0}, "number of epochs"),
        ({"learning_rate": 0.0}, "learning rate"),
        ({"momentum": 1.5}, "momentum"),
        ({"margin": -0.1}, "a weight"),
    ],
)
def test_impossible_constants_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PromptAdConfig(**options)  # type: ignore[arg-type]
