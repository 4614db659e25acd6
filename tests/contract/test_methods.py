"""What every method must hold, found by the folder: the author of a new one does nothing for it."""

import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from tests.small import CONFIG, SIZE, assert_unchanged, frozen, images, snapshot
from zsad import checkpoint, methods
from zsad.backbones import config as configs
from zsad.config import from_mapping
from zsad.errors import ConfigError, ZsadWarning
from zsad.methods._base import Config, Method
from zsad.methods._trainable import Trainable
from zsad.scoring import anomaly_maps
from zsad.types import Evidence, Size, Target

pytestmark = pytest.mark.parametrize("name", methods.names())
NAMES = ("metal nut", "carpet", "metal nut", "transistor")


OF_MAPS = {"focal", "dice", "local"}
"""Terms of losses that compare maps with masks."""


def make(name: str, config: Config | None = None) -> Method:
    """Drawn from a seed, as training draws it: a method has none of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return methods.get(name)(frozen(), config or methods.get(name).config_type()).eval()


@torch.inference_mode()
def judge(method: Method, batch: int = 3, size: Size = (SIZE, SIZE), class_names: Sequence[str] = NAMES) -> Evidence:
    dtype = method.clip.dtype
    return method(images(batch, *size).to(dtype), class_names[:batch])


def target(batch: int) -> Target:
    """The first half normal; of the others a corner is anomalous."""
    labels = (torch.arange(batch) >= batch / 2).float()
    masks = torch.zeros(batch, SIZE, SIZE)
    masks[labels == 1, : SIZE // 2, : SIZE // 2] = 1
    described = tuple((f"a broken {what}", f"a {what} with a hole") for what in NAMES[:batch])
    return Target(labels, masks, described)


def stir(method: Method) -> None:
    """Move every trained parameter off its start, where zeros may block a gradient."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for one in method.parameters():
            if one.requires_grad:
                one.add_(0.05 * torch.randn(one.shape, generator=generator))


def assert_same(ours: Evidence, theirs: Evidence, rtol: float = 0, atol: float = 0) -> None:
    torch.testing.assert_close(ours.maps, theirs.maps, rtol=rtol, atol=atol)
    torch.testing.assert_close(ours.score, theirs.score, rtol=rtol, atol=atol)


def image(evidence: Evidence, number: int) -> Evidence:
    return Evidence(evidence.maps[number : number + 1], evidence.score[number : number + 1])


