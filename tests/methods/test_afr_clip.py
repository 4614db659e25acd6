"""AFR-CLIP written out equation by equation, each module against a loop, and every option and recipe."""

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import ResNetConfig, ResNetModel

from tests.small import CONFIG, SIZE, assert_unchanged, frozen, images, snapshot
from zsad import checkpoint
from zsad.backbones import config as configs
from zsad.backbones.clip import Clip
from zsad.backbones.config import ClipConfig
from zsad.config import from_mapping
from zsad.errors import ConfigError, InputError, WeightsError
from zsad.methods._trainable import TrainingConfig
from zsad.methods.afr_clip.method import PROMPTS, AfrClip, AfrClipConfig, aggregate
from zsad.methods.afr_clip.self_prompts import Placement, prompted_blocks
from zsad.parts.images import unnormalised
from zsad.parts.losses import dice, focal, image_cross_entropy
from zsad.types import Evidence, Target

DEEPER = replace(CONFIG, vision=replace(CONFIG.vision, depth=8))
RECIPES = sorted((Path(__file__).parents[2] / "recipes" / "afr-clip").rglob("*.toml"))
NAMES = ["metal nut", "carpet"]
LEVELS = [1, 3, 5, 7]


def make(options: AfrClipConfig | None = None, backbone: ClipConfig = DEEPER, stirred: bool = True) -> AfrClip:
    """As fresh, or with every trained parameter off its start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        method = AfrClip(frozen(backbone), options or AfrClipConfig()).eval()
        if stirred:
            with torch.no_grad():
                for one in method.parameters():
                    if one.requires_grad:
                        one.add_(0.1 * torch.randn_like(one))
    return method


def judge(method: AfrClip, size: tuple[int, int] = (SIZE, SIZE)) -> Evidence:
    with torch.inference_mode():
        return method(images(2, *size), NAMES)


def target() -> Target:
    masks = torch.zeros(2, SIZE, SIZE)
    masks[1, : SIZE // 2, : SIZE // 2] = 1
    return Target(torch.tensor([0.0, 1.0]), masks)


def variant(method: AfrClip, **changes: Any) -> AfrClip:
    """Another configuration with the same parameters, as far as it has them."""
    other = make(replace(method.config, **changes))
    other.load_state_dict(
        {key: one for key, one in method.state_dict().items() if key in other.state_dict()}, strict=False
    )
    return other


def record_blocks(method: AfrClip) -> tuple[list[Tensor], list[Tensor]]:
    """What each block of the vision tower will take in and give out, once the method is asked."""
    seen: list[Tensor] = []
    made: list[Tensor] = []
    for block in method.clip.vision.transformer.blocks:
        block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        block.register_forward_hook(lambda _, inputs, output: made.append(output))
    return seen, made


def slow_mean(plane: Tensor, side: int) -> Tensor:
    """The mean of each cell's neighbours that exist; [rows, cols, embed]."""
    rows, cols, _ = plane.shape
    reach, out = side // 2, torch.empty_like(plane)
    for row in range(rows):
        for col in range(cols):
            near = [
                plane[r, c]
                for r in range(row - reach, row + reach + 1)
                for c in range(col - reach, col + reach + 1)
                if 0 <= r < rows and 0 <= c < cols
            ]
            out[row, col] = torch.stack(near).mean(0)
    return out


# --- the method


