"""Every constant, sentence and rate of the papers as a literal, with the place where it is printed.

"Code" is that of ACD-CLIP's authors (commit 2026067); "own" is what a paper leaves open, see the docstrings.
"""

import math
from dataclasses import asdict
from typing import Any

import pytest

from tests.methods.declared import ADAM, ANSWER, declared
from tests.small import frozen
from zsad import methods
from zsad.methods._trainable import Trainable
from zsad.methods.acd_clip import conv_lora
from zsad.methods.acd_clip import method as acd_clip
from zsad.methods.acd_clip.method import VARIANTS, AcdClip
from zsad.methods.afr_clip import method as afr_clip
from zsad.methods.afr_clip import self_prompts
from zsad.methods.april_gan import AprilGan
from zsad.methods.clip import ClipDetector
from zsad.methods.clip_ac import ClipAc
from zsad.methods.fe_clip import method as fe_clip
from zsad.methods.kanoclip import cross_modal, deformable_attention
from zsad.methods.kanoclip import method as kanoclip
from zsad.methods.mvfa_ad import support
from zsad.methods.mvfa_ad.method import MvfaAd
from zsad.methods.winclip import WinClip
from zsad.methods.wmoe_clip import method as wmoe_clip
from zsad.parts import losses, maps

UNSMOOTHED = {"sigma": 0.0, "align_corners": True, "smoothing_window": None}
"""How the code of APRIL-GAN and of those that took it over enlarges maps."""
CONFIGS: dict[str, dict[str, Any]] = {
    "acd-clip": {
        "variant": "code",
        "groups": 2,  # table 2
        "adapter": "conv-lora",
        "fusion": "gateway",
        "kernels": (3, 5),  # section 2.1, and code
        "rank": 16,  # code
        "conv_rank": 8,  # code
        "alpha": 2.0,  # code
        "blend": 0.2,  # code
        "hidden": 256,  # code: heads and gateway
        "temperature": 0.1,  # code: logits are 10 · similarity
        "image_temperature": 1.0,  # code: none
        "map_weight": 0.1,  # code: 0.9 · class + 0.1 · maximum
        "focal_weight": 1.0,  # code
        "dice_weight": 1.0,  # code
        "class_weight": 1.0,  # code
        "sigma": 14.0,  # code: 1 token of 14 px
        "smoothing_window": 7,  # code
        "align_corners": True,  # code
    },
    "afr-clip": ANSWER
    | {
        "levels": (6, 12, 18, 24),  # "Implementation Details"
        "rectify": True,
        "rectifiers": "per stage",  # own
        "neighbourhood": 3,  # m: "Implementation Details"
        "self_prompting": True,
        "prompts": 5,  # K: "Implementation Details"
        "stages": 1,  # table 4
        "placement": "append",  # own
        "cnn": "efficientnet-lite0",  # own
        "cnn_weights": None,
        "learned_prompts": True,  # table 5
        "temperature": 0.07,  # own; equations 9 and 13 have none
        "map_loss": "mean",  # own: "obtained by averaging the outputs from all four stages"
    },
    "clip": ANSWER | {"temperature": 0.07},
    "clip-ac": ANSWER | {"temperature": 0.07, "templates": "photographs"},
    "fe-clip": ANSWER
    | {
        "levels": (6, 12, 18, 24),  # own reading of N = 4 blocks, section 3.2
        "blend": 0.1,  # λ, section 3.2
        "adapters": "both",
        "transform": "dct",
        "window": 3,  # P, section 3.3
        "sliding_window": 3,  # Q, section 3.4
        "statistic": "mean",  # section 3.4
        "fc_per_stage": False,  # "a single learnable fc", section 3.2
        "post_norm": True,  # own
        "temperature": 0.07,  # AnomalyCLIP
        "focal_gamma": 2.0,  # AnomalyCLIP
    },
    "kanoclip": ANSWER
    | {
        "levels": (6, 12, 18, 24),  # own: "four stages", section 2.4
        "vv_from": 6,  # AnomalyCLIP: the last 19 of 24
        "temperature": 0.07,  # AnomalyCLIP
        "learned_prompts": True,
        "prompt_length": 12,  # K, section 3.1
        "margin": 0.0,  # equation 2
        "vv_attention": True,
        "norm": "stages",  # own
        "global_token": "original",  # AnomalyCLIP
        "fusion": "bi_cmci",
        "hidden": 256,  # Grounding DINO
        "heads": 8,  # Grounding DINO
        "groups": 4,  # own
        "stride": 2,  # own
        "layer_scale": 1e-4,  # Grounding DINO
        "conv_adapter": True,
        "reduction": 4,  # own
        "adapter_residual": 0.0,  # equation 11
        "knowledge_weight": 1.0,  # α, section 3.1
        "global_weight": 1.0,  # β, section 3.1
        "local_weight": 1.0,  # γ, section 3.1
    },
    "april-gan": UNSMOOTHED  # all of it: code
    | {
        "levels": (6, 12, 18, 24),
        "temperature": 0.01,  # cosines are multiplied by 100
        "few_shot_levels": (6, 12, 18, 24),
        "few_shot_score": "mean",
    },
    "auto": ANSWER  # all own, chosen on validation data: docs/methods/auto.md
    | {
        "text": "clip-ac",
        "text_options": {},
        "text_weight": 0.5,
        "features": "both",
        "levels": (),
        "neighbourhoods": (3,),
        "directions": 64,
        "max_references": 64,
        "ordinary": 0.4,
        "share": 0.3,
        "rotations": 1,
        "window": None,
        "unlike": 0.15,
        "image_shares": (0.02, 0.2),
    },
    "musc": {
        "sigma": 0.0,  # all of it: code, unless said otherwise
        "align_corners": True,
        "smoothing_window": None,
        "levels": (6, 12, 18, 24),
        "neighbourhoods": (1, 3, 5),
        "share": 0.3,
        "distance": "euclidean",
        "neighbours": (1, 2, 3),  # those for MVTec AD
        "images_together": 256,  # own: more than any class of MVTec AD and VisA has
        "directions": None,
        "features": "auto",  # own: blocks, where there is no CNN
        "cnn_directions": 128,  # own
    },
    "mvfa-ad": UNSMOOTHED  # all of it: code
    | {
        "levels": (6, 12, 18, 24),
        "share": 0.1,
        "temperature": 0.01,
        "clip_normalisation": False,
        "score_logits": True,
        "support_copies": True,
        "few_shot_score": "map",
    },
    "patchcore": ANSWER
    | {
        "levels": (12, 18),  # own: the second and third of four, as layers 2 and 3 of the paper's CNN
        "features": "auto",  # own
        "neighbourhood": 3,  # section 4.4.1
        "unit_levels": False,  # section 3.1
        "coreset_share": 0.1,  # PatchCore-10
        "whole_images": 16,  # own
        "directions": 128,  # code
        "seed": 0,  # code
        "reweighting_neighbours": 9,  # anomalib
    },
    "winclip": ANSWER
    | {
        "sigma": 0.0,
        "scales": (2, 3),
        "temperature": 0.07,
        "patch_reference": True,
        "patch_features": "last",
        "reference_average": "harmonic",
        "few_shot_score": "mean",
    },
    "wmoe-clip": ANSWER
    | {
        "distribution_sampling": True,
        "wavelet_attention": True,
        "semantic_experts": True,
        "levels": (6, 12, 18, 24),  # section 3.1
        "prompt_length": 2,  # m, section 3.1
        "experts": 8,  # N, section 3.1
        "active_experts": 2,  # k, section 3.1
        "temperature": 0.07,  # VCP-CLIP, Bayes-PFL: the first one, learned
        "sample": "decoded",  # r of section 2.1
        "unit_class_token": False,  # own
        "draws": 0,  # own
        "kl_weight": 1.0,  # equation 11
        "transform": "undecimated",  # F_L, F_H ∈ R^(H×W×C), section 2.2
        "high": "sum",  # F_H = F_LH + F_HL + F_HH, section 2.2
        "residual": False,  # equation 7
        "gate_noise": 1.0,  # own
        "balance_weight": 0.0,  # equation 11
    },
}
TRAININGS: dict[str, dict[str, Any]] = {
    "acd-clip": ADAM
    | {
        "epochs": 20,  # all of it: code
        "batch_size": 6,
        "learning_rate": 1e-3,
        "rates": {"text_": 5e-4},
        "schedule": "exponential",
        "decay": 0.9,
        "clip_norms": {"blend": 1.0},
        "augment": True,
    },
    # "Implementation Details": lr = 0.001 / (epoch + 1)
    "afr-clip": ADAM | {"epochs": 100, "batch_size": 4, "learning_rate": 1e-3, "schedule": "inverse"},
    # train.py and train.sh, trained on VisA
    "april-gan": ADAM | {"epochs": 15, "batch_size": 8, "learning_rate": 1e-3, "betas": (0.5, 0.999)},
    "fe-clip": ADAM | {"epochs": 9, "batch_size": 16, "learning_rate": 5e-4},  # section 4.2
    # AnomalyCLIP's; the rate of Bi-CMCI is our own.
    "kanoclip": ADAM
    | {"epochs": 15, "batch_size": 8, "learning_rate": 1e-3, "betas": (0.5, 0.999), "rates": {"stages": 1e-4}},
    # train_zero.py
    "mvfa-ad": ADAM | {"epochs": 50, "batch_size": 1, "learning_rate": 1e-4, "betas": (0.5, 0.999)},
    "wmoe-clip": ADAM | {"epochs": 20, "batch_size": 32, "learning_rate": 2e-4},  # section 3.1
}
CONFIGS |= declared("CONSTANTS")
TRAININGS |= declared("TRAINING")
BACKBONES = dict.fromkeys(CONFIGS, "ViT-L-14-336") | {"winclip": "ViT-B-16-plus-240"} | declared("BACKBONE")
READ_NO_NAMES = {"fe-clip", "patchcore", "wmoe-clip", *declared("READS_NO_NAMES")}


