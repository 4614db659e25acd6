"""AnomalyCLIP beside its equations written out, and beside what its authors' code answers on the same weights."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.formula import fill, noise
from tests.methods.declared import ADAM, ANSWER
from tests.methods.test_starts import assert_normal
from tests.parts.test_vv_attention import slow_stream
from tests.small import CONFIG, SIZE, frozen, images, tokenizer
from zsad.backbones.clip import Clip
from zsad.backbones.config import TextConfig, VisionConfig
from zsad.errors import ConfigError
from zsad.methods.anomalyclip import AnomalyClip, AnomalyClipConfig, prompts
from zsad.methods.anomalyclip import method as method_module
from zsad.parts.maps import resize
from zsad.trainer.recipe import Recipe
from zsad.types import Target

# Code of the authors, commit 45ed4dd, and section 4.1.
CONSTANTS = ANSWER | {
    "levels": (24,),  # train.sh and test.sh; 6, 12, 18, 24 in the paper
    "vv_from": 6,  # DPAM_layer = 20: the last 19 of 24
    "temperature": 0.07,
    "prompt_length": 12,  # E
    "prompt_depth": 9,
    "deep_length": 4,
    "class_post_norm": False,
    "local_weight": 4.0,  # λ
}
TRAINING = ADAM | {"epochs": 15, "batch_size": 8, "learning_rate": 1e-3, "betas": (0.5, 0.999)}
READS_NO_NAMES = True
RECIPE_ROWS = {
    "paper": {},  # the authors' scripts
    "ablation/four_levels": {"levels": [6, 12, 18, 24]},  # the default of their program
    "ablation/no_deep_prompts": {"prompt_depth": 1},
}
ROUTES = {term: {"prompts.contexts", "prompts.deep"} for term in ("image", "focal", "dice")}
LOSS_VARIANTS = [{"levels": (12, 24)}]

NAMES = ["metal nut", "carpet", "carpet"]
TARGET = Target(torch.tensor([0.0, 1.0, 1.0]), torch.zeros(3, 48, 48))
TARGET.masks[1:, :20, 8:30] = 1


def stirred(config: AnomalyClipConfig | None = None, clip: Clip | None = None) -> AnomalyClip:
    """With deep prompts and contexts as large as tokens, so that each matters."""
    method = AnomalyClip(clip or frozen(), config)
    with torch.no_grad():
        for name, one in method.prompts.named_parameters():
            one.copy_(noise(name, one.shape))
    return method.eval()


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def slow_states(method: AnomalyClip) -> Tensor:
    """Both prompts padded to the context, as in the code; learned tokens change at positions 1 to 4, block by block."""
    clip, length = method.clip, method.prompts.contexts.shape[1]
    states = []
    for context, words in zip(method.prompts.contexts, ("object.", "damaged object."), strict=True):
        ids = clip.tokenizer.encode(" ".join(["X"] * length) + " " + words)
        ids = torch.tensor([*ids, *[0] * (77 - len(ids))])
        tokens = clip.text.token_embedding(ids)
        tokens = torch.cat([tokens[:1], context, tokens[1 + length :]]) + clip.text.position_embedding
        for number, block in enumerate(clip.text.transformer.blocks):
            if 1 <= number <= len(method.prompts.deep):
                tokens = torch.cat([tokens[:1], method.prompts.deep[number - 1], tokens[5:]])
            tokens = block(tokens[None])[0]
        states.append(clip.text.project(tokens[int(ids.argmax())]))
    return unit(torch.stack(states))


def test_texts_are_those_of_the_code_written_out() -> None:
    method = stirred()
    torch.testing.assert_close(method.states()[0], slow_states(method), rtol=1e-4, atol=1e-5)


def test_maps_and_scores_are_softmaxes_of_cosines() -> None:
    method = stirred(AnomalyClipConfig(levels=(12, 24)))
    clip, pixels = method.clip, images(3, 40, 24)
    evidence, states = method(pixels, NAMES), slow_states(method)
    stream = slow_stream(clip, pixels, 0)  # block 0 of 4 is the 6th of 24
    for position, level in enumerate((1, 3)):
        patches = unit(clip.vision.project(stream[level][:, 1:]))
        probability = (patches @ states.T / 0.07).softmax(-1)[..., 1]
        torch.testing.assert_close(evidence.maps[:, position].flatten(1), probability, rtol=1e-4, atol=1e-5)
    token = unit(clip.vision(pixels).last[:, 0] @ clip.vision.projection)  # without the post-norm
    torch.testing.assert_close(evidence.score, (token @ states.T / 0.07).softmax(-1)[:, 1], rtol=1e-4, atol=1e-5)


def test_the_class_token_may_pass_the_post_norm() -> None:
    method = stirred(AnomalyClipConfig(class_post_norm=True))
    token = unit(method.clip.vision.project(method.clip.vision(images(2)).last[:, 0]))
    expected = (token @ slow_states(method).T / 0.07).softmax(-1)[:, 1]
    torch.testing.assert_close(method(images(2), NAMES[:2]).score, expected, rtol=1e-4, atol=1e-5)


def test_the_loss_is_that_of_the_code_written_out() -> None:
    method = stirred(AnomalyClipConfig(levels=(12, 24)))
    evidence = method(images(3, 48), NAMES)
    terms, masks = method.loss(evidence, TARGET), TARGET.masks
    right = torch.where(TARGET.labels == 1, evidence.score, 1 - evidence.score)
    torch.testing.assert_close(terms["image"], -right.log().mean())
    focal, dice = torch.zeros(()), torch.zeros(())
    for level in evidence.maps.unbind(1):
        maps = torch.nn.functional.interpolate(level[:, None], (48, 48), mode="bilinear")[:, 0]
        true = torch.where(masks == 1, maps, 1 - maps)
        focal = focal - ((1 - true) ** 2 * true.log()).mean()
        for map_, mask in ((maps, masks), (1 - maps, 1 - masks)):
            overlap = (2 * (map_ * mask).sum((1, 2)) + 1) / (map_.sum((1, 2)) + mask.sum((1, 2)) + 1)
            dice = dice + (1 - overlap).mean()
    torch.testing.assert_close(terms["focal"], 4 * focal, rtol=1e-3, atol=0)
    torch.testing.assert_close(terms["dice"], 4 * dice)


def test_layers_of_the_text_tower_are_counted_as_in_the_code() -> None:
    """Depth 9 of 12: eight deeper layers, the 2nd to the 9th; in a shallower tower the same share."""
    deep = frozen(replace(CONFIG, text=replace(CONFIG.text, depth=12)))
    assert list(AnomalyClip(deep).prompts.blocks) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert len(AnomalyClip(deep).prompts.deep) == 8
    assert list(AnomalyClip(deep, AnomalyClipConfig(prompt_depth=1)).prompts.blocks) == []
    assert list(AnomalyClip(frozen()).prompts.blocks) == [1]
    shapes = [tuple(one.shape) for one in AnomalyClip(deep).prompts.parameters()]
    assert shapes == [(2, 12, 32), *[(4, 32)] * 8]


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"levels": ()}, "where V-V attention has begun"),
        ({"levels": (3, 24)}, "where V-V attention has begun"),
        ({"levels": (25,)}, "where V-V attention has begun"),
        ({"deep_length": 13}, "deep prompts replace learned vectors"),
        ({"deep_length": 0}, "deep prompts replace learned vectors"),
        ({"prompt_depth": 0}, r"a prompt depth lies in 1\.\.12"),
        ({"prompt_depth": 13}, r"a prompt depth lies in 1\.\.12"),
        ({"local_weight": -1.0}, "the weight of a loss is at least 0"),
    ],
)
def test_options_without_a_meaning_are_refused(options: dict[str, object], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        AnomalyClipConfig(**options)  # type: ignore[arg-type]


def test_prompts_longer_than_the_context_are_refused() -> None:
    """ "damaged object." and its ends are 5 tokens."""
    AnomalyClip(frozen(), AnomalyClipConfig(prompt_length=72))
    with pytest.raises(ConfigError, match="fit into the 77 tokens of the text tower; got 78"):
        AnomalyClip(frozen(), AnomalyClipConfig(prompt_length=73))


def test_the_papers_backbone_is_resized_and_activated_as_by_its_authors() -> None:
    recipe = Recipe("anomalyclip", backbone="ViT-L-14-336")
    assert (recipe.tower_position_resize(), recipe.tower_activation()) == ("bilinear", None)
    assert replace(recipe, position_resize="bicubic").tower_position_resize() == "bicubic"
    assert Recipe("anomalyclip").tower_position_resize() is None


def test_words_and_counts_of_the_code() -> None:
    """ "[V]×12 object." and "[W]×12 damaged object."; normal first; towers of 24 and 12 blocks."""
    assert prompts.WORDS == ("object.", "damaged object.")
    assert (prompts.START_STD, prompts.REFERENCE_DEPTH, method_module.REFERENCE_DEPTH) == (0.02, 12, 24)


def test_training_starts_with_short_vectors_in_every_layer() -> None:
    torch.manual_seed(0)
    method = AnomalyClip(frozen())
    for one in (method.prompts.contexts, *method.prompts.deep):
        assert_normal(one, 0.02)


# --- answers of the authors' code, see docs/methods/anomalyclip.md

STATES = [0.080684, 0.02557, 0.219355, 0.112433, 0.025363, -0.008336, 0.16927, 0.113977]
SCORES = [0.658255, 0.617843, 0.749896]
ANSWERS = {
    (24,): (
        [0.452489, 0.489351, 0.402739, 0.519618, 0.450944, 0.463853, 0.475848, 0.455102, 0.483938],
        {"image": 0.614344, "focal": 0.633055, "dice": 4.6141},
        [2.61455, 2.035511, 0.581745],
    ),
    (6, 24): (
        [0.455551, 0.492386, 0.391894, 0.533047, 0.442742, 0.466465, 0.494795, 0.450301, 0.499127],
        {"image": 0.614344, "focal": 1.291508, "dice": 9.231708},
        [4.637301, 3.932328, 1.005511],
    ),
}
"""By levels: the first map at every 16th pixel, the loss, and norms of its gradient by contexts and a deep prompt."""


@pytest.mark.parametrize("levels", ANSWERS)
def test_answers_are_those_of_the_authors_code(levels: tuple[int, ...]) -> None:
    config = replace(
        CONFIG,
        embed=96,
        vision=VisionConfig(width=128, depth=24, heads=2, image_size=SIZE, patch=8),
        text=TextConfig(width=128, depth=12, heads=2, context=77, vocabulary=49408),
        position_resize="bilinear",
    )
    clip = Clip("small", config, tokenizer())
    fill(clip)
    method = AnomalyClip(clip.freeze("formula", "formula"), AnomalyClipConfig(levels=levels))
    with torch.no_grad():
        method.prompts.contexts.copy_(0.3 * noise("contexts", method.prompts.contexts.shape))
        for number, one in enumerate(method.prompts.deep):
            one.copy_((0.5 * noise(f"deep.{number}", one.shape)).half())  # their code rounds them
    evidence = method(2 * noise("image", torch.Size((3, 3, 48, 48))), NAMES)
    maps, losses, norms = ANSWERS[levels]
    near = {"rtol": 1e-4, "atol": 2e-5}
    torch.testing.assert_close(method.states()[0, :, ::24].flatten(), torch.tensor(STATES), **near)
    torch.testing.assert_close(evidence.score, torch.tensor(SCORES), **near)
    large = resize(evidence.maps.mean(1), (48, 48))
    torch.testing.assert_close(large[0, ::16, ::16].flatten(), torch.tensor(maps), **near)
    terms = method.loss(evidence, TARGET)
    torch.testing.assert_close(terms, {name: torch.tensor(value) for name, value in losses.items()}, **near)
    contexts, first = torch.autograd.grad(
        torch.stack(list(terms.values())).sum(), [method.prompts.contexts, method.prompts.deep[0]]
    )
    found = torch.stack([one.norm() for one in (*contexts, first)])
    torch.testing.assert_close(found, torch.tensor(norms), rtol=1e-3, atol=0)