@torch.no_grad()
def written_out(method: AfrClip, image: Tensor, class_name: str) -> tuple[Tensor, Tensor]:
    """Equations 1-21 for one image, a patch at a time."""
    clip, config = method.clip, method.config
    assert method.cnn is not None
    assert method.prompts is not None
    assert method.prompts.learned is not None
    assert method.prompts.heads is not None
    mean, std = (torch.tensor(of)[:, None, None] for of in (clip.config.mean, clip.config.std))
    heads = method.prompts.heads(method.cnn((image * std + mean)[None])).reshape(config.prompts, -1)
    prompts = (heads + method.prompts.learned)[None]
    tokens, grid = clip.vision.embed(image[None])
    cells, kept = grid[0] * grid[1], {}
    for index, block in enumerate(clip.vision.transformer.blocks):
        if index in prompted_blocks(config.stages, 8):
            patches_left = cells - config.prompts if config.placement == "replace" else cells
            tokens = torch.cat([tokens[:, : 1 + patches_left], prompts], 1)
        else:
            tokens = tokens[:, : 1 + cells]
        tokens = block(tokens)
        kept[index] = tokens[0, : 1 + cells]
    ids = [clip.tokenizer.encode(prompt.format(class_name)) for prompt in PROMPTS]
    normal, defective, stateless = (method.textual(clip.text(torch.tensor([one])))[0] for one in ids)
    maps, scores = [], []
    for stage, index in enumerate(LEVELS):
        visual = method.visual[stage](kept[index])
        patches = slow_mean(visual[1:].reshape(*grid, -1), config.neighbourhood).flatten(0, 1)
        rectifier, chances = method.rectifiers[stage], []
        for feature in (visual[0], *patches):
            hidden = rectifier.first(torch.cat([feature, stateless])).relu()
            text = stateless + feature * rectifier.last(rectifier.second(hidden).sigmoid())
            cosines = torch.stack([F.cosine_similarity(text, state, dim=0) for state in (normal, defective)])
            chances.append((cosines / config.temperature).softmax(0)[1])
        scores.append(chances[0])
        maps.append(torch.stack(chances[1:]).reshape(grid))
    return torch.stack(maps), torch.stack(scores).mean()


