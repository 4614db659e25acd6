"""MVFA-AD against its equations written out, and against what the authors' code answers on the same weights."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.methods import reproducible
from tests.small import CONFIG, SIZE, frozen, images
from zsad import checkpoint
from zsad.errors import ConfigError, ImportRefused
from zsad.methods.mvfa_ad.method import MvfaAd, MvfaAdConfig
from zsad.methods.mvfa_ad.support import support_copies
from zsad.parts.similarity import class_states
from zsad.scoring import anomaly_maps
from zsad.types import Target

NAMES = ["brain", "liver"]
AUTHORS = json.loads((Path(__file__).parent / "authors.json").read_text(encoding="utf-8"))["mvfa-ad"]


def made(**options: object) -> MvfaAd:
    torch.manual_seed(0)
    return MvfaAd(frozen(), MvfaAdConfig(**options)).eval()  # type: ignore[arg-type]


def leaky(values: Tensor) -> Tensor:
    return torch.where(values > 0, values, 0.01 * values)


def features(method: MvfaAd, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Patches of both adapters after each of the four blocks, which are layers 6, 12, 18 and 24 of 24."""
    mean, std = (torch.tensor(of)[:, None, None] for of in (CONFIG.mean, CONFIG.std))
    tokens, _ = method.clip.vision.embed((image * std + mean)[None])
    for_maps, for_score = [], []
    for number, block in enumerate(method.clip.vision.transformer.blocks):
        tokens = block(tokens)
        level = method.adapters[number]
        s, d = leaky(tokens @ level.segment.down.weight.T), leaky(tokens @ level.detect.down.weight.T)
        for_maps.append(s[0, 1:])
        for_score.append(d[0, 1:])
        if number < 3:
            back = leaky(s @ level.segment.up.weight.T), leaky(d @ level.detect.up.weight.T)
            tokens = 0.8 * tokens + 0.1 * back[0] + 0.1 * back[1]
    return for_maps, for_score


def enlarged(values: Tensor) -> Tensor:
    return F.interpolate(values[None], (SIZE, SIZE), mode="bilinear", align_corners=True)[0]


def text(method: MvfaAd, name: str) -> Tensor:
    return class_states(method.clip, [name], 1, method.prompts, 35)[0]


def hundredfold(values: Tensor, states: Tensor) -> Tensor:
    """100 · cosine with the normal and the anomalous state."""
    return 100 * (values / values.norm(dim=1, keepdim=True)) @ states.T


@torch.no_grad()
def test_maps_and_scores_are_those_of_the_equations() -> None:
    method = made()
    evidence = method(images(2), NAMES)
    maps = anomaly_maps(evidence, (SIZE, SIZE), method.config)
    for number, name in enumerate(NAMES):
        for_maps, for_score = features(method, images(2)[number])
        states = text(method, name)
        expected = sum(enlarged(hundredfold(s, states).T.unflatten(1, (4, 4))).softmax(0)[1] for s in for_maps) / 4
        torch.testing.assert_close(maps[number], expected, rtol=0, atol=1e-5)
        score = sum(float(hundredfold(d, states).softmax(1)[:, 1].mean()) for d in for_score) / 4
        assert float(evidence.score[number]) == pytest.approx(score, abs=1e-5)


def distances(features: list[Tensor], normal: list[list[Tensor]]) -> Tensor:
    """1 - the greatest cosine with a patch of any normal image, at each level, enlarged."""
    maps = []
    for level, patches in enumerate(features):
        memory = torch.cat([one[level] for one in normal])
        nearest = F.cosine_similarity(patches[:, None], memory[None], dim=-1).amax(1)
        maps.append(enlarged((1 - nearest).unflatten(0, (4, 4))[None])[0])
    return torch.stack(maps)


