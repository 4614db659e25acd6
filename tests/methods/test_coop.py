"""CoOp beside what its row of the tables says, written out."""

import pytest
import torch
from torch import Tensor

from tests.formula import noise
from tests.methods.declared import ADAM, ANSWER
from tests.methods.test_starts import assert_normal
from tests.small import SIZE, frozen, images
from zsad.errors import ConfigError, InputError
from zsad.methods.coop import START_STD, WORDINGS, CoOp, CoOpConfig
from zsad.types import Target

CONSTANTS = ANSWER | {
    "temperature": 0.07,  # code of AnomalyCLIP
    "prompt_length": 12,  # AnomalyCLIP
    "shared_context": True,  # CoOp's unified context
    "local_weight": 0.0,  # CoOp has the image's label alone
}
TRAINING = ADAM | {"epochs": 15, "batch_size": 8, "learning_rate": 1e-3, "betas": (0.5, 0.999)}  # AnomalyCLIP
RECIPE_ROWS = {"paper": {}}
ROUTES = {"image": {"context"}}
LOSS_VARIANTS = [{"shared_context": False, "local_weight": 4.0}]

NAMES = ["metal nut", "carpet", "metal nut"]


def stirred(config: CoOpConfig | None = None) -> CoOp:
    """With a context as large as tokens."""
    method = CoOp(frozen(), config)
    with torch.no_grad():
        method.context.copy_(noise("context", method.context.shape))
    return method.eval()


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def slow_states(method: CoOp, class_name: str) -> Tensor:
    """[V]...[V] normal {object}. and [V]...[V] anomalous {object}., padded to the context of the tower."""
    clip, length, states = method.clip, method.config.prompt_length, []
    for number, words in enumerate((f"normal {class_name}.", f"anomalous {class_name}.")):
        context = method.context[number % len(method.context)]
        ids = clip.tokenizer.encode(" ".join(["X"] * length) + " " + words)
        end = len(ids) - 1
        tokens = clip.text.token_embedding(torch.tensor([*ids, *[0] * (77 - len(ids))]))
        tokens = torch.cat([tokens[:1], context, tokens[1 + length :]])
        states.append(clip.text(tokens[None], torch.tensor([end]))[0])
    return unit(torch.stack(states))


@pytest.mark.parametrize("shared", [True, False])
def test_maps_and_scores_are_softmaxes_of_cosines_with_the_class_of_each_image(shared: bool) -> None:
    method, pixels = stirred(CoOpConfig(shared_context=shared)), images(3, 40, 24)
    evidence, tokens = method(pixels, NAMES), method.clip.vision.project(method.clip.vision(pixels).last)
    assert evidence.maps.shape == (3, 1, 5, 3)
    assert len(method.context) == (1 if shared else 2)
    for number, name in enumerate(NAMES):
        probability = (unit(tokens[number]) @ slow_states(method, name).T / 0.07).softmax(-1)[:, 1]
        torch.testing.assert_close(evidence.score[number], probability[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(evidence.maps[number].flatten(), probability[1:], rtol=1e-4, atol=1e-5)


def test_words_and_start() -> None:
    assert WORDINGS == (("normal {}.",), ("anomalous {}.",))
    assert START_STD == 0.02
    torch.manual_seed(0)
    assert_normal(CoOp(frozen()).context, 0.02)


def test_the_label_of_the_image_alone_trains_it_unless_masks_are_weighted() -> None:
    target = Target(torch.tensor([0.0, 1.0, 1.0]), torch.zeros(3, SIZE, SIZE))
    target.masks[1:, :8] = 1
    method, weighted = stirred(), stirred(CoOpConfig(local_weight=4.0))
    evidence = method(images(3), NAMES)
    terms = method.loss(evidence, target)
    right = torch.where(target.labels == 1, evidence.score, 1 - evidence.score)
    assert terms.keys() == {"image"}
    torch.testing.assert_close(terms["image"], -right.log().mean())
    more = weighted.loss(evidence, target)
    maps = torch.nn.functional.interpolate(evidence.maps, (SIZE, SIZE), mode="bilinear")[:, 0]
    true = torch.where(target.masks == 1, maps, 1 - maps)
    torch.testing.assert_close(more["focal"], -4 * ((1 - true) ** 2 * true.log()).mean(), rtol=1e-3, atol=0)
    dice = torch.zeros(())
    for map_, mask in ((maps, target.masks), (1 - maps, 1 - target.masks)):
        dice += (1 - (2 * (map_ * mask).sum((1, 2)) + 1) / (map_.sum((1, 2)) + mask.sum((1, 2)) + 1)).mean()
    torch.testing.assert_close(more["dice"], 4 * dice)


@pytest.mark.parametrize(
    ("options", "rule"),
    [({"prompt_length": 0}, "at least one vector"), ({"local_weight": -1.0}, "weight of a loss is at least 0")],
)
def test_options_without_a_meaning_are_refused(options: dict[str, object], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        CoOpConfig(**options)  # type: ignore[arg-type]


def test_every_image_has_a_class_name() -> None:
    with pytest.raises(InputError, match="every image has one class name; got 1 for 2"):
        stirred()(images(2), ["carpet"])
