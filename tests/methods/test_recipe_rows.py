"""Each recipe beside the row of the paper's table that it is: what is switched on there, as options.

Written from the tables of the papers; a recipe that says anything else than its row here is wrong.
"""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.methods.declared import declared
from zsad.trainer.recipe import Recipe, read

FOLDER = Path(__file__).parents[2] / "recipes"
MEDICAL = {"sigma": 21.0, "smoothing_window": 9, "map_weight": 0.5}
"""ACD-CLIP's code for medical images: 1.5 tokens of 14 px in a window of 9, and half of the score from the map."""
NO_WCMA, NO_SA_MOE = {"wavelet_attention": False}, {"semantic_experts": False}
NO_KNPL, NO_VV, NO_BI_CMCI = {"learned_prompts": False}, {"vv_attention": False}, {"fusion": "none"}
NO_ADAPTER = {"conv_adapter": False}
NO_CMFR, NO_SP, NO_MPFA = {"rectify": False}, {"self_prompting": False}, {"neighbourhood": 1}
ROWS: dict[str, dict[str, Any]] = {
    # ACD-CLIP, table 1: N groups, on the left half industrial, on the right half medical data
    "acd-clip/paper": {},
    "acd-clip/ablation/groups_2": {},
    "acd-clip/ablation/groups_3": {"groups": 3},
    "acd-clip/ablation/groups_4": {"groups": 4},
    "acd-clip/ablation/groups_6": {"groups": 6},
    "acd-clip/ablation/groups_2_medical": MEDICAL,
    "acd-clip/ablation/groups_3_medical": {"groups": 3} | MEDICAL,
    "acd-clip/ablation/groups_4_medical": {"groups": 4} | MEDICAL,
    "acd-clip/ablation/groups_6_medical": {"groups": 6} | MEDICAL,
    # table 2: "a baseline using a standard LoRA adapter on ViT and static fusion"; + Conv-LoRA; + DFG; both
    "acd-clip/ablation/table_2_1_baseline": {"adapter": "lora", "fusion": "static"},
    "acd-clip/ablation/table_2_2_conv_lora": {"fusion": "static"},
    "acd-clip/ablation/table_2_3_gateway": {"adapter": "lora"},
    "acd-clip/ablation/table_2_4_full": {},
    "acd-clip/ablation/equations": {"variant": "paper"},
    # AFR-CLIP, table 3: CMFR, SP, MPFA
    "afr-clip/paper": {},
    "afr-clip/ablation/table_3_1_base": NO_CMFR | NO_SP | NO_MPFA,
    "afr-clip/ablation/table_3_2_sp_mpfa": NO_CMFR,
    "afr-clip/ablation/table_3_3_cmfr": NO_SP | NO_MPFA,
    "afr-clip/ablation/table_3_4_cmfr_sp": NO_MPFA,
    "afr-clip/ablation/table_3_5_cmfr_mpfa": NO_SP,
    # table 4: stages; table 5: P_v alone, P_l alone; table 6: m
    "afr-clip/ablation/table_4_stages_1_2": {"stages": 2},
    "afr-clip/ablation/table_4_stages_1_3": {"stages": 3},
    "afr-clip/ablation/table_4_stages_1_4": {"stages": 4},
    "afr-clip/ablation/table_5_2_image_prompts": {"learned_prompts": False},
    "afr-clip/ablation/table_5_3_learned_prompts": {"cnn": "none"},
    "afr-clip/ablation/table_6_5x5": {"neighbourhood": 5},
    "afr-clip/ablation/equations": {"temperature": 1.0, "placement": "replace"},  # equations 9 and 13; 18
    "april-gan/paper": {},
    # FE-CLIP, table 3: adapters; table 4: FFT
    "fe-clip/paper": {},
    "fe-clip/ablation/conv": {"adapters": "conv"},
    "fe-clip/ablation/ffe": {"adapters": "ffe"},
    "fe-clip/ablation/lfs": {"adapters": "lfs"},
    "fe-clip/ablation/fft": {"transform": "fft"},
    # KAnoCLIP, table 3: modules are added from left to right
    "kanoclip/paper": {},
    "kanoclip/ablation/row_1_baseline": NO_KNPL | NO_VV | NO_BI_CMCI | NO_ADAPTER,
    "kanoclip/ablation/row_2_knpl": NO_VV | NO_BI_CMCI | NO_ADAPTER,
    "kanoclip/ablation/row_3_clip_vv": NO_BI_CMCI | NO_ADAPTER,
    "kanoclip/ablation/row_4_bi_cmci": NO_ADAPTER,
    "kanoclip/ablation/row_5_full": {},
    "kanoclip/ablation/equations": {"global_token": "vv", "norm": "sum"},  # section 2.3; equation 9
    "kanoclip/ablation/margin": {"margin": 0.5},
    "kanoclip/ablation/layer_scale": {"layer_scale": 0.1},
    "kanoclip/ablation/without_knowledge": {"knowledge_weight": 0.0},
    "mvfa-ad/paper": {},
    "mvfa-ad/few_shot": {},
    # WMoE-CLIP, table 2: CTDS, WCMA, SA-MoE
    "wmoe-clip/paper": {},
    "wmoe-clip/ablation/table_2_1_none": {"distribution_sampling": False} | NO_WCMA | NO_SA_MOE,
    "wmoe-clip/ablation/table_2_2_ctds": NO_WCMA | NO_SA_MOE,
    "wmoe-clip/ablation/table_2_3_ctds_wcma": NO_SA_MOE,
    "wmoe-clip/ablation/table_2_4_ctds_sa_moe": NO_WCMA,
    "wmoe-clip/ablation/table_2_5_all": {},
    "wmoe-clip/ablation/equations": {"gate_noise": 0.0},  # equation 8
    "wmoe-clip/ablation/residual": {"residual": True},
    "wmoe-clip/ablation/sample_latent": {"sample": "latent"},
    "wmoe-clip/ablation/sample_scaled": {"sample": "scaled"},
}
ROWS |= {f"{name}/{row}": options for name, rows in declared("RECIPE_ROWS").items() for row, options in rows.items()}
ACTIVATIONS = declared("RECIPE_ACTIVATION")
UNDER_GELU = {row for row in ROWS if row.startswith("acd-clip") and ROWS[row].get("variant") != "paper"}
UNDER_GELU |= {row for row in ROWS if row.startswith(("april-gan", "mvfa-ad"))}
"""Their authors run OpenAI's weights under plain GELU."""
SIZES = {"mvfa-ad": 240} | declared("RECIPE_SIZE")
"""Where it is not 518 px: the authors' code."""
TRAININGS = {"mvfa-ad/few_shot": {"learning_rate": 1e-3}}
"""Where it is not as the method says: train_few.py of MVFA-AD."""
TRAININGS |= {
    f"{name}/{row}": options for name, rows in declared("RECIPE_TRAINING").items() for row, options in rows.items()
}