def test_every_method_is_in_the_tables() -> None:
    assert CONFIGS.keys() == set(methods.built_in())
    assert TRAININGS.keys() == {name for name in CONFIGS if issubclass(methods.get(name), Trainable)}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_constants_of_a_method(name: str) -> None:
    by_the_method = {"image_score": "method", "map_share": 0.1}  # every paper has a rule of its own
    assert asdict(methods.get(name).config_type()) == by_the_method | CONFIGS[name]


@pytest.mark.parametrize("name", TRAININGS)
def test_the_optimisation_of_a_method(name: str) -> None:
    found = methods.get(name)
    assert issubclass(found, Trainable)
    assert asdict(found.training_defaults) == TRAININGS[name]


@pytest.mark.parametrize("name", CONFIGS)
def test_backbone_and_class_names(name: str) -> None:
    assert methods.get(name).paper_backbone == BACKBONES[name]
    assert methods.get(name).paper_image_size == {"mvfa-ad": 240}.get(name)  # code; others as all on their backbone
    assert methods.get(name).uses_class_names == (name not in READ_NO_NAMES)


# --- sentences


def test_the_sentences_of_wmoe_clip() -> None:
    """Equation 4: normal first."""
    assert wmoe_clip.STATES == ("a photo of a good", "a photo of a damaged")
    assert wmoe_clip.END == "."


