"""APRIL-GAN against its equations written out, and against what the authors' code answers on the same weights."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.methods import reproducible
from tests.small import SIZE, frozen, images
from zsad import checkpoint
from zsad.config import from_mapping
from zsad.errors import ConfigError, ImportRefused
from zsad.methods.april_gan import AprilGan, AprilGanConfig
from zsad.scoring import anomaly_maps
from zsad.types import Target

NAMES = ["metal nut", "carpet"]
AUTHORS = json.loads((Path(__file__).parent / "authors.json").read_text(encoding="utf-8"))["april-gan"]


def made(**options: object) -> AprilGan:
    torch.manual_seed(0)
    return AprilGan(frozen(), AprilGanConfig(**options)).eval()  # type: ignore[arg-type]


def text(method: AprilGan, name: str) -> Tensor:
    """Normal and anomalous: the unit mean of unit vectors."""
    states = []
    for prompts in method.prompts(name):
        each = method.clip.encode_prompts(prompts).float()
        mean = (each / each.norm(dim=1, keepdim=True)).mean(0)
        states.append(mean / mean.norm())
    return torch.stack(states)


def enlarged(values: Tensor, size: int = SIZE) -> Tensor:
    return F.interpolate(values[None], (size, size), mode="bilinear", align_corners=True)[0]


def by_hand(method: AprilGan, image: Tensor, name: str, normal: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The sum over the layers of the softmax of the enlarged hundredfold cosines, and P of the class token."""
    tower, states, total = method.clip.vision, text(method, name), torch.zeros(SIZE, SIZE)
    trace = tower(image[None], keep=range(4))
    for layer in range(4):  # 6, 12, 18 and 24 of 24 are 1 to 4 of 4
        patches = method.linear[layer](trace.kept[layer][0, 1:])
        cosines = (patches / patches.norm(dim=1, keepdim=True)) @ states.T
        grid = enlarged((100 * cosines).T.unflatten(1, (4, 4)))
        total += grid.softmax(0)[1]
        if normal is not None:
            memory = tower(normal, keep=range(4)).kept[layer][:, 1:].flatten(0, 1)
            nearest = F.cosine_similarity(trace.kept[layer][0, 1:, None], memory[None], dim=-1).amax(1)
            total += enlarged((1 - nearest).unflatten(0, (4, 4))[None])[0]
    token = tower.norm_post(trace.last[0, 0]) @ tower.projection
    return total, (100 * (token / token.norm()) @ states.T).softmax(0)[1]


