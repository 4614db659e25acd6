"""What the service answers is what ``Detector.predict`` gives."""

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

import zsad
from tests.service.asking import client, detector, files, map_of, photo
from zsad.calibration import Calibration
from zsad.predictor import Detector
from zsad.regions import Region
from zsad.service.app import create_app
from zsad.service.schema import Detectors, Predictions
from zsad.types import Prediction

PIXELS = 0.3
"""A threshold that maps of all the detectors cross somewhere."""


def same(found: dict[str, Any], expected: Prediction) -> None:
    assert found["score"] == pytest.approx(expected.score, abs=1e-4)
    assert (found["rows"], found["cols"]) == expected.size
    np.testing.assert_allclose(map_of(found), expected.anomaly_map, atol=1e-4)
    assert found["threshold"] == expected.threshold
    assert found["is_anomalous"] == expected.is_anomalous
    assert found["p_value"] == pytest.approx(expected.p_value)


def same_regions(found: list[dict[str, Any]], expected: list[Region]) -> None:
    assert [region["polygons"] for region in found] == [
        [[list(point) for point in polygon] for polygon in region.polygons] for region in expected
    ]
    for one, region in zip(found, expected, strict=True):
        assert (one["box"], one["area"]) == (list(region.box), region.area)
        assert one["peak"] == pytest.approx(region.peak, abs=1e-4)


@pytest.mark.parametrize("name", ["clip", "winclip", "fe-clip", "auto", "musc"])
def test_an_answer_is_the_prediction(name: str) -> None:
    expected = detector(name).predict([photo(number) for number in range(3)], "metal nut")
    form = {"class_name": "metal nut", "maps": "png", "regions": "true", "pixel_threshold": repr(PIXELS)}
    with client(name) as asking:
        answer = asking.post("/v1/predict", files=files(3), data=form)
    assert answer.status_code == 200, answer.text
    found = Predictions.model_validate(answer.json(), strict=False).model_dump(mode="json")
    assert (found["detector"], found["class_name"], found["failures"]) == (name, "metal nut", [])
    assert found["explanation"] == detector(name).explanation
    assert found["setting"] == ("transductive" if detector(name).scored_together else "zero-shot")
    assert [(one["index"], one["source"]) for one in found["predictions"]] == [(0, "0.png"), (1, "1.png"), (2, "2.png")]
    for one, prediction in zip(found["predictions"], expected, strict=True):
        same(one, prediction)
        same_regions(one["regions"], prediction.regions(PIXELS))


def calibrated() -> Detector:
    """One that decides on images of nuts."""
    found = zsad.load("clip", image_size=64)
    scores = tuple(np.linspace(0.3, 0.6, 25).tolist())
    calibration = Calibration("fpr", 0.45, scores, "nut", "", target=0.05, pixel_threshold=PIXELS)
    found.training_record = replace(found.training_record, calibration=calibration)
    return found


def test_decisions_and_p_values_are_those_of_the_calibration() -> None:
    own = calibrated()
    with TestClient(create_app({"nuts": own}), base_url="http://localhost") as asking:
        of_class = asking.post("/v1/predict", files=files(2), data={"class_name": "nut", "regions": "1", "maps": "png"})
        of_other = asking.post("/v1/predict", files=files(2), data={"class_name": "bolt"})
        given = asking.post("/v1/predict", files=files(2), data={"class_name": "nut", "threshold": "0"})
        listed = Detectors.model_validate(asking.get("/v1/detectors").json()).detectors[0]
    for one, prediction in zip(of_class.json()["predictions"], own.predict([photo(0), photo(1)], "nut"), strict=True):
        assert prediction.p_value is not None
        same(one, prediction)
        same_regions(one["regions"], prediction.regions())
    assert of_other.json()["predictions"][0]["is_anomalous"] is None
    assert "calibrated on images of nut" in of_other.json()["warnings"][0]
    assert [one["is_anomalous"] for one in given.json()["predictions"]] == [True, True]
    assert (listed.name, listed.calibrated_class, listed.threshold) == ("nuts", "nut", 0.45)


@pytest.mark.parametrize("name", ["auto", "patchcore"])
def test_images_are_compared_with_normal_ones_of_the_request_alone(name: str) -> None:
    own = detector(name)
    with own.temporary_memory([photo(2), photo(3)], "nut"):
        expected = own.predict([photo(0), photo(1)], "nut")
    form = {"class_name": "nut", "maps": "png"}
    with client(name) as asking:
        answer = asking.post("/v1/predict", files=[*files(2), *files(2, "normal", first=2)], data=form)
        later = asking.post("/v1/predict", files=files(1), data=form)
    assert answer.status_code == 200, answer.text
    assert answer.json()["setting"] == "few-shot"
    for one, prediction in zip(answer.json()["predictions"], expected, strict=True):
        same(one, prediction)
    if name == "patchcore":
        assert (later.status_code, later.json()["value"]) == (422, "no normal image")
    else:
        same(later.json()["predictions"][0], own.predict(photo(0), "nut"))
        assert later.json()["setting"] == "zero-shot"


def test_images_of_a_request_can_be_scored_each_alone() -> None:
    with client("auto") as asking:
        answer = asking.post("/v1/predict", files=files(3), data={"together": "false", "maps": "png"}).json()
    for number, one in enumerate(answer["predictions"]):
        same(one, detector("auto").predict(photo(number)))


