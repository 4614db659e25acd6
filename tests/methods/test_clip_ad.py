"""CLIP-AD against its equations written out; its code has no licence, so that nothing of it is run beside ours."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.methods.declared import ADAM
from tests.small import CONFIG, SIZE, frozen, images
from zsad import checkpoint
from zsad.backbones.transformer import Block
from zsad.errors import ConfigError, ImportRefused
from zsad.methods.clip_ad.clusters import largest_cluster
from zsad.methods.clip_ad.method import ClipAd, ClipAdConfig
from zsad.methods.clip_ad.staged import staged_stream
from zsad.scoring import anomaly_maps
from zsad.types import Target

CONSTANTS = {
    "sigma": 8.0,  # all of it: code
    "align_corners": False,
    "smoothing_window": None,
    "variant": "sdp+",
    "levels": (3, 6, 9, 12),
    "temperature": 0.01,
    "removal_temperature": 1.0,
    "next_attention": True,
    "representative": "dbscan",
    "cluster_radius": 0.5,
    "cluster_least": 15,
    "map_weight": 0.5,
}
TRAINING = ADAM | {"epochs": 5, "batch_size": 8, "learning_rate": 1e-4}  # train_SDP_plus.sh
BACKBONE = "ViT-B-16-plus-240"
RECIPE_BACKBONE, RECIPE_WEIGHTS, RECIPE_SIZE = BACKBONE, "laion400m_e31", 240
RECIPE_ROWS = {"paper": {}, "ablation/visa": {"sigma": 2.0, "cluster_radius": 1.5, "cluster_least": 25}}
ROUTES = {"focal": {"linear"}, "dice": {"linear"}}
NAMES = ["metal nut", "carpet"]


def dbscan(points: np.ndarray, radius: float, least: int) -> np.ndarray:
    """Labels of scikit-learn's; -1 is noise."""
    cluster = pytest.importorskip("sklearn.cluster", reason="the oracle of DBSCAN is scikit-learn")
    labels: np.ndarray = cluster.DBSCAN(eps=radius, min_samples=least).fit(points).labels_
    return labels


def made(**options: Any) -> ClipAd:
    torch.manual_seed(0)
    return ClipAd(frozen(), ClipAdConfig(**({"sigma": 0.0, "representative": "mean"} | options))).eval()


def heads(block: Block, x: Tensor, *, vv: bool) -> Tensor:
    """Attention of two heads of 16, with its own queries and keys, or with the values in their place."""
    query, key, value = (x @ block.attention.qkv.weight.T + block.attention.qkv.bias).split(32, dim=-1)
    query, key = (value, value) if vv else (query, key)
    parts = zip(query.split(16, -1), key.split(16, -1), value.split(16, -1), strict=True)
    mixed = [(q @ k.transpose(1, 2) / 4).softmax(-1) @ v for q, k, v in parts]
    return block.attention.out(torch.cat(mixed, -1))


def paths(method: ClipAd, image: Tensor, next_attention: bool) -> tuple[list[Tensor], list[Tensor]]:
    """After each of four blocks, every one of which begins a quarter: tokens of the tower, and of the second path."""
    x, _ = method.clip.vision.embed(image[None])
    towers, seconds = [], []
    for block in method.clip.vision.transformer.blocks:
        assert isinstance(block, Block)
        if next_attention and towers:  # the kept tensor is added to in place
            towers[-1] = towers[-1] + heads(block, block.norm_1(x), vv=False)
        seconds.append(heads(block, block.norm_1(x), vv=True))
        x = x + heads(block, block.norm_1(x), vv=False)
        x = x + block.mlp(block.norm_2(x))
        towers.append(x)
    return towers, seconds


def unit(values: Tensor) -> Tensor:
    return values / values.norm(dim=-1, keepdim=True)


def text(method: ClipAd, name: str) -> Tensor:
    means = [unit(method.clip.encode_prompts(prompts)).mean(0) for prompts in method.prompts(name)]
    return unit(torch.stack(means))


def enlarged(values: Tensor) -> Tensor:
    return F.interpolate(values.unflatten(0, (4, 4))[None, None], (SIZE, SIZE), mode="bilinear")[0, 0]


