"""What every method promises, one function for each promise."""

import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn
from unittest.mock import patch

import torch
from torch import Tensor

from zsad import checkpoint, methods
from zsad.backbones import config as architectures
from zsad.config import from_mapping
from zsad.errors import ConfigError, InputError, ZsadError, ZsadWarning
from zsad.methods import (
    BackboneFeatures,
    Config,
    Evidence,
    FewShot,
    FrozenBackboneMethod,
    Method,
    Target,
    Trainable,
    TransductiveMethod,
)
from zsad.testing._clip import PATCH, SIZE, images, small_clip
from zsad.testing._folders import answers_alone, chosen, folder_evidence, loading
from zsad.types import Size

CLASSES = ("metal nut", "carpet", "metal nut", "transistor")
_NUMBERS = count()
SIZES: tuple[Size, ...] = ((SIZE, SIZE), (40, 24), (16, 16), (35, 70))


@dataclass(frozen=True)
class MethodCase:
    """A method, with options, to be checked.

    Attributes:
        method: the class.
        options: fields of its configuration that differ from the defaults.
    """

    method: type[Method]
    options: tuple[tuple[str, Any], ...] = ()

    def make(self, config: Config | None = None) -> Method:
        """On the small CLIP, in evaluation mode, with initial parameters drawn from one seed as training draws them.

        A method that is few-shot only is fitted to two images.
        """
        kind = self.method.config_type
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            method = self.method(small_clip(), config or from_mapping(kind, dict(self.options), "the options")).eval()
        if isinstance(method, FewShot) and method.needs_normal:
            method.fit_normal(images(2, seed=9))
            method.finish_fit()
        return method

    def trainable(self) -> Trainable | None:
        """In training mode; None where nothing of it is trained."""
        method = self.make().train()
        return method if isinstance(method, Trainable) else None


@dataclass(frozen=True)
class Promise:
    """One promise of all methods.

    Attributes:
        rule: what is promised, as a full clause.
        check: raises an AssertionError where it is not kept.
    """

    rule: str
    check: Callable[[MethodCase], None]

    @property
    def name(self) -> str:
        """For lists of tests."""
        return self.check.__name__

    def __call__(self, case: MethodCase) -> None:
        """Hold a method to the promise.

        Raises:
            AssertionError: it is not kept, or the method fails; the message says the promise.
        """
        try:
            with _own_cache():
                self.check(case)
        except Exception as error:
            found = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
            raise AssertionError(f"{case.method.__name__}: {self.rule}.\n{found}") from error


METHOD_PROMISES: list[Promise] = []
"""All promises, in the order in which they are checked."""


def check_method(method: type[Method], **options: Any) -> None:
    """Hold a method to what is promised of all of them; takes seconds.

    Args:
        method: the class, derived from :class:`zsad.methods.Method`.
        options: fields of its configuration that differ from the defaults.

    Raises:
        AssertionError: a promise is not kept; it says which, and what was found.
        ConfigError: the class cannot be registered, or an option does not exist.
    """
    methods.name_of(method)  # what can be registered has its paper, its configuration and no abstract method
    from_mapping(method.config_type, options, f"the options of {method.__name__}")
    for promise in METHOD_PROMISES:
        promise(MethodCase(method, tuple(options.items())))


def _promise(rule: str) -> Callable[[Callable[[MethodCase], None]], Callable[[MethodCase], None]]:
    def add(check: Callable[[MethodCase], None]) -> Callable[[MethodCase], None]:
        METHOD_PROMISES.append(Promise(rule, check))
        return check

    return add


