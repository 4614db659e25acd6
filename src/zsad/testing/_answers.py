"""What every method promises of its answers and of its configuration."""

import math
import warnings
from dataclasses import fields, is_dataclass
from itertools import count
from typing import Any, NoReturn
from unittest.mock import patch

import torch

from zsad.backbones import config as architectures
from zsad.config import from_mapping
from zsad.errors import ConfigError, ZsadWarning
from zsad.methods import Evidence, Method, TransductiveMethod
from zsad.testing._clip import PATCH, SIZE, images
from zsad.testing._comparing import (
    CLASSES,
    assert_same,
    assert_unchanged,
    distance,
    evidence_of,
    refuses,
    require,
    run,
    snapshot,
)
from zsad.testing._folders import answers_alone
from zsad.testing._promises import MethodCase, promise
from zsad.types import Size

_NUMBERS = count()
SIZES: tuple[Size, ...] = ((SIZE, SIZE), (40, 24), (16, 16), (35, 70))


@promise(
    "maps are P(anomalous) per level on the patch grid, and the score is one number per image, all in [0, 1], in fp32"
)
def maps_are_probabilities_on_the_grid(case: MethodCase) -> None:
    for size in SIZES:
        evidence = run(case.make(), 2, size)
        grid = size[0] // PATCH, size[1] // PATCH
        shape = tuple(evidence.maps.shape)
        require(len(shape) == 4, f"maps of shape {shape}, not [batch, levels, rows, cols]")
        require(shape[0] == 2, f"maps of {shape[0]} images for 2")
        require(shape[1] >= 1, "maps of no level")
        require(
            shape[2:] == grid,
            f"maps of {shape[2:]} cells for a grid of {grid}, at {size} px",
        )
        require(tuple(evidence.score.shape) == (2,), f"scores of shape {tuple(evidence.score.shape)} for 2 images")
        for name, values in (("maps", evidence.maps), ("scores", evidence.score)):
            require(values.dtype == torch.float32, f"{name} in {values.dtype}")
            require(values.isfinite().all(), f"{name} that are not finite")
            require(values.min() >= 0, f"{name} of {float(values.min()):.4g}")
            require(values.max() <= 1, f"{name} of {float(values.max()):.4g}")


@promise("the answer depends on the image and differs between places")
def the_answer_depends_on_the_image(case: MethodCase) -> None:
    evidence = run(case.make(), 2, class_names=["metal nut", "metal nut"])
    require(distance(evidence.maps[0], evidence.maps[1]) > 1e-4, "two images with the same maps")
    require(abs(float(evidence.score[0] - evidence.score[1])) > 1e-4, "two images with the same score")
    require(evidence.maps[0].std() > 1e-4, "a map that is the same everywhere")


@promise("the weights of the CLIP are the same to the bit after use, and nothing of them is trained")
def the_clip_is_not_changed_by_use(case: MethodCase) -> None:
    method = case.make()
    before = snapshot(method.clip)
    run(method, 2, (40, 24))
    assert_unchanged(method.clip, before)
    trained = [name for name, parameter in method.clip.named_parameters() if parameter.requires_grad]
    require(not trained, f"parameters of the CLIP that require a gradient: {trained[:3]}")


@promise("a batch gives what its images give one by one")
def a_batch_equals_its_images(case: MethodCase) -> None:
    method = case.make()
    if not answers_alone(method):
        return
    with torch.inference_mode():
        together = method(images(4), CLASSES)
        for number, (pixels, class_name) in enumerate(zip(images(4), CLASSES, strict=True)):
            assert_same(method(pixels[None], [class_name]), evidence_of(together, number), rtol=1e-5, atol=1e-6)


@promise("an image of another size does not change the answer for the next one")
def another_size_leaves_no_trace(case: MethodCase) -> None:
    method = case.make()
    before = run(method)
    run(method, 2, (64, 40))
    assert_same(run(method), before)


@promise("in evaluation mode the answer is the same each time, whatever the random state, also of a method made anew")
def the_answer_is_the_same_each_time(case: MethodCase) -> None:
    method = case.make()
    torch.manual_seed(1)
    first = run(method)
    torch.manual_seed(2)
    assert_same(run(method), first)
    assert_same(run(case.make()), first)


@promise("no file is opened by a forward pass")
def no_file_is_opened(case: MethodCase) -> None:
    method = case.make()
    run(method)  # prompts are encoded once and may be kept by the CLIP

    def refuse(path: object, *_: Any, **__: Any) -> NoReturn:
        raise AssertionError(f"{path!r} was opened")

    with patch("builtins.open", refuse), patch("io.open", refuse), patch("os.open", refuse):
        run(method)