def test_the_words_of_kanoclip() -> None:
    """Equation 1: what [Normal] and [Abnormal] include; section 2.2 quotes "a photo of an abnormal"."""
    assert kanoclip.STATE_WORDS == (("normal", "perfect"), ("abnormal", "defective"))
    assert kanoclip.FIXED_PROMPTS == ("a photo of a normal {}", "a photo of an abnormal {}")


def test_the_sentences_of_fe_clip() -> None:
    """Section 3.2: normal first."""
    assert fe_clip.PROMPTS == (["A photo of a normal object"], ["A photo of a damaged object"])


def test_the_sentences_of_afr_clip() -> None:
    """Section "CMFR": normal, anomalous, stateless."""
    assert afr_clip.PROMPTS == ("A photo of a normal {}", "A photo of a defective {}", "A photo of a {}")
    assert afr_clip.STATELESS == 2


def test_the_sentences_of_acd_clip() -> None:
    """3 normal and 5 anomalous states in 2 templates, as in the code; the wording is our own."""
    normal, anomalous = AcdClip(frozen()).prompts("nut")
    assert normal == [
        "nut.",
        "a picture of nut.",
        "one nut.",
        "a picture of one nut.",
        "this nut.",
        "a picture of this nut.",
    ]
    assert anomalous == [
        "a faulty nut.",
        "a picture of a faulty nut.",
        "a broken nut.",
        "a picture of a broken nut.",
        "a nut with a flaw.",
        "a picture of a nut with a flaw.",
        "a nut with a defect.",
        "a picture of a nut with a defect.",
        "a nut with damage.",
        "a picture of a nut with damage.",
    ]


