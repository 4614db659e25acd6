"""InCTRL against its equations written out, in use and in training; its batches, memory and checkpoints."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.methods import reproducible
from tests.methods.declared import ADAM, ANSWER
from tests.small import CONFIG, SIZE, frozen, images, tokenizer
from zsad import checkpoint
from zsad.backbones.clip import Clip
from zsad.errors import ConfigError, ImportRefused, WeightsError
from zsad.methods.inctrl.heads import BatchNorm, ScoreHead
from zsad.methods.inctrl.method import InCtrl, InCtrlConfig, binary_focal
from zsad.methods.inctrl.residuals import mixed_up
from zsad.types import BackboneFeatures, Target

CONSTANTS = ANSWER | {
    "levels": (14, 18, 22),  # blocks 7, 9 and 11 of 12
    "temperature": 0.01,  # cosines are multiplied by 100
    "reduction": 4,
    "greatest_weight": 1.0,
    "training_shots": 2,
    "mixed_batch": True,
    "score_logits": True,
    "map": "residual",
}
TRAINING = ADAM | {
    "epochs": 10,
    "batch_size": 16,
    "learning_rate": 1e-3,
    "weight_decay": 0.01,  # AdamW's own
    "decoupled_weight_decay": True,
}
BACKBONE = "ViT-B-16-plus-240"
RECIPE_BACKBONE, RECIPE_WEIGHTS, RECIPE_SIZE = BACKBONE, "laion400m_e31", 240
RECIPE_ROWS = {
    "paper": {},
    "ablation/shots_4": {"training_shots": 4},
    "ablation/shots_8": {"training_shots": 8},
    "ablation/equations": {"mixed_batch": False, "score_logits": False},
}
ROUTES = {
    "image": {"adapter", "residual_head", "head"},  # s_i is a part of M+, which the head reads
    "residual": {"adapter", "residual_head"},
}
LOSS_VARIANTS = [{"score_logits": False}]
QUICK = {"map": "holistic"}
"""The maps of all methods depend on class names and on what is trained, except M, which depends on neither."""

AUTHORS = json.loads((Path(__file__).parent / "authors.json").read_text(encoding="utf-8"))["inctrl"]
NAMES = ["metal nut", "carpet", "metal nut", "transistor"]
NORMAL = (
    "{}",
    "flawless {}",
    "perfect {}",
    "unblemished {}",
    "{} without flaw",
    "{} without defect",
    "{} without damage",
)
ANOMALOUS = ("damaged {}", "{} with flaw", "{} with defect", "{} with damage")
TEMPLATES = [
    f"a {kind}photo of {article} {size}{{}}{end}."
    for article in ("a", "the")
    for kind, size, end in (
        *((kind, "", "") for kind in ("cropped ", "close-up ", "bright ", "dark ", "jpeg corrupted ", "blurry ", "")),
        *(("", size, "") for size in ("small ", "large ")),
        *(("", "", f" for {what}") for what in ("visual inspection", "anomaly detection")),
    )
]
BLOCKS = (1, 2, 3)
"""Of 4: as 7, 9 and 11 of 12, counted from 1, round(14 / 6), round(18 / 6) and round(22 / 6)."""


def made(**options: object) -> InCtrl:
    """With every trained parameter and every running statistic off its start."""
    torch.manual_seed(0)
    method = InCtrl(frozen(), InCtrlConfig(**options))  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in method.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
        for norm in method.modules():
            if isinstance(norm, BatchNorm):
                assert norm.running_mean is not None
                assert norm.running_var is not None
                norm.running_mean.normal_(0, 0.1)
                norm.running_var.uniform_(0.5, 1.5)
    return method.eval()


def fitted(count: int = 2, **options: object) -> InCtrl:
    method = made(**options)
    method.fit_normal(images(count, seed=5))
    return method


# --- the equations


def adapted(method: InCtrl, tokens: Tensor) -> Tensor:
    hidden = (tokens @ method.adapter.down.weight.T).clamp_min(0)
    return (hidden @ method.adapter.up.weight.T).clamp_min(0)


def judged(head: ScoreHead, values: Tensor) -> Tensor:
    """Linear, ReLU, normalisation; the same again; linear, sigmoid. In training with the statistics of the batch."""
    for layer, norm in ((head.first, head.first_norm), (head.second, head.second_norm)):
        values = (values @ layer.weight.T + layer.bias).clamp_min(0)
        mean, variance = norm.running_mean, norm.running_var
        if head.training:
            mean, variance = values.mean(0), ((values - values.mean(0)) ** 2).mean(0)
        assert mean is not None
        assert variance is not None
        values = (values - mean) / (variance + 1e-5).sqrt() * norm.weight + norm.bias
    return 1 / (1 + (-(values @ head.last.weight.T + head.last.bias)[:, 0]).exp())


def text_prior(method: InCtrl, token: Tensor, name: str) -> Tensor:
    states = []
    for wordings in (NORMAL, ANOMALOUS):
        each = method.clip.encode_prompts([t.format(w.format(name)) for t in TEMPLATES for w in wordings]).float()
        mean = (each / each.norm(dim=1, keepdim=True)).mean(0)
        states.append(mean / mean.norm())
    return (100 * torch.stack(states) @ (token / token.norm())).softmax(0)[1]


def patch_residual(patches: Tensor, normal: Tensor) -> Tensor:
    """M_l of one level: [cells, width] against [normal cells, width]."""
    cosines = F.cosine_similarity(patches[:, None], normal[None], dim=-1)
    return (0.5 * (1 - cosines)).amin(1)


def expected(
    method: InCtrl, seen: list[tuple[Tensor, Tensor]], beside: list[tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Levels of M+ / 3, scores and s_i, from patches [levels, cells, width] and tokens of images and normal images."""
    residuals = torch.stack(
        [
            torch.stack([patch_residual(patches[level], normal[level]) for level in range(3)])
            for (patches, _), (normal, _) in zip(seen, beside, strict=True)
        ]
    )
    tokens = torch.stack([token for _, token in seen])
    difference = torch.stack([adapted(method, of).mean(0) for _, of in beside]) - adapted(method, tokens)
    of_tokens = judged(method.residual_head, difference)
    text = torch.stack(
        [text_prior(method, token, name) for token, name in zip(tokens, NAMES[: len(tokens)], strict=True)]
    )
    holistic = residuals + of_tokens[:, None, None] + text[:, None, None]
    greatest = residuals.mean(1).amax(1)
    score = (judged(method.head, holistic.mean(1)) + greatest) / 2
    return holistic / 3, score, of_tokens