@torch.no_grad()
@pytest.mark.parametrize("variant", ["sdp", "sdp+"])
@pytest.mark.parametrize("next_attention", [True, False])
def test_maps_and_scores_are_those_of_the_equations(variant: str, next_attention: bool) -> None:
    method = made(variant=variant, next_attention=next_attention, map_weight=0.3)
    evidence = method(images(2), NAMES)
    maps = anomaly_maps(evidence, (SIZE, SIZE), method.config)
    vision = method.clip.vision
    for number, name in enumerate(NAMES):
        states, total = text(method, name), torch.zeros(SIZE, SIZE)
        towers, seconds = paths(method, images(2)[number], next_attention)
        for layer, (tower, second) in enumerate(zip(towers, seconds, strict=True)):
            token = unit(vision.norm_post(tower[0, 0]) @ vision.projection)
            weights = (token @ states.T).softmax(0)
            weights = weights / weights.mean()
            features = unit(vision.norm_post(second[0, 1:]) @ vision.projection)
            products = features[:, None] * states * weights[:, None]  # cells, states, embed
            products = products - products.mean(1, keepdim=True)
            total += enlarged(products.sum(-1)[:, 1])
            if variant == "sdp+":
                cosines = unit(method.linear[layer](tower[0, 1:])) @ states.T
                total += (enlarged(100 * cosines[:, 1]) - enlarged(100 * cosines[:, 0])).sigmoid()
        expected = (total + 4) / (8 if variant == "sdp" else 12)
        torch.testing.assert_close(maps[number], expected, rtol=0, atol=1e-5)
        token = unit(vision.norm_post(towers[-1][0, 0]) @ vision.projection)
        score = 0.7 * (100 * token @ states.T).softmax(0)[1] + 0.3 * expected.max()
        torch.testing.assert_close(evidence.score[number], score, rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_second_path_adds_up_within_a_quarter() -> None:
    """Eight blocks, of which every second begins a quarter, and levels of 12 at 2, 4, 6 and 8."""
    tower = frozen(replace(CONFIG, vision=replace(CONFIG.vision, depth=8))).vision
    trace, stream = staged_stream(tower, images(1), [1, 4, 7])
    x, _ = tower.embed(images(1))
    attended = []
    for block in tower.transformer.blocks:
        assert isinstance(block, Block)
        attended.append(heads(block, block.norm_1(x), vv=True))
        x = block(x)
    torch.testing.assert_close(stream[1], attended[0] + attended[1], rtol=0, atol=1e-5)
    torch.testing.assert_close(stream[4], attended[4], rtol=0, atol=1e-5)
    torch.testing.assert_close(stream[7], attended[6] + attended[7], rtol=0, atol=1e-5)
    torch.testing.assert_close(trace.kept[7], x, rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_loss_is_that_of_the_linear_layers() -> None:
    method, masks = made(), torch.zeros(2, SIZE, SIZE)
    masks[1, :16, :24] = 1
    evidence = method(images(2), NAMES)
    terms = method.loss(evidence, Target(torch.tensor([0.0, 1.0]), masks))
    assert evidence.logits is not None
    assert evidence.logits.shape[1] == 4
    dice = torch.zeros(())
    for level in range(4):
        p = F.interpolate(evidence.logits[:, level : level + 1], (SIZE, SIZE), mode="bilinear")[:, 0].sigmoid()
        both, sums = (p * masks).sum((1, 2)), p.sum((1, 2)) + masks.sum((1, 2))
        dice += (1 - (2 * both + 1) / (sums + 1)).mean()
    torch.testing.assert_close(terms["dice"], dice, rtol=1e-5, atol=1e-5)
    assert terms.keys() == {"focal", "dice"}


def test_sdp_has_nothing_to_train() -> None:
    assert not [name for name, one in made(variant="sdp").named_parameters() if one.requires_grad]


def test_the_sentences() -> None:
    """prompt_ensemble.py: 9 normal and 10 anomalous states in 22 templates."""
    normal, anomalous = made().prompts("nut")
    assert (len(normal), len(anomalous)) == (9 * 22, 10 * 22)
    assert normal[::22] == [
        "a cropped photo of a flawless nut.",
        "a cropped photo of a perfect nut.",
        "a cropped photo of a unblemished nut.",
        "a cropped photo of a nut without flaw.",
        "a cropped photo of a nut without defect.",
        "a cropped photo of a nut without damage.",
        "a cropped photo of a nut without scratch.",
        "a cropped photo of a nut without crack.",
        "a cropped photo of a nut without contamination.",
    ]
    assert anomalous[::22] == [
        "a cropped photo of a damaged nut.",
        "a cropped photo of a imperfect nut.",
        "a cropped photo of a blemished nut.",
        "a cropped photo of a broken nut.",
        "a cropped photo of a nut with flaw.",
        "a cropped photo of a nut with defect.",
        "a cropped photo of a nut with damage.",
        "a cropped photo of a nut with scratch.",
        "a cropped photo of a nut with crack.",
        "a cropped photo of a nut with contamination.",
    ]
    assert {prompt.replace("flawless ", "") for prompt in normal[:22]} == {
        "a cropped photo of a nut.",
        "a cropped photo of the nut.",
        "a close-up photo of a nut.",
        "a close-up photo of the nut.",
        "a bright photo of a nut.",
        "a bright photo of the nut.",
        "a dark photo of a nut.",
        "a dark photo of the nut.",
        "a jpeg corrupted photo of a nut.",
        "a jpeg corrupted photo of the nut.",
        "a blurry photo of a nut.",
        "a blurry photo of the nut.",
        "a photo of a nut.",
        "a photo of the nut.",
        "a photo of a large nut.",
        "a photo of the large nut.",
        "a photo of a small nut.",
        "a photo of the small nut.",
        "a photo of a nut for visual inspection.",
        "a photo of the nut for visual inspection.",
        "a photo of a nut for anomaly detection.",
        "a photo of the nut for anomaly detection.",
    }


@pytest.mark.parametrize("radius", [0.15, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("least", [1, 3, 8])
@pytest.mark.parametrize("seed", range(5))
def test_the_largest_cluster_is_that_of_scikit_learn(radius: float, least: int, seed: int) -> None:
    drawn = np.random.default_rng(seed)
    points = np.concatenate([drawn.normal(drawn.normal(size=2), 0.2, (number, 2)) for number in (30, 20, 7)])
    points = drawn.permutation(points).astype(np.float32)
    labels = dbscan(points, radius, least)
    found = largest_cluster(torch.from_numpy(points), radius, least).numpy()
    expected = labels == np.bincount(labels[labels >= 0]).argmax() if (labels >= 0).any() else np.ones(57, dtype=bool)
    assert (found == expected).all()


@torch.no_grad()
def test_the_prompts_of_the_largest_cluster_stand_for_the_state() -> None:
    method = made(representative="dbscan", cluster_radius=0.6, cluster_least=10)
    each = unit(method.clip.encode_prompts(method.prompts("nut")[1]))
    labels = dbscan(each.numpy(), 0.6, 10)
    kept = torch.from_numpy(labels == np.bincount(labels[labels >= 0]).argmax())
    assert 0 < kept.sum() < len(kept)
    torch.testing.assert_close(method._states(["nut"], 1)[0, 1], unit(each[kept].mean(0)), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "options", [{"levels": ()}, {"map_weight": 2.0}, {"cluster_least": 0}, {"cluster_radius": -1.0}]
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ClipAdConfig(**options)


# --- checkpoints of the authors


def published(width: int = 896, embed: int = 640, layers: int = 4) -> dict[str, dict[str, Tensor]]:
    """``linear_layers`` of train.py at commit f004973."""
    random = torch.Generator().manual_seed(0)
    shapes = {"weight": (embed, width), "bias": (embed,)}
    names = [(f"fc.{level}.{kind}", shape) for level in range(layers) for kind, shape in shapes.items()]
    return {"linear_layers": {name: torch.randn(shape, generator=random) for name, shape in names}}


@torch.no_grad()
def test_a_checkpoint_of_the_authors_is_its_four_layers() -> None:
    """4 · (896 · 640 + 640)."""
    found = ClipAd.from_published(published())
    assert sum(tensor.numel() for tensor in found.tensors.values()) == 2_296_320
    assert (found.backbone, found.image_size, found.activation, found.options) == ("ViT-B-16-plus-240", 240, "gelu", {})
    theirs, method = published(32, 24), ClipAd(frozen()).eval()
    small = ClipAd.from_published(theirs)
    assert small.tensors.keys() == checkpoint.trained_state(method).keys()
    method.load_state_dict(small.tensors, strict=False)
    for level, layer in enumerate(method.linear):
        assert torch.equal(layer.weight, theirs["linear_layers"][f"fc.{level}.weight"])
        assert torch.equal(layer.bias, theirs["linear_layers"][f"fc.{level}.bias"])


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (published(32, 24, 3), "CLIP-AD has 4 linear layers"),
        ({"trainable_linearlayer": published()["linear_layers"]}, "has the entry linear_layers; got trainable_linear"),
        ({"linear_layers": {**published(32, 24)["linear_layers"], "fc.2.bias": torch.zeros(3)}}, r"the shape \(24,\)"),
    ],
)
def test_another_checkpoint_is_refused(state: dict[str, dict[str, Tensor]], message: str) -> None:
    with pytest.raises(ImportRefused, match=message):
        ClipAd.from_published(state)