def test_the_sentences_of_april_gan() -> None:
    """prompt_ensemble.py: 7 normal and 5 anomalous states in 35 templates; utils.py of MVFA-AD has the same."""
    assert MvfaAd(frozen()).prompts("nut") == AprilGan(frozen()).prompts("nut")
    normal, anomalous = AprilGan(frozen()).prompts("nut")
    assert (len(normal), len(anomalous)) == (7 * 35, 5 * 35)
    assert [anomalous[number * 35] for number in range(5)] == [
        "a bad photo of a damaged nut.",
        "a bad photo of a broken nut.",
        "a bad photo of a nut with flaw.",
        "a bad photo of a nut with defect.",
        "a bad photo of a nut with damage.",
    ]
    assert [normal[number * 35] for number in range(7)] == [
        "a bad photo of a nut.",
        "a bad photo of a flawless nut.",
        "a bad photo of a perfect nut.",
        "a bad photo of a unblemished nut.",
        "a bad photo of a nut without flaw.",
        "a bad photo of a nut without defect.",
        "a bad photo of a nut without damage.",
    ]
    both = (
        "bad",
        "low resolution",
        "cropped",
        "bright",
        "dark",
        "close-up",
        "black and white",
        "jpeg corrupted",
        "blurry",
        "good",
        "cool",
        "large",
        "small",
    )
    inserted = ("cool", "large", "small")
    expected = {
        *(f"a {how} photo of {article} nut." for how in both if how not in inserted for article in ("a", "the")),
        *(f"a photo of {article} {how} nut." for how in inserted for article in ("a", "the")),
        "a photo of a nut.",
        "a photo of the nut.",
        "a photo of my nut.",
        "a photo of one nut.",
        "there is a nut in the scene.",
        "there is the nut in the scene.",
        "this is a nut in the scene.",
        "this is the nut in the scene.",
        "this is one nut in the scene.",
    }
    assert set(normal[:35]) == expected
    assert len(expected) == 35


def test_the_sentences_of_clip() -> None:
    assert ClipDetector(frozen()).prompts("nut") == (["a photo of a normal nut"], ["a photo of an anomalous nut"])


MANNERS = ("", "bad ", "good ", "bright ", "dark ", "blurry ", "black and white ", "low resolution ")
MANNERS += ("jpeg corrupted ", "cropped ", "close-up ")
CLIP_AC = {f"a {manner}photo of {article} {{}} nut" for manner in MANNERS for article in ("a", "the")}
CLIP_AC |= {"a photo of one {} nut", "a photo of my {} nut"}