def observed(method: InCtrl, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Patches [batch, levels, cells, width] as they leave the blocks, and class tokens in the joint space."""
    trace = method.clip.vision(pixels, keep=range(4))
    patches = torch.stack([trace.kept[block][:, 1:] for block in BLOCKS], 1)
    return patches, method.clip.vision.project(trace.last[:, 0])


@torch.no_grad()
def test_maps_and_scores_are_those_of_the_equations() -> None:
    method = fitted(map="holistic")
    seen = list(zip(*observed(method, images(3)), strict=True))
    patches, tokens = observed(method, images(2, seed=5))
    beside = [(patches.transpose(0, 1).flatten(1, 2), tokens)] * 3
    maps, score, of_tokens = expected(method, seen, beside)
    evidence = method(images(3), NAMES[:3])
    torch.testing.assert_close(evidence.maps.flatten(2), maps, rtol=0, atol=1e-5)
    torch.testing.assert_close(evidence.score, score, rtol=0, atol=1e-5)
    torch.testing.assert_close(evidence.residual, of_tokens, rtol=0, atol=1e-5)
    plain = fitted()
    shift = maps - plain(images(3), NAMES[:3]).maps.flatten(2) / 3
    torch.testing.assert_close(shift, shift.mean((1, 2), keepdim=True).expand_as(shift), rtol=0, atol=1e-5)
    weighted = fitted(greatest_weight=0.5)(images(3), NAMES[:3]).score
    greatest = plain(images(3), NAMES[:3]).maps.mean(1).amax((1, 2))
    torch.testing.assert_close(weighted, (2 * score - greatest + 0.5 * greatest) / 1.5, rtol=0, atol=1e-5)


@pytest.mark.parametrize("mixed", [False, True])
@torch.no_grad()
def test_training_compares_each_image_with_its_own_normal_images_or_with_those_that_the_code_reads(mixed: bool) -> None:
    """In the code [levels, batch] is read as [batch, levels], and [levels, shots, batch] as [batch, levels, shots]."""
    method, batch, shots = made(mixed_batch=mixed, map="holistic").train(), 4, 2
    patches, tokens = observed(method, images(batch))
    normal, normal_tokens = (of.unflatten(0, (batch, shots)) for of in observed(method, images(8, seed=5)))
    seen, beside = [], []
    for image in range(batch):
        if not mixed:
            seen.append((patches[image], tokens[image]))
            beside.append((normal[image].transpose(0, 1).flatten(1, 2), normal_tokens[image]))
            continue
        of_image, of_normal = [], []
        for read in (3 * image, 3 * image + 1, 3 * image + 2):
            level, other = divmod(read, batch)
            of_image.append(patches[other, level])
            places = (read * shots, read * shots + 1)
            in_memory = [(at // (batch * shots), at // batch % shots, at % batch) for at in places]
            of_normal.append(torch.cat([normal[other, shot, level] for level, shot, other in in_memory]))
        seen.append((torch.stack(of_image), tokens[image]))
        of_tokens = [divmod(at, batch) for at in (image * shots, image * shots + 1)]
        beside.append((torch.stack(of_normal), torch.stack([normal_tokens[other, shot] for shot, other in of_tokens])))
    maps, score, residual = expected(method, seen, beside)
    seen_features, normal_features = (method.extract_features(pixels) for pixels in (images(4), images(8, seed=5)))
    evidence = method.predict_in_context(seen_features, normal_features, NAMES)
    torch.testing.assert_close(evidence.maps.flatten(2), maps, rtol=0, atol=1e-5)
    torch.testing.assert_close(evidence.score, score, rtol=0, atol=2e-5)
    torch.testing.assert_close(evidence.residual, residual, rtol=0, atol=2e-5)


@torch.no_grad()
def test_a_batch_of_one_is_not_mixed_up() -> None:
    method = made()
    one, normal = (method.extract_features(pixels) for pixels in (images(1), images(2, seed=5)))
    context = mixed_up(one, normal)
    assert torch.equal(context.patches, one.patches)
    assert torch.equal(context.normal_patches[0], normal.patches.transpose(0, 1).flatten(1, 2))
    assert torch.equal(context.normal_tokens[0], normal.image)
    in_context = method.predict_in_context(one, normal, NAMES[:1])
    remembered = fitted()(images(1), NAMES[:1])
    torch.testing.assert_close(in_context.score, remembered.score, rtol=0, atol=1e-5)


def by_formula(batch: int, seed: int) -> Tensor:
    """Images of 240 px, whose grid of 15 x 15 is written into the authors' code."""
    return 2 * reproducible.values(batch * 3 * 240**2, seed).reshape(batch, 3, 240, 240)


@torch.no_grad()
def test_the_authors_code_answers_the_same() -> None:
    """In use, an image at a time, and on a batch in training, with its order: docs/methods/inctrl.md."""
    vision = replace(CONFIG.vision, depth=12, image_size=240, patch=16)
    clip = Clip("small", replace(CONFIG, vision=vision, activation="gelu"), tokenizer())
    reproducible.fill(clip)
    method = InCtrl(clip.freeze("by formula", "by formula inctrl")).eval()
    for part in (method.adapter, method.residual_head, method.head):
        reproducible.fill(part)
    images_, normal = by_formula(3, 3), by_formula(6, 8)
    method.fit_normal(normal[:2])
    evidence = method(images_[:2], NAMES[:2])
    torch.testing.assert_close(evidence.score, torch.tensor(AUTHORS["scores"]), rtol=0, atol=1e-4)
    torch.testing.assert_close(evidence.residual, torch.tensor(AUTHORS["residuals"]), rtol=0, atol=1e-4)
    method.train()
    ours = method.predict_in_context(method.extract_features(images_), method.extract_features(normal), NAMES[:3])
    torch.testing.assert_close(ours.score, torch.tensor(AUTHORS["training_scores"]), rtol=0, atol=1e-4)
    torch.testing.assert_close(ours.residual, torch.tensor(AUTHORS["training_residuals"]), rtol=0, atol=1e-4)


def test_the_losses_written_out() -> None:
    """(1 - p)^2 (-log p) of the true state; the code takes the score s for log-odds, so that p = 1 / (1 + exp(-s))."""
    labels, score = torch.tensor([0.0, 1.0]), torch.tensor([0.3, 0.6])

    def focal(scores: Tensor, of_logits: bool) -> float:
        odds = [1 / (1 + math.exp(-float(one))) if of_logits else float(one) for one in scores]
        right = (1 - odds[0], odds[1])
        return sum((1 - p) ** 2 * -math.log(p) for p in right) / 2

    for of_logits in (True, False):
        assert float(binary_focal(score, labels, of_logits=of_logits)) == pytest.approx(focal(score, of_logits))
        method = fitted(score_logits=of_logits)
        evidence = method(images(2), NAMES[:2])
        terms = method.loss(evidence, Target(labels, torch.zeros(2, SIZE, SIZE)))
        assert list(terms) == ["image", "residual"]
        assert float(terms["image"].detach()) == pytest.approx(focal(evidence.score.detach(), of_logits), rel=1e-4)
        assert float(terms["residual"].detach()) == pytest.approx(
            focal(evidence.residual.detach(), of_logits), rel=1e-4
        )


def test_it_starts_with_pytorchs_linear_layers_and_batch_normalisation() -> None:
    method = InCtrl(frozen())
    assert [tuple(one.weight.shape) for one in (method.adapter.down, method.adapter.up)] == [(6, 24), (24, 6)]
    assert method.adapter.down.bias is method.adapter.up.bias is None
    narrow = InCtrl(frozen(), InCtrlConfig(reduction=64, training_shots=1))
    assert tuple(narrow.adapter.down.weight.shape) == (1, 24)
    for head, width in ((method.head, 16), (method.residual_head, 24)):
        layers = (head.first, head.second, head.last)
        assert [tuple(one.weight.shape) for one in layers] == [(128, width), (64, 128), (1, 64)]
        for layer in layers:
            bound = 1 / math.sqrt(layer.weight.shape[1])
            assert 0.8 * bound < layer.weight.abs().max() <= bound
        for norm in (head.first_norm, head.second_norm):
            assert (norm.weight == 1).all()
            assert (norm.bias == 0).all()
            assert (norm.eps, norm.momentum) == (1e-5, 0.1)


def test_a_batch_of_one_is_normalised_by_the_running_statistics() -> None:
    norm, plain = BatchNorm(4), nn.BatchNorm1d(4)
    values = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    for _ in range(3):
        torch.testing.assert_close(norm(values), plain(values))
    before = {name: tensor.clone() for name, tensor in norm.state_dict().items()}
    assert torch.equal(norm(values[:1]), plain.eval()(values[:1]))
    assert all(torch.equal(tensor, before[name]) for name, tensor in norm.state_dict().items())


@torch.no_grad()
def test_another_grid_is_brought_to_that_of_the_head() -> None:
    method = fitted(map="holistic")
    evidence = method(images(1, 64), NAMES[:1])
    assert evidence.maps.shape == (1, 3, 8, 8)
    holistic = 3 * evidence.maps.mean(1, keepdim=True)
    pairs = holistic.unflatten(3, (4, 2)).unflatten(2, (4, 2)).mean((3, 5))  # halving takes the mean of 2 x 2
    greatest = fitted()(images(1, 64), NAMES[:1]).maps.mean(1).amax((1, 2))
    by_head = judged(method.head, pairs.flatten(1))
    torch.testing.assert_close(evidence.score, (by_head + greatest) / 2, rtol=0, atol=1e-5)


def test_gradients_pass_through_another_grid_to_what_the_head_reads() -> None:
    method = fitted(greatest_weight=0.0)
    method(images(1, 64), NAMES[:1]).score.sum().backward()
    gradient = method.residual_head.last.weight.grad
    assert gradient is not None
    assert gradient.abs().max() > 0


# --- the memory


@torch.no_grad()
def test_without_normal_images_it_says_so_and_an_image_of_the_memory_can_be_left_out() -> None:
    method = made()
    with pytest.raises(ConfigError, match=r"InCTRL is few-shot only.*zsad fit"):
        method(images(1), NAMES[:1])
    method.fit_normal(images(1, seed=4))
    alone = method(images(2), NAMES[:2])
    method.fit_normal(images(1, seed=5))
    assert (method(images(2), NAMES[:2]).residual - alone.residual).abs().max() > 1e-5
    with method.leaving_out([1]):
        again = method(images(2), NAMES[:2])
    torch.testing.assert_close(again.score, alone.score)
    torch.testing.assert_close(again.maps, alone.maps)


def test_a_memory_whose_class_tokens_are_not_those_of_its_images_is_refused(tmp_path: Path) -> None:
    method = fitted()
    method.class_tokens = method.class_tokens[:1]
    checkpoint.write(checkpoint.Card("inctrl"), method, checkpoint.TrainingRecord(), tmp_path)
    with pytest.raises(WeightsError, match="one row for each image"):
        checkpoint.load_trained_state(made(), tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": ()}, "one layer at least"),
        ({"levels": (25,)}, r"1\.\.24"),
        ({"reduction": 0}, "reduction of an adapter"),
        ({"reduction": 65}, "reduction of an adapter"),
        ({"training_shots": 0}, "normal images beside"),
        ({"training_shots": 65}, "normal images beside"),
        ({"greatest_weight": -1.0}, "greatest residual"),
    ],
)
def test_impossible_constants_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        made(**options)


