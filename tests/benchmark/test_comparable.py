"""Which of the papers' numbers are comparable with ours: what stands in parentheses, and why."""

from pathlib import Path

import pytest

from zsad.benchmark import plan, recipe
from zsad.benchmark.data_sets import ClassListing
from zsad.benchmark.plan import Plan
from zsad.benchmark.published_results import printed
from zsad.data import layouts
from zsad.data.layouts import Sample
from zsad.data.specification import DataSet
from zsad.results.leaderboard import PublishedResult

RECIPES = Path(__file__).parents[2] / "recipes"
MVTEC_TO_VISA = RECIPES / "benchmark" / "papers-mvtec-to-visa.toml"
VISA_TO_ALL = RECIPES / "benchmark" / "papers-visa-to-all.toml"
MVTEC = "trained on visa, not on mvtec"

OTHERS: dict[str, set[tuple[str, str, str]]] = {
    "ksdd2": {
        (name, "WMoE-CLIP", "ksdd2 of 894 normal and 110 anomalous images")
        for name in ("winclip", "clip-ad", "anomalyclip", "adaclip", "aa-clip", "wmoe-clip")
    },
    "dagm": {
        (name, "WMoE-CLIP", "dagm of 6996 normal and 1054 anomalous images")
        for name in ("winclip", "clip-ad", "anomalyclip", "adaclip", "aa-clip", "wmoe-clip")
    },
    "rsdd": {
        (name, "ACD-CLIP", "rsdd of 0 normal and 195 anomalous images")
        for name in ("winclip", "clip-ad", "anomalyclip", "adaclip", "acd-clip")
    },
    "kolektor-sdd": {
        (name, "KAnoCLIP", "kolektor-sdd of 347 normal and 52 anomalous images")
        for name in ("clip", "clip-ac", "winclip", "april-gan", "anomalyclip", "mvfa-ad", "kanoclip")
    },
    "covid19": {
        (name, "KAnoCLIP", "covid19 of 10192 normal and 10973 anomalous images")
        for name in ("clip", "clip-ac", "winclip", "april-gan", "anomalyclip", "mvfa-ad", "kanoclip")
    },
    **{
        name: {
            ("acd-clip", "ACD-CLIP", "sigma 14.0"),
            ("acd-clip", "ACD-CLIP", "smoothing_window 7"),
            ("acd-clip", "ACD-CLIP", "map_weight 0.1"),
        }
        for name in ("cvc-colondb", "cvc-clinicdb", "kvasir", "bmad-brain", "bmad-liver", "bmad-resc")
    },
}
"""Detector, paper and why, where data sets are complete; beside what is trained on MVTec AD."""
for name in (
    *("cvc-colondb", "cvc-clinicdb", "endotect", "kvasir"),
    "isic-2016",
    "head-ct",
    "brain-mri-bayes-pfl",
    "br35h",
):
    industrial = {("aa-clip", "WMoE-CLIP", words) for words in ("sigma 14.0", "smoothing_window 7", "map_weight 0.5")}
    OTHERS[name] = OTHERS.get(name, set()) | industrial


def complete(name: str) -> DataSet:
    """As published; classes that nobody counted have some images."""
    layout = layouts.get(name)
    counts = {one: (count.normal, count.anomalous) for one, count in layout.counts.items()}
    uncounted = {one: (20, 60) for one in layout.classes if one not in counts}
    samples = [
        Sample(Path(f"{one}-{label}-{number}.png"), label, one, "good", None, "test")
        for one, count in (counts | uncounted).items()
        for label in (0, 1)
        for number in range(count[label])
    ]
    return DataSet(name, name, Path(), tuple(samples))


@pytest.fixture(scope="module")
def papers() -> Plan:
    benchmark = recipe.read(VISA_TO_ALL)
    data = {name: complete(name) for name in benchmark.data}
    return plan.plan(benchmark, recipe.entrants(benchmark, VISA_TO_ALL.parent), data, {})


def beside(one: Plan, data_set: str) -> list[PublishedResult]:
    return [
        row
        for split in one.benchmark.split
        for entrant in one.entrants
        if data_set in split.test and (split.detectors is None or entrant.name in split.detectors)
        for row in printed(one, split, entrant, data_set)
    ]


