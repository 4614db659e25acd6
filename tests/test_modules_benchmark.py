"""The benchmark that takes modules out of trained detectors: they are really out, and its numbers are what they say."""

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.modules.__main__ import DETECTORS, cells, main
from benchmarks.modules.edits import Module, at, observe_once, skip, without
from benchmarks.modules.listed import modules_of
from benchmarks.modules.measured import METRICS, Answers, Effect, Labelled, effect, metrics, rank_correlation
from scipy.special import expit
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

import zsad
from tests import small
from tests.trainer.toys import draw
from zsad import methods
from zsad.data.specification import data_set
from zsad.errors import ConfigError
from zsad.methods._base import Config, Method
from zsad.methods.acd_clip.method import AcdClip, AcdClipConfig
from zsad.methods.afr_clip.method import AfrClip, AfrClipConfig
from zsad.methods.fe_clip.method import FeClip, FeClipConfig
from zsad.methods.kanoclip.method import KanoClip, KanoClipConfig
from zsad.methods.wmoe_clip.method import WMoEClip, WMoEClipConfig
from zsad.types import Evidence

NAMES = ("metal nut", "carpet", "metal nut")


@cache
def trained(name: str, **options: Any) -> Method:
    """With every trained number somewhere, so that each matters to the answer."""
    kind = methods.get(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        method = kind(small.frozen(), kind.config_type(**options)).eval()
        with torch.no_grad():
            for one in method.parameters():
                if one.requires_grad:
                    one.add_(0.2 * torch.randn(one.shape))
    return method


@torch.inference_mode()
def judge(method: Method) -> Evidence:
    return method(small.images(3, seed=1), NAMES)


def module(method: Method, name: str) -> Module[Any]:
    """The one whose name begins so."""
    (found,) = (one for one in modules_of(method) if one.name.startswith(name))
    return found


def left(name: str, taken_out: str, **options: Any) -> Evidence:
    method = trained(name, **options)
    return judge(without(method, module(method, taken_out)))


CASES = [
    *((name, {}) for name in DETECTORS),
    ("fe-clip", {"adapters": "conv", "fc_per_stage": True}),
    ("fe-clip", {"adapters": "lfs"}),
    ("fe-clip", {"transform": "fft"}),
    ("fe-clip", {"blend": 0.0}),
    ("acd-clip", {"variant": "paper"}),
    ("acd-clip", {"adapter": "lora", "fusion": "static"}),
    ("kanoclip", {"fusion": "linear", "learned_prompts": False, "adapter_residual": 0.5}),
    ("kanoclip", {"global_token": "vv", "norm": "sum"}),
    ("kanoclip", {"vv_attention": False, "fusion": "none", "conv_adapter": False}),
    ("wmoe-clip", {"wavelet_attention": False}),
    ("wmoe-clip", {"semantic_experts": False, "distribution_sampling": False}),
    ("afr-clip", {"rectifiers": "shared", "cnn": "none"}),
    ("afr-clip", {"rectify": False, "self_prompting": False, "neighbourhood": 1}),
    ("afr-clip", {"levels": (24,)}),
]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_every_module_that_is_taken_out_changes_the_answer_and_nothing_else(name: str, options: dict[str, Any]) -> None:
    method = trained(name, **options)
    before, tensors = judge(method), small.snapshot(method)
    listed = modules_of(method)
    assert len({one.name for one in listed}) == len(listed)
    for one in listed:
        after = judge(without(method, one))
        maps = after.maps.mean(1) - before.maps.mean(1)
        assert max(maps.abs().max(), (after.score - before.score).abs().max()) > 1e-6, one.name
    small.assert_unchanged(method, tensors)
    torch.testing.assert_close(judge(method).maps, before.maps, rtol=0, atol=0)


NEEDED = {
    "fe-clip": ("injection", "FFE", "LFS", "f_c", *(f"f_c at stage {stage}" for stage in (1, 2, 3, 4))),
    "acd-clip": ("vision Conv-LoRA", "3×3", "5×5", "text LoRA", "gateway", "maximum of the map"),
    "kanoclip": (
        "learned vectors",
        "V-V attention",
        "class token of the original path",
        "Bi-CMCI: self-attention of texts",
        "Bi-CMCI: deformable",
        "Bi-CMCI: text-to-visual",
        "Bi-CMCI: visual-to-text",
        "Bi-CMCI: offsets",
        "Conv-Adapter",
    ),
    "wmoe-clip": (
        "learned vectors v_i",
        "CTDS: r_i",
        "WCMA: F'_T",
        "WCMA: F_H",
        "WCMA: W_h",
        "SA-MoE: x_p",
        "SA-MoE: routing",
        "max M",
    ),
    "afr-clip": ("CMFR", "MPFA", "SP", "SP: P_v", "SP: P_l", "stage 1", "stage 2", "stage 3", "stage 4"),
}
"""Modules that the papers name."""


@pytest.mark.parametrize("name", DETECTORS)
def test_the_modules_of_the_papers_are_listed(name: str) -> None:
    listed = [one.name for one in modules_of(trained(name))]
    assert [wanted for wanted in NEEDED[name] if not any(one.startswith(wanted) for one in listed)] == []


Build = tuple[str, str, type[Method], Config]
WITHOUT: list[Build] = [
    ("fe-clip", "injection (eq. 2)", FeClip, FeClipConfig(blend=0.0)),
    ("fe-clip", "LFS", FeClip, FeClipConfig(adapters="ffe")),
    ("kanoclip", "V-V attention", KanoClip, KanoClipConfig(vv_attention=False)),
    ("kanoclip", "Bi-CMCI (2.4)", KanoClip, KanoClipConfig(fusion="none")),
    ("kanoclip", "Conv-Adapter", KanoClip, KanoClipConfig(conv_adapter=False)),
    ("wmoe-clip", "CTDS: r_i", WMoEClip, WMoEClipConfig(distribution_sampling=False)),
    ("wmoe-clip", "WCMA: F'_T", WMoEClip, WMoEClipConfig(wavelet_attention=False)),
    ("wmoe-clip", "SA-MoE: x_p", WMoEClip, WMoEClipConfig(semantic_experts=False)),
    ("wmoe-clip", "SA-MoE: routing", WMoEClip, WMoEClipConfig(active_experts=8)),
    ("afr-clip", "CMFR (eq", AfrClip, AfrClipConfig(rectify=False)),
    ("afr-clip", "MPFA", AfrClip, AfrClipConfig(neighbourhood=1)),
    ("afr-clip", "SP (eq", AfrClip, AfrClipConfig(self_prompting=False)),
    ("afr-clip", "SP: P_v", AfrClip, AfrClipConfig(cnn="none")),
    ("afr-clip", "SP: P_l", AfrClip, AfrClipConfig(learned_prompts=False)),
]


@pytest.mark.parametrize(("name", "taken_out", "kind", "config"), WITHOUT)
def test_without_a_module_a_method_is_the_one_that_was_built_without_it(
    name: str, taken_out: str, kind: type[Method], config: Config
) -> None:
    built = kind(small.frozen(), config).eval()
    built.load_state_dict(trained(name).state_dict(), strict=False)
    if taken_out == "SA-MoE: routing":
        assert isinstance(built, WMoEClip)
        assert built.aggregation is not None
        torch.nn.init.zeros_(built.aggregation.experts.gate.weight)
        torch.nn.init.zeros_(built.aggregation.experts.gate.bias)
    found, wanted = left(name, taken_out), judge(built)
    torch.testing.assert_close(found.maps, wanted.maps, rtol=0, atol=0)
    torch.testing.assert_close(found.score, wanted.score, rtol=0, atol=0)


def test_samples_as_long_as_the_learned_vectors_go_with_them() -> None:
    method = trained("wmoe-clip", sample="scaled")
    assert module(method, "learned vectors").place == "0, and r_i as long as they"
    bare = without(method, module(method, "CTDS: r_i"))
    found = judge(without(method, module(method, "learned vectors")))
    wanted = judge(without(bare, module(bare, "learned vectors")))
    torch.testing.assert_close(found.score, wanted.score)


def test_ffe_leaves_lfs_and_the_token() -> None:
    """Equation 2 with f_ffe = 0, in the first stage."""
    method = trained("fe-clip")
    assert isinstance(method, FeClip)
    tokens = torch.randn(2, 1 + 4 * 4, 32, generator=torch.Generator().manual_seed(5))
    lfs = method.stages[0].adapters[1](tokens[:, 1:].unflatten(1, (4, 4))).flatten(1, 2)
    stage = without(method, module(method, "FFE")).stages[0]
    torch.testing.assert_close(stage(tokens, (4, 4))[:, 1:], 0.1 * lfs + 0.9 * tokens[:, 1:])


def test_the_projection_of_clip_stands_in_for_f_c_at_one_stage_alone() -> None:
    method = trained("fe-clip")
    assert isinstance(method, FeClip)
    whole, part = judge(method), left("fe-clip", "f_c at stage 3")
    trace = method.run(small.images(3, seed=1))
    tower, states = method.clip.vision, small_states(method)
    features = tower.project(trace.kept[method.levels[2]][:, 1:]).double()
    cosines = torch.nn.functional.normalize(features, dim=-1) @ states.double().transpose(0, 1)
    expected = torch.softmax(cosines / 0.07, -1)[..., 1].unflatten(1, trace.grid)
    torch.testing.assert_close(part.maps[:, 2].double(), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(part.maps[:, [0, 1, 3]], whole.maps[:, [0, 1, 3]], rtol=0, atol=0)


def small_states(method: FeClip) -> Tensor:
    prompts = [text for state in method.prompts("") for text in state]
    return torch.nn.functional.normalize(method.clip.encode_prompts(prompts).float(), dim=-1)


def test_equal_weights_stand_in_for_the_gateway() -> None:
    method = trained("acd-clip")
    assert isinstance(method, AcdClip)
    texts = torch.randn(2, 2, 2, 32, generator=torch.Generator().manual_seed(6))
    visual = torch.randn(2, 16, 32, generator=torch.Generator().manual_seed(7))
    group = without(method, module(method, "gateway (eq")).vision_groups[0]
    torch.testing.assert_close(group.describe(visual, texts), texts.mean(1))


def test_without_neighbours_a_conv_lora_looks_at_one_token() -> None:
    method = trained("acd-clip")
    assert isinstance(method, AcdClip)
    tokens = torch.randn(1, 16, 32, generator=torch.Generator().manual_seed(8))
    moved = tokens.clone()
    moved[:, 5] += 1
    for found, touched in ((method, 16), (without(method, module(method, "neighbours")), 1)):
        update = found.vision_groups[0].adapter.update
        changed = (update(moved, (4, 4)) - update(tokens, (4, 4))).abs().amax(-1) > 1e-6
        assert changed.sum() == touched


@pytest.mark.parametrize(
    ("name", "half", "other"),
    [
        ("kanoclip", "class token in the score", "max M in the score"),
        ("wmoe-clip", "s_txt in the score", "max M in the score"),
    ],
)
def test_the_two_halves_of_a_score_make_the_score(name: str, half: str, other: str) -> None:
    whole, highest, told = judge(trained(name)), left(name, half), left(name, other)
    torch.testing.assert_close((highest.score + told.score) / 2, whole.score)
    if name == "wmoe-clip":
        torch.testing.assert_close(highest.score, whole.maps.mean(1).amax((1, 2)))


@pytest.mark.parametrize(("weight", "taken_out"), [(0, "maximum of the map"), (1, "whole image")])
def test_acd_clip_is_scored_by_one_of_its_answers(weight: int, taken_out: str) -> None:
    method = deepcopy(trained("acd-clip"))
    method.config = AcdClipConfig(map_weight=weight)
    torch.testing.assert_close(left("acd-clip", taken_out).score, judge(method).score, rtol=0, atol=0)


@pytest.mark.parametrize(("taken_out", "weight"), [("WCMA: F_H", 0.0), ("WCMA: W_h", 1.0)])
def test_high_frequencies_are_weighed_with_0_or_1(taken_out: str, weight: float) -> None:
    """Equation 6, F_L and F_H by the sums and differences of Haar's 2×2 blocks."""
    method = trained("wmoe-clip")
    patches = torch.randn(1, 4, 4, 24, generator=torch.Generator().manual_seed(9))
    edge = torch.cat([patches, patches[:, -1:]], 1)
    edge = torch.cat([edge, edge[:, :, -1:]], 2)
    a, b, c, d = edge[:, :-1, :-1], edge[:, :-1, 1:], edge[:, 1:, :-1], edge[:, 1:, 1:]
    low, high = (a + b + c + d) / 2, ((a + b - c - d) + (a - b + c - d) + (a - b - c + d)) / 2
    found = without(method, module(method, taken_out)).refinements[0].enhance(patches)
    torch.testing.assert_close(found, low + weight * high)


def test_cmfr_without_its_text_is_the_weighted_patch() -> None:
    """Equation 6 without F_t."""
    method = trained("afr-clip")
    generator = torch.Generator().manual_seed(10)
    visual, text = torch.randn(2, 5, 24, generator=generator), torch.randn(2, 24, generator=generator)
    one = without(method, module(method, "CMFR: stateless")).rectifiers[0]
    torch.testing.assert_close(one(visual, text), visual * one.weights(visual, text), atol=1e-5, rtol=1e-5)
    flat = without(method, module(method, "CMFR: M_v")).rectifiers[0]
    torch.testing.assert_close(flat(visual, text), text[:, None] + visual)


def test_a_stage_of_afr_clip_leaves_the_mean() -> None:
    whole, others = judge(trained("afr-clip")), left("afr-clip", "stage 2")
    torch.testing.assert_close(others.maps, whole.maps[:, [0, 2, 3]], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["kanoclip", "wmoe-clip"])
def test_a_tower_that_is_asked_once_makes_the_same_answers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method, looks = deepcopy(trained(name)), []
    forward = type(method.clip.vision).forward
    monkeypatch.setattr(type(method.clip.vision), "forward", lambda *a, **k: looks.append(1) or forward(*a, **k))
    observe_once(method)
    listed = modules_of(method)
    for one in listed:
        found, wanted = judge(without(method, one)), left(name, one.name)
        torch.testing.assert_close((found.maps, found.score), (wanted.maps, wanted.score), rtol=0, atol=0)
    assert 1 <= len(looks) - len(listed) < len(listed) / 2


def test_a_path_that_is_no_module_is_no_edit_that_does_nothing() -> None:
    method = trained("fe-clip")
    with pytest.raises(AssertionError, match=r"FeClip has no stages\.9"):
        without(method, Module("no stage", "", at("stages.9", skip)))


def test_a_method_whose_modules_nobody_listed_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"whose modules are listed.*ClipDetector.*FeClip"):
        modules_of(methods.get("clip")(small.frozen()))


def labelled(count: int, rng: np.random.Generator, *, masks: bool = True) -> Labelled:
    labels = [number % 2 for number in range(count)]
    drawn = [(rng.random((6, 5)) < 0.3) & bool(label) if masks or not label else None for label in labels]
    return Labelled("object", [], labels, drawn)


def answered(data: list[Labelled], rng: np.random.Generator) -> Answers:
    scores = [expit(rng.normal(size=len(one.labels))) for one in data]
    return Answers(scores, [[rng.random((6, 5), np.float32) for _ in one.labels] for one in data])


def test_changes_and_metrics_are_those_of_other_readers() -> None:
    rng = np.random.default_rng(0)
    data = [labelled(8, rng), labelled(6, rng)]
    before, after = answered(data, rng), answered(data, rng)
    found = effect(before, after, data)
    maps = [[np.stack(one).astype(float) for one in answers.maps] for answers in (before, after)]
    flat = [np.concatenate([one.ravel() for one in each]) for each in maps]
    assert found.map_change == pytest.approx(np.abs(flat[1] - flat[0]).mean())
    scores = [np.concatenate(answers.scores) for answers in (before, after)]
    assert found.score_change == pytest.approx(np.abs(scores[1] - scores[0]).mean())
    ranks = [one.argsort().argsort() for one in scores]
    assert found.ranks == pytest.approx(np.corrcoef(ranks)[0, 1])
    for name, reader, of_pixels in (
        ("image AUROC", roc_auc_score, False),
        ("pixel AUROC", roc_auc_score, True),
        ("pixel AP", average_precision_score, True),
    ):
        values = []
        for answers in (before, after):
            each = [
                reader(np.concatenate([mask.ravel() for mask in one.masks if mask is not None]), np.ravel(their_maps))
                if of_pixels
                else reader(one.labels, their_scores)
                for one, their_scores, their_maps in zip(data, answers.scores, answers.maps, strict=True)
            ]
            values.append(float(np.mean(each)))
        assert found.metrics[name] == pytest.approx(values[1], abs=1e-4), name
        assert found.differences[name] == pytest.approx(values[1] - values[0], abs=2e-4), name


def test_what_the_data_do_not_define_is_not_told() -> None:
    rng = np.random.default_rng(1)
    data = [labelled(4, rng, masks=False)]
    answers = answered(data, rng)
    found = metrics(answers, data)
    assert found["pixel AUROC"] is None
    assert found["image AUROC"] is not None
    one = effect(answers, answers, data)
    assert (one.ranks, one.differences["pixel AP"]) == (pytest.approx(1.0), None)
    assert "n/a" in cells(Module("some", "0", skip), one)
    assert rank_correlation(np.array([0.5, 0.5]), np.array([0.1, 0.2])) is None


@pytest.mark.parametrize(
    ("map_change", "score_change", "moved", "verdict"),
    [
        (9e-5, 9e-5, 0.0009, "changes nothing"),
        (2e-4, 9e-5, 0.0009, "changes hardly anything"),
        (9e-5, 9e-4, -0.0009, "changes hardly anything"),
        (9e-5, 2e-3, 0.0, ""),
        (2e-3, 9e-5, 0.0, ""),
        (9e-5, 9e-5, -0.0011, ""),
    ],
)
def test_what_does_little_is_named(map_change: float, score_change: float, moved: float, verdict: str) -> None:
    differences = {**dict.fromkeys(METRICS, None), "pixel AP": moved}
    found = Effect(map_change, score_change, 1.0, dict.fromkeys(METRICS, 0.5), differences)
    assert found.verdict == verdict
    assert cells(Module("some", "0", skip), found)[-1] == (f"**{verdict}**" if verdict else "")


def test_the_command_prints_a_row_for_each_module(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw(tmp_path / "few", count=2, side=64)
    data = f"mvtec:{tmp_path / 'few'}"
    assert main(["wmoe-clip", "--data", data, "--image-size", "64", "--max-images", "1"]) == 0
    told = capsys.readouterr().out
    detector = zsad.load("wmoe-clip", image_size=64)
    rows = [line.split(" | ") for line in told.splitlines() if line.startswith("| ")]
    names = [row[0].removeprefix("| ") for row in rows]
    assert names == ["removed", "nothing", *(one.name for one in modules_of(detector.method))]
    evaluated = zsad.evaluate(detector, [data_set(data)], tmp_path / "out", resolution=None, max_images=1, resamples=0)
    means = evaluated.data_sets[0].means
    expected = [f"{100 * (means[name].value or 0):.1f}" for name in ("image_auroc", "pixel_auroc", "pixel_ap")]
    assert rows[1][5:8] == expected


def test_the_command_refuses_what_is_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", "mvtec:nowhere"]) == 2
    assert "zsad:" in capsys.readouterr().err
