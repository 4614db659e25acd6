"""CLIP-AC: CLIP as a zero-shot detector with an ensemble of ordinary prompts for each state.

The row "CLIP-AC" of AnomalyCLIP (Zhou et al., "AnomalyCLIP: Object-agnostic Prompt Learning for Zero-shot Anomaly
Detection", ICLR 2024) and of the tables that copy it: the templates that CLIP's authors recommend for ImageNet, said of
a "normal" and of an "anomalous" thing. Neither code nor the exact list was published; the templates here are written in
their manner. Everything else is :mod:`zsad.methods.clip`.
"""

from zsad.methods._base import Paper
from zsad.methods.clip import ClipDetector

MANNERS = (
    "a photo of {}",
    "a bad photo of {}",
    "a good photo of {}",
    "a bright photo of {}",
    "a dark photo of {}",
    "a blurry photo of {}",
    "a black and white photo of {}",
    "a low resolution photo of {}",
    "a jpeg corrupted photo of {}",
    "a cropped photo of {}",
    "a close-up photo of {}",
    "a photo of one {}",
    "a photo of my {}",
)
ARTICLES = {"normal {}": ("a normal {}", "the normal {}"), "anomalous {}": ("an anomalous {}", "the anomalous {}")}


def _say(state: str) -> tuple[str, ...]:
    """The state in every manner, with both articles where the manner takes one."""
    return tuple(
        manner.format(thing)
        for manner in MANNERS
        for thing in ((state,) if manner.endswith(("one {}", "my {}")) else ARTICLES[state])
    )


class ClipAc(ClipDetector):
    """CLIP with 24 prompts a state."""

    paper = Paper(
        title="AnomalyCLIP: Object-agnostic Prompt Learning for Zero-shot Anomaly Detection (row CLIP-AC)",
        authors="Q. Zhou et al.",
        venue="ICLR",
        year=2024,
        url="https://arxiv.org/abs/2310.18961",
    )
    templates = (_say("normal {}"), _say("anomalous {}"))
