"""AdaCLIP beside its authors' code: steps written out, and what that code answers on the same weights."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional

from tests.formula import fill, noise
from tests.methods.declared import ADAM
from tests.methods.test_starts import assert_normal
from tests.small import CONFIG, SIZE, frozen, images, tokenizer
from zsad.backbones.clip import Clip
from zsad.backbones.config import TextConfig, VisionConfig
from zsad.errors import ConfigError, InputError
from zsad.methods.adaclip import AdaClip, AdaClipConfig, fusion, prompts
from zsad.methods.adaclip import method as method_module
from zsad.parts.prompts import NORMAL_STATES
from zsad.scoring import anomaly_maps
from zsad.trainer.recipe import Recipe
from zsad.types import Target

# All of it: code, commit e27ee32.
CONSTANTS = {
    "sigma": 4.0,
    "align_corners": True,
    "smoothing_window": None,
    "levels": (6, 12, 18, 24),
    "temperature": 0.01,  # 100.0 * cosine
    "prompt_length": 5,
    "prompt_depth": 4,
    "prompts": "both",  # prompting_type SD
    "branches": "both",  # prompting_branch VL
    "fusion": True,
    "clusters": 20,
    "tokens_per_cluster": 5,
    "blend": 0.2,
}
TRAINING = ADAM | {
    "epochs": 5,
    "batch_size": 1,
    "learning_rate": 1e-2,
    "betas": (0.5, 0.999),
    "weight_decay": 1e-2,  # AdamW's default
    "decoupled_weight_decay": True,
}
RECIPE_ROWS = {
    "paper": {},
    "ablation/static": {"prompts": "static"},
    "ablation/dynamic": {"prompts": "dynamic"},
    "ablation/vision": {"branches": "vision"},
    "ablation/text": {"branches": "text"},
    "ablation/no_fusion": {"fusion": False},
}
MAPS = {f"{tower}_prompts.{kind}" for tower in ("visual", "text") for kind in ("static", "dynamic")} | {"patch_layers"}
ROUTES = {"class": MAPS | {"class_layer"}, "focal": MAPS, "dice": MAPS}
VARIANTS = [{"branches": "text", "prompts": "dynamic", "fusion": False}]

NAMES = ["metal nut", "carpet", "carpet"]


def stirred(config: AdaClipConfig | None = None, clip: Clip | None = None) -> AdaClip:
    """With numbers of such a size that each matters."""
    method = AdaClip(clip or frozen(), config)
    with torch.no_grad():
        for name, one in method.named_parameters():
            if not name.startswith("clip."):
                one.copy_((0.5 if "static" in name else 0.1) * noise(name, one.shape))
    return method.eval()


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def slow_levels(method: AdaClip, pixels: Tensor) -> tuple[list[Tensor], Tensor]:
    """Patches of the levels and class token, block by block: prompts are appended, replaced, then left alone."""
    vision = method.clip.vision
    plain = vision.project(vision(pixels).last[:, 0])
    made = method.visual_prompts.dynamic(plain).unflatten(1, (5, -1))
    tokens, grid = vision.embed(pixels)
    cells, levels = 1 + grid[0] * grid[1], []
    for number, block in enumerate(vision.transformer.blocks):
        if number < len(method.visual_prompts.static):
            tokens = torch.cat([tokens[:, :cells], made + method.visual_prompts.static[number]], 1)
        tokens = block(tokens)
        if number in method.blocks:
            layer = method.patch_layers[method.blocks.index(number)]
            levels.append(unit(layer(tokens[:, 1:cells])))
    return levels, unit(method.class_layer(vision.project(tokens[:, 0])))


def slow_states(method: AdaClip, plain: Tensor, class_name: str) -> Tensor:
    """Of one image, prompt by prompt, padded to the context."""
    text, states = method.clip.text, []
    for state in (NORMAL_STATES, ("damaged {}", "broken {}", "{} with flaw", "{} with defect", "{} with damage")):
        features = []
        for wording in state:
            for article, manner in (("a", "bad"), ("the", "low resolution"), ("the", "bad"), ("the", "cropped")):
                ids = method.clip.tokenizer.encode(f"a {manner} photo of {article} {wording.format(class_name)}.")
                tokens = text.token_embedding(torch.tensor([*ids, *[0] * (77 - len(ids))])) + text.position_embedding
                for number, block in enumerate(text.transformer.blocks):
                    if 1 <= number < 4:
                        own = method.text_prompts.static[number - 1]
                        own = own + method.text_prompts.dynamic(plain).unflatten(0, (5, -1))
                        tokens = torch.cat([tokens[:1], own, tokens[6:]])
                    tokens = block(tokens[None])[0]
                features.append(unit(text.project(tokens[len(ids) - 1])))
        states.append(unit(torch.stack(features).mean(0)))
    return torch.stack(states)


def test_maps_and_scores_are_those_of_the_steps_written_out() -> None:
    method, pixels = stirred(AdaClipConfig(temperature=0.5, clusters=3, tokens_per_cluster=2)), images(2, 40, 24)
    evidence, (levels, token) = method(pixels, NAMES[:2]), slow_levels(method, pixels)
    plain = method.clip.vision.project(method.clip.vision(pixels).last[:, 0])
    for number, name in enumerate(NAMES[:2]):
        states = slow_states(method, plain[number], name)
        odds = torch.stack([(level[number] @ states.T / 0.5).diff(dim=-1)[:, 0] for level in levels])
        torch.testing.assert_close(evidence.levels[number].flatten(1), odds, rtol=1e-4, atol=1e-4)
        mean = odds.mean(0)
        torch.testing.assert_close(evidence.maps[number, 0].flatten(), mean.sigmoid(), rtol=1e-4, atol=1e-4)
        chosen = mean.argsort(descending=True)[:6]
        labels = fusion.k_means(torch.cat([level[number, chosen] for level in levels], 1)[None], 3)[0]
        centres = [
            torch.cat([level[number, chosen][labels == cluster] for level in levels]).mean(0)
            for cluster in labels.unique()
        ]
        fused = unit(torch.stack(centres).mean(0))
        score = (unit(0.2 * fused + 0.8 * token[number]) @ states.T / 0.5).softmax(-1)[1]
        torch.testing.assert_close(evidence.score[number], score, rtol=1e-4, atol=1e-5)


def test_without_fusion_the_class_token_alone_decides() -> None:
    method, pixels = stirred(AdaClipConfig(fusion=False, temperature=0.5)), images(1)
    plain = method.clip.vision.project(method.clip.vision(pixels).last[:, 0])
    expected = (slow_levels(method, pixels)[1][0] @ slow_states(method, plain[0], "carpet").T / 0.5).softmax(-1)[1]
    torch.testing.assert_close(method(pixels, ["carpet"]).score[0], expected, rtol=1e-4, atol=1e-5)


def test_the_loss_is_that_of_the_code_written_out() -> None:
    method = stirred(AdaClipConfig(temperature=0.5))
    target = Target(torch.tensor([0.0, 1.0, 1.0]), torch.zeros(3, SIZE, SIZE))
    target.masks[1:, :20, 8:30] = 1
    evidence = method(images(3), NAMES)
    terms = method.loss(evidence, target)
    right = torch.where(target.labels == 1, evidence.score, 1 - evidence.score)
    torch.testing.assert_close(terms["class"], -((1 - right) ** 2 * right.log()).mean(), rtol=1e-3, atol=0)
    focal, dice = torch.zeros(()), torch.zeros(())
    for level in evidence.levels.unbind(1):
        large = functional.interpolate(level[:, None], (SIZE, SIZE), mode="bilinear", align_corners=True)
        maps, masks = large[:, 0].sigmoid(), target.masks
        true = torch.where(masks == 1, maps, 1 - maps)
        focal = focal - ((1 - true) ** 2 * true.log()).mean()
        for map_, mask in ((maps, masks), (1 - maps, 1 - masks)):
            dice += (1 - (2 * (map_ * mask).sum((1, 2)) + 1) / (map_.sum((1, 2)) + mask.sum((1, 2)) + 1)).mean()
    torch.testing.assert_close(terms["focal"], focal, rtol=1e-3, atol=0)
    torch.testing.assert_close(terms["dice"], dice)


@pytest.mark.parametrize("fusion", [True, False])
def test_the_image_score_teaches_the_layers_of_patches_by_the_fused_ones_alone(fusion: bool) -> None:
    method = stirred(AdaClipConfig(temperature=0.5, fusion=fusion))
    method(images(2), NAMES[:2]).score.sum().backward()
    gradients = [layer.weight.grad for layer in method.patch_layers]
    assert all((gradient is not None and gradient.abs().max() > 0) == fusion for gradient in gradients)


@pytest.mark.parametrize(
    ("options", "trained"),
    [
        ({"prompts": "static"}, {"visual_prompts.static", "text_prompts.static"}),
        ({"prompts": "dynamic"}, {"visual_prompts.dynamic", "text_prompts.dynamic"}),
        ({"branches": "vision"}, {"visual_prompts.static", "visual_prompts.dynamic"}),
        ({"branches": "text"}, {"text_prompts.static", "text_prompts.dynamic"}),
    ],
)
def test_rows_of_the_ablation_train_what_they_name(options: dict[str, str], trained: set[str]) -> None:
    method = AdaClip(frozen(), AdaClipConfig(**options))  # type: ignore[arg-type]
    names = {".".join(name.split(".")[:2]) for name, one in method.named_parameters() if one.requires_grad}
    assert {name for name in names if "prompts" in name} == trained
    assert method(images(2), NAMES[:2]).score.isfinite().all()


def test_prompts_of_a_text_begin_in_its_second_block_and_those_of_an_image_in_its_first() -> None:
    clip = frozen(replace(CONFIG, vision=replace(CONFIG.vision, depth=8), text=replace(CONFIG.text, depth=6)))
    method = AdaClip(clip)
    assert method.visual_prompts is not None
    assert method.text_prompts is not None
    assert [*method.visual_prompts.blocks] == [0, 1, 2, 3]
    assert [*method.text_prompts.blocks] == [1, 2, 3]  # in the code the vectors of the first block are never used
    assert [tuple(one.shape) for one in method.text_prompts.static] == [(5, 32)] * 3
    assert method.text_prompts.dynamic.weight.shape == (5 * 32, 24)


def test_words_and_numbers_of_the_code() -> None:
    assert (
        *("damaged {}", "broken {}", "{} with flaw"),
        *("{} with defect", "{} with damage"),
    ) == method_module.ANOMALOUS_STATES
    assert method_module.TEMPLATES == (
        "a bad photo of a {}.",
        "a low resolution photo of the {}.",
        "a bad photo of the {}.",
        "a cropped photo of the {}.",
    )
    assert (prompts.START_STD, method_module.REFERENCE_DEPTH, fusion.ROUNDS, fusion.SEED) == (0.02, 24, 300, 0)
    torch.manual_seed(0)
    fresh = AdaClip(frozen(replace(CONFIG, text=replace(CONFIG.text, depth=4))))
    for tower in (fresh.visual_prompts, fresh.text_prompts):
        assert tower is not None
        for one in tower.static:
            assert_normal(one, 0.02)


def test_the_papers_backbone_runs_as_its_authors_ran_it() -> None:
    recipe = Recipe("adaclip", backbone="ViT-L-14-336")
    assert (recipe.tower_activation(), recipe.tower_position_resize()) == ("gelu", "bicubic")
    assert (Recipe("adaclip").tower_activation(), Recipe("adaclip").tower_position_resize()) == (None, None)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"levels": ()}, "there are levels"),
        *(({name: 0}, f"{name}.* at least 1") for name in ("prompt_length", "prompt_depth", "tokens_per_cluster")),
        ({"clusters": 0}, "at least 1"),
        ({"blend": 1.5}, r"weight of the fused patches lies in \[0, 1\]"),
    ],
)
def test_options_without_a_meaning_are_refused(options: dict[str, object], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        AdaClipConfig(**options)  # type: ignore[arg-type]


def test_every_image_has_a_class_name() -> None:
    with pytest.raises(InputError, match="every image has one class name; got 1 for 2"):
        stirred()(images(2), ["carpet"])


# --- the clusters


def test_clusters_are_a_fixed_point_of_lloyds_algorithm() -> None:
    points = torch.randn(3, 40, 6, generator=torch.Generator().manual_seed(0))
    labels = fusion.k_means(points, 5)
    for sequence, own in zip(points, labels, strict=True):
        means = torch.stack([sequence[own == cluster].mean(0) for cluster in range(5)])
        nearest = torch.stack([(point - means).norm(dim=1).argmin() for point in sequence])
        assert torch.equal(nearest, own)


def test_far_apart_groups_are_found_in_each_sequence_on_its_own() -> None:
    random = torch.Generator().manual_seed(1)
    groups = torch.arange(4).repeat_interleave(6)
    points = torch.stack([100 * torch.eye(4)[groups] + torch.randn(24, 4, generator=random) for _ in range(2)])
    together = fusion.k_means(points, 4)
    for labels in together:
        found = [set(labels[groups == group].tolist()) for group in range(4)]
        assert all(len(one) == 1 for one in found)
        assert len(set.union(*found)) == 4
    assert torch.equal(together, torch.cat([fusion.k_means(one[None], 4) for one in points]))
    assert torch.equal(together, fusion.k_means(points, 4))


def test_first_centres_are_drawn_by_the_squared_distance() -> None:
    """Written out with the same draws: a point is chosen where the share of squared distances passes the draw."""
    points = torch.randn(1, 12, 3, generator=torch.Generator().manual_seed(2))
    draws = torch.rand(4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).tolist()
    weights, chosen = [1.0] * 12, []
    for draw in draws:
        total, passed, number = sum(weights), 0.0, -1
        while passed < draw * total or number < 0:
            number += 1
            passed += weights[number]
        chosen.append(number)
        weights = [min(float((p - points[0, c]).double().square().sum()) for c in chosen) for p in points[0]]
    torch.testing.assert_close(fusion.first_centres(points, 4)[0], points[0, chosen], rtol=0, atol=0)
    assert len({*chosen}) == 4


def test_a_graph_finds_the_same_clusters_in_other_points() -> None:
    """Its rounds are a fixed number, which is enough for points that need more of them than those it was made with."""
    scattered = [torch.randn(3, 60, 8, generator=torch.Generator().manual_seed(seed)) for seed in range(4)]
    graph = make_fx(lambda points: fusion.k_means(points, 6), pre_dispatch=True)(torch.ones(3, 60, 8))
    for points in scattered:
        assert torch.equal(graph(points), fusion.k_means(points, 6))


def test_copies_of_one_point_are_one_cluster_and_its_centre_is_the_point() -> None:
    point = unit(torch.randn(1, 1, 1, 8, generator=torch.Generator().manual_seed(3)))
    patches = point.repeat(1, 2, 9, 1)
    torch.testing.assert_close(fusion.fused_patches(patches, torch.rand(1, 9), 4, 6), point[:, 0, 0])


# --- answers of the authors' code, see docs/methods/adaclip.md

SCORES = [0.765096, 0.658519, 0.710156]
MAP = [0.544749, 0.325442, 0.294429, 0.490937, 0.482659, 0.410268, 0.559653, 0.450054, 0.470719]
LOSS = {"class": 0.30845, "focal": 0.786339, "dice": 4.668014}
GRADIENTS = [0.355426, 0.016164, 1.660352, 5.506604, 3.357871]
"""Norms by: static prompts of the text's second and the image's first block, third dynamic head of the text, linear
layer of the class token, and that of the second level."""


@torch.no_grad()
def set_by_formula(method: AdaClip) -> None:
    """The numbers that the authors' modules were given, under the names of that run."""
    assert method.text_prompts is not None
    assert method.visual_prompts is not None
    for tower, found in (("text", method.text_prompts), ("visual", method.visual_prompts)):
        for block, one in zip(found.blocks, found.static, strict=True):
            one.copy_(0.5 * noise(f"{tower}.static.{block}", one.shape))
        heads = (tensor.unflatten(0, (5, -1)) for tensor in (found.dynamic.weight, found.dynamic.bias))
        for number, (weight, bias) in enumerate(zip(*heads, strict=True)):
            weight.copy_(0.1 * noise(f"{tower}.dynamic.{number}", weight.shape))
            bias.copy_(0.1 * noise(f"{tower}.bias.{number}", bias.shape))
    named: list[tuple[str, nn.Module]] = [(f"patch{{}}.{n}", layer) for n, layer in enumerate(method.patch_layers)]
    for name, layer in (*named, ("class{}", method.class_layer)):
        layer.weight.copy_(0.1 * noise(name.format(""), layer.weight.shape))
        layer.bias.copy_(0.1 * noise(name.format(".bias"), layer.bias.shape))


