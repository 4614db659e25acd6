"""What the tests of one method say of it, for the tests that go over all methods.

A module ``tests/methods/test_<name>.py`` may define (all but the first two are optional):

* ``CONSTANTS``: every field of the method's configuration, as the paper or its code has it
* ``TRAINING``: every field of its ``training_defaults``; only of a trained method
* ``BACKBONE``: the architecture of the paper, where that is not ViT-L-14-336
* ``READS_NO_NAMES``: true where results do not depend on class names
* ``RECIPE_ROWS``: {row: options} of each file below ``recipes/<name>``, without suffix, such as ``"ablation/fft"``
* ``RECIPE_ACTIVATION``, ``RECIPE_SIZE``: that its recipes name
* ``RECIPE_TRAINING``: {row: what differs of the training}
* ``RECIPE_BACKBONE``, ``RECIPE_WEIGHTS``: that its recipes name, where not ViT-L-14-336 with OpenAI's weights
* ``ROUTES``: {term of the loss: names of the modules that it trains}
* ``QUICK``: options with which the promises of all methods are checked, where the defaults take seconds, or where a
  promise about score and maps is kept by the score alone
* ``LOSS_VARIANTS``: further options with which the derivatives of its loss are checked

Older methods are in the tables of those tests themselves.
"""

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from zsad import methods

ANSWER = {"sigma": 4.0, "align_corners": False, "smoothing_window": None}
"""How AnomalyCLIP's code enlarges maps: each cell over its own patch, then a Gaussian of 4 px."""
ADAM = {
    "betas": (0.9, 0.999),
    "weight_decay": 0.0,
    "schedule": "constant",
    "decay": 0.9,
    "rates": {},
    "clip_norms": {},
    "augment": False,
    "milestones": (),
    "first_stage": None,
    "decoupled_weight_decay": False,
}


def declared(attribute: str) -> dict[str, Any]:
    """The value of that name in the tests of each method, by the name of the method; without those that have none."""
    found = {name: getattr(_module(name), attribute, None) for name in methods.built_in()}
    return {name: value for name, value in found.items() if value is not None}


@cache
def _module(name: str) -> Any:
    file = f"test_{name.replace('-', '_')}"
    is_there = (Path(__file__).parent / f"{file}.py").exists()
    return import_module(f"tests.methods.{file}") if is_there else None