@_promise(
    "maps are P(anomalous) per level on the patch grid, and the score is one number per image, all in [0, 1], in fp32"
)
def maps_are_probabilities_on_the_grid(case: MethodCase) -> None:
    for size in SIZES:
        evidence = _run(case.make(), 2, size)
        grid = size[0] // PATCH, size[1] // PATCH
        shape = tuple(evidence.maps.shape)
        _require(len(shape) == 4, f"maps of shape {shape}, not [batch, levels, rows, cols]")
        _require(shape[0] == 2, f"maps of {shape[0]} images for 2")
        _require(shape[1] >= 1, "maps of no level")
        _require(
            shape[2:] == grid,
            f"maps of {shape[2:]} cells for a grid of {grid}, at {size} px",
        )
        _require(tuple(evidence.score.shape) == (2,), f"scores of shape {tuple(evidence.score.shape)} for 2 images")
        for name, values in (("maps", evidence.maps), ("scores", evidence.score)):
            _require(values.dtype == torch.float32, f"{name} in {values.dtype}")
            _require(values.isfinite().all(), f"{name} that are not finite")
            _require(values.min() >= 0, f"{name} of {float(values.min()):.4g}")
            _require(values.max() <= 1, f"{name} of {float(values.max()):.4g}")


@_promise("the answer depends on the image and differs between places")
def the_answer_depends_on_the_image(case: MethodCase) -> None:
    evidence = _run(case.make(), 2, class_names=["metal nut", "metal nut"])
    _require(_distance(evidence.maps[0], evidence.maps[1]) > 1e-4, "two images with the same maps")
    _require(abs(float(evidence.score[0] - evidence.score[1])) > 1e-4, "two images with the same score")
    _require(evidence.maps[0].std() > 1e-4, "a map that is the same everywhere")


@_promise("the weights of the CLIP are the same to the bit after use, and nothing of them is trained")
def the_clip_is_not_changed_by_use(case: MethodCase) -> None:
    method = case.make()
    before = _snapshot(method.clip)
    _run(method, 2, (40, 24))
    _assert_unchanged(method.clip, before)
    trained = [name for name, parameter in method.clip.named_parameters() if parameter.requires_grad]
    _require(not trained, f"parameters of the CLIP that require a gradient: {trained[:3]}")


@_promise(
    "gradients pass through to the image; a backward pass and a step leave the CLIP as it was, in evaluation mode"
)
def the_clip_is_not_changed_by_a_step(case: MethodCase) -> None:
    method = case.make().train()
    if not answers_alone(method):
        return
    before = _snapshot(method.clip)
    pixels = images(2).requires_grad_()
    evidence = method(pixels, CLASSES[:2])
    (evidence.maps.mean() + evidence.score.mean()).backward()
    _require(pixels.grad is not None and pixels.grad.abs().sum() > 0, "no gradient at the image")
    if trained := [parameter for parameter in method.parameters() if parameter.requires_grad]:
        torch.optim.SGD(trained, lr=0.1).step()
    _assert_unchanged(method.clip, before)
    training = [name for name, module in method.clip.named_modules() if module.training]
    _require(not training, f"modules of the CLIP in training mode: {training[:3]}")


@_promise("a batch gives what its images give one by one")
def a_batch_equals_its_images(case: MethodCase) -> None:
    method = case.make()
    if not answers_alone(method):
        return
    with torch.inference_mode():
        together = method(images(4), CLASSES)
        for number, (pixels, class_name) in enumerate(zip(images(4), CLASSES, strict=True)):
            _assert_same(method(pixels[None], [class_name]), _image(together, number), rtol=1e-5, atol=1e-6)


@_promise("the loss is a dict of finite scalars whose gradients reach every trained parameter, and no other is trained")
def the_loss_reaches_every_trained_parameter(case: MethodCase) -> None:
    method = case.trainable()
    if method is None:
        trained_anyway = [name for name, one in case.make().named_parameters() if one.requires_grad]
        _require(not trained_anyway, f"no Trainable, and parameters that require a gradient: {trained_anyway[:3]}")
        return
    _stir(method)
    before = _snapshot(method.clip)
    trained = {key: parameter for key, parameter in method.named_parameters() if parameter.requires_grad}
    _require(trained, "a Trainable without a parameter that requires a gradient")
    unreached = set(trained)
    for seed in range(10):  # what is routed is reached by some images and not by others
        torch.manual_seed(seed)  # what is drawn in training does not depend on what was drawn before
        terms = method.loss(method(images(2, seed=seed), CLASSES[:2]), _target(2))
        for name, term in terms.items():
            _require(term.shape == (), f"the term {name!r} has the shape {tuple(term.shape)}")
            _require(term.isfinite(), f"the term {name!r} is {float(term.detach())}")
        _sum(terms).backward()
        unreached -= {key for key, one in trained.items() if one.grad is not None and one.grad.abs().sum() > 0}
        if not unreached:
            break
    _require(not unreached, f"no gradient at {', '.join(sorted(unreached)[:5])}")
    torch.optim.Adam(trained.values(), lr=0.01).step()
    _assert_unchanged(method.clip, before)