@pytest.mark.parametrize("data_set", recipe.read(VISA_TO_ALL).split[0].test)
def test_only_numbers_of_another_experiment_stand_in_parentheses(papers: Plan, data_set: str) -> None:
    rows = beside(papers, data_set)
    found = {
        (row.detector, row.source.partition(",")[0], words.partition(", not")[0])
        for row in rows
        for words in row.differs
        if words != MVTEC
    }
    assert found == OTHERS.get(data_set, set())
    on_mvtec = {row.detector for row in rows if MVTEC in row.differs}
    assert on_mvtec <= {"fe-clip", "kanoclip"}
    assert any(not row.differs for row in rows) == (data_set not in ("ksdd2", "rsdd", "kolektor-sdd", "covid19"))


def test_all_that_is_printed_of_visa_is_comparable(papers: Plan) -> None:
    """Each of the methods trained on MVTec AD as its authors do it for VisA."""
    benchmark = recipe.read(MVTEC_TO_VISA)
    rows = beside(plan.plan(benchmark, recipe.entrants(benchmark, MVTEC_TO_VISA.parent), {}, {}, papers.known), "visa")
    assert {row.detector for row in rows} == {
        *("clip", "clip-ac", "winclip", "anomalyclip", "adaclip", "april-gan", "clip-ad", "coop"),
        *("vcp-clip", "aa-clip", "mvfa-ad", "acd-clip", "afr-clip", "fe-clip", "kanoclip", "wmoe-clip"),
    }
    assert {(row.detector, row.differs) for row in rows if row.differs} == set()


def test_the_papers_own_pack_is_comparable(papers: Plan) -> None:
    pack = ClassListing("mvtec", False, {"Metal": (356, 356)})
    with_pack = plan.plan(papers.benchmark, papers.entrants, {}, {}, {**papers.known, "ksdd2": pack})
    rows = beside(with_pack, "ksdd2")
    assert rows
    assert all(row.differs == () for row in rows)


def test_a_complete_data_set_has_all_classes_and_no_others(papers: Plan) -> None:
    dtd = papers.known["dtd-synthetic"]
    missing = ClassListing(
        dtd.layout, True, {name: count for name, count in dtd.classes.items() if name != "Woven_001"}
    )
    changed = ClassListing(dtd.layout, True, dtd.classes | {"Mesh_114": (1, 1)})
    added = ClassListing(dtd.layout, True, dtd.classes | {"Woven_999": (1, 1)})
    for one, words in (
        (missing, "dtd-synthetic with 11 of its 12 classes"),
        (changed, "dtd-synthetic with other numbers of images than published"),
        (added, "dtd-synthetic with other numbers of images than published"),
    ):
        other = plan.plan(papers.benchmark, papers.entrants, {}, {}, {**papers.known, "dtd-synthetic": one})
        assert {found for row in beside(other, "dtd-synthetic") for found in row.differs} - {MVTEC} == {words}


ONE = """
title = "One"
detectors = ["{detector}"]
backbone = "ViT-L-14-336"
weights = "openai"
{more}

[data]
visa = "visa:visa"
mvtec = "mvtec:mvtec"

[[split]]
name = "visa"
train = ["visa"]
test = ["mvtec"]
"""


def differs(papers: Plan, folder: Path, detector: str, more: str = "") -> set[str]:
    path = folder / "one.toml"
    path.write_text(ONE.format(detector=detector, more=more))
    benchmark = recipe.read(path)
    one = plan.plan(benchmark, recipe.entrants(benchmark, folder), {}, {}, papers.known)
    rows = beside(one, "mvtec")
    assert rows
    return {words for row in rows for words in row.differs}


def test_a_file_called_paper_is_not_the_papers_model_for_that(papers: Plan, tmp_path: Path) -> None:
    (tmp_path / "paper.toml").write_text(
        'method = "acd-clip"\nbackbone = "ViT-L-14-336"\nactivation = "gelu"\n'
        "[options]\nsigma = 3\n[training]\nepochs = 1\n"
    )
    assert differs(papers, tmp_path, "paper.toml") == {"sigma 3.0, not 14.0", "epochs 1, not 20"}
    assert differs(papers, tmp_path, str(RECIPES / "acd-clip" / "paper.toml")) == set()
    assert differs(papers, tmp_path, "wmoe-clip") == set()