def test_every_recipe_is_in_the_table() -> None:
    others = (FOLDER / "benchmark", FOLDER / "tiny")
    paths = [path for path in FOLDER.rglob("*.toml") if not any(path.is_relative_to(folder) for folder in others)]
    found = {str(path.relative_to(FOLDER).with_suffix("")) for path in paths}
    assert found == ROWS.keys()


@pytest.mark.parametrize("row", ROWS)
def test_a_recipe_is_its_row(row: str) -> None:
    recipe = read(str(FOLDER / f"{row}.toml"))
    assert recipe == Recipe(
        method=row.split("/")[0],
        paper=recipe.paper,
        backbone=declared("RECIPE_BACKBONE").get(row.split("/")[0], "ViT-L-14-336"),
        weights=declared("RECIPE_WEIGHTS").get(row.split("/")[0], "openai"),
        activation="gelu" if row in UNDER_GELU else ACTIVATIONS.get(row.split("/")[0]),
        image_size=SIZES.get(row.split("/")[0], 518),
        options=ROWS[row],
        training=TRAININGS.get(row, {}),
        published=recipe.published,
    )


# --- benchmarks


def rows_of(method: str, *names: str) -> list[str]:
    return [f"../{method}/ablation/{name}.toml" for name in names]


def split(name: str, train: str, test: str, detectors: str | None = None) -> dict[str, Any]:
    made = {"name": name, "train": train.split(), "test": test.split()}
    return made if detectors is None else made | {"detectors": detectors.split()}