@promise("in bf16 the answer is near that in fp32, and is returned in fp32")
def bf16_is_near_fp32(case: MethodCase) -> None:
    method = case.make()
    full, half = run(method), run(case.make().to(torch.bfloat16))
    require(half.maps.dtype == half.score.dtype == torch.float32, f"{half.maps.dtype} and {half.score.dtype}")
    # Cosines that are multiplied by 100 have their rounding multiplied with them.
    assert_same(half, full, atol=0.15 if getattr(method.config, "temperature", 1.0) <= 0.01 else 0.05)
    for name, ours, theirs in (("maps", half.maps, full.maps), ("scores", half.score, full.score)):
        require((ours - theirs).abs().mean() < 0.02, f"{name} further than 0.02 from those in fp32")


@promise("class names matter if, and only if, the method says so in uses_class_names")
def class_names_matter_where_the_method_says_so(case: MethodCase) -> None:
    method = case.make()
    nuts, carpets = (_in_all_ways(method, name) for name in ("metal nut", "carpet"))
    if not method.uses_class_names:
        for nut, carpet in zip(nuts, carpets, strict=True):
            assert_same(carpet, nut)
        return
    change = max(
        max(distance(nut.score, carpet.score), distance(nut.maps, carpet.maps))
        for nut, carpet in zip(nuts, carpets, strict=True)
    )
    require(change > 1e-4, "the same score and maps for two classes")


def _in_all_ways(method: Method, class_name: str) -> list[Evidence]:
    """What the method says of two images: as a folder where it scores them by one another, and alone where it can."""
    found = [run(method, 2, class_names=[class_name] * 2)]
    if isinstance(method, TransductiveMethod) and method.scores_folder(2) and answers_alone(method):
        found.append(run(method, 1, class_names=[class_name]))
    return found


@promise("the class names of other images in a batch do not matter")
def mixed_class_names_equal_separate_ones(case: MethodCase) -> None:
    method = case.make()
    if not answers_alone(method):
        return
    with torch.inference_mode():
        mixed = method(images(4), CLASSES)
    for number, class_name in enumerate(CLASSES):
        with torch.inference_mode():
            alone = method(images(4), [class_name] * 4)
        assert_same(evidence_of(alone, number), evidence_of(mixed, number), rtol=1e-6, atol=1e-7)


@promise("any class name is answered; one beyond the context of the text tower is shortened, with a warning")
def any_class_name_is_answered(case: MethodCase) -> None:
    method = case.make()
    for class_name in ("", "{}", "{0} {x}", "100 % cotton\x00", "naïve 缺陷 🔧"):
        score = run(method, 1, class_names=[class_name]).score
        require(score.isfinite().all(), f"{score.tolist()} for the class name {class_name!r}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # A new one each time, since each is warned of once.
        long_name = f"{case.method.__name__} {next(_NUMBERS)} " + "word " * 100
        require(run(method, 1, class_names=[long_name]).score.isfinite().all(), "no finite score")
    told = [str(warning.message) for warning in caught if issubclass(warning.category, ZsadWarning)]
    long = [message for message in told if "The class name is too long" in message]
    require(bool(long) == case.method.uses_class_names, f"warnings: {told}")


@promise("the configuration is a frozen dataclass, documents each field, refuses an unknown key and a sigma below 0")
def the_configuration_refuses_what_it_does_not_know(case: MethodCase) -> None:
    kind = case.method.config_type
    require(is_dataclass(kind), f"{kind.__name__} is no dataclass")
    is_frozen = kind.__dataclass_params__.frozen  # type: ignore[attr-defined]  # every dataclass has it
    require(is_frozen, f"{kind.__name__} is not frozen")
    documented = "".join(base.__doc__ or "" for base in kind.__mro__)
    for field in fields(kind):
        require(f"{field.name}:" in documented, f"{field.name} is not documented in the docstring of {kind.__name__}")
    try:
        from_mapping(kind, {"sigmma": 2.0}, "the options")
    except ConfigError as error:
        refusal = str(error)
    else:
        refusal = "the key 'sigmma' was taken"
    require("did you mean 'sigma'" in refusal, refusal)
    for name in ("sigma", "temperature"):
        if name in {field.name for field in fields(kind)}:
            refuses(kind, name, -1.0)
            refuses(kind, name, math.nan)


@promise("the class has a docstring, and names its paper and the backbone that the paper uses")
def paper_and_backbone_are_named(case: MethodCase) -> None:
    method = case.method
    require(method.__doc__, "no docstring")
    require(method.paper.title, "a paper without a title")
    require(not method.paper.url or method.paper.url.startswith("https://"), f"the URL {method.paper.url!r}")
    require(method.paper_backbone in architectures.names(), f"unknown backbone {method.paper_backbone!r}")