@torch.no_grad()
@pytest.mark.parametrize("rule", ["map", "detection"])
@pytest.mark.parametrize("copies", [True, False])
def test_the_few_shot_mode_is_that_of_the_equations(rule: str, copies: bool) -> None:
    without = made()(images(2), NAMES)
    method, normal = made(few_shot_score=rule, support_copies=copies), images(2, seed=5)
    method.fit_normal(normal)
    assert method.bank.entries_by_image() == [16 * 11 if copies else 16] * 2
    evidence = method(images(2), NAMES)
    maps = anomaly_maps(evidence, (SIZE, SIZE), method.config)
    kept = support_copies(normal).flatten(0, 1) if copies else normal
    memory = [features(method, one) for one in kept]
    text_maps = anomaly_maps(without, (SIZE, SIZE), method.config)
    for number in range(2):
        for_maps, for_score = features(method, images(2)[number])
        expected = (text_maps[number] + distances(for_maps, [one[0] for one in memory]).mean(0)) / 2
        torch.testing.assert_close(maps[number], expected, rtol=0, atol=1e-5)
        score = (without.score[number] + distances(for_score, [one[1] for one in memory]).mean()) / 2
        score = expected.max() if rule == "map" else score
        torch.testing.assert_close(evidence.score[number], score, rtol=0, atol=1e-5)


@torch.no_grad()
def test_copies_are_the_image_turned_shifted_and_mirrored() -> None:
    image = images(1)
    copies = support_copies(image)
    assert copies.shape == (11, 1, 3, SIZE, SIZE)
    torch.testing.assert_close(copies[0], image)
    torch.testing.assert_close(copies[9], image.flip(-1))
    torch.testing.assert_close(copies[10], image.flip(-2))
    # A tenth of the half width is 1.6 px to the right, where the shifted image was.
    row = image[0, 0, 10]
    blended = 0.4 * image[0, :, 11:24, 11:24] + 0.6 * image[0, :, 11:24, 12:25]
    below = 0.4 * image[0, :, 12:25, 11:24] + 0.6 * image[0, :, 12:25, 12:25]
    torch.testing.assert_close(copies[5][0, :, 10:23, 10:23], 0.4 * blended + 0.6 * below, rtol=0, atol=1e-4)
    assert row.shape == (SIZE,)
    # A point that is turned by an angle is found where the inverse matrix leads to.
    point = torch.zeros(1, 3, 64, 64)
    point[..., 32, 52] = 1
    for number, angle in enumerate((-math.pi / 8, -math.pi / 16, math.pi / 16, math.pi / 8), 1):
        found = support_copies(point)[number][0, 0].flatten().argmax()
        y, x = int(found) // 64 - 31.5, int(found) % 64 - 31.5
        assert math.atan2(y, x) == pytest.approx(math.atan2(0.5, 20.5) - angle, abs=0.06)


@torch.no_grad()
def test_the_loss_is_a_sum_over_the_levels() -> None:
    masks, labels = torch.zeros(2, SIZE, SIZE), torch.tensor([0.0, 1.0])
    masks[1, :16, :24] = 1
    for score_logits in (True, False):
        method = made(score_logits=score_logits)
        evidence = method(images(2), NAMES)
        terms = method.loss(evidence, Target(labels, masks))
        assert terms.keys() == {"focal", "dice", "image"}
        expected = 0.0
        for level in range(4):
            for number in range(2):
                _, for_score = features(method, images(2)[number])
                p = float(hundredfold(for_score[level], text(method, NAMES[number])).softmax(1)[:, 1].mean())
                p = 1 / (1 + math.exp(-p)) if score_logits else p
                expected -= math.log(p if number else 1 - p) / 2
        assert float(terms["image"]) == pytest.approx(expected, rel=1e-4)
        assert evidence.logits is not None
        focal, dice = 0.0, 0.0
        for level in range(4):
            p = torch.stack([enlarged(one[level][None])[0] for one in evidence.logits]).sigmoid()
            right = torch.where(masks == 1, p * (1 - 1e-5) + (1 - p) * 1e-5, (1 - p) * (1 - 1e-5) + p * 1e-5) + 1e-5
            focal += float((-((1 - right) ** 2) * right.log()).mean())
            both, sums = (p * masks).sum((1, 2)), p.sum((1, 2)) + masks.sum((1, 2))
            dice += float((1 - (2 * both + 1) / (sums + 1)).mean())
        assert float(terms["focal"]) == pytest.approx(focal, rel=1e-4)
        assert float(terms["dice"]) == pytest.approx(dice, rel=1e-4)


