"""AnomalyGPT's image decoder against its equations written out, with and without a memory; its checkpoints."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.methods.declared import ADAM
from tests.small import SIZE, frozen, images
from zsad import checkpoint
from zsad.errors import ConfigError, ImportRefused
from zsad.methods.anomalygpt import AnomalyGpt, AnomalyGptConfig
from zsad.scoring import anomaly_maps
from zsad.types import Target

CONSTANTS = {
    "sigma": 0.0,
    "align_corners": True,
    "smoothing_window": None,
    "levels": (6, 12, 18, 24),  # 8, 16, 24 and 32 of 32
    "temperature": 0.01,
    "few_shot_map": "memory",
    "rotations": 1,
    "object_in_training": True,
}
TRAINING = ADAM | {
    "epochs": 50,
    "batch_size": 16,
    "learning_rate": 1e-3,
    "betas": (0.9, 0.95),
    "weight_decay": 1e-3,
    "clip_norms": {"linear": 1.0},
}
BACKBONE = "ViT-H-14"
RECIPE_ROWS = {"paper": {}}
RECIPE_BACKBONE, RECIPE_WEIGHTS, RECIPE_SIZE = "ViT-H-14", "laion2b_s32b_b79k", 224
ROUTES = {"focal": {"linear"}, "dice": {"linear"}}

NAMES = ["metal nut", "carpet"]
NORMAL = (
    "{}",
    "flawless {}",
    "perfect {}",
    "unblemished {}",
    "{} without flaw",
    "{} without defect",
    "{} without damage",
)
ANOMALOUS = ("damaged {}", "broken {}", "{} with flaw", "{} with defect", "{} with damage")


def made(**options: object) -> AnomalyGpt:
    torch.manual_seed(0)
    return AnomalyGpt(frozen(), AnomalyGptConfig(**options)).eval()  # type: ignore[arg-type]


def text(method: AnomalyGpt, name: str) -> Tensor:
    """The unit mean of unit vectors of every state in two templates."""
    states = []
    for wordings in (NORMAL, ANOMALOUS):
        prompts = [f"a photo of {article} {wording.format(name)}." for wording in wordings for article in ("a", "the")]
        each = method.clip.encode_prompts(prompts).float()
        mean = (each / each.norm(dim=1, keepdim=True)).mean(0)
        states.append(mean / mean.norm())
    return torch.stack(states)


def enlarged(grid: Tensor) -> Tensor:
    return F.interpolate(grid[None], (SIZE, SIZE), mode="bilinear", align_corners=True)[0]


def by_text(method: AnomalyGpt, image: Tensor, name: str) -> Tensor:
    trace, states = method.clip.vision(image[None], keep=range(4)), text(method, name)
    levels = []
    for level in range(4):
        patches = method.linear[level](trace.kept[level][0, 1:])
        cosines = (patches / patches.norm(dim=1, keepdim=True)) @ states.T
        levels.append(enlarged((100 * cosines).T.unflatten(1, (4, 4))).softmax(0)[1])
    return torch.stack(levels).mean(0)


def by_memory(method: AnomalyGpt, image: Tensor, normal: Tensor) -> Tensor:
    tower, distances = method.clip.vision, []
    for level in range(4):
        memory = tower(normal, keep=range(4)).kept[level][:, 1:].flatten(0, 1)
        patches = tower(image[None], keep=range(4)).kept[level][0, 1:]
        distances.append(1 - F.cosine_similarity(patches[:, None], memory[None], dim=-1).amax(1))
    return enlarged(torch.stack(distances).mean(0).unflatten(0, (4, 4))[None])[0]


@torch.no_grad()
def test_maps_and_scores_are_those_of_the_equations() -> None:
    method = made()
    evidence = method(images(2), NAMES)
    maps = anomaly_maps(evidence, (SIZE, SIZE), method.config)
    for number, name in enumerate(NAMES):
        expected = by_text(method, images(2)[number], name)
        torch.testing.assert_close(maps[number], expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(evidence.score[number], expected.max(), rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("rule", ["memory", "mean"])
def test_the_memory_takes_the_place_of_the_text(rule: str) -> None:
    method, normal = made(few_shot_map=rule), images(2, seed=5)
    method.fit_normal(normal)
    evidence = method(images(2), NAMES)
    assert evidence.maps.shape == (2, 1, 4, 4)
    maps = anomaly_maps(evidence, (SIZE, SIZE), method.config)
    for number, name in enumerate(NAMES):
        expected = by_memory(method, images(2)[number], normal)
        if rule == "mean":  # on the grid, where the softmax is not that of enlarged cosines
            states = text(method, name)
            trace = method.clip.vision(images(2)[number][None], keep=range(4))
            grids = [
                (100 * F.normalize(method.linear[level](trace.kept[level][0, 1:]), dim=-1) @ states.T).softmax(-1)[:, 1]
                for level in range(4)
            ]
            by_grid = enlarged(torch.stack(grids).mean(0).unflatten(0, (4, 4))[None])[0]
            expected = (expected + by_grid) / 2
        torch.testing.assert_close(maps[number], expected, rtol=0, atol=2e-5)
        torch.testing.assert_close(evidence.score[number], expected.max(), rtol=0, atol=2e-5)


@torch.no_grad()
def test_a_memory_of_turned_images_knows_a_turned_image() -> None:
    image = images(1, seed=5)
    turned = torch.rot90(image, 1, (2, 3))
    plain, rotated = made(), made(rotations=4)
    for method in (plain, rotated):
        method.fit_normal(image)
    assert len(rotated.bank) == 4 * len(plain.bank)
    assert rotated.bank.images == 1
    assert rotated(turned, NAMES[:1]).maps.max() < 1e-3 < plain(turned, NAMES[:1]).maps.max()


@torch.no_grad()
def test_the_loss_is_a_sum_over_the_levels_of_the_map_by_text() -> None:
    method, masks = made(), torch.zeros(2, SIZE, SIZE)
    masks[1, :16, :24] = 1
    target = Target(torch.tensor([0.0, 1.0]), masks)
    terms = method.loss(method(images(2), NAMES), target)
    logits = method(images(2), NAMES).text
    focal, dice = torch.zeros(()), torch.zeros(())
    for level in range(4):
        p = enlarged(logits[:, level]).sigmoid()
        right = torch.where(masks == 1, p * (1 - 1e-5) + (1 - p) * 1e-5, (1 - p) * (1 - 1e-5) + p * 1e-5) + 1e-5
        focal += (-((1 - right) ** 2) * right.log()).mean()
        both, sums = (p * masks).sum((1, 2)), p.sum((1, 2)) + masks.sum((1, 2))
        dice += (1 - (2 * both + 1) / (sums + 1)).mean()
    torch.testing.assert_close(terms["focal"], focal, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(terms["dice"], dice, rtol=1e-5, atol=1e-5)
    method.fit_normal(images(1, seed=5))
    assert method.loss(method(images(2), NAMES), target) == terms


@torch.no_grad()
def test_in_training_everything_is_an_object() -> None:
    method, named = made(), made(object_in_training=False)
    expected = method(images(2), ["object"] * 2).text
    assert torch.equal(method.train()(images(2), NAMES).text, expected)
    assert torch.equal(named.train()(images(2), NAMES).text, named.eval()(images(2), NAMES).text)
    assert (expected - named(images(2), NAMES).text).abs().max() > 1e-3


def test_it_starts_with_pytorchs_linear_layers() -> None:
    method = made()
    assert len(method.linear) == 4
    for layer in method.linear:
        bound = 1 / math.sqrt(32)
        assert 0.9 * bound < layer.weight.abs().max() <= bound
        assert layer.bias.abs().max() <= bound


@pytest.mark.parametrize(
    ("options", "message"),
    [({"levels": ()}, "at least one layer"), ({"rotations": 0}, "angles"), ({"levels": (25,)}, r"1\.\.24")],
)
def test_impossible_constants_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        made(**options)


# --- checkpoints of the authors


def published(width: int = 1280, embed: int = 1024) -> dict[str, Tensor]:
    """The decoder, and two of the other tensors that their training saves."""
    random = torch.Generator().manual_seed(0)
    decoder = {
        f"image_decoder.fc.{level}.{kind}": torch.randn(*shape, generator=random)
        for level in range(4)
        for kind, shape in (("weight", (embed, width)), ("bias", (embed,)))
    }
    return decoder | {"prompt_learner.base_prompts": torch.zeros(9, 4096), "llama_proj.bias": torch.zeros(4096)}


def test_a_checkpoint_has_the_parameters_of_the_authors() -> None:
    """4 · (1280 · 1024 + 1024)."""
    found = AnomalyGpt.from_published(published())
    assert sum(tensor.numel() for tensor in found.tensors.values()) == 5_246_976
    assert (found.backbone, found.image_size, found.activation, found.options) == ("ViT-H-14", 224, "gelu", {})


@torch.no_grad()
def test_an_imported_detector_answers_as_its_layers_do() -> None:
    theirs, method = published(32, 24), made()
    found = AnomalyGpt.from_published(theirs)
    assert found.tensors.keys() == checkpoint.trained_state(method).keys()
    method.load_state_dict(found.tensors, strict=False)
    trace = method.clip.vision(images(1), keep=range(4))
    logits = method(images(1), ["carpet"]).text
    for level in range(4):
        patches = trace.kept[level][0, 1:] @ theirs[f"image_decoder.fc.{level}.weight"].T
        patches = patches + theirs[f"image_decoder.fc.{level}.bias"]
        cosines = F.normalize(patches, dim=-1) @ text(method, "carpet").T
        torch.testing.assert_close(logits[0, level].flatten(), 100 * (cosines[:, 1] - cosines[:, 0]), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("image_decoder.fc.3.bias"), "fc.3.bias"),
        (lambda state: state.pop("image_decoder.fc.0.weight"), "fc.0.weight"),
        (lambda state: state.update({"image_decoder.fc.4.bias": torch.zeros(24)}), "got image_decoder.fc.4.bias"),
        (lambda state: state.update({"image_decoder.fc.1.weight": torch.zeros(24, 30)}), r"\(24, 32\)"),
    ],
)
def test_another_checkpoint_is_refused(change: Callable[[dict[str, Tensor]], object], message: str) -> None:
    state = published(32, 24)
    change(state)
    with pytest.raises(ImportRefused, match=message):
        AnomalyGpt.from_published(state)