def test_the_sentences_of_clip_ac() -> None:
    normal, anomalous = ClipAc(frozen()).prompts("nut")
    assert len(normal) == len(anomalous) == len(CLIP_AC) == 24
    assert set(normal) == {one.format("normal") for one in CLIP_AC}
    assert set(anomalous) == {one.format("anomalous").replace(" a a", " an a") for one in CLIP_AC}


def test_the_sentences_of_winclip() -> None:
    """As many as in its paper: 7 and 4 states in 22 templates."""
    templates = {
        template.format(article, "{}")
        for template in (
            "a photo of {} {}.",
            "a cropped photo of {} {}.",
            "a close-up photo of {} {}.",
            "a bright photo of {} {}.",
            "a dark photo of {} {}.",
            "a blurry photo of {} {}.",
            "a jpeg corrupted photo of {} {}.",
            "a photo of {} small {}.",
            "a photo of {} large {}.",
            "a photo of {} {} for visual inspection.",
            "a photo of {} {} for anomaly detection.",
        )
        for article in ("a", "the")
    }
    normal, anomalous = WinClip(frozen()).prompts("nut")
    of_normal = ("nut", "flawless nut", "perfect nut", "unblemished nut")
    of_normal += ("nut without flaw", "nut without defect", "nut without damage")
    of_anomalous = ("damaged nut", "nut with flaw", "nut with defect", "nut with damage")
    for prompts, states in ((normal, of_normal), (anomalous, of_anomalous)):
        assert len(prompts) == 22 * len(states)
        assert set(prompts) == {template.format(state) for template in templates for state in states}


# --- numbers beside the configurations


def test_where_paper_and_code_of_acd_clip_part() -> None:
    """The paper's equations 1-8 on the left, the code on the right."""
    assert {name: asdict(one) for name, one in VARIANTS.items()} == {
        "paper": {
            "shared_projections": True,  # equations 2 and 3
            "divided_by_kernel": True,  # equations 2 and 3
            "blended": False,  # section 2.1
            "gate_per_state": True,  # equation 4
            "cosine": True,  # equation 6
            "averaged_logits": False,  # section 2.2
            "class_token": True,  # section 2.3
            "dice_of_both_states": False,  # equation 7
        },
        "code": {
            "shared_projections": False,
            "divided_by_kernel": False,
            "blended": True,
            "gate_per_state": False,
            "cosine": False,
            "averaged_logits": True,
            "class_token": False,
            "dice_of_both_states": True,
        },
    }
    assert acd_clip.CLASS_TOKENS == 1
    assert conv_lora.UP_STD == 0.02  # code


def test_the_numbers_of_the_parts() -> None:
    assert (losses.SMOOTHING, losses.GAMMA) == (1e-5, 2.0)  # VAND, AnomalyCLIP
    assert maps.TRUNCATE == 4.0  # SciPy
    assert (cross_modal.EXPANSION, deformable_attention.KERNEL, deformable_attention.REACH) == (4, 5, 1.0)
    assert (self_prompts.STAGE_ENDS, self_prompts.START) == ((6, 12, 18, 24), 0.02)
    assert kanoclip.PREFIX_STD == 0.02  # AnomalyCLIP
    for depth in (fe_clip.PAPER_DEPTH, kanoclip.REFERENCE_DEPTH, wmoe_clip.REFERENCE_DEPTH):
        assert depth == 24


def test_the_copies_of_mvfa_ad() -> None:
    """utils.py: four angles, four shifts, two mirrors, and the image."""
    assert (-math.pi / 8, -math.pi / 16, math.pi / 16, math.pi / 8) == support.ANGLES
    assert support.SHIFTS == ((0.1, 0.1), (-0.1, 0.1), (-0.1, -0.1), (0.1, -0.1))
    assert support.COPIES == 11
