"""What every method must hold, found by the folder: the author of a new one does nothing for it.

The promises to authors of other packages are those of ``zsad.testing``; what follows them is asked of ours alone.
"""

import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from tests.methods.declared import declared
from tests.small import SIZE
from zsad import methods
from zsad.backbones import config as configs
from zsad.errors import ConfigError
from zsad.methods import Config, Method, Trainable, TransductiveMethod
from zsad.scoring import anomaly_maps
from zsad.testing import METHOD_PROMISES, MethodCase, Promise
from zsad.testing._comparing import run, stir, target

OF_MAPS = {"focal", "dice", "local"}
"""Terms of losses that compare maps with masks."""

QUICK = declared("QUICK")

every_method = pytest.mark.parametrize("name", methods.built_in())


def make(name: str, config: Config) -> Method:
    """Drawn from a seed, as training draws it: a method has none of its own."""
    return MethodCase(methods.get(name)).make(replace(config, **QUICK.get(name, {})))


@every_method
@pytest.mark.parametrize("promise", METHOD_PROMISES, ids=lambda promise: promise.name)
def test_what_every_method_promises(name: str, promise: Promise) -> None:
    promise(MethodCase(methods.get(name), tuple(QUICK.get(name, {}).items())))


@every_method
def test_names_change_scores_and_maps_and_trained_parameters_maps(name: str) -> None:
    """Where a method promises no more than that they change either."""
    method = make(name, methods.get(name).config_type())
    count = 1 if isinstance(method, TransductiveMethod) else 2  # a folder may be judged by its images alone
    before = run(method, count, class_names=["metal nut"] * 2)
    if method.uses_class_names:
        after = run(method, count, class_names=["carpet"] * 2)
        assert (after.score - before.score).abs().min() > 1e-4
        assert (after.maps - before.maps).abs().max() > 1e-4
    if isinstance(method, Trainable):
        stir(method)
        after = run(method, count, class_names=["metal nut"] * 2)
        assert (after.maps - before.maps).abs().max() > 1e-5


@every_method
@pytest.mark.parametrize("temperature", [0.0, -0.07, float("nan")])
def test_a_temperature_that_is_not_positive_is_refused(name: str, temperature: float) -> None:
    kind = methods.get(name).config_type
    if "temperature" in {field.name for field in fields(kind)}:
        with pytest.raises(ConfigError, match=r"temperature (is greater than 0|lies in .*; got nan)"):
            kind(temperature=temperature)


@every_method
def test_the_docstring_names_the_paper(name: str) -> None:
    method = methods.get(name)
    text, paper = sys.modules[method.__module__].__doc__ or "", method.paper
    surname = paper.authors.replace(" et al.", "").split(",")[0].split()[-1]
    assert surname in text
    assert str(paper.year) in text
    assert paper.title.split(" (row")[0].replace("\n", " ") in " ".join(text.split())


@every_method
def test_paper_and_backbone_are_whole(name: str) -> None:
    method = methods.get(name)
    assert method.paper_backbone in configs.names()
    assert method.paper.url.startswith("https://")
    assert str(method.paper) == (
        f"{method.paper.authors}: {method.paper.title}. {method.paper.venue} {method.paper.year}. {method.paper.url}"
    )
    assert method.__doc__


@every_method
def test_the_folder_is_the_list(name: str) -> None:
    folder = Path(str(methods.__file__)).parent
    rooms = {path for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    files = {path.stem.replace("_", "-") for path in rooms if not path.name.startswith("_")}
    assert files == set(methods.built_in())
    assert methods.get(name).__module__.split(".")[:3] == ["zsad", "methods", name.replace("-", "_")]


@every_method
def test_a_name_that_is_nearly_right_is_refused_with_the_right_one(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"a detector must be one of .*did you mean '{name}'"):
        methods.get(f"{name}x")


@every_method
def test_the_loss_sees_maps_enlarged_as_the_answer_is(name: str) -> None:
    method = methods.get(name)
    ours, theirs = (
        make(name, method.config_type(sigma=0.0, align_corners=aligned, smoothing_window=None))
        for aligned in (False, True)
    )
    evidence = run(ours, 2)
    answers = [anomaly_maps(evidence, (SIZE, SIZE), one.config) for one in (ours, theirs)]
    assert (answers[0] - answers[1]).abs().max() > 1e-4
    if isinstance(ours, Trainable) and isinstance(theirs, Trainable):
        with torch.no_grad():
            terms, others = (one.loss(evidence, target(2)) for one in (ours, theirs))
        assert terms.keys() == others.keys()
        assert {key for key in terms if (terms[key] - others[key]).abs() > 1e-6} == OF_MAPS & terms.keys()