@pytest.mark.parametrize("placement", ["append", "replace"])
@pytest.mark.parametrize("stages", [1, 3, 4])
@pytest.mark.parametrize("size", [(SIZE, SIZE), (40, 24)])
def test_it_is_the_paper_written_out(size: tuple[int, int], stages: int, placement: Placement) -> None:
    method = make(AfrClipConfig(stages=stages, placement=placement))
    evidence = judge(method, size)
    for number, class_name in enumerate(NAMES):
        maps, score = written_out(method, images(2, *size)[number], class_name)
        torch.testing.assert_close(evidence.maps[number], maps, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(evidence.score[number], score, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_a_rectifier_of_zeros_scores_the_plain_prompt_everywhere() -> None:
    method = make(stirred=False)
    for rectifier in method.rectifiers:
        rectifier.last.weight.zero_()
        rectifier.last.bias.zero_()
    evidence = judge(method)
    for number, class_name in enumerate(NAMES):
        normal, defective, stateless = method.clip.encode_prompts([prompt.format(class_name) for prompt in PROMPTS])
        cosines = torch.stack([F.cosine_similarity(stateless, state, dim=0) for state in (normal, defective)])
        plain = (cosines / 0.07).softmax(0)[1]
        torch.testing.assert_close(evidence.maps[number], plain.expand(4, 4, 4), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(evidence.score[number], plain, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_without_cmfr_the_visual_feature_itself_is_compared() -> None:
    method = make(AfrClipConfig(rectify=False, neighbourhood=1, self_prompting=False))
    trace, evidence = method.clip.vision(images(2), keep=LEVELS), judge(method)
    texts = method.textual(method.clip.encode_prompts([prompt.format(NAMES[1]) for prompt in PROMPTS[:2]]))
    scores = []
    for stage, index in enumerate(LEVELS):
        visual = method.visual[stage](trace.kept[index][1])
        cosines = torch.stack([F.cosine_similarity(visual, text[None]) for text in texts], 1)
        expected = (cosines / 0.07).softmax(1)[:, 1]
        scores.append(expected[0])
        torch.testing.assert_close(evidence.maps[1, stage], expected[1:].reshape(4, 4), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(evidence.score[1], torch.stack(scores).mean(), rtol=1e-4, atol=1e-5)


def test_every_image_has_one_class_name() -> None:
    with pytest.raises(InputError, match="every image has one class name; got 1 for 2"):
        make()(images(2), ["nut"])


# --- MPFA


@pytest.mark.parametrize("grid", [(4, 4), (5, 3), (2, 2), (1, 6), (2, 7)])
@pytest.mark.parametrize("side", [1, 3, 5])
def test_mpfa_is_the_mean_of_the_neighbours_that_exist(grid: tuple[int, int], side: int) -> None:
    features = torch.randn(2, 1 + grid[0] * grid[1], 6, generator=torch.Generator().manual_seed(0))
    ours = aggregate(features, grid, side)
    torch.testing.assert_close(ours[:, 0], features[:, 0], rtol=0, atol=0)
    for image in range(2):
        expected = slow_mean(features[image, 1:].reshape(*grid, 6), side)
        torch.testing.assert_close(ours[image, 1:].reshape(*grid, 6), expected)


def test_a_corner_is_the_mean_of_four() -> None:
    features = torch.zeros(1, 10, 1)
    features[0, 1] = 4
    plane = aggregate(features, (3, 3), 3)[0, 1:, 0].reshape(3, 3)
    torch.testing.assert_close(plane[:2, :2], torch.tensor([[1, 4 / 6], [4 / 6, 4 / 9]]))
    assert plane[2].abs().sum() == plane[:, 2].abs().sum() == 0


# --- the CNN


def test_the_cnn_sees_the_image_unnormalised_again(monkeypatch: pytest.MonkeyPatch) -> None:
    method, seen = make(), []
    assert method.cnn is not None
    method.cnn.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    colours = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(of)[:, None, None] for of in (CONFIG.mean, CONFIG.std))
    with torch.no_grad():
        method((colours - mean) / std, NAMES)
    torch.testing.assert_close(seen[0], colours)


def test_the_cnn_is_frozen_stays_in_evaluation_mode_and_is_not_saved() -> None:
    method = make().train()
    assert method.cnn is not None
    before = snapshot(method.cnn)
    trained = [one for one in method.parameters() if one.requires_grad]
    sum(method.loss(method(images(2), NAMES), target()).values(), torch.zeros(())).backward()
    torch.optim.Adam(trained, lr=0.1).step()
    assert_unchanged(method.cnn, before)
    assert not any(module.training for module in method.cnn.modules())
    assert not any(one.requires_grad for one in method.cnn.parameters())
    assert {name.split(".")[0] for name in checkpoint.trained_state(method)} == {
        "visual",
        "textual",
        "rectifiers",
        "prompts",
    }


@torch.no_grad()
def test_the_cnn_can_be_none_and_each_image_gets_the_same_prompts() -> None:
    method = make(AfrClipConfig(cnn="none"))
    assert method.cnn is None
    assert method.prompts is not None
    assert method.prompts.heads is None
    assert method.prompts(None).shape == (1, 5, DEEPER.vision.width)
    blind = variant(method, cnn="efficientnet-lite0")
    assert blind.prompts is not None
    assert blind.prompts.heads is not None
    assert (judge(method).maps - judge(blind).maps).abs().max() > 1e-4
    blind.prompts.heads.weight.zero_()
    blind.prompts.heads.bias.zero_()
    torch.testing.assert_close(judge(method).maps, judge(blind).maps)
    torch.testing.assert_close(judge(method).score, judge(blind).score)


def test_the_cnn_can_be_a_resnet_in_a_folder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])).save_pretrained(tmp_path)
    method = make(AfrClipConfig(cnn="resnet50", cnn_weights=str(tmp_path)))
    assert method.prompts is not None
    assert method.prompts.heads is not None
    assert method.prompts.heads.in_features == 16
    assert judge(method).maps.isfinite().all()
    with pytest.raises(WeightsError, match="resnet50 needs its weights to be named"):
        make(AfrClipConfig(cnn="resnet50"))


def test_what_was_trained_beside_another_cnn_is_refused(tmp_path: Path) -> None:
    ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])).save_pretrained(tmp_path / "cnn")
    method = make(AfrClipConfig(cnn="resnet50", cnn_weights=str(tmp_path / "cnn")))
    checkpoint.write(checkpoint.Card("afr-clip"), method, checkpoint.TrainingRecord(), tmp_path)
    sizes = r"heads\.weight.*\[160, 16\].*\[160, 320\]\)\. Remedy: .* train again"
    with pytest.raises(WeightsError, match=f"fits the backbone and the options; got .*{sizes}"):
        checkpoint.load_trained_state(make(), tmp_path)


# --- options


@pytest.mark.parametrize(
    "changes",
    [
        {"levels": (6, 24)},
        {"rectify": False},
        {"rectifiers": "shared"},
        {"neighbourhood": 1},
        {"neighbourhood": 5},
        {"self_prompting": False},
        {"stages": 2},
        {"stages": 3},
        {"stages": 4},
        {"placement": "replace"},
        {"cnn": "none"},
        {"learned_prompts": False},
        {"temperature": 1.0},
    ],
    ids=str,
)
def test_every_option_changes_the_answer_at_the_same_parameters(changes: dict[str, Any]) -> None:
    method = make()
    ours, theirs = judge(method), judge(variant(method, **changes))
    assert (ours.maps.mean(1) - theirs.maps.mean(1)).abs().max() > 1e-4
    assert "neighbourhood" in changes or (ours.score - theirs.score).abs().max() > 1e-5


