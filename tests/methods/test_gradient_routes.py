"""Where the gradient of each term of each loss goes, and that what arrives is the true derivative.

The tables are written from the papers: what a term's equation holds is trained by it, and nothing else is. The
derivatives are checked against differences in double precision, so that no part of a route can be cut unseen.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor

from tests.methods.declared import declared
from tests.small import CONFIG, SIZE, frozen, images, ready
from zsad import methods
from zsad.config import from_mapping
from zsad.methods._trainable import Trainable
from zsad.types import Evidence, Target

NAMES = ["metal nut", "carpet"]
SAID = (("a scratched metal nut", "a metal nut with a dent"), ("a carpet with a hole",))
BACKBONES = {
    "acd-clip": replace(CONFIG, vision=replace(CONFIG.vision, depth=4), text=replace(CONFIG.text, depth=4)),
    "afr-clip": replace(CONFIG, vision=replace(CONFIG.vision, depth=8)),
}
STEP = 1e-7


def target(dtype: torch.dtype) -> Target:
    masks = torch.zeros(2, SIZE, SIZE, dtype=dtype)
    masks[1, :16, :24] = 1
    return Target(torch.tensor([0, 1], dtype=dtype), masks, SAID)


def make(name: str, options: dict[str, Any] | None = None, *, stirred: bool = True) -> Trainable:
    """In training, as fresh, or with every trained parameter off its start, where zeros would block a gradient."""
    found = methods.get(name)
    assert issubclass(found, Trainable)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        method = found(frozen(BACKBONES.get(name, CONFIG)), from_mapping(found.config_type, options or {}, name))
        if stirred:
            with torch.no_grad():
                for one in method.parameters():
                    if one.requires_grad:
                        one.add_(0.1 * torch.randn_like(one))
    return ready(method).train()


def run(method: Trainable) -> Evidence:
    """With the same noise every time."""
    torch.manual_seed(1)
    return method(images(2).to(method.clip.dtype), NAMES)


def answers(name: str, method: Trainable) -> dict[str, Tensor]:
    """The terms of the loss, and what the score is made of where several routes lead into one term."""
    evidence = run(method)
    terms = method.loss(evidence, target(method.clip.dtype))
    of_map = evidence.maps.mean(1).amax((1, 2))
    if name == "wmoe-clip":
        terms |= {"s_txt": (2 * evidence.score - of_map).sum(), "max M": of_map.sum()}
    if name == "kanoclip":
        terms |= {"maps": evidence.maps.square().sum(), "score": evidence.score.sum()}
    return terms


def pulled(method: Trainable, term: Tensor) -> dict[str, bool]:
    """Which trained parameters the term pulls at."""
    trained = {name: one for name, one in method.named_parameters() if one.requires_grad}
    gradients = torch.autograd.grad(term, list(trained.values()), retain_graph=True, allow_unused=True)
    return {
        name: gradient is not None and bool(gradient.abs().max() > 0)
        for name, gradient in zip(trained, gradients, strict=True)
    }


# --- where it goes

CTDS = {"sampling.autoencoder.encoder", "sampling.autoencoder.mean", "sampling.autoencoder.log_variance"}
DECODED = CTDS | {"sampling.autoencoder.decoder", "sampling.fit"}
TEXT = DECODED | {"prompts.vectors"}
SA_MOE = {"aggregation.adapters", "aggregation.experts.gate", "aggregation.experts.inner", "aggregation.experts.outer"}
MAPS = TEXT | {"projections", "refinements", "logit_scale"}
ACD_TEXT = {"text_groups"}
ACD_MAP = ACD_TEXT | {"vision_groups.adapter", "vision_groups.segment", "vision_groups.gateway"}
ACD_CLASS = ACD_TEXT | {"vision_groups.adapter", "vision_groups.detect"}
AFR = {"visual", "textual", "rectifiers", "prompts.heads", "prompts.learned"}
ROUTES: dict[str, dict[str, set[str]]] = {
    "wmoe-clip": {
        # Equation 9 of ŝ = s_txt + max(M): both summands are trained by it.
        "cross_entropy": MAPS | SA_MOE,
        "s_txt": TEXT | SA_MOE | {"logit_scale"},  # x_p + x_c against F_T (2.3): neither F'_T nor F_I
        "max M": MAPS,
        "focal": MAPS,  # equation 10; samples travel in the prompts (equation 4), texts are the queries (equation 7)
        "dice": MAPS,
        "divergence": CTDS,  # equation 2
        "reconstruction": CTDS | {"sampling.autoencoder.decoder"},  # equation 3
    },
    "kanoclip": {
        "knowledge": {"prompts"},  # equation 2
        "global": {"prompts", "adapter", "stages"},  # equation 14 of equation 12: the products, and max M
        "score": {"prompts", "adapter", "stages"},
        "local": {"prompts", "stages"},  # equation 15
        "maps": {"prompts", "stages"},  # equation 9: F_text goes into Bi-CMCI
    },
    "fe-clip": {
        # Equation 4: S_{a,n} sees what was injected before block n, by attention; f_c is of the maps alone.
        "image": {"stages"},
        "focal": {"stages", "align"},
        "dice": {"stages", "align"},
    },
    "mvfa-ad": {
        # Each level sees what the levels before it gave back, of both adapters.
        "focal": {"adapters.segment", "adapters.detect"},
        "dice": {"adapters.segment", "adapters.detect"},
        "image": {"adapters.segment", "adapters.detect"},
    },
    "april-gan": {"focal": {"linear"}, "dice": {"linear"}},
    "afr-clip": {"image": AFR, "focal": AFR, "dice": AFR},
    "acd-clip": {
        "focal": ACD_MAP,  # equation 7
        "dice": ACD_MAP,
        "class": ACD_CLASS,  # code: the heads for detection, of adapted tokens, against T_j
    },
}
ROUTES |= declared("ROUTES")


def module_of(name: str) -> str:
    """The name without numbers of groups, stages and layers, and without what is inside a module of the tables."""
    parts = [part for part in name.split(".") if not part.isdigit()]
    return next(
        (
            known
            for length in range(len(parts), 0, -1)
            if (known := ".".join(parts[:length]))
            in {one for terms in ROUTES.values() for t in terms.values() for one in t}
        ),
        name,
    )


@pytest.mark.parametrize(("name", "term"), [(name, term) for name, terms in ROUTES.items() for term in terms])
def test_a_term_trains_what_its_equation_holds_and_nothing_else(name: str, term: str) -> None:
    method = make(name, {"margin": 2.0} if name == "kanoclip" else None)
    reached = pulled(method, answers(name, method)[term])
    assert {module_of(one) for one, is_pulled in reached.items() if is_pulled} == ROUTES[name][term]
    idle = {one for one, is_pulled in reached.items() if not is_pulled and module_of(one) in ROUTES[name][term]}
    assert idle <= {one for one in idle if one.startswith(IDLE.get((name, term), ()))}


NOT_CHOSEN = tuple(f"aggregation.experts.{part}" for part in ("inner", "outer"))
IDLE: dict[tuple[str, str], tuple[str, ...]] = {
    # An expert that no image chooses.
    ("wmoe-clip", "cross_entropy"): NOT_CHOSEN,
    ("wmoe-clip", "s_txt"): NOT_CHOSEN,
    # What is injected after the last block is seen by no class token (3.2).
    ("fe-clip", "image"): ("stages.3",),
    # The last level is compared with the text by one adapter for each purpose.
    ("mvfa-ad", "focal"): ("adapters.3.detect",),
    ("mvfa-ad", "dice"): ("adapters.3.detect",),
    ("mvfa-ad", "image"): ("adapters.3.segment",),
}
"""Parameters of a trained module which the term does not reach."""


def test_every_trained_method_is_in_the_tables() -> None:
    trained = {name for name in methods.built_in() if issubclass(methods.get(name), Trainable)}
    assert ROUTES.keys() == {name for name, _ in VARIANTS} == trained


@pytest.mark.parametrize("name", ROUTES)
def test_the_terms_of_the_table_are_those_of_the_loss(name: str) -> None:
    terms = make(name).loss(run(make(name)), target(torch.float32))
    assert terms.keys() == ROUTES[name].keys() - {"s_txt", "max M", "maps", "score"}


def test_a_level_of_wmoe_clip_has_modules_of_its_own() -> None:
    method = make("wmoe-clip")
    maps = run(method).maps
    for level in range(4):
        reached = {name for name, is_pulled in pulled(method, maps[:, level].sum()).items() if is_pulled}
        assert {name.split(".")[1] for name in reached if name.startswith(("projections", "refinements"))} == {
            str(level)
        }


def test_the_terms_of_acd_clip_to_the_letter() -> None:
    """Section 2.3: the class token against T_N; the last block's adapter edits patches, which it does not see."""
    method = make("acd-clip", {"variant": "paper"})
    terms = answers("acd-clip", method)
    for term, expected in (("focal", ACD_MAP), ("dice", ACD_MAP), ("class", ACD_CLASS)):
        reached = {name for name, is_pulled in pulled(method, terms[term]).items() if is_pulled}
        assert {module_of(name) for name in reached} == expected
        if term == "class":
            assert not any(name.startswith("vision_groups.1.adapter") for name in reached)
            assert not any(name.startswith("vision_groups.0.detect") for name in reached)