@torch.no_grad()
def test_the_authors_code_answers_the_same() -> None:
    """Every fourth pixel of the sums of their maps, and the sums of their scores: docs/methods/mvfa-ad.md."""
    method, names = MvfaAd(reproducible.clip()).eval(), ["metal nut", "carpet"]
    reproducible.fill(method.adapters)
    for key, levels in (("maps", 4), ("few_shot_maps", 8)):
        evidence = method(reproducible.images(2), names)
        sums = levels * anomaly_maps(evidence, (SIZE, SIZE), method.config)
        torch.testing.assert_close(sums[:, ::4, ::4], torch.tensor(AUTHORS[key]), rtol=0, atol=1e-4)
        if levels == 4:
            torch.testing.assert_close(4 * evidence.score, torch.tensor(AUTHORS["scores"]), rtol=0, atol=1e-4)
        method.fit_normal(reproducible.images(2, seed=8))


@torch.no_grad()
def test_clips_normalisation_is_an_option() -> None:
    bare, usual = made(), made(clip_normalisation=True)
    mean, std = (torch.tensor(of)[:, None, None] for of in (CONFIG.mean, CONFIG.std))
    there, here = bare((images(2) - mean) / std, NAMES), usual(images(2), NAMES)
    torch.testing.assert_close(there.maps, here.maps, rtol=0, atol=1e-4)
    assert (bare(images(2), NAMES).maps - here.maps).abs().max() > 1e-3


@pytest.mark.parametrize(("option", "value"), [("share", 0.6), ("share", -0.1), ("levels", ())])
def test_impossible_options_are_refused(option: str, value: object) -> None:
    with pytest.raises(ConfigError, match=r"share of an adapter|at least one layer"):
        MvfaAdConfig(**{option: value})  # type: ignore[arg-type]


# --- checkpoints of the authors


Published = dict[str, dict[str, Tensor]]


def published(width: int = 1024, embed: int = 768) -> Published:
    """What train_zero.py and train_few.py save at commit a30bf7b."""
    random = torch.Generator().manual_seed(0)
    return {
        entry: {
            f"{level}.{layer}.0.weight": 0.3 * torch.randn(*shape, generator=random)
            for level in range(4)
            for layer, shape in (("fc1", (embed, width)), ("fc2", (width, embed)))
        }
        for entry in ("seg_adapters", "det_adapters")
    }


def test_a_checkpoint_has_the_parameters_of_the_authors() -> None:
    """Both adapters of four levels, less the two layers of the last one that nothing reads."""
    found = MvfaAd.from_published(published())
    assert sum(tensor.numel() for tensor in found.tensors.values()) == (2 * 4 * 2 - 2) * 768 * 1024
    assert (found.backbone, found.image_size, found.activation, found.options) == ("ViT-L-14-336", 240, "gelu", {})


@torch.no_grad()
def test_an_imported_detector_answers_as_its_layers_do() -> None:
    state, method = published(32, 24), made()
    found = MvfaAd.from_published(state)
    assert found.tensors.keys() == checkpoint.trained_state(method).keys()
    method.load_state_dict(found.tensors, strict=False)
    mean, std = (torch.tensor(of)[:, None, None] for of in (CONFIG.mean, CONFIG.std))
    tokens, _ = method.clip.vision.embed(images(1) * std + mean)
    levels = method.run(images(1))
    for number, block in enumerate(method.clip.vision.transformer.blocks):
        tokens, back = block(tokens), []
        for entry, ours in (("seg_adapters", levels.segment), ("det_adapters", levels.detect)):
            features = leaky(tokens @ state[entry][f"{number}.fc1.0.weight"].T)
            torch.testing.assert_close(ours[number], features[:, 1:], rtol=0, atol=1e-4)
            back.append(leaky(features @ state[entry][f"{number}.fc2.0.weight"].T))
        tokens = 0.8 * tokens + 0.1 * back[0] + 0.1 * back[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("det_adapters"), "has the entry det_adapters"),
        (lambda state: state["det_adapters"].pop("3.fc2.0.weight"), "has the tensor 3.fc2.0.weight of shape"),
        (lambda state: state["seg_adapters"].pop("3.fc1.0.weight"), "seg_adapters of a checkpoint of MVFA-AD are 4"),
        (lambda state: state["seg_adapters"].update({"0.fc1.0.bias": torch.zeros(24)}), "every tensor .* is known"),
        (
            lambda state: state["det_adapters"].update({"1.fc1.0.weight": torch.zeros(24, 30)}),
            r"1.fc1.0.weight has the shape \(24, 32\)",
        ),
    ],
)
def test_another_checkpoint_is_refused(change: Callable[[Published], object], message: str) -> None:
    state = published(32, 24)
    change(state)
    with pytest.raises(ImportRefused, match=message):
        MvfaAd.from_published(state)
