"""Recipes quote the numbers of the tables that they reproduce: the same number in two places, held equal."""

import tomllib
from pathlib import Path

import pytest

from zsad import published

RECIPES = Path(__file__).parents[2] / "recipes"
TABLES_OF = {
    "acd-clip/paper": {"Table 1": "N = 2"},
    "acd-clip/ablation/equations": {"Table 1": "N = 2"},
    **{f"acd-clip/ablation/groups_{n}": {"Table 1": f"N = {n}"} for n in (2, 3, 4, 6)},
    **{f"acd-clip/ablation/groups_{n}_medical": {"Table 1": f"N = {n}"} for n in (2, 3, 4, 6)},
    "acd-clip/ablation/table_2_1_baseline": {"Table 2": "1. Baseline"},
    "acd-clip/ablation/table_2_2_conv_lora": {"Table 2": "2. + Conv-LoRA Adapter"},
    "acd-clip/ablation/table_2_3_gateway": {"Table 2": "3. + DFG"},
    "acd-clip/ablation/table_2_4_full": {"Table 2": "4. Ours (ACD-CLIP)"},
    "afr-clip/paper": {
        "Table 1": "",
        "Table 2": "",
        "Table 3": "6. CMFR, SP, MPFA",
        "Table 4": "1",
        "Table 5": "P_v, P_l",
        "Table 6": "3 × 3",
    },
    "afr-clip/ablation/table_3_1_base": {"Table 3": "1. none"},
    "afr-clip/ablation/table_3_2_sp_mpfa": {"Table 3": "2. SP, MPFA"},
    "afr-clip/ablation/table_3_3_cmfr": {"Table 3": "3. CMFR"},
    "afr-clip/ablation/table_3_4_cmfr_sp": {"Table 3": "4. CMFR, SP", "Table 6": "1 × 1"},
    "afr-clip/ablation/table_3_5_cmfr_mpfa": {"Table 3": "5. CMFR, MPFA", "Table 5": "none"},
    "afr-clip/ablation/table_4_stages_1_2": {"Table 4": "1 – 2"},
    "afr-clip/ablation/table_4_stages_1_3": {"Table 4": "1 – 3"},
    "afr-clip/ablation/table_4_stages_1_4": {"Table 4": "1 – 4"},
    "afr-clip/ablation/table_5_2_image_prompts": {"Table 5": "P_v"},
    "afr-clip/ablation/table_5_3_learned_prompts": {"Table 5": "P_l"},
    "afr-clip/ablation/table_6_5x5": {"Table 6": "5 × 5"},
    "afr-clip/ablation/equations": {"Table 1": "", "Table 2": ""},
    "fe-clip/paper": {"Table 1": "", "Table 2": "", "Table 3": "FE-CLIP", "Table 4": "DCT"},
    "fe-clip/ablation/conv": {"Table 3": "CLIP + Conv Adapter"},
    "fe-clip/ablation/ffe": {"Table 3": "CLIP + FFE Adapter"},
    "fe-clip/ablation/lfs": {"Table 3": "CLIP + LFS Adapter"},
    "fe-clip/ablation/fft": {"Table 4": "FFT"},
    "kanoclip/paper": {"Table 1": "", "Table 2": "", "Table 3": "row 5"},
    "kanoclip/ablation/row_1_baseline": {"Table 3": "row 1"},
    "kanoclip/ablation/row_2_knpl": {"Table 3": "row 2"},
    "kanoclip/ablation/row_3_clip_vv": {"Table 3": "row 3"},
    "kanoclip/ablation/row_4_bi_cmci": {"Table 3": "row 4"},
    **{
        f"kanoclip/ablation/{name}": {"Table 3": "row 5"}
        for name in ("row_5_full", "equations", "margin", "without_knowledge", "layer_scale")
    },
    "wmoe-clip/paper": {"Table 1": ""},
    **{
        f"wmoe-clip/ablation/{name}": {"Table 2": "CTDS, WCMA, SA-MoE"}
        for name in ("residual", "sample_latent", "sample_scaled", "equations")
    },
    "wmoe-clip/ablation/table_2_1_none": {"Table 2": "none"},
    "wmoe-clip/ablation/table_2_2_ctds": {"Table 2": "CTDS"},
    "wmoe-clip/ablation/table_2_3_ctds_wcma": {"Table 2": "CTDS, WCMA"},
    "wmoe-clip/ablation/table_2_4_ctds_sa_moe": {"Table 2": "CTDS, SA-MoE"},
    "wmoe-clip/ablation/table_2_5_all": {"Table 2": "CTDS, WCMA, SA-MoE"},
}
"""What lines of the tables a recipe quotes: the variant by table."""


def quoting() -> dict[str, dict[str, dict[str, float]]]:
    """The published numbers of every recipe that has some, by its path."""
    found = {path: tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(RECIPES.rglob("*.toml"))}
    names = {path: path.relative_to(RECIPES).with_suffix("").as_posix() for path in found}
    return {names[path]: values["published"] for path, values in found.items() if "published" in values}


QUOTING = quoting()


@pytest.mark.parametrize("recipe", QUOTING)
def test_a_recipe_quotes_its_table(recipe: str) -> None:
    for data_set, numbers in QUOTING[recipe].items():
        for metric, value in numbers.items():
            assert {row.value for row in quoted(recipe, data_set, metric)} == {value}


def test_every_number_of_the_papers_own_methods_is_quoted() -> None:
    quotes = [
        row
        for recipe, data_sets in QUOTING.items()
        for data_set, numbers in data_sets.items()
        for metric in numbers
        for row in quoted(recipe, data_set, metric)
    ]
    own = [row for row in published.rows() if row.method == row.paper and not row.shots]
    assert set(quotes) == {row for row in own if row.data_set not in published.AVERAGES}


def quoted(recipe: str, data_set: str, metric: str) -> list[published.PublishedNumber]:
    """The numbers that a recipe quotes."""
    method = recipe.partition("/")[0]
    found = published.rows(method, data_set, method, metric)
    return [row for row in found if TABLES_OF[recipe].get(row.table) == row.variant and not row.shots]
