"""What the pages share: Jinja2 templates with autoescape, numbers for people, and thumbnails.

A page is one file that asks for no other and for no network.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from zsad.backbones.config import FORMER
from zsad.drawing.render import ANCHORS
from zsad.results.leaderboard import Score
from zsad.results.schema import Metric
from zsad.wording import pluralised

SCALE = ", ".join(f"rgb{colour}" for colour in ANCHORS)
"""Colours of the heat maps from 0 to 1, for a CSS gradient."""


def rendered(name: str, **values: object) -> str:
    """A page as a whole.

    Args:
        name: of its template in ``zsad/reports/templates``.
        values: what the template names; all text in them is escaped.
    """
    return _environment().get_template(name).render(values)


def streamed(name: str, **values: object) -> Iterator[str]:
    """A page in pieces, for one that is larger than memory should hold; iterators among the values are read lazily."""
    return _environment().get_template(name).generate(values)


def embedded(data: Mapping[str, object]) -> Markup:
    """JSON for a script element; ``<`` is escaped so that no text can end it.

    >>> embedded({"name": "</script>"})
    Markup('{"name": "\\\\u003c/script>"}')
    """
    return Markup(json.dumps(data).replace("<", "\\u003c"))  # escaped for its place


def caveat(backbone: str, weights: str) -> str:
    """What a reader must know about a backbone before believing any number; empty where there is nothing."""
    if weights.startswith("random"):
        return "The weights are random: these numbers mean nothing."
    if backbone in ("tiny", *FORMER.values()):
        return (
            "The backbone is the embedded one: small, project-trained, for trying out and for tests. "
            "Real work names a real CLIP, for instance --backbone ViT-L-14-336 --weights openai."
        )
    return ""


def percent(value: float) -> str:
    """A fraction for people, in percent with one decimal.

    >>> percent(0.98765)
    '98.8'
    """
    return f"{100 * value:.1f}"


def interval(metric: Metric | Score) -> str:
    """The interval of a metric, in percent; empty where there is none.

    >>> interval(Metric(0.5, 0.401, 0.6))
    '40.1–60.0'
    """
    return "" if metric.low is None or metric.high is None else f"{percent(metric.low)}–{percent(metric.high)}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("zsad.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "interval": interval,
        "exact": repr,
        "pluralised": pluralised,
        "quoted": quote,
    }
    environment.globals["scale"] = SCALE
    return environment
