"""Few-shot evaluation: every class is judged by a memory of its own train split, and the record says by which."""

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

from tests import small
from tests.evaluator.making import RESOLUTION, data, left, train
from zsad import methods
from zsad.checkpoint import Card, TrainingRecord
from zsad.cli.fit import choose
from zsad.data.decode import decode
from zsad.data.preprocess import to_batch
from zsad.data.sources import find_images
from zsad.data.specification import data_set
from zsad.errors import ConfigError, InputError
from zsad.evaluator.class_evaluator import Progress
from zsad.evaluator.evaluation import evaluate
from zsad.methods.clip import ClipDetector
from zsad.methods.fe_clip.method import FeClip
from zsad.methods.patchcore import PatchCore
from zsad.predictor import Detector
from zsad.reports.terminal import comparison_table
from zsad.results import store
from zsad.results.schema import Evaluation, Protocol
from zsad.runtime import RuntimeConfig
from zsad.statistics.comparison import compare

QUICK = {"resolution": RESOLUTION, "resamples": 0}
TRAINING = {"carpet": 6, "metal_nut": 9, "tile": 12}
"""Normal training images of each class."""
DRAWN = {
    ("carpet", 0): ("003.png", "005.png"),
    ("carpet", 1): ("001.png", "004.png"),
    ("metal_nut", 0): ("006.png", "008.png"),
    ("tile", 0): ("006.png", "011.png"),
}
"""What is drawn where two are shown, by class and seed."""


PAST = TrainingRecord(("0" * 64,), {"classes": {"cap": 1}})
"""Of a training elsewhere."""


def few_shot(precision: str = "fp32") -> Detector:
    """FE-CLIP with random weights, the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        method = FeClip(small.frozen())
        with torch.no_grad():
            for stage in method.stages.parameters():
                stage.normal_(std=0.1)
    return Detector(Card("fe-clip"), method, RuntimeConfig(precision=precision), PAST)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes with train splits; nothing of one class looks like another."""
    folder = tmp_path_factory.mktemp("shots") / "data"
    data(folder, *TRAINING)
    for hue, (name, count) in enumerate(TRAINING.items()):
        train(folder / name, count, hue)
    return folder


def named(root: Path) -> str:
    return f"drawn=mvtec:{root}"


def shots(found: Evaluation) -> dict[str, tuple[str, ...]]:
    """The names of what was shown, by class."""
    return {one.class_name: tuple(map(_name, one.shots)) for one in found.data_sets[0].classes}


def _name(source: str) -> str:
    return source.rpartition("/")[2]


def scores(out: Path, class_name: str) -> list[float]:
    return [one.score for one in store.read_images(out / "classes" / "drawn" / class_name)]


@torch.no_grad()
def by_hand(root: Path, class_name: str, names: tuple[str, ...]) -> list[float]:
    """Section 4.6 of FE-CLIP, written out: half the zero-shot score, and half the greatest distance from the shots."""
    method = few_shot().method
    assert isinstance(method, FeClip)
    config = method.clip.config

    def pixels(path: Path) -> torch.Tensor:
        return to_batch([decode(path)], (32, 32), config.mean, config.std).pixels

    home = root / class_name

    def features_of(path: Path) -> list[torch.Tensor]:
        """Of the levels."""
        trace = method.run(pixels(path))
        return [normalize(trace.kept[level][0, 1:], dim=-1) for level in method.levels]

    normal = [features_of(home / "train" / "good" / name) for name in names]
    found = []
    for path in sorted((home / "test").glob("*/*.png")):
        image, patches = pixels(path), []
        features = features_of(path)
        for cell in range(len(features[0])):
            nearest = [
                max(float(level[cell] @ entry) for shot in normal for entry in shot[number])
                for number, level in enumerate(features)
            ]
            patches.append(sum(min(max(1 - cosine, 0), 1) for cosine in nearest) / len(nearest))
        zero_shot = float(method(image, ["object"]).score)
        found.append((zero_shot + max(patches)) / 2)
    return found