def test_requests_at_a_time_get_their_own_answers() -> None:
    expected = [detector("clip").predict(photo(number), name) for number in range(6) for name in ("nut", "screw")]

    def ask(number: int) -> dict[str, Any]:
        form = {"class_name": "screw" if number % 2 else "nut", "maps": "png"}
        found: dict[str, Any] = asking.post("/v1/predict", files=files(1, first=number // 2), data=form).json()
        return found

    with client(max_wait_ms=50) as asking, ThreadPoolExecutor(12) as pool:
        for answer, prediction in zip(pool.map(ask, range(12)), expected, strict=True):
            assert answer["class_name"] == prediction.class_name
            same(answer["predictions"][0], prediction)


def test_a_file_that_is_no_image_does_not_stop_the_others() -> None:
    broken = [("images", ("notes.txt", b"hello")), ("images", ("cut.png", photo(0)[:300]))]
    with client() as asking:
        answer = asking.post("/v1/predict", files=[*broken, *files(1)])
        alone = asking.post("/v1/predict", files=broken)
    assert answer.status_code == 200
    assert [failure["source"] for failure in answer.json()["failures"]] == ["notes.txt", "cut.png"]
    assert [failure["index"] for failure in answer.json()["failures"]] == [0, 1]
    assert answer.json()["predictions"][0]["index"] == 2
    assert "whole image file" in answer.json()["failures"][1]["rule"]
    assert answer.json()["predictions"][0]["score"] == pytest.approx(detector("clip").predict(photo(0)).score, abs=1e-4)
    assert alone.status_code == 422
    assert alone.json()["rule"] == answer.json()["failures"][0]["rule"]
    assert len(alone.json()["failures"]) == 2


def test_maps_can_be_smaller() -> None:
    with client() as asking:
        found = asking.post("/v1/predict", files=files(1), data={"maps": "png", "map_side": "20"}).json()
    small, full = map_of(found["predictions"][0]), detector("clip").predict(photo(0)).anomaly_map
    assert small.shape == (15, 20)
    np.testing.assert_allclose(small, full.reshape(15, 4, 20, 4).mean((1, 3)), atol=1e-4)


def test_regions_of_a_map_at_another_threshold() -> None:
    prediction = detector("clip").predict(photo(0))
    with client() as asking:
        answer = asking.post("/v1/predict", files=files(1), data={"maps": "png"}).json()["predictions"][0]
        upload = [("maps", ("0.png", base64.b64decode(answer["map"])))]
        threshold = float(np.median(prediction.anomaly_map)) + 1e-3
        form = {"pixel_threshold": repr(threshold), "sizes": "[[60, 80]]"}
        found = asking.post("/v1/regions", files=upload, data=form).json()["images"][0]
        coco = asking.post("/v1/regions", files=upload, data={**form, "format": "coco"}).json()
        larger = asking.post("/v1/regions", files=upload, data={**form, "sizes": "[[120, 160]]"}).json()["images"][0]
        wrong = asking.post("/v1/regions", files=files(1, "maps"), data=form)
    areas = [region.area for region in prediction.regions(threshold)]
    assert found["source"] == "0.png"
    np.testing.assert_allclose([region["area"] for region in found["regions"]], areas, atol=8)
    assert [one["area"] for one in coco["annotations"]] == [region["area"] for region in found["regions"]]
    assert coco["images"] == [{"id": 1, "file_name": "0.png", "height": 60, "width": 80}]
    np.testing.assert_allclose(sum(region["area"] for region in larger["regions"]), 4 * sum(areas), rtol=0.05)
    assert (wrong.status_code, wrong.json()["rule"]) == (422, "a map is a 16-bit grey PNG")


def test_what_is_slow_is_refused_and_left_out() -> None:
    with client(timeout=0.01) as asking:
        answer = asking.post("/v1/predict", files=files(4))
        assert (answer.status_code, answer.json()["rule"]) == (504, "a request is answered within 0.01 s")
        ends = time.monotonic() + 30
        while "zsad_waiting_images 0.0" not in asking.get("/metrics").text and time.monotonic() < ends:
            time.sleep(0.01)
        assert "zsad_waiting_images 0.0" in asking.get("/metrics").text


def test_a_full_queue_says_when_to_come_again() -> None:
    with client(queue=3) as asking, ThreadPoolExecutor(6) as pool:
        answers = [*pool.map(lambda _: asking.post("/v1/predict", files=files(3)), range(6))]
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["rule"] == "at most 3 images wait"
    right = detector("clip").predict(photo(2)).score
    for answer in answers:
        if answer.status_code == 200:
            assert answer.json()["predictions"][2]["score"] == pytest.approx(right, abs=1e-4)


def test_a_service_that_stops_finishes_what_it_accepted() -> None:
    with ThreadPoolExecutor(1) as pool, client() as asking:
        app = asking.app
        assert isinstance(app, FastAPI)
        waiting = pool.submit(asking.post, "/v1/predict", files=files(4))
        while "zsad_waiting_images 0.0" in asking.get("/metrics").text and not waiting.done():
            time.sleep(0.001)
        app.state.service.worker.stop(60)
        assert waiting.result().status_code == 200
        late = asking.post("/v1/predict", files=files(1))
        assert (late.status_code, asking.get("/readyz").status_code) == (503, 503)
        assert asking.get("/healthz").status_code == 200
    assert len(json.loads(waiting.result().content)["predictions"]) == 4
