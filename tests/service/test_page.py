"""The page, used in a real browser as people use it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.browsing import in_a_browser
from tests.driving import Page, opened
from tests.service.asking import detector, photo, served
from zsad.service.page import files

SCORES = """Object.fromEntries([...document.querySelectorAll('.card')].map(card =>
    [card.querySelector('.name').textContent, card.querySelector('.score').textContent]))"""
IDLE = "document.getElementById('busy').hidden"


def scored(page: Page) -> dict[str, str]:
    page.until(f"{IDLE} && document.querySelectorAll('.card').length")
    found: dict[str, str] = page.js(SCORES)
    return found


def saved(page: Page, button: str) -> str:
    """The content of a file that a button saves."""
    page.js("""URL.createObjectURL = blob => { window.saved = blob; return '#'; }; window.saved = null;""")
    page.js(f"document.getElementById('{button}').click()")
    page.until("window.saved !== null")
    return str(page.js("window.saved.text()"))


@in_a_browser
def test_people_find_what_looks_wrong(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.png").write_bytes(photo(number))
    (folder / "broken.png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("no image either")
    with served("auto", "clip", "patchcore") as address, opened(address, tmp_path / "profile") as page:
        page.size(1200, 900)
        page.until("document.querySelectorAll('#detector option').length === 3")

        # A folder is dropped: its images are compared with one another, and what is no image is named.
        page.drop("#drop", [folder])
        together = detector("auto").predict([photo(number) for number in range(4)])
        expected = {f"parts/{number}.png": f"{one.score:.3f}" for number, one in enumerate(together)}
        assert scored(page) == expected
        assert "parts/broken.png" in page.text("#failed")
        assert "notes.txt" not in page.text("body")
        assert page.text("#judged") == "zero-shot: " + detector("auto").explanation.replace(" (--normal DIR)", "")
        assert page.js("document.getElementById('announced').textContent") == "4 images scored"

        # A threshold decides at once, from the keyboard.
        page.js("document.getElementById('threshold').focus()")
        page.press("Home", code=36)
        assert page.text("#summary") == "4 images scored, 4 anomalous"
        page.press("End", code=35)
        assert page.text("#summary") == "4 images scored, 0 anomalous"
        assert page.js("document.querySelector('.enlarge').getAttribute('aria-label')").endswith(", normal")

        # The heat map and the outlines are drawn of exact maps, and change what is seen.
        def pixels(layer: str) -> np.ndarray:
            chosen = f"document.getElementById('layer'); box.value = '{layer}'; box.dispatchEvent(new Event('change'))"
            page.js(f"(() => {{ const box = {chosen}; }})()")
            page.js("new Promise(done => setTimeout(done, 200))")
            return np.array(
                page.js("""(canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data])
                    (document.querySelector('.card canvas'))""")
            )

        photo_only, heat, outline = pixels("photo"), pixels("heat"), pixels("outline")
        assert (photo_only != heat).any()
        assert (photo_only == outline).mean() > 0.8

        # Some are marked as good: the others are compared with them.
        marks = "[...document.querySelectorAll('.card')].filter(card => /[23].png/.test(card.innerText))"
        page.js(f"{marks}.forEach(card => card.querySelector('.mark').click())")
        assert page.text("#again") == "Compare with the 2 good images"
        with detector("auto").temporary_memory([photo(2), photo(3)]):  # before the service does so
            compared = detector("auto").predict([photo(0), photo(1)])
        page.js("document.getElementById('again').click()")
        page.until("document.getElementById('again').hidden")
        assert scored(page) == {
            "parts/0.png": f"{compared[0].score:.3f}",
            "parts/1.png": f"{compared[1].score:.3f}",
            "parts/2.png": "",
            "parts/3.png": "",
        }
        told = page.text("#failed")  # what has no score is not forgotten
        assert told.startswith("parts/broken.png\nAn image must be a whole image file of a known kind. Found: parts/")

        # Tables: sorted by a heading, and saved.
        page.js("document.getElementById('as-table').click()")
        page.js("document.querySelector('th button').click()")
        assert page.js("document.querySelector('th').getAttribute('aria-sort')") == "ascending"
        assert page.js("document.querySelector('tbody tr').innerText").startswith("parts/0.png")
        rows = list(csv.DictReader(saved(page, "csv").splitlines()))
        assert [(row["source"], row["marked_good"]) for row in rows] == [
            (f"parts/{number}.png", "true" if number > 1 else "false") for number in range(4)
        ]
        assert float(rows[0]["score"]) == pytest.approx(compared[0].score, abs=1e-4)
        coco = json.loads(saved(page, "coco"))
        assert [image["file_name"] for image in coco["images"]] == ["parts/0.png", "parts/1.png"]
        assert len(coco["annotations"]) == sum(len(one.regions(0.5)) for one in compared)

        # One image, large, from the keyboard.
        page.js("document.querySelector('tbody button').focus()")
        page.press("Enter", code=13, text="\r")
        page.until("document.getElementById('large').open")
        page.press("ArrowRight", code=39)
        page.until("document.getElementById('large-name').innerText.startsWith('parts/1.png')")
        page.press("Escape", code=27)
        page.until("!document.getElementById('large').open")

        # An error that says what to do.
        choose = "box.value = 'patchcore'; box.dispatchEvent(new Event('change'))"
        page.js(
            "document.querySelectorAll('tbody [aria-pressed=true]').forEach(() => "
            "document.querySelector('tbody [aria-pressed=true]').click())"
        )
        page.js(f"(() => {{ const box = document.getElementById('detector'); {choose} }})()")
        assert page.text("#problem") == "This detector compares with good images.\n\nMark some as good, then compare."

        page.size(390, 800, phone=True)
        assert page.js("document.documentElement.scrollWidth") == 390
        assert page.js("document.documentElement.dataset.error") is None
        assert all(url.startswith((address, "blob:", "data:", "about:")) for url in page.requested)


@in_a_browser
def test_images_judged_alone_show_progress_and_a_token_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(photo(0))
    token = "a-token-of-some-length"
    with served("clip", token=token) as address, opened(address, tmp_path / "profile") as page:
        page.until("!document.getElementById('token-form').hidden")
        assert "asks for an access token" in page.text("#problem")
        page.js(f"document.getElementById('token').value = '{token}'")
        page.js("document.querySelector('#token-form button').click()")
        page.until("document.querySelectorAll('#detector option').length")
        page.drop("#drop", [tmp_path / "one.png"])
        assert scored(page) == {"one.png": f"{detector('clip').predict(photo(0)).score:.3f}"}


def test_the_page_asks_for_nothing_from_elsewhere() -> None:
    for path, file in files().items():
        text = file.content.decode()
        assert "http://www.w3.org/2000/svg" in text or "http" not in text.replace("http-equiv", ""), path
        assert " style=" not in text, path
        assert " onclick=" not in text, path