@torch.no_grad()
def test_maps_and_scores_are_those_of_the_equations() -> None:
    method = made()
    evidence = method(images(2), NAMES)
    maps = anomaly_maps(evidence, (SIZE, SIZE), method.config)
    for number, name in enumerate(NAMES):
        total, score = by_hand(method, images(2)[number], name)
        torch.testing.assert_close(maps[number], total / 4, rtol=0, atol=1e-5)
        torch.testing.assert_close(evidence.score[number], score, rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("rule", ["mean", "text", "map"])
def test_the_few_shot_mode_is_that_of_the_equations(rule: str) -> None:
    method, normal = made(few_shot_score=rule), images(2, seed=5)
    method.fit_normal(normal)
    evidence = method(images(2), NAMES)
    maps = anomaly_maps(evidence, (SIZE, SIZE), method.config)
    for number, name in enumerate(NAMES):
        total, score = by_hand(method, images(2)[number], name, normal)
        torch.testing.assert_close(maps[number], total / 8, rtol=0, atol=1e-5)
        expected = {"text": score, "map": total.max() / 8, "mean": (score + total.max() / 8) / 2}[rule]
        torch.testing.assert_close(evidence.score[number], expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_loss_is_a_sum_over_the_levels() -> None:
    method, masks = made(), torch.zeros(2, SIZE, SIZE)
    masks[1, :16, :24] = 1
    evidence = method(images(2), NAMES)
    terms = method.loss(evidence, Target(torch.tensor([0.0, 1.0]), masks))
    assert evidence.logits is not None
    focal, dice = torch.zeros(()), torch.zeros(())
    for level in range(4):
        maps = F.interpolate(evidence.logits[:, level : level + 1], (SIZE, SIZE), mode="bilinear", align_corners=True)
        p = maps[:, 0].sigmoid()
        right = torch.where(masks == 1, p * (1 - 1e-5) + (1 - p) * 1e-5, (1 - p) * (1 - 1e-5) + p * 1e-5) + 1e-5
        focal += (-((1 - right) ** 2) * right.log()).mean()
        both, sums = (p * masks).sum((1, 2)), p.sum((1, 2)) + masks.sum((1, 2))
        dice += (1 - (2 * both + 1) / (sums + 1)).mean()
    assert terms.keys() == {"focal", "dice"}
    torch.testing.assert_close(terms["focal"], focal, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(terms["dice"], dice, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_the_authors_code_answers_the_same() -> None:
    """Every fourth pixel of the sums of their maps, and their probabilities: docs/methods/april-gan.md."""
    method = AprilGan(reproducible.clip()).eval()
    reproducible.fill(method.linear)
    for key, levels in (("maps", 4), ("few_shot_maps", 8)):
        evidence = method(reproducible.images(2), NAMES)
        sums = levels * anomaly_maps(evidence, (SIZE, SIZE), method.config)
        torch.testing.assert_close(sums[:, ::4, ::4], torch.tensor(AUTHORS[key]), rtol=0, atol=1e-4)
        if levels == 4:
            torch.testing.assert_close(evidence.score, torch.tensor(AUTHORS["scores"]), rtol=0, atol=1e-4)
        method.fit_normal(reproducible.images(2, seed=8))


@torch.no_grad()
def test_text_and_memory_may_read_different_layers() -> None:
    method = made(levels=(24,), few_shot_levels=(6, 12))
    method.fit_normal(images(1, seed=5))
    assert method(images(1), NAMES[:1]).maps.shape[1] == 3
    trace = method.clip.vision(images(1), keep=range(4))
    torch.testing.assert_close(method.extract_features(images(1)).patches[:, 2], trace.kept[3][:, 1:])
    streams = method.reference_features(images(1)).streams
    for block, stream in enumerate(streams):
        torch.testing.assert_close(stream, F.normalize(trace.kept[block][:, 1:], dim=-1))


@pytest.mark.parametrize("option", ["levels", "few_shot_levels"])
def test_no_layer_is_refused(option: str) -> None:
    with pytest.raises(ConfigError, match="text and memory have at least one layer each"):
        AprilGanConfig(**{option: ()})  # type: ignore[arg-type]


# --- checkpoints of the authors


def published(width: int = 1024, embed: int = 768, layers: int = 4) -> dict[str, dict[str, Tensor]]:
    """``trainable_linearlayer`` of train.py at commit f13b8a6."""
    random = torch.Generator().manual_seed(0)
    return {
        "trainable_linearlayer": {
            f"fc.{level}.{kind}": torch.randn(*shape, generator=random)
            for level in range(layers)
            for kind, shape in (("weight", (embed, width)), ("bias", (embed,)))
        }
    }


def test_a_checkpoint_has_the_parameters_of_the_authors() -> None:
    """4 · (1024 · 768 + 768), 12.6 MB."""
    state = published()
    found = AprilGan.from_published(state)
    assert sum(tensor.numel() for tensor in found.tensors.values()) == 3_148_800
    assert (found.backbone, found.image_size, found.activation, found.options) == ("ViT-L-14-336", 518, "gelu", {})
    assert {name: tuple(tensor.shape) for name, tensor in found.tensors.items()} == {
        f"linear.{level}.{kind}": shape
        for level in range(4)
        for kind, shape in (("weight", (768, 1024)), ("bias", (768,)))
    }


@torch.no_grad()
def test_an_imported_detector_answers_as_its_layers_do() -> None:
    found = AprilGan.from_published(published(32, 24))
    method = AprilGan(frozen(), from_mapping(AprilGanConfig, found.options, "options")).eval()
    assert found.tensors.keys() == checkpoint.trained_state(method).keys()  # an empty bank is not saved
    method.load_state_dict(found.tensors, strict=False)
    theirs = published(32, 24)["trainable_linearlayer"]
    trace = method.clip.vision(images(1), keep=range(4))
    for level in range(4):
        patches = trace.kept[level][0, 1:] @ theirs[f"fc.{level}.weight"].T + theirs[f"fc.{level}.bias"]
        cosines = F.normalize(patches, dim=-1) @ text(method, "carpet").T
        logits = method(images(1), ["carpet"]).logits
        assert logits is not None
        torch.testing.assert_close(logits[0, level].flatten(), 100 * (cosines[:, 1] - cosines[:, 0]), rtol=0, atol=1e-4)


def without(name: str) -> Callable[[dict[str, Tensor]], object]:
    return lambda layers: layers.pop(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("fc.3.bias"), "has the tensor fc.3.bias of shape"),
        (without("fc.3.weight"), "has 4 linear layers"),
        (lambda layers: layers.update({"fc.4.weight": torch.zeros(24, 32)}), "has 4 linear layers"),
        (lambda layers: layers.update({"scale": torch.zeros(1)}), "every tensor of the checkpoint is known; got scale"),
        (lambda layers: layers.update({"fc.1.weight": torch.zeros(24, 30)}), r"fc.1.weight has the shape \(24, 32\)"),
        (lambda layers: layers.update({"fc.2.bias": torch.full((24,), torch.nan)}), "numbers of fc.2.bias are finite"),
    ],
)
def test_another_checkpoint_is_refused(change: Callable[[dict[str, Tensor]], object], message: str) -> None:
    state = published(32, 24)
    change(state["trainable_linearlayer"])
    with pytest.raises(ImportRefused, match=message):
        AprilGan.from_published(state)
    with pytest.raises(ImportRefused, match="trainable_linearlayer"):
        AprilGan.from_published({"image_adapter": {}})