def test_the_number_of_prompts_is_an_option() -> None:
    method = make(AfrClipConfig(prompts=2))
    assert method.prompts is not None
    assert method.prompts.learned is not None
    assert method.prompts.learned.shape == (2, DEEPER.vision.width)


@pytest.mark.parametrize("stages", [1, 2, 3, 4])
def test_replaced_patches_are_the_last_ones_and_the_grid_keeps_its_size(stages: int) -> None:
    method = make(AfrClipConfig(placement="replace", stages=stages))
    seen, made = record_blocks(method)
    assert judge(method).maps.shape == (2, 4, 4, 4)
    assert method.prompts is not None
    assert method.cnn is not None
    with torch.inference_mode():
        prompts = method.prompts(method.cnn(unnormalised(images(2), method.clip.config)))
    for index in range(1, DEEPER.vision.depth):
        replaced = 5 if index in prompted_blocks(stages, DEEPER.vision.depth) else 0
        assert seen[index].shape == (2, 17, DEEPER.vision.width)
        torch.testing.assert_close(seen[index][:, : 17 - replaced], made[index - 1][:, : 17 - replaced], rtol=0, atol=0)
        if replaced:
            torch.testing.assert_close(seen[index][:, -5:], prompts)


def test_the_letter_keeps_probabilities_near_one_half() -> None:
    method = make()
    maps, plain = judge(method).maps, judge(variant(method, temperature=1.0)).maps
    assert 1 / (1 + torch.e**2) <= plain.min() <= plain.max() <= 1 / (1 + torch.e**-2)
    for stage in range(len(LEVELS)):
        torch.testing.assert_close(plain[:, stage].logit(), 0.07 * maps[:, stage].logit(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"levels": ()}, "levels are layers"),
        ({"levels": (6, 25)}, "levels are layers"),
        ({"neighbourhood": 2}, "odd number of patches"),
        ({"neighbourhood": -1}, "odd number of patches"),
        ({"prompts": 0}, "at least 1 prompt"),
        ({"stages": 0}, "stages 1 to 4"),
        ({"stages": 5}, "stages 1 to 4"),
        ({"cnn": "none", "learned_prompts": False}, "self_prompting = false"),
        ({"cnn": "none", "cnn_weights": "folder"}, "weights belong to a CNN for prompts"),
        ({"self_prompting": False, "cnn_weights": "folder"}, "weights belong to a CNN for prompts"),
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        AfrClipConfig(**options)


# --- loss and training


@pytest.mark.parametrize("map_loss", ["mean", "stages"])
def test_the_loss_is_that_of_the_mean_map_or_the_mean_of_the_stages(map_loss: str) -> None:
    method = make(from_mapping(AfrClipConfig, {"map_loss": map_loss}, "options"))
    evidence, truth = judge(method), target()
    terms = method.loss(evidence, truth)
    large = F.interpolate(evidence.maps, truth.masks.shape[-2:], mode="bilinear", align_corners=False)
    each = [large.mean(1)] if map_loss == "mean" else list(large.unbind(1))
    for name, term in (("focal", focal), ("dice", dice)):
        expected = torch.stack([term(maps, truth.masks) for maps in each]).mean()
        torch.testing.assert_close(terms[name], expected)
    torch.testing.assert_close(terms["image"], image_cross_entropy(evidence.score, truth.labels))


def test_training_is_the_papers() -> None:
    training = AfrClip.training_defaults
    assert training == TrainingConfig(epochs=100, batch_size=4, learning_rate=1e-3, schedule="inverse")
    rates = [training.learning_rate * training.rate(epoch) for epoch in (0, 1, 99)]
    assert rates == pytest.approx([1e-3, 5e-4, 1e-5])


def test_probabilities_stay_fp32_where_training_runs_in_bf16() -> None:
    method = make().train()
    exact = judge(method)
    with torch.autocast("cpu", torch.bfloat16):
        evidence = method(images(2), NAMES)
        terms = method.loss(evidence, target())
    assert evidence.maps.dtype == evidence.score.dtype == torch.float32
    torch.testing.assert_close(evidence.maps, exact.maps, rtol=0, atol=0.1)
    sum(terms.values(), torch.zeros(())).backward()
    assert all(one.grad is not None and one.grad.isfinite().all() for one in method.parameters() if one.requires_grad)