def test_each_class_is_judged_by_its_own_train_split_alone(root: Path, tmp_path: Path) -> None:
    detector = few_shot()
    found = evaluate(detector, [named(root)], tmp_path / "out", shots=2, **QUICK)
    assert shots(found) == {name: DRAWN[name, 0] for name in TRAINING}
    for name in TRAINING:
        assert scores(tmp_path / "out", name) == pytest.approx(by_hand(root, name, DRAWN[name, 0]), abs=2e-6), name
    for one in found.data_sets[0].classes:
        assert dict(one.shots) == {
            f"{one.class_name}/train/good/{name}": sha256(
                (root / one.class_name / "train" / "good" / name).read_bytes()
            ).hexdigest()
            for name in DRAWN[one.class_name, 0]
        }
        assert one.seen_in_training == 0
    # What it was shown is forgotten: the detector is the one that was given.
    assert (detector.memory_summary, detector.training_record) == ("", PAST)
    assert (found.protocol.shots, found.protocol.shots_seed) == (2, 0)
    assert (found.detector.remembers, found.detector.memory) == ({}, 0)
    assert store.read(tmp_path / "out") == found


@pytest.mark.parametrize("name", ["patchcore", "winclip"])
def test_methods_that_are_not_trained_are_fitted_to_each_class(name: str, root: Path, tmp_path: Path) -> None:
    clip, method_type = small.frozen(), methods.get(name)

    def fresh() -> Detector:
        return Detector(Card(name), method_type(clip, method_type.config_type()))

    detector, by_hand = fresh(), fresh()
    evaluate(detector, [named(root)], tmp_path / "out", shots=2, classes=["carpet"], **QUICK)
    assert detector.memory_summary == ""
    normal = [root / "carpet" / "train" / "good" / file for file in DRAWN["carpet", 0]]
    by_hand.fit_normal([*normal], "carpet")
    images = sorted((root / "carpet" / "test").glob("*/*.png"))
    expected = [by_hand.predict(image, "carpet").score for image in images]
    assert scores(tmp_path / "out", "carpet") == pytest.approx(expected, abs=1e-5)
    assert len({round(score, 4) for score in expected}) > 1


def test_a_detector_that_is_few_shot_only_needs_shots(root: Path, tmp_path: Path) -> None:
    detector = Detector(Card("patchcore"), PatchCore(small.frozen()))
    with pytest.raises(ConfigError, match=r"few-shot only .*got none for patchcore\. Remedy: say --shots K"):
        evaluate(detector, [named(root)], tmp_path / "out", **QUICK)
    assert not (tmp_path / "out").exists()
    detector.fit_normal([root / "tile" / "train" / "good" / "000.png"], "tile")
    evaluate(detector, [named(root)], tmp_path / "out", classes=["tile"], max_images=1, **QUICK)


def test_the_draw_is_of_the_class_and_the_seed_alone(root: Path, tmp_path: Path) -> None:
    whole = data_set(named(root))
    for number, seed in enumerate((0, 1)):
        found = evaluate(
            few_shot(), [whole], tmp_path / str(number), classes=["carpet"], shots=2, shots_seed=seed, **QUICK
        )
        assert shots(found) == {"carpet": DRAWN["carpet", seed]}
    assert scores(tmp_path / "1", "carpet") == pytest.approx(by_hand(root, "carpet", DRAWN["carpet", 1]), abs=2e-6)
    more = evaluate(few_shot(), [whole], tmp_path / "more", shots=6, **QUICK)
    assert shots(more)["carpet"] == tuple(f"{number:03}.png" for number in range(6))


def test_fit_normal_draws_the_same(root: Path) -> None:
    for (class_name, seed), names in DRAWN.items():
        chosen = choose(find_images([root / class_name / "train" / "good"]), 2, seed)
        assert tuple(path.name for path in chosen) == names


def test_only_normal_training_images_are_drawn(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "carpet")
    train(tmp_path / "data" / "carpet", 3, 0)
    train(tmp_path / "data" / "carpet", 30, 1, "square")
    found = evaluate(few_shot(), [given], tmp_path / "out", shots=3, **QUICK)
    assert shots(found) == {"carpet": ("000.png", "001.png", "002.png")}
    assert {source.split("/")[2] for source in found.data_sets[0].classes[0].shots} == {"good"}


