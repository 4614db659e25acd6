"""Predictions and detectors as a prompt and a notebook show them, and what a prediction draws and saves."""

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zsad
from zsad.drawing.outlines import outlined
from zsad.drawing.render import overlay
from zsad.errors import ConfigError, InputError
from zsad.types import DecodedImage, Prediction


@pytest.fixture
def prediction() -> Prediction:
    """Four pixels of 30 × 40 are at 0.8, all others at 0.1."""
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    anomaly_map = np.full((30, 40), 0.1, np.float32)
    anomaly_map[10:12, 20:22] = 0.8
    image = DecodedImage(pixels, "a/<nut>\u202e.png")
    return Prediction(image.source, "metal nut", 0.75, 0.5, anomaly_map, 0.02, 0.4, image)


def test_a_prompt_shows_a_line(prediction: Prediction) -> None:
    assert repr(prediction) == (
        "<Prediction a/<nut>\\u202e.png: metal nut, score 0.7500, anomalous (threshold 0.5), p-value 0.02; map 30 × 40>"
    )
    assert repr(replace(prediction, threshold=0.8, p_value=None)).endswith("normal (threshold 0.8); map 30 × 40>")
    assert repr(replace(prediction, threshold=None, p_value=None)).endswith("score 0.7500; map 30 × 40>")
    detector = zsad.load("clip", image_size=64, threshold=0.25)
    assert repr(detector) == ("<Detector clip: backbone tiny, image size 64 px, device cpu (fp32), threshold 0.25>")
    assert "<td" in detector._repr_html_()
    assert "embedded (small, project-trained" in detector._repr_html_()


def test_a_notebook_shows_image_heat_map_scale_and_decision(prediction: Prediction) -> None:
    from IPython.core.formatters import DisplayFormatter  # as a notebook asks

    shown, _ = DisplayFormatter().format(prediction)
    page = shown["text/html"]
    assert shown["text/plain"] == repr(prediction)
    assert page.count('src="data:image/jpeg;base64,') == page.count("src=") == 2
    assert "<nut>" not in page
    words = unescape(re.sub("<[^>]*>", "|", page))
    for word in (
        "a/<nut>\\u202e.png",
        "|anomalous|",
        "score 0.7500",
        "p-value 0.02",
        "1 region",
        "pixel threshold 0.4",
    ):
        assert word in words
    assert "left:40.0%" in page
    assert "|normal|" in re.sub("<[^>]*>", "|", replace(prediction, threshold=0.8)._repr_html_())
    assert "|not calibrated|" in re.sub("<[^>]*>", "|", replace(prediction, threshold=None)._repr_html_())
    alone = replace(prediction, image=None, pixel_threshold=None)._repr_html_()
    assert alone.count("src=") == 1
    assert "left:" not in alone


def test_an_overlay_is_that_of_reports(prediction: Prediction) -> None:
    assert prediction.image
    assert (np.asarray(prediction.overlay()) == overlay(prediction.image, prediction.anomaly_map)).all()
    assert prediction.overlay("outline").tobytes() == outlined(prediction.image, prediction.regions()).tobytes()
    alone = replace(prediction, image=None)
    assert alone.overlay(image=prediction.image).tobytes() == prediction.overlay().tobytes()
    with pytest.raises(ConfigError, match="drawn over an image"):
        alone.overlay()
    with pytest.raises(ConfigError, match="threshold for pixels"):
        replace(prediction, pixel_threshold=None).overlay("outline")
    with pytest.raises(InputError, match="has the size of its image"):
        prediction.overlay(image=DecodedImage(prediction.image.pixels[:20], "b"))


def test_a_prediction_is_saved_as_files(prediction: Prediction, tmp_path: Path) -> None:
    saved = prediction.save(tmp_path / "out")
    assert [path.name for path in saved] == ["nut.json", "nut-map.png", "nut-overlay.png"]
    found = json.loads(saved[0].read_text())
    assert (found["score"], found["is_anomalous"], found["regions"][0]["box"]) == (0.75, True, [20, 10, 2, 2])
    with Image.open(saved[1]) as written:
        levels = np.asarray(written)
    assert (levels == np.rint(prediction.anomaly_map * 65535)).all()
    with Image.open(saved[2]) as written:
        assert (np.asarray(written) == np.asarray(prediction.overlay())).all()
    alone = replace(prediction, image=None).save(tmp_path / "alone", "other")
    assert [path.name for path in alone] == ["other.json", "other-map.png"]
    with pytest.raises(InputError, match="must be writable"):
        prediction.save(saved[0])


def test_a_detector_hands_the_image_on(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    pixels = np.random.default_rng(1).integers(0, 255, (20, 30, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    detector = zsad.load("clip", image_size=64)
    prediction = detector.predict(path)
    assert prediction.image
    assert (prediction.image.pixels == pixels).all()
    ((image, answer),) = detector.stream([path])
    assert answer.image is image
    assert prediction.overlay().size == (30, 20)


def test_a_notebook_runs_and_is_exported_with_both(tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient
    from nbconvert import HTMLExporter

    Image.new("RGB", (40, 30), (90, 120, 90)).save(tmp_path / "nut.png")
    cells = [
        "import zsad\ndetector = zsad.load('clip', image_size=64, threshold=0.5)\ndetector",
        "detector.predict('nut.png', 'metal nut')",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}).execute()
    first, second = ([output["data"]["text/html"] for output in cell.outputs] for cell in notebook.cells)
    page, _ = HTMLExporter().from_notebook_node(notebook)
    pictures = re.findall('src="(data:image/jpeg[^"]*)"', second[0])
    assert len(pictures) == 2
    assert all(picture in page for picture in pictures)
    assert "Detector clip" in first[0]
    assert "nut.png" in second[0]
