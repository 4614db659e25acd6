"""Every method: scores, maps, decisions, p-values and regions by HTTP beside those of Detector.predict."""

import argparse
import base64
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image
from starlette.testclient import TestClient

import zsad
from zsad import methods
from zsad.calibration import Calibration
from zsad.checkpoint import Card
from zsad.data.decode import Source
from zsad.data.synthetic import part
from zsad.errors import ConfigError
from zsad.predictor import Detector
from zsad.service.app import create_app
from zsad.service.served_method import takes_normal
from zsad.service.settings import ServiceSettings
from zsad.testing import MethodCase
from zsad.types import Prediction

TOLERANCE = 1e-4
QUICK = {"promptad": {"image_epochs": 2}}
"""Options of methods that learn when they are fitted."""
SIZES = ((120, 160), (150, 110), (128, 128))


def configure(parser: argparse.ArgumentParser) -> None:
    """Add options."""
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="methods (default: all)")


def run(options: argparse.Namespace) -> int:
    """Compare, print a table; returns the exit status."""
    images = [photo(seed) for seed in range(options.images)]
    print(f"{'method':<14}{'on':<8}{'score':>10}{'map':>10}{'p':>10}  decisions  regions")
    worst, faults = 0.0, 0
    for name in options.only or methods.built_in():
        detector, backbone = loaded(name)
        difference, same_decisions, same_regions = compared(detector, images)
        worst = max(worst, *difference)
        faults += not (same_decisions and same_regions)
        words = ["same" if same else "DIFFER" for same in (same_decisions, same_regions)]
        print(
            f"{name:<14}{backbone:<8}" + "".join(f"{one:10.1e}" for one in difference) + f"  {words[0]:<9}  {words[1]}"
        )
    passes = worst <= TOLERANCE and not faults
    print(f"largest difference {worst:.1e}, bar {TOLERANCE:g}: {'passes' if passes else 'FAILS'}")
    return 0 if passes else 1


def photo(seed: int) -> bytes:
    """A PNG."""
    buffer = BytesIO()
    Image.fromarray(part(np.random.default_rng(seed), SIZES[seed % len(SIZES)])[0]).save(buffer, "PNG")
    return buffer.getvalue()


def loaded(name: str) -> tuple[Detector, str]:
    """A detector, and its backbone: tiny, or a small random one without trained tensors."""
    if name not in QUICK:
        with suppress(ConfigError):  # that it is trained before it is used
            return zsad.load(name, image_size=112), "tiny"
    case = MethodCase(methods.get(name), tuple(QUICK.get(name, {}).items()))
    return Detector(Card(name, image_size=32), case.make()), "random"


def compared(detector: Detector, images: Sequence[bytes]) -> tuple[tuple[float, float, float], bool, bool]:
    """Largest differences of score, map and p-value; whether decisions are the same, and regions."""
    normal = images[-2:] if needs_normal(detector) else []
    scored = images[: len(images) - len(normal)]
    if not normal:
        calibrate(detector, scored)
    form = {"class_name": "nut", "maps": "png", "regions": "true"}
    with detector.temporary_memory(normal, "nut") if normal else nullcontext():
        expected = detector.predict([*scored], "nut")
        threshold = float(np.quantile(np.concatenate([one.anomaly_map.ravel() for one in expected]), 0.97))
        expected = [one if one.pixel_threshold is not None else with_threshold(one, threshold) for one in expected]
    if normal:
        form |= {"threshold": repr(threshold), "pixel_threshold": repr(threshold)}
    files = [("images", (f"{number}.png", content)) for number, content in enumerate(scored)]
    files += [("normal", (f"good {number}.png", content)) for number, content in enumerate(normal)]
    app = create_app({"one": detector}, ServiceSettings())
    with TestClient(app, base_url="http://127.0.0.1") as client:
        answer = client.post("/v1/predict", files=files, data=form)
    assert answer.status_code == 200, (detector.name, answer.text)
    found = answer.json()["predictions"]
    pairs = [*zip(found, expected, strict=True)]
    return (
        (
            max(abs(one["score"] - right.score) for one, right in pairs),
            max(float(np.abs(map_of(one) - right.anomaly_map).max()) for one, right in pairs),
            max(abs((one["p_value"] or 0) - (right.p_value or 0)) for one, right in pairs),
        ),
        all(one["is_anomalous"] == right.is_anomalous for one, right in pairs),
        all(one["regions"] == as_json(right) for one, right in pairs),
    )


def needs_normal(detector: Detector) -> bool:
    """Whether it scores nothing without normal images of the request."""
    method = detector.method
    return takes_normal(detector) and getattr(method, "needs_normal", False) and not method.is_few_shot


def calibrate(detector: Detector, images: Sequence[Source]) -> None:
    """Thresholds that some images and pixels reach."""
    found = detector.predict([*images], "nut")
    scores = sorted(one.score for one in found)
    pixels = float(np.quantile(np.concatenate([one.anomaly_map.ravel() for one in found]), 0.97))
    calibration = Calibration(
        "fpr", scores[len(scores) // 2], tuple(scores), "nut", "", target=0.05, pixel_threshold=pixels
    )
    calibration = replace(calibration, detector=detector.fingerprint)
    detector.training_record = replace(detector.training_record, calibration=calibration)


def with_threshold(prediction: Prediction, threshold: float) -> Prediction:
    """Decided by a threshold that is given."""
    return replace(prediction, threshold=threshold, pixel_threshold=threshold)


def map_of(found: dict[str, Any]) -> np.ndarray:
    """The map of an answer."""
    return np.asarray(Image.open(BytesIO(base64.b64decode(found["map"])))).astype(np.float32) / 65535


def as_json(prediction: Prediction) -> list[dict[str, Any]]:
    """The regions of a prediction as an answer has them."""
    listed = [region.as_dict() for region in prediction.regions()]
    return [
        {**region, "box": [*region["box"]], "peak_position": [*region["peak_position"]],
         "polygons": [[[*point] for point in polygon] for polygon in region["polygons"]]}
        for region in listed
    ]  # fmt: skip