def test_answers_are_those_of_the_authors_code() -> None:
    config = replace(
        CONFIG,
        embed=128,
        activation="gelu",
        vision=VisionConfig(width=128, depth=8, heads=2, image_size=64, patch=8),
        text=TextConfig(width=128, depth=6, heads=2, context=77, vocabulary=49408),
        position_resize="bicubic",
    )
    clip = Clip("small", config, tokenizer())
    fill(clip)
    method = AdaClip(clip.freeze("formula", "formula"), AdaClipConfig(sigma=0.0))
    set_by_formula(method)
    target = Target(torch.tensor([0.0, 1.0, 1.0]), torch.zeros(3, 96, 96))
    target.masks[1:, :20, 8:60] = 1
    evidence = method(2 * noise("image", torch.Size((3, 3, 96, 96))), NAMES)
    near = {"rtol": 1e-4, "atol": 2e-5}
    torch.testing.assert_close(evidence.score, torch.tensor(SCORES), **near)
    with torch.no_grad():
        maps = anomaly_maps(evidence, (96, 96), method.config)
    torch.testing.assert_close(maps[0, ::32, ::32].flatten(), torch.tensor(MAP), **near)
    terms = method.loss(evidence, target)
    torch.testing.assert_close(terms, {name: torch.tensor(value) for name, value in LOSS.items()}, **near)
    assert method.text_prompts is not None
    assert method.visual_prompts is not None
    leaves = [method.text_prompts.static[0], method.visual_prompts.static[0], method.text_prompts.dynamic.weight]
    leaves += [method.class_layer.weight, method.patch_layers[1].weight]
    found = [*torch.autograd.grad(torch.stack([*terms.values()]).sum(), leaves)]
    found[2] = found[2].unflatten(0, (5, -1))[2]
    torch.testing.assert_close(torch.stack([one.norm() for one in found]), torch.tensor(GRADIENTS), rtol=1e-3, atol=0)