@pytest.mark.parametrize("size", [(SIZE, SIZE), (40, 24), (16, 16), (35, 70)])
def test_maps_are_probabilities_on_the_grid_and_the_score_is_one(name: str, size: Size) -> None:
    evidence = judge(make(name), 2, size)
    patch = CONFIG.vision.patch
    assert evidence.maps.ndim == 4
    assert evidence.maps.shape[0] == 2
    assert evidence.maps.shape[1] >= 1
    assert evidence.maps.shape[2:] == (size[0] // patch, size[1] // patch)
    assert evidence.score.shape == (2,)
    assert evidence.maps.dtype == evidence.score.dtype == torch.float32
    for values in (evidence.maps, evidence.score):
        assert values.isfinite().all()
        assert values.min() >= 0
        assert values.max() <= 1


def test_answers_depend_on_the_image(name: str) -> None:
    evidence = judge(make(name), 2, class_names=["metal nut", "metal nut"])
    assert (evidence.maps[0] - evidence.maps[1]).abs().max() > 1e-4
    assert (evidence.score[0] - evidence.score[1]).abs() > 1e-4
    assert evidence.maps[0].std() > 1e-4


def test_clip_is_not_changed_by_use(name: str) -> None:
    method = make(name)
    before = snapshot(method.clip)
    judge(method, 2, (40, 24))
    assert_unchanged(method.clip, before)
    assert not any(parameter.requires_grad for parameter in method.clip.parameters())


def test_clip_is_not_changed_by_a_backward_pass_and_a_step(name: str) -> None:
    method = make(name).train()
    before = snapshot(method.clip)
    pixels = images(2).requires_grad_()
    evidence = method(pixels, NAMES[:2])
    (evidence.maps.mean() + evidence.score.mean()).backward()
    assert pixels.grad is not None
    assert pixels.grad.abs().sum() > 0
    if trained := [parameter for parameter in method.parameters() if parameter.requires_grad]:
        torch.optim.SGD(trained, lr=0.1).step()
    assert_unchanged(method.clip, before)
    assert not any(module.training for module in method.clip.modules())


def test_a_batch_equals_its_images_one_by_one(name: str) -> None:
    method = make(name)
    together = judge(method, 4)
    with torch.inference_mode():
        for number, (pixels, class_name) in enumerate(zip(images(4), NAMES, strict=True)):
            assert_same(method(pixels[None], [class_name]), image(together, number), rtol=1e-5, atol=1e-6)


def test_every_trained_parameter_is_reached_by_the_loss(name: str) -> None:
    method = make(name).train()
    if not isinstance(method, Trainable):
        assert not any(parameter.requires_grad for parameter in method.parameters())
        return
    stir(method)
    before = snapshot(method.clip)
    trained = {key: one for key, one in method.named_parameters() if one.requires_grad}
    assert trained
    untouched = set(trained)
    for seed in range(10):  # what is routed is reached by some images and not by others
        torch.manual_seed(seed)  # what is drawn in training does not depend on the tests that ran before
        terms = method.loss(method(images(2, seed=seed), NAMES[:2]), target(2))
        for term in terms.values():
            assert term.shape == ()
            assert term.isfinite()
        sum(terms.values(), torch.zeros(())).backward()
        untouched -= {key for key, one in trained.items() if one.grad is not None and one.grad.abs().sum() > 0}
        if not untouched:
            break
    assert untouched == set()
    torch.optim.Adam(trained.values(), lr=0.01).step()
    assert_unchanged(method.clip, before)


def test_a_few_steps_lower_the_loss(name: str) -> None:
    method = make(name).train()
    if not isinstance(method, Trainable):
        return
    trained = [one for one in method.parameters() if one.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=0.003)
    history = []
    for _ in range(30):
        torch.manual_seed(0)
        loss = sum(method.loss(method(images(2), NAMES[:2]), target(2)).values(), torch.zeros(()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(float(loss.detach()))
    assert min(history[-5:]) < 0.95 * history[0]


def test_what_was_learnt_is_not_hidden_by_what_is_remembered(name: str) -> None:
    method = make(name)
    if not isinstance(method, Trainable):
        return
    before = judge(method)
    stir(method)
    changed = judge(method)
    assert (changed.maps - before.maps).abs().max() > 1e-5
    fresh = make(name)
    fresh.load_state_dict(method.state_dict())
    assert_same(judge(fresh), changed)


def test_a_saved_detector_answers_as_before(name: str, tmp_path: Path) -> None:
    method = make(name)
    stir(method)
    checkpoint.write(checkpoint.Card(name), method, checkpoint.TrainingRecord(), tmp_path)
    again = make(name)
    checkpoint.load_trained_state(again, tmp_path)
    assert_same(judge(again), judge(method))
    assert not any(key.startswith("clip.") for key in checkpoint.trained_state(method))


def test_another_size_and_then_the_native_size_gives_the_old_answer(name: str) -> None:
    method = make(name)
    before = judge(method)
    judge(method, 2, (64, 40))
    assert_same(judge(method), before)


def test_answers_are_the_same_each_time(name: str) -> None:
    method = make(name)
    torch.manual_seed(1)
    first = judge(method)
    torch.manual_seed(2)
    assert_same(judge(method), first)
    assert_same(judge(make(name)), first)


def test_bf16_is_near_fp32(name: str) -> None:
    full, half = judge(make(name)), judge(make(name).to(torch.bfloat16))
    assert half.maps.dtype == half.score.dtype == torch.float32
    assert_same(half, full, atol=0.05)
    assert (half.score - full.score).abs().mean() < 0.02


def test_class_names_matter_where_the_method_says_so(name: str) -> None:
    method = make(name)
    if not method.uses_class_names:
        assert_same(judge(method, 2, class_names=["carpet"] * 2), judge(method, 2))
        return
    nuts, carpets = (judge(method, 2, class_names=[what] * 2) for what in ("metal nut", "carpet"))
    assert (nuts.score - carpets.score).abs().min() > 1e-4
    assert (nuts.maps - carpets.maps).abs().max() > 1e-4


def test_mixed_class_names_equal_separate_ones(name: str) -> None:
    method = make(name)
    mixed = judge(method, 4)
    for number, class_name in enumerate(NAMES):
        alone = judge(method, 4, class_names=[class_name] * 4)
        assert_same(image(alone, number), image(mixed, number), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("class_name", ["", "{}", "{0} {x}", "100 % cotton\x00", "naïve 缺陷 🔧"])
def test_any_class_name_is_answered(name: str, class_name: str) -> None:
    assert judge(make(name), 1, class_names=[class_name]).score.isfinite().all()


def test_a_class_name_beyond_the_context_is_shortened_and_said(name: str) -> None:
    if not methods.get(name).uses_class_names:
        judge(make(name), 1, class_names=["word " * 200])
        return
    with pytest.warns(ZsadWarning, match="The class name is too long"):
        assert judge(make(name), 1, class_names=[f"{name} " + "word " * 200]).score.isfinite().all()


def test_an_unknown_key_of_the_configuration_is_refused_with_the_nearest_name(name: str) -> None:
    with pytest.raises(ConfigError, match=r"must be one of .*sigma.*; got 'sigmma'.*did you mean 'sigma'"):
        from_mapping(methods.get(name).config_type, {"sigmma": 2.0}, f"the options of {name}")


def test_the_configuration_is_a_frozen_dataclass_whose_every_number_is_documented(name: str) -> None:
    kind = methods.get(name).config_type
    assert issubclass(kind, Config)
    documented = "".join(base.__doc__ or "" for base in kind.__mro__)
    for field in fields(kind):
        assert f"{field.name}:" in documented


@pytest.mark.parametrize("sigma", [-1.0, float("nan")])
def test_a_sigma_that_is_no_width_is_refused(name: str, sigma: float) -> None:
    with pytest.raises(ConfigError, match="sigma of a Gaussian is at least 0"):
        methods.get(name).config_type(sigma=sigma)


@pytest.mark.parametrize("temperature", [0.0, -0.07, float("nan")])
def test_a_temperature_that_is_not_positive_is_refused(name: str, temperature: float) -> None:
    kind = methods.get(name).config_type
    if "temperature" in {field.name for field in fields(kind)}:
        with pytest.raises(ConfigError, match=r"temperature (is greater than 0|lies in .*; got nan)"):
            kind(temperature=temperature)


def test_the_docstring_names_the_paper(name: str) -> None:
    method = methods.get(name)
    text, paper = sys.modules[method.__module__].__doc__ or "", method.paper
    surname = paper.authors.replace(" et al.", "").split(",")[0].split()[-1]
    assert surname in text
    assert str(paper.year) in text
    assert paper.title.split(" (row")[0].replace("\n", " ") in " ".join(text.split())


def test_paper_and_backbone_are_whole(name: str) -> None:
    method = methods.get(name)
    assert method.paper_backbone in configs.names()
    assert method.paper.url.startswith("https://")
    assert str(method.paper) == (
        f"{method.paper.authors}: {method.paper.title}. {method.paper.venue} {method.paper.year}. {method.paper.url}"
    )
    assert method.__doc__


def test_the_folder_is_the_list(name: str) -> None:
    folder = Path(str(methods.__file__)).parent
    rooms = {path for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    files = {path.stem.replace("_", "-") for path in rooms if not path.name.startswith("_")}
    assert files == set(methods.names())
    assert methods.get(name).__module__.split(".")[:3] == ["zsad", "methods", name.replace("-", "_")]


def test_a_name_that_is_nearly_right_is_refused_with_the_right_one(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"a detector must be one of .*did you mean '{name}'"):
        methods.get(f"{name}x")


def test_the_loss_sees_maps_enlarged_as_the_answer_is(name: str) -> None:
    method = methods.get(name)
    ours, theirs = (
        make(name, method.config_type(sigma=0.0, align_corners=aligned, smoothing_window=None))
        for aligned in (False, True)
    )
    evidence = judge(ours, 2)
    answers = [anomaly_maps(evidence, (SIZE, SIZE), one.config) for one in (ours, theirs)]
    assert (answers[0] - answers[1]).abs().max() > 1e-4
    if isinstance(ours, Trainable) and isinstance(theirs, Trainable):
        with torch.no_grad():
            terms, others = (one.loss(evidence, target(2)) for one in (ours, theirs))
        assert terms.keys() == others.keys()
        assert {key for key in terms if (terms[key] - others[key]).abs() > 1e-6} == OF_MAPS & terms.keys()