def test_activation_and_precision_count(papers: Plan, tmp_path: Path) -> None:
    assert differs(papers, tmp_path, "acd-clip") == set()  # under plain GELU where nothing is said
    assert differs(papers, tmp_path, "acd-clip", 'activation = "quick_gelu"') == {"activation quick_gelu, not gelu"}
    assert differs(papers, tmp_path, "clip", 'activation = "gelu"') == {"activation gelu, not quick_gelu"}
    assert differs(papers, tmp_path, "clip", 'activation = "quick_gelu"') == set()
    assert differs(papers, tmp_path, "wmoe-clip", 'precision = "bf16"') == {"trained in bf16, not fp32"}


@pytest.mark.parametrize(
    ("detector", "shots", "source", "image_auroc"),
    [
        ("anomalyclip", 0, "KAnoCLIP, Table 1", 0.915),
        ("adaclip", 0, "WMoE-CLIP, Table 1", 0.920),
        ("mvfa-ad", 0, "KAnoCLIP, Table 1", 0.889),
        ("anomalygpt", 1, "FE-CLIP, Table 5", 0.941),
        ("promptad", 1, "FE-CLIP, Table 5", 0.946),
    ],
)
def test_numbers_of_methods_of_others_stand_beside_ours(
    papers: Plan, tmp_path: Path, detector: str, shots: int, source: str, image_auroc: float
) -> None:
    path = tmp_path / "one.toml"
    path.write_text(ONE.format(detector=detector, more=f"shots = [{shots}]"))
    benchmark = recipe.read(path)
    one = plan.plan(benchmark, recipe.entrants(benchmark, tmp_path), {}, {}, papers.known)
    (row,) = (row for row in beside(one, "mvtec") if (row.source, row.metric) == (source, "image_auroc"))
    assert (row.detector.removesuffix("-1-shot"), row.value) == (detector, image_auroc)


@pytest.mark.parametrize("name", ["acd-clip", "adaclip", "april-gan", "aa-clip", "mvfa-ad", "vcp-clip"])
def test_what_authors_ran_under_plain_gelu_is_comparable_under_it(papers: Plan, tmp_path: Path, name: str) -> None:
    file, more = str(RECIPES / name / "paper.toml"), "[change.mvfa-ad]\nimage_size = 240" if name == "mvfa-ad" else ""
    assert differs(papers, tmp_path, file, more) == set()
    assert differs(papers, tmp_path, name, more) == set()
    other = differs(papers, tmp_path, file, f'activation = "quick_gelu"\n{more}')
    assert other == {"activation quick_gelu, not gelu"}


@pytest.mark.parametrize(("name", "options"), [("april-gan", ""), ("acd-clip", '[options]\nvariant = "paper"\n')])
def test_a_row_of_ones_own_is_comparable_under_the_activation_of_its_options(
    papers: Plan, tmp_path: Path, name: str, options: str
) -> None:
    """Plain GELU for the authors' code, the weights' own for what their paper says."""
    head, numbers = f'method = "{name}"\nbackbone = "ViT-L-14-336"\n', "[published.mvtec]\nimage_auroc = 12.3\n"
    (tmp_path / "mine.toml").write_text(head + options + numbers)
    assert differs(papers, tmp_path, "mine.toml") == set()


def test_the_size_of_images_is_that_of_the_authors(papers: Plan, tmp_path: Path) -> None:
    """Of the backbone for most; 240 px for MVFA-AD, 238 in whole patches of 14."""
    for name, theirs in (("mvfa-ad", 238), ("april-gan", 518)):
        for side in (238, 518):
            more = f"[change.{name}]\nimage_size = {side}"
            expected = set() if side == theirs else {f"ViT-L-14-336 at {side} px, not {theirs}"}
            assert differs(papers, tmp_path, name, more) == expected


def test_a_row_of_ones_own_has_a_title_in_any_case(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('method = "fe-clip"\n')
    path = tmp_path / "one.toml"
    path.write_text(ONE.format(detector="mine.toml", more=""))
    (entrant,) = recipe.entrants(recipe.read(path), tmp_path)
    assert entrant.title == entrant.name == "fe-clip-mine"