def test_texts_begin_as_clip_has_them() -> None:
    method = make(stirred=False)
    texts = method.clip.encode_prompts([prompt.format("carpet") for prompt in PROMPTS])
    torch.testing.assert_close(method._texts(["carpet"], 1)[0], texts)


# --- what the paper names


def test_the_sentences_and_the_constants_of_the_paper() -> None:
    """Sections "CMFR" and "Implementation Details", and what was decided where it is silent."""
    assert PROMPTS == ("A photo of a normal {}", "A photo of a defective {}", "A photo of a {}")
    config, training = AfrClipConfig(), AfrClip.training_defaults
    assert (config.levels, config.prompts, config.neighbourhood, config.stages) == ((6, 12, 18, 24), 5, 3, 1)
    assert (config.temperature, config.sigma, config.align_corners, config.map_loss) == (0.07, 4.0, False, "mean")
    assert (training.epochs, training.batch_size, training.learning_rate) == (100, 4, 1e-3)
    assert [training.rate(epoch) for epoch in (0, 1, 3)] == [1, 0.5, 0.25]  # 0.001 / (epoch + 1)


# --- recipes


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_builds_answers_and_trains(path: Path) -> None:
    recipe = tomllib.loads(path.read_text(encoding="utf-8"))
    assert recipe["method"] == "afr-clip"
    assert recipe["backbone"] in configs.names()
    assert recipe["published"]["mvtec"].keys() >= {"image_auroc", "pixel_auroc"}
    options = from_mapping(AfrClipConfig, recipe.get("options", {}), path.name)
    assert "training" not in recipe  # it trains as the method says
    method = make(options).train()
    sum(method.loss(method(images(2), NAMES), target()).values(), torch.zeros(())).backward()
    for name, one in method.named_parameters():
        assert not one.requires_grad or (one.grad is not None and one.grad.abs().sum() > 0), name


def test_no_two_recipes_are_the_same_and_they_vary_what_the_tables_vary() -> None:
    told = [tomllib.loads(path.read_text(encoding="utf-8")).get("options", {}) for path in RECIPES]
    configurations = {from_mapping(AfrClipConfig, options, "options") for options in told}
    assert len(configurations) == len(RECIPES) == 13
    for options in told:
        assert all(getattr(AfrClipConfig(), name) != value for name, value in options.items())
    tables_3_to_6 = {"rectify", "self_prompting", "neighbourhood", "stages", "cnn", "learned_prompts"}
    letter = {"temperature", "placement"}
    assert {name for options in told for name in options} == tables_3_to_6 | letter


def test_the_letter_of_the_equations() -> None:
    """Equations 9 and 13 have no temperature; equation 18 writes over the last K tokens of a layer."""
    (path,) = (path for path in RECIPES if path.stem == "equations")
    assert tomllib.loads(path.read_text(encoding="utf-8"))["options"] == {"temperature": 1.0, "placement": "replace"}


# --- the real architecture


def test_on_the_papers_backbone_parameters_have_the_papers_shapes() -> None:
    config = configs.get("ViT-L-14-336")
    with torch.device("meta"):
        method = AfrClip(Clip("ViT-L-14-336", config, frozen().tokenizer).freeze("none", "meta"), AfrClipConfig())
    shapes = {name: tuple(one.shape) for name, one in method.named_parameters() if one.requires_grad}
    assert shapes["visual.3.weight"] == (768, 1024)
    assert shapes["textual.weight"] == (768, 768)
    assert shapes["prompts.learned"] == (5, 1024)
    assert shapes["prompts.heads.weight"] == (5 * 1024, 320)
    assert shapes["rectifiers.0.first.weight"] == (768, 2 * 768)
    assert shapes["rectifiers.3.second.weight"] == (2 * 768, 768)
    assert shapes["rectifiers.3.last.weight"] == (768, 2 * 768)


def test_another_cnn_is_another_fingerprint() -> None:
    clip = frozen()
    none, embedded = AfrClip(clip, AfrClipConfig(cnn="none")), AfrClip(clip)
    assert none.fingerprint == clip.fingerprint
    before = embedded.fingerprint
    assert before == AfrClip(clip).fingerprint != clip.fingerprint
    assert embedded.cnn is not None
    with torch.no_grad():
        next(embedded.cnn.parameters()).flatten()[0].add_(1)
    assert embedded.fingerprint != before