def test_a_memory_of_another_class_changes_scores_and_is_told(root: Path, tmp_path: Path) -> None:
    own = evaluate(few_shot(), [named(root)], tmp_path / "own", shots=2, **QUICK)
    assert own.data_sets[0].warnings == ()
    detector = few_shot()
    detector.fit_normal([root / "metal_nut" / "train" / "good" / name for name in DRAWN["metal_nut", 0]], "metal nut")
    found = evaluate(detector, [named(root)], tmp_path / "one", **QUICK)
    (warning,) = found.data_sets[0].warnings
    assert warning == (
        "carpet and tile are compared with normal images of another class: the memory bank holds 2 normal images of "
        "metal nut (32 patches a level)."
    )
    assert (found.detector.remembers, found.detector.memory) == ({"metal nut": 2}, 32)
    assert scores(tmp_path / "one", "metal_nut") == scores(tmp_path / "own", "metal_nut")
    for name in ("carpet", "tile"):
        differences = np.subtract(scores(tmp_path / "one", name), scores(tmp_path / "own", name))
        assert np.abs(differences).min() > 1e-4, name
    html = (tmp_path / "one" / store.PAGE).read_text()
    assert warning in html
    assert "2 normal images of metal nut (32 patches a level)" in html
    alone = evaluate(detector, [named(root)], tmp_path / "alone", classes=["metal_nut"], **QUICK)
    assert alone.data_sets[0].warnings == ()


def test_a_memory_of_nobody_knows_what_is_told(root: Path, tmp_path: Path) -> None:
    detector = few_shot()
    detector.fit_normal([root / "tile" / "train" / "good" / "000.png"])
    found = evaluate(detector, [named(root)], tmp_path / "out", **QUICK)
    assert found.detector.remembers == {"": 1}
    assert [said.partition(":")[0] for said in found.data_sets[0].warnings] == [
        "The class of some normal images in the memory bank was not recorded",
        "One memory bank serves several classes",
    ]


class StopError(Exception):
    """The user's patience ends."""


def test_what_was_stopped_between_classes_goes_on_to_the_same_bytes(root: Path, tmp_path: Path) -> None:
    evaluate(few_shot(), [named(root)], tmp_path / "whole", shots=2, **QUICK)

    def stop(progress: Progress) -> None:
        if (progress.class_name, progress.scored) == ("metal_nut", 2):
            raise StopError

    detector = few_shot()
    with pytest.raises(StopError):
        evaluate(detector, [named(root)], tmp_path / "out", shots=2, watch=stop, **QUICK)
    assert (detector.memory_summary, detector.training_record) == ("", PAST)
    assert store.class_folders(tmp_path / "out").keys() == {("drawn", "carpet")}
    evaluate(few_shot(), [named(root)], tmp_path / "out", shots=2, **QUICK)
    assert left(tmp_path / "out") == left(tmp_path / "whole")


def test_the_page_says_what_each_class_was_shown(root: Path, tmp_path: Path) -> None:
    evaluate(few_shot(), [named(root)], tmp_path / "out", shots=2, shots_seed=0, **QUICK)
    html = (tmp_path / "out" / store.PAGE).read_text()
    assert "fe-clip (2 shots, seed 0) on small at 32 px, evaluated on drawn" in html
    assert "2 normal images of the class that is scored, drawn with seed 0" in html
    assert (
        "Few-shot: for each class the memory bank holds 2 normal images of the train split of that class, drawn "
        "with seed 0, and none of any other class."
    ) in html
    folds = html.split("<details")[1:]
    for name, fold in zip(TRAINING, folds, strict=True):
        assert "<dt>shots</dt><dd>2 normal images</dd>" in fold
        for shot in DRAWN[name, 0]:
            assert f"<li><bdi>{name}/train/good/{shot}</bdi></li>" in fold
    evaluate(few_shot(), [named(root)], tmp_path / "none", **QUICK)
    html = (tmp_path / "none" / store.PAGE).read_text()
    assert "<dt>shots</dt>" not in html
    assert "in the memory bank" not in html
    assert "<dt>memory bank</dt><dd>empty</dd>" in html


# --- the record


