"""What a detector is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    """What a detector is and where it runs, for reports.

    Attributes:
        method: its name.
        backbone: name of the architecture.
        weights: a sentence for people.
        image_size: side in px at which it runs.
        precision: such as ``"fp32"``.
        device: such as ``"cpu"``.
    """

    method: str
    backbone: str
    weights: str
    image_size: int
    precision: str
    device: str