# --- checkpoints of the authors


def published(embed: int = 640, cells: int = 225, hidden: int | None = None) -> dict[str, Tensor]:
    """The trained modules, with what is never used of them, and some of the tensors of the frozen CLIP."""
    random, hidden = torch.Generator().manual_seed(0), hidden or embed // 4
    state = {"adapter.fc.0.weight": (hidden, embed), "adapter.fc.2.weight": (embed, hidden)}
    shapes: dict[str, tuple[int, ...]] = dict(state)
    for head, width in (("diff_head", cells), ("diff_head_ref", embed)):
        for number, (outer, inner) in enumerate(((128, width), (64, 128), (1, 64)), 1):
            shapes |= {f"{head}.projection{number}.weight": (outer, inner), f"{head}.projection{number}.bias": (outer,)}
        for number, norm_width in enumerate((width, 128, 64), 1):
            shapes |= {f"{head}.bn{number}.{kind}": (norm_width,) for kind in ("weight", "bias")}
            shapes |= {f"{head}.bn{number}.running_{kind}": (norm_width,) for kind in ("mean", "var")}
    tensors = {name: torch.rand(*shape, generator=random) * 0.2 for name, shape in shapes.items()}
    counts = {
        f"{head}.bn{n}.num_batches_tracked": torch.tensor(1000)
        for head in ("diff_head", "diff_head_ref")
        for n in (1, 2, 3)
    }
    clip = ("positional_embedding", "text_projection", "visual.class_embedding", "visual.proj", "ln_final.weight")
    blocks = ("visual.transformer.resblocks.0.attn.in_proj_weight", "transformer.resblocks.11.mlp.c_fc.bias")
    return tensors | counts | dict.fromkeys((*clip, *blocks, "token_embedding.weight"), torch.zeros(2))


