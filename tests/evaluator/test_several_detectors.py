"""Several detectors on the same data: the results of each as if it were alone, from fewer passes over the images."""

from pathlib import Path

import pytest

from tests import small
from tests.evaluator.making import RESOLUTION, data, left
from zsad.backbones.vision import VisionTower
from zsad.checkpoint import Card
from zsad.cli.evaluate import format_evaluations
from zsad.evaluator.evaluation import evaluate, evaluate_all
from zsad.methods import Method
from zsad.methods.clip import ClipDetector
from zsad.methods.clip_ac import ClipAc
from zsad.methods.musc import MuSc
from zsad.predictor import Detector
from zsad.results.schema import Protocol
from zsad.runtime import RuntimeConfig
from zsad.side_by_side import groups, share_backbones

PROTOCOL = Protocol(resolution=RESOLUTION, resamples=20)


def detector(method: Method, name: str, image_size: int | None = None) -> Detector:
    return Detector(Card(name, image_size=image_size), method, RuntimeConfig(batch_size=2))


def detectors() -> list[Detector]:
    """Two that can share the pass, and one that scores images by one another; each on a backbone of its own."""
    kinds = {"clip": ClipDetector, "clip-ac": ClipAc, "musc": MuSc}
    return [detector(kind(small.frozen()), name) for name, kind in kinds.items()]


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of images that a tower embedded."""
    counts: list[int] = []
    patches = VisionTower.arrange

    def counted(self: VisionTower, embedded: object) -> object:
        counts.append(len(embedded))  # type: ignore[arg-type]
        return patches(self, embedded)  # type: ignore[arg-type]

    monkeypatch.setattr(VisionTower, "arrange", counted)
    return counts


def test_results_are_those_of_each_alone(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut", "carpet")
    found = evaluate_all(detectors(), given, tmp_path / "all", PROTOCOL)
    assert [*found] == ["clip", "clip-ac", "musc"]
    assert [evaluation.detector.setting for evaluation in found.values()] == ["zero-shot", "zero-shot", "transductive"]
    for each in detectors():
        evaluate(each, given, tmp_path / each.name, resolution=RESOLUTION, resamples=20)
        together, alone = left(tmp_path / "all" / each.name), left(tmp_path / each.name)
        shared = 1 if each.name == "musc" else 2
        for folder in ("carpet", "metal_nut"):
            assert together[f"classes/drawn/{folder}/class.json"].pop("detectors") == shared
            assert alone[f"classes/drawn/{folder}/class.json"].pop("detectors") == 1
        for files in (together, alone):
            for result in files["evaluation.json"]["data_sets"][0]["classes"]:
                result.pop("detectors", None)
        assert together == alone


def test_two_methods_on_one_backbone_take_one_pass(tmp_path: Path, passes: list[int]) -> None:
    given = data(tmp_path / "data", "metal_nut")
    evaluate_all(detectors()[:2], given, tmp_path / "all", PROTOCOL)
    assert sum(passes) == 8  # the images of the class, once


def test_what_differs_is_run_alone() -> None:
    one, other, musc = detectors()
    larger = detector(ClipDetector(small.frozen()), "clip", image_size=2 * one.image_size)
    share_backbones([one, other, musc, larger])
    assert one.method.clip is other.method.clip is musc.method.clip
    assert groups([one, other, musc, larger], count=8) == [[0, 1], [2], [3]]


def test_a_backbone_that_can_change_is_not_shared() -> None:
    loose = [detector(ClipDetector(small.build(small.CONFIG, 0)), "clip") for _ in range(2)]
    share_backbones(loose)
    assert loose[0].method.clip is not loose[1].method.clip
    assert groups(loose, count=8) == [[0], [1]]


def test_what_is_done_is_not_done_again(tmp_path: Path, passes: list[int]) -> None:
    given = data(tmp_path / "data", "metal_nut")
    evaluate(detectors()[0], given, tmp_path / "all" / "clip", resolution=RESOLUTION, resamples=20)
    done = left(tmp_path / "all" / "clip")
    passes.clear()
    evaluate_all(detectors()[:2], given, tmp_path / "all", PROTOCOL)
    assert sum(passes) == 8
    assert left(tmp_path / "all" / "clip") == done


def test_names_that_are_equal_get_folders_of_their_own(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut")
    assert [*evaluate_all([*detectors()[:1], *detectors()[:1]], given, tmp_path, PROTOCOL)] == ["clip", "clip-2"]


def test_the_terminal_shows_one_line_a_detector(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "metal_nut")
    found = evaluate_all(detectors(), given, tmp_path / "all", PROTOCOL)
    lines = format_evaluations([*found.values()]).splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[2:5]] == ["clip", "clip-ac", "musc"]
    means = found["clip-ac"].data_sets[0].means
    assert lines[3].split()[1] == f"{100 * (means['image_auroc'].value or 0):.1f}"
    assert "transductive" in " ".join(lines)
