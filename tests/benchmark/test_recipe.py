"""Recipes: what they say is checked before any work, and those that are shipped fit what there is."""

from pathlib import Path

import pytest

from tests.benchmark.making import HEAD, REST, planned, write
from zsad import published
from zsad.backbones import config as architectures
from zsad.benchmark import plan, recipe
from zsad.data import layouts
from zsad.data.specification import DataSet
from zsad.errors import ConfigError, InputError

RECIPES = Path(__file__).parents[2] / "recipes"
SHIPPED = sorted((RECIPES / "benchmark").glob("*.toml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes_name_what_there_is(path: Path) -> None:
    benchmark = recipe.read(path)
    entrants = recipe.entrants(benchmark, path.parent)
    assert {place.partition(":")[0] for place in benchmark.data.values()} <= set(layouts.built_in())
    assert {one.recipe.backbone for one in entrants} <= set(architectures.names())
    used = {name for split in benchmark.split for name in (*split.train, *split.test)}
    assert used == set(benchmark.data)
    if path.stem != "small":
        assert used <= published.data_sets().keys()
        assert {one.recipe.image_size or 518 for one in entrants} <= {518, 240}
        tested = {name for split in benchmark.split for name in split.test}
        for method, change in benchmark.change.items():  # nothing but what the authors set for all that is tested on
            authors = [row.options for row in published.rows(method=method) if tested == {row.data_set}]
            assert change.options | change.training == (authors[0] if authors else {})


@pytest.mark.parametrize("method", ["acd-clip", "afr-clip", "fe-clip", "kanoclip", "wmoe-clip"])
def test_every_ablation_of_a_method_is_in_its_benchmark(method: str) -> None:
    benchmark = recipe.read(RECIPES / "benchmark" / f"ablation-{method}.toml")
    listed = {Path(one).name for one in benchmark.detectors if "ablation" in one}
    assert listed == {path.name for path in (RECIPES / method / "ablation").glob("*.toml")}


def test_rows_are_called_what_their_paper_calls_them() -> None:
    path = RECIPES / "benchmark" / "ablation-kanoclip.toml"
    first, second, *_ = recipe.entrants(recipe.read(path), path.parent)
    assert (first.name, first.title) == ("kanoclip-row_1_baseline", "KAnoCLIP, Table 3, row 1: CLIP")
    assert (first.trained, second.trained) == (False, True)


def test_words_of_the_benchmark_change_recipes(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('method = "fe-clip"\nbackbone = "ViT-L-14-336"\nweights = "openai"\n')
    head = HEAD.replace('"toy-reader", "toy-editor"', '"winclip", "mine.toml"').replace('weights = "random"', "")
    rest = REST.partition("[change")[0] + '[change.winclip]\nbackbone = "tiny"\noptions = { sigma = 2.0 }\n'
    rest += "[change.fe-clip-mine]\ntraining = { epochs = 7 }\n"
    path = write(tmp_path, head, rest)
    clip, winclip, mine = recipe.entrants(recipe.read(path), tmp_path)
    assert (clip.recipe.backbone, winclip.recipe.backbone, mine.recipe.backbone) == ("small", "tiny", "small")
    assert (winclip.recipe.options, mine.recipe.weights) == ({"sigma": 2.0}, None)
    assert mine.recipe.training_config().epochs == 7


def test_positions_are_resized_as_the_benchmark_says(tmp_path: Path) -> None:
    head = HEAD.replace('weights = "random"', 'weights = "random"\nposition_resize = "bilinear"')
    rest = REST.replace("[change.toy-editor]", '[change.toy-editor]\nposition_resize = "bicubic"')
    clip, reader, editor = recipe.entrants(recipe.read(write(tmp_path, head, rest)), tmp_path)
    assert [one.recipe.position_resize for one in (clip, reader, editor)] == ["bilinear", "bilinear", "bicubic"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"clip",', '"clap",', "did you mean 'clip'"),
        ('"clip",', '"missing.toml",', "readable TOML"),
        ('"clip",', '"clip", "clip",', "a detector is named once; got clip"),
        ("[1, 2]", "[1, 1]", "a seed is named once; got 1"),
        ("[1, 2]", "[]", "at least one seed"),
        ("resolution = 32", "resolution = -1", "resolution of a benchmark is at least 0"),
        ("resolution = 32", "max_train_images = 0", "max_train_images of a benchmark is at least 1"),
        ("resolution", "resolutoin", "did you mean 'resolution'"),
        ('test = ["mpdd", "plates"]', 'test = ["mpd"]', "did you mean 'mpdd'"),
        ('test = ["mpdd", "plates"]', 'test = ["nuts"]', "tests on data that were not trained on; got nuts"),
        ('test = ["mpdd", "plates"]', "test = []", "split nuts tests on a data set"),
        ('test = ["mpdd", "plates"]', 'test = ["mpdd", "mpdd"]', "data set of split nuts is named once"),
        ('test = ["mpdd", "plates"]', 'test = ["mpdd"]\ndetectors = ["clap"]', "did you mean 'clip'"),
        ('name = "nuts"', 'name = "../nuts"', "a split is named by letters"),
        ('name = "nuts"', 'name = "plates"', "a split is named once; got plates"),
        ("mpdd = ", '"../mpdd" = ', "a data set is named by letters"),
        ("[change.toy-reader]", "[change.toy-redaer]", "did you mean 'toy-reader'"),
        ("epochs = 1", "epocs = 1", "did you mean 'epochs'"),
        ("training = { epochs = 1 }", "options = { noize = 1.0 }", "did you mean 'noise'"),
        ("[change.toy-reader]", "[change.clip]", "clip is not trained"),
        ('train = ["nuts"]', "train = []", "split nuts trains toy-reader"),
        ("mvtec:nuts", "mvtec", "data set nuts is LAYOUT:PATH"),
        ("mvtec:nuts", "mvtek:nuts", "did you mean 'mvtec'"),
        ("title", "]", "readable TOML"),
    ],
)
def test_what_a_recipe_gets_wrong_is_said(old: str, new: str, words: str, root: Path, tmp_path: Path) -> None:
    path = write(tmp_path, *(text.replace(old, new, 1) for text in (HEAD, REST)))
    with pytest.raises(ConfigError, match=words):
        planned(path, root)


def test_all_data_sets_that_are_missing_are_named_at_once(root: Path, tmp_path: Path) -> None:
    (tmp_path / "plates").mkdir()
    (tmp_path / "nuts").symlink_to(root / "nuts")
    benchmark = recipe.read(write(tmp_path))
    with pytest.raises(InputError, match=r"mpdd: mvtec:.*tubes.*\n.*plates: mvtec.*--skip-missing") as error:
        plan.find(benchmark, tmp_path)
    assert "nuts:" not in str(error.value)
    data, skipped = plan.find(benchmark, tmp_path, [f"mpdd=mvtec:{root / 'tubes'}"], skip_missing=True)
    assert (list(data), list(skipped)) == (["nuts", "mpdd"], ["plates"])
    runs = plan.plan(benchmark, recipe.entrants(benchmark, tmp_path), data, skipped).runs
    assert {run.split.name for run in runs} == {"nuts"}  # of the other nothing can be trained
    assert {run.test for run in runs} == {("mpdd",)}


def test_a_data_set_that_lies_elsewhere_is_one_of_the_benchmark(root: Path, tmp_path: Path) -> None:
    benchmark = recipe.read(write(tmp_path))
    found, _ = plan.find(benchmark, root, [f"plates=mvtec:{root / 'nuts'}"])
    assert found["plates"].samples[0].class_name == "metal_nut"
    assert found["plates"].name == "plates"
    for wrong in ("plate=mvtec:x", "mvtec:x"):
        with pytest.raises(ConfigError, match="a data set of this benchmark"):
            plan.find(benchmark, root, [wrong])


def test_nothing_at_all_is_no_benchmark(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="all data sets of a benchmark"):
        plan.find(recipe.read(write(tmp_path)), tmp_path / "empty", skip_missing=True)


def test_the_papers_protocol_trains_each_method_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(plan, "data_set", lambda text: DataSet(*text.partition(":")[0].split("="), tmp_path, ()))
    path = RECIPES / "benchmark" / "papers-visa-to-all.toml"
    whole = planned(path, tmp_path)
    methods = [
        *("anomalyclip", "adaclip", "april-gan", "clip-ad", "coop", "vcp-clip", "aa-clip", "mvfa-ad"),
        *("acd-clip", "afr-clip", "fe-clip", "kanoclip", "wmoe-clip"),
    ]
    assert [run.key for run in whole.runs] == [
        *(f"visa-to-all/{name}" for name in ("clip", "clip-ac", "winclip")),
        *(f"visa-to-all/{name}-111" for name in methods),
        "visa-to-medical/acd-clip-groups_2_medical-111",
    ]
    assert {len(run.test) for run in whole.runs[:-1]} == {22}
    towers = {one.name: (one.recipe.backbone, one.recipe.weights, one.recipe.image_size) for one in whole.entrants}
    assert towers.pop("winclip") == towers.pop("clip-ad") == ("ViT-B-16-plus-240", "laion400m_e31", 240)
    assert towers.pop("mvfa-ad") == ("ViT-L-14-336", "openai", 240)
    assert set(towers.values()) == {("ViT-L-14-336", "openai", 518)}
    activations = {one.name: one.recipe.activation for one in whole.entrants}
    assert activations["acd-clip"] == activations["april-gan"] == "gelu"  # as their papers' recipes say