PAPERS = [f"../{name}/paper.toml" for name in ("acd-clip", "afr-clip", "fe-clip", "kanoclip", "wmoe-clip")]
UNTRAINED = ["clip", "clip-ac", "winclip"]
VISA_TO_MVTEC = split("visa-to-mvtec", "visa", "mvtec")
MVTEC_TO_VISA = split("mvtec-to-visa", "mvtec", "visa")
WINCLIP = {"winclip": {"backbone": "ViT-B-16-plus-240", "weights": "laion400m_e31", "image_size": 240}}
OTHER_FILES = [
    *("../anomalyclip/paper.toml", "../adaclip/paper.toml", "../april-gan/paper.toml", "../clip-ad/paper.toml"),
    *("../coop/paper.toml", "../vcp-clip/paper.toml", "../aa-clip/paper.toml", "../mvfa-ad/paper.toml"),
]
# CLIP-AD's and MVFA-AD's code: their backbones and sizes
OF_OTHERS = WINCLIP | {"clip-ad": WINCLIP["winclip"], "mvfa-ad": {"image_size": 240}}
# April-GAN, VCP-CLIP and CLIP-AD: their authors' scripts for VisA
FOR_VISA: dict[str, Any] = {
    "april-gan": {"training": {"epochs": 3}},
    "vcp-clip": {"training": {"learning_rate": 2e-5}},
    "clip-ad": OF_OTHERS["clip-ad"] | {"options": {"sigma": 2.0, "cluster_radius": 1.5, "cluster_least": 25}},
}
LARGE = {"backbone": "ViT-L-14-336", "weights": "openai", "image_size": 518, "seeds": [111]}
POLYPS_AND_BMAD = "cvc-colondb cvc-clinicdb kvasir bmad-brain bmad-liver bmad-resc"
GROUPS = "acd-clip-groups_2 acd-clip-groups_3 acd-clip-groups_4 acd-clip-groups_6 acd-clip-equations"
BENCHMARKS: dict[str, dict[str, Any]] = {
    "ablation-acd-clip": {
        "detectors": rows_of(
            "acd-clip",
            *("groups_2", "groups_3", "groups_4", "groups_6", "equations"),
            *("groups_2_medical", "groups_3_medical", "groups_4_medical", "groups_6_medical"),
            *("table_2_1_baseline", "table_2_2_conv_lora", "table_2_3_gateway", "table_2_4_full"),
        ),
        "split": [
            split(
                "modules",
                "visa",
                "mvtec",
                "acd-clip-table_2_1_baseline acd-clip-table_2_2_conv_lora acd-clip-table_2_3_gateway "
                "acd-clip-table_2_4_full",
            ),
            split("groups", "visa", "mvtec btad mpdd rsdd", GROUPS),
            split("groups-to-visa", "mvtec", "visa", GROUPS),
            split(
                "groups-medical",
                "visa",
                POLYPS_AND_BMAD,
                "acd-clip-groups_2_medical acd-clip-groups_3_medical acd-clip-groups_4_medical "
                "acd-clip-groups_6_medical",
            ),
        ],
    },
    "ablation-afr-clip": {
        "detectors": [
            *rows_of(
                "afr-clip",
                *("table_3_1_base", "table_3_2_sp_mpfa", "table_3_3_cmfr", "table_3_4_cmfr_sp", "table_3_5_cmfr_mpfa"),
                *("table_4_stages_1_2", "table_4_stages_1_3", "table_4_stages_1_4"),
                *("table_5_2_image_prompts", "table_5_3_learned_prompts", "table_6_5x5", "equations"),
            ),
            "../afr-clip/paper.toml",
        ],
        # tables 3 to 6 are of MVTec AD; the equations are set beside tables 1 and 2 on VisA too
        "split": [VISA_TO_MVTEC, split("mvtec-to-visa", "mvtec", "visa", "afr-clip-equations afr-clip")],
    },
    "ablation-fe-clip": {
        "detectors": [*rows_of("fe-clip", "conv", "ffe", "lfs", "fft"), "../fe-clip/paper.toml"],
        "split": [VISA_TO_MVTEC, MVTEC_TO_VISA],
    },
    "ablation-kanoclip": {
        "detectors": rows_of(
            "kanoclip",
            *("row_1_baseline", "row_2_knpl", "row_3_clip_vv", "row_4_bi_cmci", "row_5_full"),
            *("without_knowledge", "margin", "layer_scale", "equations"),
        ),
        "untrained": ["kanoclip-row_1_baseline"],
        "split": [VISA_TO_MVTEC, MVTEC_TO_VISA],
    },
    "ablation-wmoe-clip": {
        "detectors": rows_of(
            "wmoe-clip",
            *("table_2_1_none", "table_2_2_ctds", "table_2_3_ctds_wcma", "table_2_4_ctds_sa_moe", "table_2_5_all"),
            *("residual", "sample_latent", "sample_scaled", "equations"),
        ),
        "split": [VISA_TO_MVTEC, MVTEC_TO_VISA],
    },
    "papers-mvtec-to-visa": LARGE
    | {
        "detectors": [*UNTRAINED, *OTHER_FILES, *PAPERS],
        "split": [MVTEC_TO_VISA],
        "change": OF_OTHERS | FOR_VISA,
    },
    # FE-CLIP, section 4.2, and KAnoCLIP, section 3.1: trained on MVTec AD; what tables 1 and 2 of each test on
    "papers-mvtec-to-all": LARGE
    | {
        "detectors": ["../fe-clip/paper.toml", "../kanoclip/paper.toml"],
        "split": [
            split(
                "fe-clip",
                "mvtec",
                "visa mpdd btad dagm dtd-synthetic brain-mri br35h cvc-clinicdb kvasir",
                "fe-clip",
            ),
            split(
                "kanoclip",
                "mvtec",
                "visa mpdd btad kolektor-sdd dagm bmad-brain bmad-liver bmad-resc br35h covid19 head-ct",
                "kanoclip",
            ),
        ],
    },
    # WMoE-CLIP, section 3.1, ACD-CLIP, section 3.1, AFR-CLIP, "Datasets": trained on VisA, tested on the rest
    "papers-visa-to-all": LARGE
    | {
        "detectors": [
            *UNTRAINED,
            *OTHER_FILES,
            PAPERS[0],
            "../acd-clip/ablation/groups_2_medical.toml",
            *PAPERS[1:],
        ],
        "split": [
            split(
                "visa-to-all",
                "visa",
                "mvtec btad mpdd kolektor-sdd ksdd2 dagm dtd-synthetic rsdd head-ct brain-mri brain-mri-bayes-pfl "
                "br35h covid19 isic-2016 cvc-colondb cvc-clinicdb endotect kvasir tn3k bmad-brain bmad-liver bmad-resc",
                "clip clip-ac winclip anomalyclip adaclip april-gan clip-ad coop vcp-clip aa-clip mvfa-ad "
                "acd-clip afr-clip fe-clip kanoclip wmoe-clip",
            ),
            split("visa-to-medical", "visa", POLYPS_AND_BMAD, "acd-clip-groups_2_medical"),
        ],
        "change": OF_OTHERS,
    },
    # FE-CLIP, table 5: 0, 1, 2 and 4 shots; section 4.2: five runs
    "few-shot-fe-clip": {
        "detectors": ["../fe-clip/paper.toml"],
        "seeds": [111],
        "shots": [0, 1, 2, 4],
        "shots_seeds": [0, 1, 2, 3, 4],
        "split": [VISA_TO_MVTEC, MVTEC_TO_VISA],
    },
    "small": {
        "detectors": [
            *(*UNTRAINED, "musc", "auto", "acd-clip", "afr-clip", "fe-clip", "kanoclip", "wmoe-clip"),
            *("aa-clip", "adaclip", "anomalyclip", "april-gan", "clip-ad", "coop", "mvfa-ad", "vcp-clip"),
        ],
        "controls": ["clip-ac", "acd-clip", "afr-clip", "fe-clip", "kanoclip", "wmoe-clip"],
        "backbone": "tiny",
        "image_size": 224,
        "seeds": [1, 2, 3],
        "precision": "bf16",
        "max_train_images": 40,
        "max_test_images": 25,
        "split": [
            split("tiles", "mtd", "bsdata cookie transistor cvc-clinicdb brain-mri"),
            split("screws-and-cookies", "bsdata cookie", "mtd transistor cvc-clinicdb brain-mri"),
        ],
        "change": {
            "acd-clip": {"training": {"epochs": 4}},
            "afr-clip": {"training": {"epochs": 3}},
            "fe-clip": {"training": {"epochs": 5}},
            "kanoclip": {"training": {"epochs": 6}},
            "wmoe-clip": {"training": {"epochs": 20}},
            "aa-clip": {"training": {"epochs": 7, "first_stage": {"epochs": 3, "batch_size": 16}}},
            "adaclip": {"training": {"epochs": 2}},
            "mvfa-ad": {"training": {"epochs": 4}},
        },
    },
}


def test_every_benchmark_is_in_the_table() -> None:
    assert {path.stem for path in (FOLDER / "benchmark").glob("*.toml")} == BENCHMARKS.keys()


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_trains_and_tests_on_what_the_papers_do(name: str) -> None:
    told = tomllib.loads((FOLDER / "benchmark" / f"{name}.toml").read_text(encoding="utf-8"))
    assert {key: value for key, value in told.items() if key not in ("title", "about", "data")} == BENCHMARKS[name]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_has_all_data_of_its_splits_and_nothing_is_trained_and_tested_on(name: str) -> None:
    told = tomllib.loads((FOLDER / "benchmark" / f"{name}.toml").read_text(encoding="utf-8"))
    used = {data for one in told["split"] for data in (*one["train"], *one["test"])}
    assert used <= told["data"].keys()
    assert all(not set(one["train"]) & set(one["test"]) for one in told["split"])
    if name != "small":
        assert all(reader == data for data, (reader, _) in ((k, v.split(":")) for k, v in told["data"].items()))
