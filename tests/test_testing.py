"""A method or layout that breaks a promise is told which one: for each, one that breaks it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.trainer.toys import PAPER, ToyReader
from zsad.backbones.clip import Clip
from zsad.backbones.transformer import l2_normalize
from zsad.data import Layout, PublishedCount, Sample, layouts
from zsad.errors import ConfigError, InputError
from zsad.methods import (
    BackboneFeatures,
    Config,
    Evidence,
    FewShot,
    FolderScores,
    LoadImages,
    Method,
    TrainingConfig,
)
from zsad.methods.clip import ClipDetector
from zsad.methods.musc import MuSc
from zsad.references import PatchFeatures
from zsad.testing import METHOD_PROMISES, MethodCase, check_layout, check_method, small_clip

RULES = {promise.name: promise for promise in METHOD_PROMISES}


def of(kind: type[Method], **members: object) -> type[Method]:
    return type("Broken", (kind,), {"__doc__": "Broken on purpose.", "__module__": __name__, **members})


def changed(change: Callable[[Method, Evidence, Tensor, Sequence[str]], Evidence]) -> type[Method]:
    def forward(self: Method, images: Tensor, class_names: Sequence[str]) -> Evidence:
        return change(self, ClipDetector.forward(self, images, class_names), images, class_names)  # type: ignore[arg-type]

    return of(ClipDetector, forward=forward)


def counting(self: Method, evidence: Evidence, *_: object) -> Evidence:
    self.calls = getattr(self, "calls", 0) + 1  # type: ignore[assignment]
    return Evidence(evidence.maps, evidence.score / self.calls)


def spoiling(self: Method, evidence: Evidence, *_: object) -> Evidence:
    with torch.no_grad():
        self.clip.logit_scale.add_(1)
    return evidence


def reading(self: Method, evidence: Evidence, *_: object) -> Evidence:
    Path(__file__).read_bytes()
    return evidence


def between_images(_: Method, evidence: Evidence, *__: object) -> Evidence:
    return Evidence(evidence.maps, (evidence.score - evidence.score.mean()).sigmoid())


def after_larger(self: Method, evidence: Evidence, images: Tensor, *_: object) -> Evidence:
    self.largest = max(getattr(self, "largest", 0), images.shape[-2])  # type: ignore[assignment]
    return Evidence(evidence.maps, evidence.score * 32 / self.largest)


def by_first_name(_: Method, evidence: Evidence, __: Tensor, names: Sequence[str]) -> Evidence:
    return Evidence(evidence.maps, evidence.score if names[0] == names[-1] else evidence.score / 2)


class Bare(ToyReader):
    """A reader with nothing wrong but what a test adds."""


class Second(Bare):
    """A parameter that no loss reaches."""

    def __init__(self, clip: Clip, config: Config | None = None) -> None:
        super().__init__(clip)
        self.unused = nn.Parameter(torch.ones(3))


class Leaking(Bare):
    """Features that a trained parameter has part in."""

    def extract_features(self, images: Tensor) -> BackboneFeatures:
        features = super().extract_features(images)
        return BackboneFeatures(features.patches * self.head.bias.detach(), features.image, features.grid)


class Keeping(FewShot):
    """A memory that cannot be emptied."""

    paper, uses_class_names = PAPER, False

    def __init__(self, clip: Clip, config: Config) -> None:
        super().__init__(clip, config, widths=(clip.config.vision.width,))

    def reference_features(self, images: Tensor) -> PatchFeatures:
        patches = l2_normalize(self.clip.vision(images).last[:, 1:].float())
        return PatchFeatures((patches,), (images.shape[2] // 8, images.shape[3] // 8))

    def forward(self, images: Tensor, class_names: Sequence[str]) -> Evidence:
        features = self.reference_features(images)
        known = self.nearest(features) if self.is_few_shot else features.streams[0].std(-1).sigmoid()[:, None]
        maps = known.unflatten(2, features.grid)
        return Evidence(maps, maps.mean((1, 2, 3)))

    def forget_normal(self) -> None:
        """Not at all."""


def folder(change: Callable[[FolderScores, int], FolderScores]) -> type[Method]:
    """MuSc whose scores of a folder are changed; told the number of batches."""

    def score_folder(self: MuSc, load: LoadImages, count: int, class_name: str) -> FolderScores:
        batches = 0

        def counted(indices: Sequence[int]) -> Iterator[tuple[list[int], Tensor]]:
            nonlocal batches
            for batch in load(indices):
                batches += 1
                yield batch

        scores = MuSc.score_folder(self, counted, count, class_name)
        return change(scores, batches)

    return of(MuSc, score_folder=score_folder)


def with_score(scores: FolderScores, score: Tensor) -> FolderScores:
    return replace(scores, evidence=Evidence(scores.evidence.maps, score))


def scaled(scores: FolderScores, _: int) -> FolderScores:
    """Copies get the scores of rounding, as where these are brought to [0, 1] by their extent."""
    score = scores.evidence.score
    return with_score(scores, score if not len(score) or score.max() > 0 else torch.linspace(0, 1, len(score)))


BROKEN: list[tuple[str, type[Method], str]] = [
    ("maps_are_probabilities_on_the_grid", changed(lambda _, e, *__: Evidence(e.maps * 3, e.score)), "maps of [12]"),
    (
        "maps_are_probabilities_on_the_grid",
        changed(lambda _, e, *__: Evidence(e.maps[:, 0], e.score)),
        "(maps of shape|maps.: f32.2,4,4)",
    ),
    ("maps_are_probabilities_on_the_grid", changed(lambda _, e, *__: Evidence(e.maps[..., :1], e.score)), "for a grid"),
    ("maps_are_probabilities_on_the_grid", changed(lambda _, e, *__: Evidence(e.maps.double(), e.score)), "float64"),
    ("the_answer_depends_on_the_image", changed(lambda _, e, *__: Evidence(e.maps, e.score * 0)), "the same score"),
    ("the_clip_is_not_changed_by_use", changed(spoiling), "changed tensors: .'logit_scale'"),
    ("the_clip_is_not_changed_by_a_step", changed(lambda _, e, *__: Evidence(e.maps.detach(), e.score.detach())), ""),
    ("a_batch_equals_its_images", changed(between_images), "scores that differ by"),
    ("the_loss_reaches_every_trained_parameter", Second, "no gradient at unused"),
    (
        "the_loss_reaches_every_trained_parameter",
        of(Bare, loss=lambda _, evidence, __: {"odd": evidence.score}),
        "the term 'odd' has the shape",
    ),
    ("a_few_steps_lower_the_loss", of(Bare, loss=lambda _, e, __: {"odd": e.score.mean() * 0}), "in 30 steps"),
    ("another_size_leaves_no_trace", changed(after_larger), "scores that differ by"),
    ("the_answer_is_the_same_each_time", changed(counting), "scores that differ by"),
    ("no_file_is_opened", changed(reading), "was opened"),
    ("bf16_is_near_fp32", changed(lambda m, e, *_: Evidence(e.maps, e.score.to(m.clip.dtype))), "bfloat16"),
    ("class_names_matter_where_the_method_says_so", of(ClipDetector, uses_class_names=False), "maps that differ by"),
    (
        "class_names_matter_where_the_method_says_so",
        of(Bare, uses_class_names=True),
        "the same score and maps for two classes",
    ),
    ("mixed_class_names_equal_separate_ones", changed(by_first_name), "scores that differ by"),
    ("any_class_name_is_answered", of(Bare, uses_class_names=True), "warnings: "),
    ("paper_and_backbone_are_named", of(ClipDetector, paper_backbone="ViT-Q"), "unknown backbone 'ViT-Q'"),
    ("paper_and_backbone_are_named", of(ClipDetector, __doc__=None), "no docstring"),
    ("forward_is_its_two_steps", Leaking, "other patches features"),
    ("a_memory_is_filled_and_emptied", Keeping, "maps that differ by"),
    (
        "a_folder_is_scored_by_its_images",
        folder(lambda scores, batches: with_score(scores, scores.evidence.score / batches)),
        "scores that differ by",
    ),
    (
        "a_folder_is_scored_by_its_images",
        folder(lambda scores, _: with_score(scores, torch.linspace(0, 1, len(scores.indices)))),
        "scores that differ by",
    ),
    (
        "a_folder_is_scored_by_its_images",
        folder(lambda scores, _: replace(scores, indices=list(range(len(scores.indices))))),
        "where .0, 2, 3, 5. can be read",
    ),
    ("odd_folders_are_answered", folder(scaled), "copies with the scores"),
    ("one_image_is_answered_or_refused", of(MuSc, forward=lambda *_: NO_NUMBERS), "not finite"),
    ("one_image_is_answered_or_refused", of(MuSc, forward=lambda *_: 1 / 0), "ZeroDivisionError"),
    ("trained_parameters_decide_the_answer", of(Bare, predict_from_features=lambda *_: FIXED), "the same score"),
]
FIXED = Evidence(torch.full((3, 1, 4, 4), 0.5), torch.full((3,), 0.5))
NO_NUMBERS = Evidence(torch.full((1, 1, 4, 4), torch.nan), torch.full((1,), torch.nan))


@pytest.mark.parametrize(("name", "method", "found"), BROKEN)
def test_a_broken_promise_is_named(name: str, method: type[Method], found: str) -> None:
    promise = RULES[name]
    with pytest.raises(AssertionError, match=f"(?s)^{method.__name__}: .*{found}") as error:
        promise(MethodCase(method))
    assert promise.rule in str(error.value)


def test_an_error_of_a_method_breaks_the_promise_that_it_stops() -> None:
    def forward(self: Method, images: Tensor, class_names: Sequence[str]) -> Evidence:
        raise RuntimeError("out of luck")

    with pytest.raises(AssertionError, match=r"^Broken: maps are .*\nRuntimeError: out of luck"):
        check_method(of(ClipDetector, forward=forward))


def test_options_are_those_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match="did you mean 'temperature'"):
        check_method(ClipDetector, temperatur=0.1)
    assert MethodCase(ClipDetector, (("temperature", 0.5),)).make().config.temperature == 0.5  # type: ignore[attr-defined]


def test_what_cannot_be_registered_is_not_checked() -> None:
    with pytest.raises(ConfigError, match="names its paper"):
        check_method(of(ClipDetector, paper=None))


def test_the_clip_is_frozen_and_drawn_from_a_seed() -> None:
    assert not any(parameter.requires_grad for parameter in small_clip().parameters())
    assert torch.equal(small_clip(1).vision.projection, small_clip(1).vision.projection)
    assert not torch.equal(small_clip(1).vision.projection, small_clip(2).vision.projection)
    assert isinstance(ToyReader.training_defaults, TrainingConfig)


class Pairs(Layout):
    """``<root>/*.png``: every second one is anomalous."""

    title, about = "Pairs", "Images, every second one anomalous."

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        images = sorted(root.glob("*.png")) if root.is_dir() else []
        if not images:
            raise InputError("a folder of pairs has images", str(root), "name another")
        return [
            Sample(image, number % 2, "pair", "bad" if number % 2 else "good", None, "test")
            for number, image in enumerate(images)
        ]


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(layouts._REGISTRY, "_registered", {})
    for number in range(2):
        (tmp_path / f"{number}.png").write_bytes(b"")
    return tmp_path


def test_a_layout_that_keeps_its_promises(pairs: Path) -> None:
    check_layout(Pairs, pairs)
    check_layout(Pairs, str(pairs))


def fixed(*samples: object) -> object:
    return classmethod(lambda cls, root: Pairs.samples(root) and list(samples))


def sample(pairs: Path, **changes: object) -> Sample:
    values = {"image": pairs / "0.png", "label": 0, "class_name": "pair", "kind": "good", "mask": None, "split": "test"}
    return Sample(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"image": Path("none.png")}, "the image of a sample is a file; got none.png"),
        ({"label": 2}, "a label is 0 .normal., 1 .anomalous. or None; got 2"),
        ({"split": "val"}, 'a split is "train" or "test"; got .val.'),
        ({"class_name": " "}, "a sample names its class"),
        ({"kind": ""}, "a sample names its kind"),
        ({"kind": "bent"}, 'the kind of a normal image is "good"; got .bent.'),
        ({"mask": Path("none.png")}, "the mask of a sample is a file; got none.png"),
    ],
)
def test_a_sample_that_breaks_a_promise_is_named(pairs: Path, changes: dict[str, object], rule: str) -> None:
    broken = type("Broken", (Pairs,), {"__doc__": "Broken.", "samples": fixed(sample(pairs, **changes))})
    with pytest.raises(AssertionError, match=rule):
        check_layout(broken, pairs)


@pytest.mark.parametrize(
    ("members", "rule"),
    [
        ({"__doc__": None}, "the docstring of a layout says how files lie"),
        ({"title": " "}, "a layout has a title"),
        ({"about": "two\nlines"}, "`about` is one line"),
        ({"samples": classmethod(lambda cls, root: Pairs.samples(root)[:0])}, "the folder has samples; got none"),
        ({"samples": classmethod(lambda cls, root: [*map(str, Pairs.samples(root))])}, "objects of zsad.data.Sample"),
        ({"samples": classmethod(lambda cls, root: tuple(Pairs.samples(root)))}, "returns a list; got tuple"),
        ({"samples": classmethod(lambda cls, root: Pairs.samples(root) * 2)}, "each image stands once"),
        ({"counts": {"pair": PublishedCount(-1, 0)}}, "published counts are at least 0; got pair"),
        ({"counts": {"pair": PublishedCount(1, 0)}, "classes": ("lid",)}, "of the classes of the layout; got pair"),
        (
            {"samples": classmethod(lambda cls, root: Pairs.samples(root) if [*root.iterdir()] else [])},
            "a folder that is missing or without images is an InputError",
        ),
    ],
)
def test_a_layout_that_breaks_a_promise_is_told(pairs: Path, members: dict[str, object], rule: str) -> None:
    broken = type("Broken", (Pairs,), {"__doc__": "Broken.", "__module__": __name__} | members)
    with pytest.raises(AssertionError, match=rule):
        check_layout(broken, pairs)


def test_another_order_each_time_is_a_broken_promise(pairs: Path) -> None:
    orders = [1, -1]
    broken = type(
        "Broken",
        (Pairs,),
        {"__doc__": "Broken.", "samples": classmethod(lambda cls, root: Pairs.samples(root)[:: orders.pop()])},
    )
    with pytest.raises(AssertionError, match="reading twice gives the same samples in the same order"):
        check_layout(broken, pairs)