def test_a_checkpoint_has_the_parameters_of_the_authors() -> None:
    """Adapter 2 · 640 · 160; heads (225 + 1) · 128 and (640 + 1) · 128, twice 129 · 64 + 65, and 4 · (128 + 64)."""
    found = InCtrl.from_published(published())
    numbers = (tensor.numel() for tensor in found.tensors.values() if tensor.is_floating_point())
    assert sum(numbers) == 2 * 640 * 160 + (226 + 641) * 128 + 2 * (129 * 64 + 65) + 2 * 4 * (128 + 64)
    assert (found.backbone, found.image_size, found.activation, found.options) == ("ViT-B-16-plus-240", 240, "gelu", {})
    assert InCtrl.from_published(published(hidden=80)).options == {"reduction": 8}


@torch.no_grad()
def test_an_imported_detector_answers_as_its_layers_do() -> None:
    theirs, method = published(24, 16), made(map="holistic")
    found = InCtrl.from_published(theirs)
    assert found.tensors.keys() == checkpoint.trained_state(method).keys()
    method.load_state_dict(found.tensors, strict=False)
    method.fit_normal(images(2, seed=5))

    def judge(head: str, values: Tensor) -> Tensor:
        for n in (1, 2):
            values = F.relu(
                F.linear(values, theirs[f"{head}.projection{n}.weight"], theirs[f"{head}.projection{n}.bias"])
            )
            mean, variance, weight, bias = (
                theirs[f"{head}.bn{n + 1}.{kind}"] for kind in ("running_mean", "running_var", "weight", "bias")
            )
            values = F.batch_norm(values, mean, variance, weight, bias)
        last = F.linear(values, theirs[f"{head}.projection3.weight"], theirs[f"{head}.projection3.bias"])
        return last.sigmoid()[:, 0]

    def adapt(tokens: Tensor) -> Tensor:
        return F.relu(F.relu(tokens @ theirs["adapter.fc.0.weight"].T) @ theirs["adapter.fc.2.weight"].T)

    (_, tokens), (_, normal) = (observed(method, pixels) for pixels in (images(3), images(2, seed=5)))
    evidence = method(images(3), NAMES[:3])
    of_tokens = judge("diff_head_ref", adapt(normal).mean(0) - adapt(tokens))
    torch.testing.assert_close(evidence.residual, of_tokens, rtol=0, atol=1e-5)
    greatest = 3 * evidence.maps.mean(1).flatten(1).amax(1) - of_tokens
    greatest -= torch.stack(
        [text_prior(method, token, name) for token, name in zip(tokens, NAMES[: len(tokens)], strict=True)]
    )
    by_head = judge("diff_head", 3 * evidence.maps.mean(1).flatten(1))
    torch.testing.assert_close(evidence.score, (by_head + greatest) / 2, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("diff_head.bn3.running_var"), "bn3.running_var"),
        (lambda state: state.pop("adapter.fc.0.weight"), "adapter.fc.0.weight"),
        (lambda state: state.update({"diff_head.projection4.bias": torch.zeros(1)}), "got diff_head.projection4.bias"),
        (lambda state: state.update({"diff_head_ref.projection1.weight": torch.zeros(128, 30)}), r"\(128, 24\)"),
    ],
)
def test_another_checkpoint_is_refused(change: Callable[[dict[str, Tensor]], object], message: str) -> None:
    state = published(24, 16)
    change(state)
    with pytest.raises(ImportRefused, match=message):
        InCtrl.from_published(state)


def test_what_is_extracted_is_what_is_observed() -> None:
    method = made()
    features = method.extract_features(images(2))
    assert isinstance(features, BackboneFeatures)
    patches, token = observed(method, images(2))
    assert torch.equal(features.patches, patches)
    assert torch.equal(features.image, token)
