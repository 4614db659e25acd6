"""FE-CLIP's adapters against definitions, and what they change in the tower and what they do not."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.small import CONFIG, DEPTH, SIZE, frozen, images
from zsad.backbones import config as configs
from zsad.backbones.clip import Clip
from zsad.backbones.transformer import l2_normalize
from zsad.config import from_mapping
from zsad.errors import ConfigError
from zsad.methods.fe_clip.frequency import Transform, sliding_statistics, transform_matrix
from zsad.methods.fe_clip.method import PROMPTS, ConvGelu, FeClip, FeClipConfig, FrequencyFeatures, Injection
from zsad.parts.losses import dice, focal
from zsad.trainer.recipe import read
from zsad.types import Target

RECIPES = sorted((Path(__file__).parents[2] / "recipes" / "fe-clip").rglob("*.toml"))
NAMES = ["nut", "nut"]
WIDTH = CONFIG.vision.width


def make(config: FeClipConfig | None = None) -> FeClip:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return FeClip(frozen(), config)


def stirred(config: FeClipConfig | None = None, like: FeClip | None = None) -> FeClip:
    """With every trained parameter off its start, and those that ``like`` has too as they are there."""
    method, generator = make(config), torch.Generator().manual_seed(3)
    known = dict(like.named_parameters()) if like else {}
    with torch.no_grad():
        for name, one in method.named_parameters():
            if one.requires_grad:
                one.add_(0.1 * torch.randn(one.shape, generator=generator))
            if name in known and known[name].shape == one.shape:
                one.copy_(known[name])
    return method.eval()


def target() -> Target:
    masks = torch.zeros(2, SIZE, SIZE)
    masks[1, : SIZE // 2] = 1
    return Target(torch.tensor([0.0, 1.0]), masks)


def patches(rows: int = 7, cols: int = 4) -> Tensor:
    return torch.randn(2, rows, cols, WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("transform", ["dct", "fft"])
@pytest.mark.parametrize("size", [(6, 6), (7, 4), (37, 37)])
def test_ffe_that_changes_no_frequency_gives_back_its_input(transform: Transform, size: tuple[int, int]) -> None:
    adapter = FrequencyFeatures(WIDTH, 3, transform)
    adapter.activation = nn.Identity()
    for linear in adapter.linear:
        nn.init.eye_(linear.weight)
    torch.testing.assert_close(adapter(patches(*size)), patches(*size), rtol=1e-5, atol=1e-5)


def test_ffe_is_a_linear_layer_and_a_gelu_between_the_transforms() -> None:
    adapter, (matrix,) = FrequencyFeatures(WIDTH, 3, "dct"), transform_matrix("dct", 3)
    nn.init.normal_(adapter.linear[0].weight)
    nn.init.normal_(adapter.linear[0].bias)
    whole = patches(6, 3)
    for image, row in torch.cartesian_prod(torch.arange(2), torch.arange(0, 6, 3)):
        window = whole[image, row : row + 3].flatten(0, 1)
        expected = matrix.T @ nn.functional.gelu(adapter.linear[0](matrix @ window))
        torch.testing.assert_close(adapter(whole)[image, row : row + 3].flatten(0, 1), expected, rtol=1e-5, atol=1e-4)


def test_fft_treats_real_and_imaginary_parts_by_layers_of_their_own() -> None:
    adapter = FrequencyFeatures(WIDTH, 3, "fft")
    assert len(adapter.linear) == 2
    adapter.activation = nn.Identity()
    nn.init.eye_(adapter.linear[0].weight)  # the imaginary part is dropped: what is odd in a window goes
    windows = patches(3, 3).flatten(1, 2)
    frequencies = torch.fft.fft2(windows.unflatten(1, (3, 3)), dim=(1, 2)).real
    expected = torch.fft.ifft2(frequencies, dim=(1, 2)).real
    torch.testing.assert_close(adapter(patches(3, 3)), expected, rtol=1e-5, atol=1e-5)


def test_a_stage_adds_its_adapters_and_blends() -> None:
    """Equation 2; LFS is statistics, convolution, GELU."""
    method = stirred(FeClipConfig(blend=0.3))
    stage, whole = method.stages[0], patches()
    assert isinstance(stage, Injection)
    ffe, lfs = stage.adapters
    convolution = lfs[1].convolution
    statistics = sliding_statistics(whole, transform_matrix("dct", 3), "mean").permute(0, 3, 1, 2)
    expected = nn.functional.gelu(
        nn.functional.conv2d(statistics, convolution.weight, convolution.bias, padding=1)
    ).permute(0, 2, 3, 1)
    torch.testing.assert_close(lfs(whole), expected, rtol=1e-5, atol=1e-5)
    tokens = torch.cat([torch.ones(2, 1, WIDTH), whole.flatten(1, 2)], 1)
    edited = stage(tokens, (7, 4))
    torch.testing.assert_close(edited[:, :1], tokens[:, :1], rtol=0, atol=0)
    blended = 0.3 * (ffe(whole) + expected) + 0.7 * whole
    torch.testing.assert_close(edited[:, 1:], blended.flatten(1, 2), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_what_is_injected_reaches_the_next_block() -> None:
    method = stirred()
    bare, edited = method.clip.vision(images(2), keep=range(DEPTH)), method.run(images(2))
    assert method.levels == [0, 1, 2, 3]
    for level in range(DEPTH):
        assert (edited.kept[level][:, 1:] - bare.kept[level][:, 1:]).abs().max() > 1e-3
        moved = (edited.kept[level][:, 0] - bare.kept[level][:, 0]).abs().max()
        assert moved > 1e-4 if level else moved == 0
    by_hand = method.clip.vision.transformer.blocks[1](edited.kept[0])
    torch.testing.assert_close(method.stages[1](by_hand, edited.grid), edited.kept[1])


@torch.no_grad()
@pytest.mark.parametrize("adapters", ["both", "conv"])
def test_a_blend_of_zero_leaves_the_tower_as_it_is(adapters: str) -> None:
    method = FeClip(frozen(), from_mapping(FeClipConfig, {"blend": 0.0, "adapters": adapters}, "test"))
    bare, edited = method.clip.vision(images(2), keep=range(DEPTH)), method.run(images(2))
    torch.testing.assert_close(dict(edited.kept), dict(bare.kept), rtol=0, atol=0)
    assert {name for name, one in method.named_parameters() if one.requires_grad} == {"align.0.weight", "align.0.bias"}
    tokens = bare.kept[0]
    still = Injection([module for stage in stirred().stages for module in stage.adapters], 0.0)
    torch.testing.assert_close(still(tokens, bare.grid), tokens, rtol=0, atol=0)


@torch.no_grad()
def test_training_starts_at_the_towers_own_tokens_and_undecided() -> None:
    method = FeClip(frozen())
    bare, edited = method.clip.vision(images(2), keep=[0]), method.run(images(2))
    torch.testing.assert_close(edited.kept[0][:, 1:], 0.9 * bare.kept[0][:, 1:])
    assert (method(images(2), NAMES).maps - 0.5).abs().mean() < 0.25


@torch.no_grad()
def test_maps_and_scores_are_those_of_the_stages() -> None:
    """Equations 1 and 3, written as a softmax over both states."""
    method = stirred()
    clip, evidence, trace = method.clip, method(images(2), NAMES), method.run(images(2))
    texts = torch.cat([l2_normalize(clip.encode_prompts(prompts)) for prompts in PROMPTS])
    scores = []
    for stage, level in enumerate(method.levels):
        projected = clip.vision.norm_post(trace.kept[level][:, 0]) @ clip.vision.projection
        scores.append((l2_normalize(projected) @ texts.T / 0.07).softmax(-1)[:, 1])
        cells = (l2_normalize(method.align[0](trace.kept[level][:, 1:])) @ texts.T / 0.07).softmax(-1)[..., 1]
        torch.testing.assert_close(evidence.maps[:, stage].flatten(1), cells, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(evidence.stage_scores, torch.stack(scores, 1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(evidence.score, torch.stack(scores).mean(0), rtol=1e-4, atol=1e-5)


def test_the_loss_is_the_mean_over_the_stages() -> None:
    """Equations 4 and 5."""
    method, truth = stirred(), target()
    evidence = method(images(2), NAMES)
    terms = method.loss(evidence, truth)
    of_stages: dict[str, list[Tensor]] = {"image": [], "focal": [], "dice": []}
    for stage in range(DEPTH):
        score, labels = evidence.stage_scores[:, stage], truth.labels
        of_stages["image"].append(-(labels * score.log() + (1 - labels) * (1 - score).log()).mean())
        enlarged = nn.functional.interpolate(
            evidence.maps[:, stage, None], (SIZE, SIZE), mode="bilinear", align_corners=False
        )[:, 0]
        of_stages["focal"].append(focal(enlarged, truth.masks))
        of_stages["dice"].append(dice(enlarged, truth.masks))
    assert terms.keys() == of_stages.keys()
    for name, stages in of_stages.items():
        torch.testing.assert_close(terms[name], torch.stack(stages).mean())


@pytest.mark.parametrize("options", [{}, {"transform": "fft", "statistic": "log_abs"}], ids=str)
def test_training_in_bf16_is_near_fp32(options: dict[str, object]) -> None:
    method = stirred(from_mapping(FeClipConfig, options, "test"))
    with torch.autocast("cpu", torch.bfloat16):
        half = method(images(2), NAMES)
    full = method(images(2), NAMES)
    torch.testing.assert_close(half.maps, full.maps, rtol=0, atol=0.05)
    torch.testing.assert_close(half.stage_scores, full.stage_scores, rtol=0, atol=0.05)
    sum(method.loss(half, target()).values(), torch.zeros(())).backward()
    for name, one in method.named_parameters():
        assert not one.requires_grad or (one.grad is not None and one.grad.abs().sum() > 0), name


@torch.no_grad()
def test_with_few_normal_shots_distances_are_added() -> None:
    """Section 4.6, halved."""
    method, seen = stirred(), images(2, seed=1)
    alone = method(images(2), NAMES)
    method.fit_normal(seen)
    assert [tuple(stream.shape) for stream in method.bank.streams] == [(2 * 16, WIDTH)] * 4
    evidence = method(images(2), NAMES)
    distances = method.nearest(method.reference_features(images(2))).unflatten(2, (4, 4))
    assert distances.max() > 1e-2
    torch.testing.assert_close(evidence.maps, (alone.maps + distances) / 2)
    torch.testing.assert_close(evidence.score, (alone.score + distances.mean(1).flatten(1).max(1).values) / 2)
    known = method(seen, NAMES)
    method.forget_normal()
    torch.testing.assert_close(known.maps * 2, method(seen, NAMES).maps, rtol=1e-4, atol=1e-5)


OPTIONS = [
    {"levels": [24]},
    {"blend": 0.5},
    {"adapters": "ffe"},
    {"adapters": "lfs"},
    {"adapters": "conv"},
    {"transform": "fft"},
    {"window": 2},
    {"sliding_window": 2},
    {"statistic": "mean_abs"},
    {"statistic": "log_abs"},
    {"fc_per_stage": True},
    {"post_norm": False},
    {"temperature": 0.2},
]


@torch.no_grad()
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option_reaches_the_answer(options: dict[str, object]) -> None:
    method = stirred()
    other = stirred(from_mapping(FeClipConfig, options, "test"), like=method)
    before, after = (one(images(2), NAMES) for one in (method, other))
    changes = {"maps": after.maps.mean(1) - before.maps.mean(1), "score": after.score - before.score}
    assert changes["score" if options.keys() & {"levels", "post_norm"} else "maps"].abs().max() > 1e-4


def test_the_focal_gamma_reaches_the_loss() -> None:
    ours = stirred()
    theirs = stirred(FeClipConfig(focal_gamma=0.0), like=ours)
    evidence, truth = ours(images(2), NAMES), target()
    before, after = (one.loss(evidence, truth) for one in (ours, theirs))
    large = nn.functional.interpolate(evidence.maps, (SIZE, SIZE), mode="bilinear").flatten(0, 1)
    masks = truth.masks.repeat_interleave(DEPTH, 0)
    torch.testing.assert_close(after["focal"], nn.functional.binary_cross_entropy(large, masks), rtol=1e-3, atol=1e-4)
    assert after["focal"] > 1.5 * before["focal"]
    assert (after["dice"], after["image"]) == (before["dice"], before["image"])


def test_the_constants_of_section_4_2_and_those_that_are_named_nowhere() -> None:
    training, config = FeClip.training_defaults, FeClipConfig()
    assert (training.epochs, training.batch_size, training.learning_rate) == (9, 16, 5e-4)
    assert (training.betas, training.schedule, training.weight_decay) == ((0.9, 0.999), "constant", 0.0)
    assert PROMPTS == (["A photo of a normal object"], ["A photo of a damaged object"])  # section 3.2
    assert (config.blend, config.window, config.sliding_window) == (0.1, 3, 3)  # sections 3.2 to 3.4
    assert (config.temperature, config.sigma, config.focal_gamma) == (0.07, 4.0, 2.0)


@torch.no_grad()
def test_the_same_options_give_the_same_answer() -> None:
    """Without which the tests of options could not fail."""
    torch.testing.assert_close(stirred()(images(2), NAMES).maps, stirred()(images(2), NAMES).maps, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blend": 1.5}, "blend λ lies in"),
        ({"blend": float("nan")}, "blend must be a finite number"),
        ({"window": 0}, "at least 1 patch"),
        ({"sliding_window": 0}, "at least 1 patch"),
        ({"levels": []}, "at least one layer"),
        ({"focal_gamma": -1.0}, "γ of a focal loss is at least 0"),
        ({"adapters": "none"}, "one of both, ffe, lfs, conv"),
        ({"transform": "wavelet"}, "one of dct, fft"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_mapping(FeClipConfig, options, "test")


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="a layer lies in"):
        FeClip(frozen(), FeClipConfig(levels=(25,)))


def test_a_shallow_tower_has_fewer_stages() -> None:
    shallow = replace(CONFIG, vision=replace(CONFIG.vision, depth=2))
    method = FeClip(frozen(shallow))
    assert method.levels == [0, 1]
    assert method(images(1), ["nut"]).maps.shape == (1, 2, 4, 4)


def test_the_conv_adapter_is_as_large_as_lfs() -> None:
    """Table 3."""
    sizes = {
        adapters: sum(one.numel() for stage in FeClip(frozen(), config).stages for one in stage.parameters())
        for adapters in ("lfs", "conv")
        for config in [from_mapping(FeClipConfig, {"adapters": adapters}, "test")]
    }
    assert sizes["lfs"] == sizes["conv"] == DEPTH * (9 * WIDTH**2 + WIDTH)


def test_a_convolution_needs_no_other_layout() -> None:
    adapter = ConvGelu(WIDTH)
    assert adapter.convolution.weight.is_contiguous(memory_format=torch.channels_last)
    assert adapter(patches()).is_contiguous()


def test_on_the_papers_backbone_parameters_have_their_sizes() -> None:
    with torch.device("meta"):
        clip = Clip("ViT-L-14-336", configs.get("ViT-L-14-336"), frozen().tokenizer)
        method = FeClip(clip.freeze("test", "test"))
    trained = {name: tuple(one.shape) for name, one in method.named_parameters() if one.requires_grad}
    assert method.levels == [5, 11, 17, 23]
    assert trained.pop("align.0.weight") == (768, 1024)
    assert trained.pop("align.0.bias") == (768,)
    for stage in range(4):
        assert trained.pop(f"stages.{stage}.adapters.0.linear.0.weight") == (1024, 1024)
        assert trained.pop(f"stages.{stage}.adapters.0.linear.0.bias") == (1024,)
        assert trained.pop(f"stages.{stage}.adapters.1.1.convolution.weight") == (1024, 1024, 3, 3)
        assert trained.pop(f"stages.{stage}.adapters.1.1.convolution.bias") == (1024,)
    assert trained == {}


def test_there_is_a_recipe_for_every_row() -> None:
    assert [path.stem for path in RECIPES] == ["conv", "ffe", "fft", "lfs", "paper"]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_makes_a_method_that_trains(path: Path) -> None:
    recipe = read(str(path))
    assert recipe.method == "fe-clip"
    assert recipe.published.keys() >= {"mvtec", "visa"}
    assert tomllib.loads(path.read_text())["paper"].startswith("FE-CLIP, Table")
    method = FeClip(frozen(), from_mapping(FeClipConfig, recipe.options, path.name)).train()
    sum(method.loss(method(images(2), NAMES), target()).values(), torch.zeros(())).backward()
    for name, one in method.named_parameters():
        assert not one.requires_grad or (one.grad is not None and one.grad.isfinite().all()), name
    assert recipe.training_config() == FeClip.training_defaults


@torch.no_grad()
def test_every_recipe_gives_another_answer() -> None:
    base = stirred()
    methods = [stirred(from_mapping(FeClipConfig, read(str(path)).options, path.name), like=base) for path in RECIPES]
    answers = [method(images(2), NAMES).maps for method in methods]
    for first in range(len(answers)):
        for second in range(first):
            assert (answers[first] - answers[second]).abs().max() > 1e-4
