"""What a form asks for, checked before anything is computed."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from zsad.config import check_class_name
from zsad.errors import ConfigError, unknown_name
from zsad.service.forms import Form, Upload
from zsad.service.refusal import AT_LEAST_ONE, BAD_REQUEST, NOT_FOUND, UNUSABLE, Refusal
from zsad.service.served import Served

Maps = Literal["none", "png"]
IMAGES, NORMAL = "images", "normal"
FIELDS = (
    "detector",
    "class_name",
    "threshold",
    "pixel_threshold",
    "maps",
    "map_side",
    "regions",
    "min_area",
    "together",
)
LARGEST_SIDE, LARGEST_AREA = 65_535, 10**12


@dataclass(frozen=True)
class Output:
    """What an answer has beside the score.

    Attributes:
        threshold, pixel_threshold: instead of those of the detector; None for these.
        maps: ``"png"`` for 16-bit grey PNG in base64.
        map_side: longer side of the maps in px, at most; None for the size of each image.
        regions: whether regions are found.
        min_area: of the smallest region, in px.
    """

    threshold: float | None = None
    pixel_threshold: float | None = None
    maps: Maps = "none"
    map_side: int | None = None
    regions: bool = False
    min_area: int = 1


@dataclass(frozen=True)
class Asked:
    """A request for predictions.

    Attributes:
        detector: that is to answer.
        class_name: what the images show.
        images: to be scored.
        normal: images that are known to be normal, with which the others are compared in this request alone.
        together: whether a method that can do so scores the images by one another.
        output: what the answer has.
    """

    detector: Served
    class_name: str
    images: list[Upload]
    normal: list[Upload]
    together: bool
    output: Output

    @property
    def is_whole(self) -> bool:
        """Whether the images are one task, rather than a task each that others may share a batch with."""
        return bool(self.normal) or (self.together and self.detector.scores_together(len(self.images)))


def asked(form: Form, detectors: Mapping[str, Served]) -> Asked:
    """What a form asks for.

    Args:
        form: as it was sent.
        detectors: by name; the first is taken where none is named.

    Raises:
        ZsadError: a name does not exist, a value is out of range, or there is no image.
    """
    check_names(form, FIELDS, (IMAGES, NORMAL))
    name = form.fields.get("detector", next(iter(detectors)))
    if name not in detectors:
        error = unknown_name("detector", name[:80], detectors)
        raise Refusal(NOT_FOUND, error.rule, error.value, error.remedy)
    detector, normal = detectors[name], form.files.get(NORMAL, [])
    class_name = check_class_name(form.fields.get("class_name", "object"))
    if not form.files.get(IMAGES):
        raise Refusal(BAD_REQUEST, AT_LEAST_ONE, "none", f"send some as files named {IMAGES}")
    if normal and not detector.abilities.takes_normal:
        able = [other for other, one in detectors.items() if one.abilities.takes_normal]
        remedy = f"choose {' or '.join(able)}" if able else "fit a detector to them (zsad fit), and serve that"
        raise ConfigError("the detector can compare with normal images of a request", name, remedy)
    output, decided = _output(form.fields), detector.detector.decision(class_name)
    if output.regions and output.pixel_threshold is None and decided.pixel_threshold is None:
        value = f"none, and {name} is not calibrated on {class_name}"
        raise ConfigError("regions need a threshold for pixels", value, "send pixel_threshold, in [0, 1]")
    together = flag(form.fields, "together", default=True)
    return Asked(detector, class_name, form.files[IMAGES], normal, together, output)


def check_names(form: Form, fields: Collection[str], files: Collection[str]) -> None:
    """Check the names of the parts of a form.

    Raises:
        ZsadError: a part has an unknown name, or is a file where it should be text or the other way round.
    """
    for name in (*form.fields, *form.files):
        if name not in fields and name not in files:
            raise unknown_name("part of the form", name[:80], [*fields, *files])
    for name in form.files:
        if name in fields:
            raise Refusal(UNUSABLE, f"{name} is text", "a file", "send it without a file name")
    for name in form.fields:
        if name in files:
            rule = f"{name} are uploaded files; paths and addresses are never opened"
            raise Refusal(UNUSABLE, rule, repr(form.fields[name][:80]), f"send the file itself: curl -F {name}=@FILE")


def _output(fields: Mapping[str, str]) -> Output:
    maps = fields.get("maps", "none")
    if maps not in get_args(Maps):
        raise unknown_name("kind of maps", maps[:80], get_args(Maps))
    return Output(
        threshold=number(fields, "threshold", 0, 1),
        pixel_threshold=number(fields, "pixel_threshold", 0, 1),
        maps="png" if maps == "png" else "none",
        map_side=whole_number(fields, "map_side", LARGEST_SIDE),
        regions=flag(fields, "regions", default=False),
        min_area=whole_number(fields, "min_area", LARGEST_AREA) or 1,
    )


def number(fields: Mapping[str, str], name: str, least: float, most: float) -> float | None:
    """A field as a number; None where it is not there.

    Raises:
        ConfigError: it is no number, or out of range.
    """
    if name not in fields:
        return None
    try:
        value = float(fields[name])
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise ConfigError(f"{name} is a number in [{least:g}, {most:g}]", repr(fields[name][:40]), "change it")
    return value


def whole_number(fields: Mapping[str, str], name: str, most: int) -> int | None:
    """A field as a whole number from 1; None where it is not there.

    Raises:
        ConfigError: it is none, or out of range.
    """
    if name not in fields:
        return None
    text = fields[name].strip()
    value = int(text) if text.isascii() and text.isdecimal() and len(text) <= 20 else 0
    if not 1 <= value <= most:
        raise ConfigError(f"{name} is a whole number from 1 to {most:,}", repr(fields[name][:40]), "change it")
    return value


def flag(fields: Mapping[str, str], name: str, *, default: bool) -> bool:
    """A field as a truth value.

    Raises:
        ConfigError: it is none.
    """
    text = fields.get(name)
    if text is None:
        return default
    if text.lower() not in ("true", "false", "1", "0"):
        raise ConfigError(f"{name} is true or false", repr(text[:40]), "send one of these")
    return text.lower() in ("true", "1")
