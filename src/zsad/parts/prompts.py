"""Words for the two states of a thing, and sentences to say them in.

The counts follow WinCLIP (Jeong et al. 2023): 7 normal and 4 anomalous states in 22 templates.
``{}`` takes the class name in a state, and the state in a template.
"""

from collections.abc import Sequence

NORMAL_STATES = (
    "{}",
    "flawless {}",
    "perfect {}",
    "unblemished {}",
    "{} without flaw",
    "{} without defect",
    "{} without damage",
)
ANOMALOUS_STATES = ("damaged {}", "{} with flaw", "{} with defect", "{} with damage")
TEMPLATES = tuple(
    template.format(article=article, thing="{}")
    for template in (
        "a photo of {article} {thing}.",
        "a cropped photo of {article} {thing}.",
        "a close-up photo of {article} {thing}.",
        "a bright photo of {article} {thing}.",
        "a dark photo of {article} {thing}.",
        "a blurry photo of {article} {thing}.",
        "a jpeg corrupted photo of {article} {thing}.",
        "a photo of {article} small {thing}.",
        "a photo of {article} large {thing}.",
        "a photo of {article} {thing} for visual inspection.",
        "a photo of {article} {thing} for anomaly detection.",
    )
    for article in ("a", "the")
)


def compose(states: Sequence[str], templates: Sequence[str], class_name: str) -> list[str]:
    """Every state of the class in every template.

    >>> compose(["{}", "damaged {}"], ["a photo of the {}."], "metal nut")
    ['a photo of the metal nut.', 'a photo of the damaged metal nut.']
    """
    return [template.format(state.format(class_name)) for state in states for template in templates]