def test_bi_cmci_learns_from_the_first_step() -> None:
    """A layer scale of 0 would cut every branch off; only the offsets start at rest and hold back what makes them."""
    method = make("kanoclip", {"margin": 2.0}, stirred=False)
    scales = [one for name, one in method.named_parameters() if ".scale" in name]
    assert len(scales) == 4 * 6
    for scale in scales:
        torch.testing.assert_close(scale, torch.full_like(scale, 1e-4), rtol=0, atol=0)
    reached = pulled(method, answers("kanoclip", method)["local"])
    idle = {name for name, is_pulled in reached.items() if not is_pulled and name.startswith("stages")}
    behind_offsets = ("patches_themselves.branch.look.", "patches_themselves.branch.norm.")
    assert {name.split(".", 2)[2] for name in idle} == {
        f"{part}{kind}" for part in behind_offsets for kind in ("weight", "bias")
    }


# --- that it is the derivative


@contextmanager
def in_double() -> Iterator[None]:
    """Everything in double precision, also what a method casts to single on purpose: differences are exact then."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "float", Tensor.double)
        try:
            yield
        finally:
            jaxtyping.config.update("jaxtyping_disable", before)


VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("wmoe-clip", {}),
    ("wmoe-clip", {"sample": "scaled", "residual": True, "high": "magnitude", "balance_weight": 1.0}),
    ("wmoe-clip", {"sample": "latent", "transform": "decimated", "unit_class_token": True}),
    ("kanoclip", {"margin": 2.0}),
    ("kanoclip", {"margin": 2.0, "norm": "sum", "adapter_residual": 0.5, "global_token": "vv"}),
    ("kanoclip", {"margin": 2.0, "fusion": "linear"}),
    ("fe-clip", {}),
    ("fe-clip", {"transform": "fft", "statistic": "log_abs"}),
    ("afr-clip", {}),
    ("afr-clip", {"placement": "replace", "map_loss": "stages", "rectifiers": "shared", "cnn": "none"}),
    ("april-gan", {}),
    ("mvfa-ad", {}),
    ("mvfa-ad", {"clip_normalisation": True, "score_logits": False}),
    ("acd-clip", {}),
    ("acd-clip", {"variant": "paper"}),
    ("acd-clip", {"adapter": "lora", "fusion": "static"}),
    *((name, {}) for name in declared("ROUTES")),
    *((name, options) for name, more in declared("LOSS_VARIANTS").items() for options in more),
]


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_gradients_are_the_derivatives(name: str, options: dict[str, Any]) -> None:
    with in_double():
        method = make(name, options).double()
        terms = answers(name, method)
        directions = directions_of(method)
        every = [one for direction in directions.values() for one in direction]
        gradients = {
            term: dict(zip(every, torch.autograd.grad(value, every, retain_graph=True, allow_unused=True), strict=True))
            for term, value in terms.items()
        }
        for module, direction in directions.items():
            ahead, behind = (moved(lambda: answers(name, method), direction, step) for step in (STEP, -STEP))
            for term, of in gradients.items():
                given = ((of[one], by) for one, by in direction.items())
                ours = sum(float((gradient * by).sum()) for gradient, by in given if gradient is not None)
                true = float(ahead[term] - behind[term]) / (2 * STEP)
                assert ours == pytest.approx(true, rel=1e-4, abs=1e-7), (module, term)


def directions_of(method: Trainable) -> dict[str, dict[Tensor, Tensor]]:
    """By module, a random direction for each of its parameters."""
    directions: dict[str, dict[Tensor, Tensor]] = {}
    for number, (name, one) in enumerate(method.named_parameters()):
        if one.requires_grad:
            module = ".".join([part for part in name.split(".") if not part.isdigit()][:3])
            drawn = torch.randn(one.shape, generator=torch.Generator().manual_seed(number), dtype=one.dtype)
            directions.setdefault(module, {})[one] = drawn
    return directions


@torch.no_grad()
def moved(ask: Callable[[], dict[str, Tensor]], direction: dict[Tensor, Tensor], step: float) -> dict[str, Tensor]:
    """What is answered with the parameters moved."""
    before = [one.clone() for one in direction]
    for one, by in direction.items():
        one += step * by
    answer = ask()
    for one, own in zip(direction, before, strict=True):
        one.copy_(own)
    return answer