def test_shots_are_part_of_the_plan(root: Path, tmp_path: Path) -> None:
    moved = tmp_path / "data"
    data(moved, "carpet")
    train(moved / "carpet", 3, 0)
    out = tmp_path / "out"
    evaluate(few_shot(), [named(moved)], out, shots=2, **QUICK)
    words = store.read_json(out / store.PLAN)
    assert (words["protocol"]["shots"], words["protocol"]["shots_seed"]) == (2, 0)
    drawn = words["data"]["drawn"]["classes"]["carpet"]["shots"]
    assert len(drawn) == 2
    for other in ({"shots": 1}, {"shots": 2, "shots_seed": 3}, {}):
        with pytest.raises(ConfigError, match="another protocol"):
            evaluate(few_shot(), [named(moved)], out, **other, **QUICK)
    Image.new("RGB", (40, 40)).save(moved / next(iter(drawn)))
    with pytest.raises(ConfigError, match="got another data"):
        evaluate(few_shot(), [named(moved)], out, shots=2, **QUICK)


def test_evaluations_of_before_are_read_and_go_on(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluate(few_shot(), [named(root)], out, **QUICK)

    def without(words: object) -> object:
        if isinstance(words, dict):
            new = ("shots", "shots_seed", "remembers", "memory")
            return {key: without(value) for key, value in words.items() if key not in new}
        return [without(one) for one in words] if isinstance(words, list) else words

    for path in (out / store.EVALUATION, out / store.PLAN, *out.glob("classes/*/*/class.json")):
        path.write_text(json.dumps(without(json.loads(path.read_text()))))
    found = store.read(out)
    assert (found.protocol, found.detector.remembers) == (Protocol(RESOLUTION, resamples=0), {})
    seen: list[Progress] = []
    evaluate(few_shot(), [named(root)], out, watch=seen.append, **QUICK)
    assert [one.scored for one in seen] == [8, 8, 8]  # nothing is done again


# --- what is refused


def test_a_class_without_enough_is_named(root: Path, tmp_path: Path) -> None:
    message = (
        r"at least the 7 shots among the normal images of its train split; got 6 of carpet \(drawn\)\. "
        r"Remedy: say fewer --shots, or name by --classes"
    )
    with pytest.raises(InputError, match=message):
        evaluate(few_shot(), [named(root)], tmp_path / "out", shots=7, **QUICK)
    bare = data(tmp_path / "bare", "carpet", "wood")
    with pytest.raises(InputError, match=r"got 0 of carpet \(drawn\), 0 of wood \(drawn\)\."):
        evaluate(few_shot(), [bare], tmp_path / "out", shots=1, **QUICK)
    assert not (tmp_path / "out").exists()
    evaluate(few_shot(), [named(root)], tmp_path / "out", shots=7, classes=["tile", "metal_nut"], max_images=1, **QUICK)


def test_a_detector_without_the_mode_is_refused(root: Path, tmp_path: Path) -> None:
    plain = Detector(Card("clip"), ClipDetector(small.frozen()))
    with pytest.raises(ConfigError, match=r"must have a few-shot mode; got clip\. Remedy: choose one of .*fe-clip"):
        evaluate(plain, [named(root)], tmp_path / "out", shots=1, **QUICK)
    with pytest.raises(ConfigError, match=r"fitted to normal images in fp32; got bf16"):
        evaluate(few_shot(precision="bf16"), [named(root)], tmp_path / "out", shots=1, **QUICK)
    remembering = few_shot()
    remembering.fit_normal([root / "tile" / "train" / "good" / "000.png"], "tile")
    message = r"remembers none before; got 1 normal image of tile \(16 patches a level\)\. Remedy: name the detector"
    with pytest.raises(ConfigError, match=message):
        evaluate(remembering, [named(root)], tmp_path / "out", shots=1, **QUICK)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"shots": -1}, "number of shots is not negative; got -1"),
        ({"shots": 1, "shots_seed": -2}, r"a seed lies in \[0, .*; got -2"),
        ({"shots_seed": 3}, "got seed 3 of none. Remedy: say --shots"),
    ],
)
def test_a_wrong_draw_is_refused(wrong: dict[str, int], message: str, root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate(few_shot(), [named(root)], tmp_path / "out", **wrong, **QUICK)


def test_a_shot_that_cannot_be_read_is_named_before_any_work(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "carpet", "wood")
    for hue, name in enumerate(("carpet", "wood")):
        train(tmp_path / "data" / name, 1, hue)
    (tmp_path / "data" / "wood" / "train" / "good" / "000.png").write_text("no image")
    with pytest.raises(InputError, match=r"wood/train/good/000\.png"):
        evaluate(few_shot(), [given], tmp_path / "out", shots=1, **QUICK)
    assert not (tmp_path / "out").exists()


def test_what_is_shown_is_no_test(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "carpet", "wood")
    for hue, name in enumerate(("carpet", "wood")):
        train(tmp_path / "data" / name, 2, hue)
    home = tmp_path / "data" / "carpet"
    shown = home / "train" / "good" / "001.png"
    (home / "test" / "good" / "copy.png").write_bytes(shown.read_bytes())
    # What is shown of another class is never in the memory that judges this one.
    (tmp_path / "data" / "wood" / "test" / "good" / "copy.png").write_bytes(shown.read_bytes())
    with pytest.raises(InputError, match=r"got 1 of 9 of carpet \(drawn\)\. Remedy: name other data"):
        evaluate(few_shot(), [given], tmp_path / "out", shots=2, **QUICK)
    with pytest.raises(InputError, match=r"got 3 of 11 of carpet \(drawn\), 2 of 11 of wood \(drawn\)\."):
        evaluate(few_shot(), [given], tmp_path / "out", split="all", shots=2, **QUICK)
    found = evaluate(few_shot(), [given], tmp_path / "out", shots=2, allow_training_data=True, **QUICK)
    assert [one.seen_in_training for one in found.data_sets[0].classes] == [1, 0]
    assert found.data_sets[0].warnings[0].startswith("carpet: 1 of 9 images were seen by the detector")


def test_copies_among_shots_are_told(tmp_path: Path) -> None:
    given = data(tmp_path / "data", "carpet")
    train(tmp_path / "data" / "carpet", 2, 0)
    first, second = sorted((tmp_path / "data" / "carpet" / "train" / "good").iterdir())
    second.write_bytes(first.read_bytes())
    found = evaluate(few_shot(), [given], tmp_path / "out", shots=2, **QUICK)
    assert found.data_sets[0].warnings[0] == ("carpet: 1 copy among the normal images that the detector was shown.")


# --- comparing


def test_comparisons_say_what_was_shown(root: Path, tmp_path: Path) -> None:
    for number, (count, seed) in enumerate(((0, 0), (2, 0), (2, 1), (4, 0))):
        out = tmp_path / str(number)
        evaluate(few_shot(), [named(root)], out, resolution=RESOLUTION, shots=count, shots_seed=seed, resamples=20)
    none, two, other, four = (tmp_path / str(number) for number in range(4))
    found = compare(none, two, draws=100)
    assert found.warnings[0] == (
        "The detectors were not shown the same: of each class, A none and B 2 of its normal training images. "
        "The difference is also that of the shots."
    )
    assert found.shown == (("",), ("2 shots, seed 0",))
    assert comparison_table(found).splitlines()[:2] == ["A  fe-clip", "B  fe-clip (2 shots, seed 0)"]
    assert not any("in common" in said for said in found.warnings)
    found = compare(two, other, draws=100)
    assert found.warnings[0] == (
        "The detectors were shown other normal images, as they were drawn, of drawn carpet, drawn metal_nut, "
        "drawn tile."
    )
    detector = few_shot()
    detector.fit_normal([root / "tile" / "train" / "good" / "000.png"], "tile")
    evaluate(detector, [named(root)], tmp_path / "one", **QUICK)
    assert compare(tmp_path / "one", two, draws=100).warnings[:2] == (
        "A judged every class by one memory: 1 normal image of tile (16 patches a level).",
        "The detectors were not shown the same: of each class, A none and B 2 of its normal training images. "
        "The difference is also that of the shots.",
    )
    # Draws are to a side what trainings are; one evaluation named twice is still none.
    assert "A none and B 2 or 4 of its" in compare([none], [two, other, four], draws=100).warnings[0]
    with pytest.raises(InputError, match=r"different draws of shots or different trainings; got 1 named again"):
        compare([none], [two, two], draws=100)
    assert any("in common" in said for said in compare(two, two, draws=100).warnings)
