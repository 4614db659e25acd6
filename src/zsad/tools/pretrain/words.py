"""What the text tower reads: captions with and without a state, and pairs of a normal and an anomalous prompt."""

from collections.abc import Sequence

import numpy as np

from zsad.parts.prompts import ANOMALOUS_STATES, NORMAL_STATES, TEMPLATES

NORMAL = (*NORMAL_STATES[1:], "normal {}", "good {}", "intact {}", "clean {}", "undamaged {}", "healthy {}")
ANOMALOUS = (
    *ANOMALOUS_STATES,
    "anomalous {}",
    "abnormal {}",
    "defective {}",
    "broken {}",
    "faulty {}",
    "{} with anomaly",
)
GENERIC = ("object", "surface", "part", "thing", "texture", "image", "product", "material", "tissue", "component")


def caption(rng: np.random.Generator, name: str, kinds: Sequence[str], given: str | None) -> str:
    """A sentence for an image: the given caption, or one made of its name and, mostly, its state."""
    if given is not None and not kinds and rng.random() < 0.5:
        return given
    template = str(rng.choice(TEMPLATES))
    if kinds:
        return template.format(_anomalous(rng, name, kinds))
    return template.format(name if rng.random() < 0.5 else str(rng.choice(NORMAL)).format(name))


def state_pair(rng: np.random.Generator, name: str, kinds: Sequence[str]) -> tuple[str, str]:
    """A normal and an anomalous prompt, alike but for the state; the thing is named, or called an object."""
    thing = name if rng.random() < 0.5 else str(rng.choice(GENERIC))
    template = str(rng.choice(TEMPLATES))
    normal = str(rng.choice(NORMAL)) if rng.random() < 0.85 else "{}"
    return template.format(normal.format(thing)), template.format(_anomalous(rng, thing, kinds))


def _anomalous(rng: np.random.Generator, thing: str, kinds: Sequence[str]) -> str:
    if kinds and rng.random() < 0.3:
        return f"{thing} with {rng.choice(list(kinds))}"
    return str(rng.choice(ANOMALOUS)).format(thing)
