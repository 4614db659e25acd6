"""The answers and forms of the API, as OpenAPI describes them."""

from typing import Any

from pydantic import BaseModel, Field

from zsad.reports.pages import caveat
from zsad.results.schema import Setting
from zsad.service.asked import LARGEST_AREA, LARGEST_SIDE
from zsad.service.refusal import BAD_REQUEST, TIMEOUT, TOO_LARGE, TOO_LATE, TOO_MANY, UNSUPPORTED, UNUSABLE
from zsad.service.served import Served
from zsad.service.settings import ServiceSettings


class Problem(BaseModel):
    """Why a request or an image was refused."""

    rule: str = Field(description="what must hold")
    value: str = Field(description="what was found")
    remedy: str = Field(description="what to do")


class Failure(Problem):
    """An image without a score."""

    index: int = Field(description="of the image in the request, from 0")
    source: str


class OneRegion(BaseModel):
    """A connected part of a map at or above the threshold for pixels; in px of the image."""

    box: tuple[int, int, int, int] = Field(description="left, top, width, height")
    area: int
    peak: float
    peak_position: tuple[int, int]
    mean: float
    polygons: list[list[tuple[int, int]]] = Field(description="outline clockwise, then holes")


class OnePrediction(BaseModel):
    """The result for an image."""

    index: int = Field(description="of the image in the request, from 0")
    source: str = Field(description="name of the uploaded file")
    score: float = Field(ge=0, le=1, description="higher is more anomalous")
    threshold: float | None
    is_anomalous: bool | None = Field(description="null without a threshold")
    p_value: float | None = Field(description="null where the detector is not calibrated on this class")
    pixel_threshold: float | None
    rows: int
    cols: int
    notes: list[str]
    regions: list[OneRegion] | None = Field(None, description="where they are asked for")
    map: str | None = Field(None, description="16-bit grey PNG in base64, 65535 is 1; where it is asked for")


class Predictions(BaseModel):
    """The results for the images of a request, in their order."""

    detector: str
    class_name: str
    setting: Setting = Field(description="each image judged alone, with normal images, or all by one another")
    explanation: str = Field(description="what judged the images; may be empty")
    warnings: list[str]
    predictions: list[OnePrediction]
    failures: list[Failure]


class ImageRegions(BaseModel):
    """The regions of a map."""

    source: str
    rows: int
    cols: int
    regions: list[OneRegion]


class Regions(BaseModel):
    """The regions of maps; with ``format`` coco, a file of COCO instances instead."""

    pixel_threshold: float
    min_area: int
    images: list[ImageRegions]


class OneDetector(BaseModel):
    """A detector that is served."""

    name: str
    method: str
    backbone: str
    weights: str
    image_size: int
    scores_together: bool = Field(description="whether images of a request are scored by one another")
    needs_several: bool = Field(description="whether an image alone has no score")
    takes_normal: bool = Field(description="whether normal images can be given with a request")
    needs_normal: bool = Field(description="whether it scores nothing without normal images")
    only_class: str | None = Field(description="the one class that it scores, of an exported one; null for any")
    remembers: str = Field(description="its memory bank, in words; may be empty")
    calibration: str = Field(description="in words; may be empty")
    calibrated_class: str | None
    threshold: float | None
    pixel_threshold: float | None
    caveat: str = Field(description="what to know before believing a number; may be empty")


class Detectors(BaseModel):
    """What is served, and the limits."""

    detectors: list[OneDetector]
    limits: dict[str, float]
    version: str = Field(description="of zsad")


def describe(detector: Served) -> dict[str, Any]:
    """A detector, for clients."""
    about, told = detector.detector.identity, detector.described()
    return OneDetector.model_validate({**told, "caveat": caveat(about.backbone, about.weights)}).model_dump()


def limits(settings: ServiceSettings) -> dict[str, float]:
    """The limits that clients should know."""
    names = ("max_files", "max_file_bytes", "max_request_bytes", "max_pixels", "queue", "timeout")
    return {name: getattr(settings, name) for name in names}


ERRORS = {
    BAD_REQUEST: "The form is malformed, or has no image",
    TIMEOUT: "The request arrives too slowly",
    TOO_LARGE: "More bytes, files or pixels than the limits",
    UNSUPPORTED: "The body is no form",
    UNUSABLE: "A field is out of range, or no image can be scored",
    TOO_MANY: "Too many images wait; Retry-After says when to come again",
    TOO_LATE: "The answer would take longer than the limit",
}


def answers(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """The answers of a route."""
    failed: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem, "description": words} for status, words in ERRORS.items()
    }
    return {200: {"model": model}, **failed}


def _form(required: list[str], **properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "required": required, "properties": properties, "additionalProperties": False}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


_FILES = {"type": "array", "items": {"type": "string", "format": "binary"}}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
PREDICT = _form(
    ["images"],
    images={**_FILES, "description": "image files, in any format that zsad reads"},
    normal={**_FILES, "description": "images known to be normal, for this request alone"},
    detector={"type": "string", "description": "name; by default the first of /v1/detectors"},
    class_name={"type": "string", "default": "object", "description": "what the images show"},
    threshold={**_SHARE, "description": "anomalous from this score, instead of the calibrated one"},
    pixel_threshold={**_SHARE, "description": "in a region from this anomaly, instead of the calibrated one"},
    maps={"type": "string", "enum": ["none", "png"], "default": "none"},
    map_side={"type": "integer", "minimum": 1, "maximum": LARGEST_SIDE, "description": "longer side of maps, at most"},
    regions={"type": "boolean", "default": False},
    min_area={"type": "integer", "minimum": 1, "maximum": LARGEST_AREA, "default": 1},
    together={"type": "boolean", "default": True, "description": "score by one another, where the method can"},
)
REGIONS = _form(
    ["maps", "pixel_threshold"],
    maps={**_FILES, "description": "16-bit grey PNG, as /v1/predict gives them, named as their images"},
    pixel_threshold=_SHARE,
    sizes={"type": "string", "description": "JSON [[rows, cols], ...] of the images"},
    min_area={"type": "integer", "minimum": 1, "maximum": LARGEST_AREA, "default": 1},
    format={"type": "string", "enum": ["json", "coco"], "default": "json"},
)