@_promise("a few steps of Adam lower the loss")
def a_few_steps_lower_the_loss(case: MethodCase) -> None:
    method = case.trainable()
    if method is None:
        return
    optimiser = torch.optim.Adam([one for one in method.parameters() if one.requires_grad], lr=0.003)
    history = []
    for _ in range(30):
        torch.manual_seed(0)
        loss = _sum(method.loss(method(images(2), CLASSES[:2]), _target(2)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(float(loss.detach()))
    _require(min(history[-5:]) < 0.95 * history[0], f"from {history[0]:.4g} to {min(history[-5:]):.4g} in 30 steps")


@_promise("trained parameters decide the answer, and load_state_dict brings it back to the bit")
def trained_parameters_decide_the_answer(case: MethodCase) -> None:
    method = case.make()
    if not isinstance(method, Trainable):
        return
    before = _run(method)
    _stir(method)
    changed = _run(method)
    _require(_distance(changed.maps, before.maps) > 1e-5, "other parameters, and the same maps")
    fresh = case.make()
    fresh.load_state_dict(method.state_dict())
    _assert_same(_run(fresh), changed)


@_promise("a detector that is saved and loaded gives the same answer to the bit, and no weight of the CLIP is saved")
def a_saved_detector_answers_as_before(case: MethodCase) -> None:
    method = case.make()
    _stir(method)
    if isinstance(method, FewShot):
        method.fit_normal(images(2, seed=1))
    with TemporaryDirectory() as folder:
        card = checkpoint.Card(methods.name_of(case.method))
        checkpoint.write(card, method, checkpoint.TrainingRecord(), Path(folder))
        again = case.make()
        checkpoint.load_trained_state(again, Path(folder))
        _require(type(again) is checkpoint.method_of(checkpoint.read(Path(folder))), "the card leads to another class")
    _assert_same(_run(again), _run(method))
    saved = [key for key in checkpoint.trained_state(method) if key.startswith("clip.")]
    _require(not saved, f"weights of the CLIP that are saved: {saved[:3]}")


@_promise("an image of another size does not change the answer for the next one")
def another_size_leaves_no_trace(case: MethodCase) -> None:
    method = case.make()
    before = _run(method)
    _run(method, 2, (64, 40))
    _assert_same(_run(method), before)


@_promise("in evaluation mode the answer is the same each time, whatever the random state, also of a method made anew")
def the_answer_is_the_same_each_time(case: MethodCase) -> None:
    method = case.make()
    torch.manual_seed(1)
    first = _run(method)
    torch.manual_seed(2)
    _assert_same(_run(method), first)
    _assert_same(_run(case.make()), first)


@_promise("no file is opened by a forward pass")
def no_file_is_opened(case: MethodCase) -> None:
    method = case.make()
    _run(method)  # prompts are encoded once and may be kept by the CLIP

    def refuse(path: object, *_: Any, **__: Any) -> NoReturn:
        raise AssertionError(f"{path!r} was opened")

    with patch("builtins.open", refuse), patch("io.open", refuse), patch("os.open", refuse):
        _run(method)


@_promise("in bf16 the answer is near that in fp32, and is returned in fp32")
def bf16_is_near_fp32(case: MethodCase) -> None:
    method = case.make()
    full, half = _run(method), _run(case.make().to(torch.bfloat16))
    _require(half.maps.dtype == half.score.dtype == torch.float32, f"{half.maps.dtype} and {half.score.dtype}")
    # Cosines that are multiplied by 100 have their rounding multiplied with them.
    _assert_same(half, full, atol=0.15 if getattr(method.config, "temperature", 1.0) <= 0.01 else 0.05)
    for name, ours, theirs in (("maps", half.maps, full.maps), ("scores", half.score, full.score)):
        _require((ours - theirs).abs().mean() < 0.02, f"{name} further than 0.02 from those in fp32")


@_promise("class names matter if, and only if, the method says so in uses_class_names")
def class_names_matter_where_the_method_says_so(case: MethodCase) -> None:
    method = case.make()
    if not method.uses_class_names:
        _assert_same(_run(method, 2, class_names=["carpet"] * 2), _run(method, 2))
        return
    nuts, carpets = (_run(method, 2, class_names=[name] * 2) for name in ("metal nut", "carpet"))
    _require((nuts.score - carpets.score).abs().min() > 1e-4, "the same score for two classes")
    _require(_distance(nuts.maps, carpets.maps) > 1e-4, "the same maps for two classes")


@_promise("the class names of other images in a batch do not matter")
def mixed_class_names_equal_separate_ones(case: MethodCase) -> None:
    method = case.make()
    if not answers_alone(method):
        return
    with torch.inference_mode():
        mixed = method(images(4), CLASSES)
    for number, class_name in enumerate(CLASSES):
        with torch.inference_mode():
            alone = method(images(4), [class_name] * 4)
        _assert_same(_image(alone, number), _image(mixed, number), rtol=1e-6, atol=1e-7)


@_promise("any class name is answered; one beyond the context of the text tower is shortened, with a warning")
def any_class_name_is_answered(case: MethodCase) -> None:
    for class_name in ("", "{}", "{0} {x}", "100 % cotton\x00", "naïve 缺陷 🔧"):
        score = _run(case.make(), 1, class_names=[class_name]).score
        _require(score.isfinite().all(), f"{score.tolist()} for the class name {class_name!r}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # A new one each time, since each is warned of once.
        long_name = f"{case.method.__name__} {next(_NUMBERS)} " + "word " * 200
        _require(_run(case.make(), 1, class_names=[long_name]).score.isfinite().all(), "no finite score")
    told = [str(warning.message) for warning in caught if issubclass(warning.category, ZsadWarning)]
    long = [message for message in told if "The class name is too long" in message]
    _require(bool(long) == case.method.uses_class_names, f"warnings: {told}")


@_promise("the configuration is a frozen dataclass, documents each field, refuses an unknown key and a sigma below 0")
def the_configuration_refuses_what_it_does_not_know(case: MethodCase) -> None:
    kind = case.method.config_type
    _require(is_dataclass(kind), f"{kind.__name__} is no dataclass")
    is_frozen = kind.__dataclass_params__.frozen  # type: ignore[attr-defined]  # every dataclass has it
    _require(is_frozen, f"{kind.__name__} is not frozen")
    documented = "".join(base.__doc__ or "" for base in kind.__mro__)
    for field in fields(kind):
        _require(f"{field.name}:" in documented, f"{field.name} is not documented in the docstring of {kind.__name__}")
    try:
        from_mapping(kind, {"sigmma": 2.0}, "the options")
    except ConfigError as error:
        refusal = str(error)
    else:
        refusal = "the key 'sigmma' was taken"
    _require("did you mean 'sigma'" in refusal, refusal)
    for name in ("sigma", "temperature"):
        if name in {field.name for field in fields(kind)}:
            _refuses(kind, name, -1.0)
            _refuses(kind, name, math.nan)


@_promise("the class has a docstring, and names its paper and the backbone that the paper uses")
def paper_and_backbone_are_named(case: MethodCase) -> None:
    method = case.method
    _require(method.__doc__, "no docstring")
    _require(method.paper.title, "a paper without a title")
    _require(not method.paper.url or method.paper.url.startswith("https://"), f"the URL {method.paper.url!r}")
    _require(method.paper_backbone in architectures.names(), f"unknown backbone {method.paper_backbone!r}")


@_promise("forward is predict_from_features of extract_features, in which no trained parameter takes part")
def forward_is_its_two_steps(case: MethodCase) -> None:
    method = case.make()
    if not isinstance(method, FrozenBackboneMethod):
        return
    features = method.extract_features(images(3))
    _require(isinstance(features, BackboneFeatures), f"features of the type {type(features).__name__}")
    with_gradient = features.patches.requires_grad or features.image.requires_grad
    _require(not with_gradient, "features with a gradient")
    with torch.inference_mode():
        _assert_same(method.predict_from_features(features, CLASSES[:3]), method(images(3), CLASSES[:3]))
    _stir(method)
    again = method.extract_features(images(3))
    for name, ours, theirs in (("patches", again.patches, features.patches), ("image", again.image, features.image)):
        _require(torch.equal(ours, theirs), f"other {name} features after a change of the trained parameters")


@_promise("normal images change the answer of a few-shot method, in any order and in chunks, until it forgets them")
def a_memory_is_filled_and_emptied(case: MethodCase) -> None:
    method = case.make()
    if not isinstance(method, FewShot):
        return
    method.forget_normal()
    _require(not method.is_few_shot, "a memory that is not empty at first, or after forget_normal")
    without, normal = _without_normal(method), images(4, seed=5)
    before = _snapshot(method.clip)
    method.fit_normal(normal)
    few_shot = _run(method)
    _require(method.is_few_shot, "an empty memory after fit_normal")
    entries = method.bank.entries_by_image()
    _require(len({*entries}) == 1 and len(entries) == 4, f"{entries} entries of 4 images of one size")
    if without is not None:
        _require(_distance(few_shot.maps.mean(1), without.maps.mean(1)) > 1e-5, "the same maps with and without one")
    _assert_unchanged(method.clip, before)
    method.forget_normal()
    again = _without_normal(method)
    if without is not None and again is not None:
        _assert_same(again, without)
    for chunk in (normal[2:], normal[:2]):
        method.fit_normal(chunk)
    _assert_same(_run(method), few_shot, rtol=1e-5, atol=1e-6)
    method.finish_fit()
    _require(method.is_few_shot, "an empty memory after finish_fit")


def _without_normal(method: FewShot) -> Evidence | None:
    """What the method says with an empty memory; None where it refuses, since it is few-shot only."""
    if not method.needs_normal:
        return _run(method)
    try:
        _run(method)
    except ConfigError:
        return None
    raise AssertionError("an answer without normal images of a method that needs_normal")


@_promise(
    "a folder's scores depend on its images alone: not on batches, their order, those that cannot be read, or twice"
)
def a_folder_is_scored_by_its_images(case: MethodCase) -> None:
    method, pixels = case.make(), images(6, seed=7)
    if not isinstance(method, TransductiveMethod) or not method.scores_folder(6):
        return
    whole = folder_evidence(method, pixels)
    for batch in (1, 4):
        _assert_same(folder_evidence(method, pixels, batch=batch), whole, rtol=1e-3, atol=1e-3)
    order = [4, 1, 5, 0, 3, 2]
    _assert_same(folder_evidence(method, pixels[order]), chosen(whole, order), rtol=1e-3, atol=1e-3)
    _assert_same(folder_evidence(method, pixels), whole)
    readable = [0, 2, 3, 5]
    gaps = folder_evidence(method, pixels, unreadable=(1, 4))
    _assert_same(gaps, folder_evidence(method, pixels[readable]), rtol=1e-3, atol=1e-3)
    _require(_distance(chosen(whole, readable).maps, gaps.maps) > 1e-6, "the other images do not matter to the maps")


@_promise("a folder without a readable image has no scores, and one of copies has finite ones")
def odd_folders_are_answered(case: MethodCase) -> None:
    method, pixels = case.make(), images(1, seed=7).repeat(5, 1, 1, 1)
    if not isinstance(method, TransductiveMethod) or not method.scores_folder(5):
        return
    with torch.inference_mode():
        none = method.score_folder(loading(pixels, unreadable=range(5)), 5, CLASSES[0])
    _require(not none.indices, f"scores of {none.indices} where none can be read")
    copies = folder_evidence(method, pixels)
    _require(copies.maps.isfinite().all() and copies.score.isfinite().all(), "scores of copies that are not finite")
    _require(copies.score.max() - copies.score.min() < 1e-2, f"copies with the scores {copies.score.tolist()}")


@_promise("an image alone, or the only one that can be read, has a finite score or is refused with an InputError")
def one_image_is_answered_or_refused(case: MethodCase) -> None:
    method, pixels = case.make(), images(3, seed=7)
    if not isinstance(method, TransductiveMethod):
        return
    scored: list[Callable[[], Evidence]] = [lambda: method(pixels[:1], CLASSES[:1])]
    if method.scores_folder(1):
        scored = [lambda: folder_evidence(method, pixels[:1])]
    if method.scores_folder(3):
        scored.append(lambda: folder_evidence(method, pixels, unreadable=(0, 2)))
    for scores_one in scored:
        try:
            with torch.inference_mode():
                evidence = scores_one()
        except InputError:
            continue
        except ZsadError as error:
            raise AssertionError(f"refused with {type(error).__name__}: {error}") from error
        _require(evidence.maps.isfinite().all() and evidence.score.isfinite().all(), "a score that is not finite")


@torch.inference_mode()
def _run(method: Method, batch: int = 3, size: Size = (SIZE, SIZE), class_names: Sequence[str] = CLASSES) -> Evidence:
    """What the method says of so many images; as a folder, of the first class, where it scores them by one another."""
    pixels = images(batch, *size).to(method.clip.dtype)
    if isinstance(method, TransductiveMethod) and method.scores_folder(batch):
        return folder_evidence(method, pixels, class_names[0])
    if isinstance(method, TransductiveMethod) and not answers_alone(method):
        return folder_evidence(method, images(max(batch, 2), *size).to(method.clip.dtype), class_names[0])
    evidence = method(pixels, class_names[:batch])
    _require(isinstance(evidence, Evidence), f"forward returns {type(evidence).__name__}, not zsad.methods.Evidence")
    return evidence


def _target(batch: int) -> Target:
    """The first half normal; of the others a corner is anomalous."""
    labels = (torch.arange(batch) >= batch / 2).float()
    masks = torch.zeros(batch, SIZE, SIZE)
    masks[labels == 1, : SIZE // 2, : SIZE // 2] = 1
    described = tuple((f"a broken {name}", f"a {name} with a hole") for name in CLASSES[:batch])
    return Target(labels, masks, described)


def _stir(method: Method) -> None:
    """Move every trained parameter off its start, where zeros may block a gradient."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in method.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))


def _snapshot(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def _assert_unchanged(module: torch.nn.Module, before: dict[str, Tensor]) -> None:
    after = module.state_dict()
    _require(after.keys() == before.keys(), f"tensors that came or went: {sorted(after.keys() ^ before.keys())[:3]}")
    changed = [name for name, tensor in before.items() if not torch.equal(tensor, after[name])]
    _require(not changed, f"changed tensors: {changed[:3]}")


def _assert_same(ours: Evidence, theirs: Evidence, rtol: float = 0, atol: float = 0) -> None:
    for name, mine, other in (("maps", ours.maps, theirs.maps), ("scores", ours.score, theirs.score)):
        _require(mine.shape == other.shape, f"{name} of shape {tuple(mine.shape)} and {tuple(other.shape)}")
        same = torch.allclose(mine, other, rtol=rtol, atol=atol)
        _require(same, f"{name} that differ by {_distance(mine, other):.3g}")


def _distance(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max())


def _image(evidence: Evidence, number: int) -> Evidence:
    return Evidence(evidence.maps[number : number + 1], evidence.score[number : number + 1])


def _sum(terms: dict[str, Tensor]) -> Tensor:
    return sum(terms.values(), torch.zeros(()))


def _refuses(kind: type[Config], name: str, value: float) -> None:
    try:
        from_mapping(kind, {name: value}, "the options")
    except ConfigError:
        return
    raise AssertionError(f"{kind.__name__}({name}={value}) was taken")


@contextmanager
def _own_cache() -> Iterator[None]:
    """Prompts of the small CLIP do not go into the user's cache."""
    with TemporaryDirectory() as folder, patch.dict(os.environ, {"ZSAD_CACHE": folder}):
        yield


def _require(kept: object, found: str) -> None:
    """As ``assert``, also where Python runs with ``-O``."""
    if not kept:
        raise AssertionError(found)
