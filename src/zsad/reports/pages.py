"""What the pages share: templates, one style, text that cannot break out of them, and thumbnails.

A page is one file that asks for no other and for no network.
"""

import base64
import io
import json
import re
from collections.abc import Mapping
from importlib.resources import files

from PIL import Image

SHARED = {"@STYLE@": "page.css", "@TABLES@": "tables.css", "@SORTING@": "tables.js"}
"""What templates share: the style of all pages, that of tables, and the script that sorts these."""


def template(name: str) -> str:
    """A template of the package with what templates share in it."""
    assets = files("zsad.reports") / "templates"
    page = assets.joinpath(name).read_text(encoding="utf-8")
    for mark, file in SHARED.items():
        if mark in page:
            page = page.replace(mark, assets.joinpath(file).read_text(encoding="utf-8").rstrip())
    return page


def filled(name: str, parts: Mapping[str, str]) -> str:
    """A template whose ``@NAME@`` are replaced by HTML; what the parts themselves say is left alone."""
    return re.sub("@([A-Z]+)@", lambda found: parts[found[1]], template(name))


def embeddable(data: Mapping[str, object]) -> str:
    """JSON for a script element; ``<`` is escaped so that no text can end it.

    >>> embeddable({"name": "</script>"})
    '{"name": "\\\\u003c/script>"}'
    """
    return json.dumps(data).replace("<", "\\u003c")


def data_uri(image: Image.Image, side: int, quality: int = 80) -> str:
    """An image for the ``src`` of an image: JPEG, its longer side at most ``side`` px."""
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def caveat(backbone: str, weights: str) -> str:
    """What a reader must know about a backbone before believing any number; empty where there is nothing."""
    if weights.startswith("random"):
        return "The weights are random: these numbers mean nothing."
    if backbone == "tiny":
        return (
            "The backbone is the embedded one: small, project-trained, for trying out and for tests. "
            "Real work names a real CLIP, for instance --backbone ViT-L-14-336 --weights openai."
        )
    return ""
