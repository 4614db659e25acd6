"""Panels on pages: aligned, headed, with the one scale beneath.

    in lines (default)               transposed

            Image  Truth  A  B     Image   1  2  3
        1     ·        ·    ·  ·     Truth     ·  ·  ·
        2     ·        ·    ·  ·     A         ·  ·  ·
        3     ·        ·    ·  ·     B         ·  ·  ·

A band is what is never torn apart by the end of a page: a line of images with all their panels.
"""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from zsad.drawing.render import INK, PAPER, QUIET, legend, shortened
from zsad.errors import ConfigError
from zsad.gallery.panels import SIDE, Panel, Style, edged

MARGIN, GAP, GUTTER = 14, 6, 26
"""Around a page, between panels, and between images that stand beside each other; in units."""
HEAD, BENEATH = 26, 27
"""Room for a heading and for the line beneath a panel, in units."""
HEADING, LINE = 15, 12.5
"""Sizes of letters, in units."""
NOTE = "Beneath each map: the score of the image, P(anomalous)."


def pages(
    headings: Sequence[str], shown: Sequence[Sequence[Panel]], columns: int, style: Style, highest: int | None = None
) -> list[Image.Image]:
    """The figure, on one page or more.

    Args:
        headings: of the panels of an image.
        shown: the panels of each image.
        columns: images that stand beside each other.
        style: sizes.
        highest: page in pixels, where there is such a limit; a band that is higher has a page of its own.

    Raises:
        ConfigError: there are no columns.
    """
    if columns < 1:
        raise ConfigError("a figure has at least one column of images", columns, "say 1 or more")
    lines = [list(shown[start : start + columns]) for start in range(0, len(shown), columns)]
    draw = _band_transposed if style.transposed else _band
    bands = [draw(headings, line, style) for line in lines]
    width = max(band.width for band in bands) + 2 * style.pixels(MARGIN)
    top = [] if style.transposed else [_headings(headings, min(columns, len(shown)), style)]
    bottom = _foot(width - 2 * style.pixels(MARGIN), style)
    fixed = sum(part.height for part in (*top, bottom)) + 2 * style.pixels(MARGIN)
    split = _split(bands, None if highest is None else highest - fixed, style)
    return [_page([*top, *bands_of_page, bottom], width, style) for bands_of_page in split]


def _split(bands: Sequence[Image.Image], room: int | None, style: Style) -> list[list[Image.Image]]:
    """Bands by page."""
    split: list[list[Image.Image]] = [[]]
    used = 0
    for band in bands:
        if room is not None and split[-1] and used + band.height > room:
            split.append([])
            used = 0
        split[-1].append(band)
        used += band.height
    return split


def _page(parts: Sequence[Image.Image], width: int, style: Style) -> Image.Image:
    margin = style.pixels(MARGIN)
    sheet = Image.new("RGB", (width, sum(part.height for part in parts) + 2 * margin), PAPER)
    top = margin
    for part in parts:
        sheet.paste(part, (margin, top))
        top += part.height
    return sheet


def _headings(headings: Sequence[str], columns: int, style: Style) -> Image.Image:
    """Above the panels of every image of a line."""
    width, side = _line_width(len(headings), columns, style), style.pixels(SIDE)
    strip, font = Image.new("RGB", (width, style.pixels(HEAD)), PAPER), style.font(HEADING)
    draw = ImageDraw.Draw(strip)
    for column in range(columns):
        for number, text in enumerate(headings):
            middle = _left(number, column, len(headings), style) + side / 2
            draw.text((middle, strip.height / 2), shortened(text, font, side), INK, font, anchor="mm")
    return strip


def _band(headings: Sequence[str], line: Sequence[Sequence[Panel]], style: Style) -> Image.Image:
    """Images beside each other, each with its panels in one line."""
    highest = max(panels[0].image.height for panels in line)
    size = _line_width(len(headings), len(line), style), highest + style.pixels(BENEATH)
    band = Image.new("RGB", size, PAPER)
    for column, panels in enumerate(line):
        for number, panel in enumerate(panels):
            area = style.pixels(SIDE), panel.image.height
            _place(band, panel, (_left(number, column, len(headings), style), 0), area, style)
    return band


def _band_transposed(headings: Sequence[str], line: Sequence[Sequence[Panel]], style: Style) -> Image.Image:
    """Images beside each other, the panels of each below it, headings at the left."""
    gap, head = style.pixels(GAP), style.pixels(HEAD)
    widths = [panels[0].image.width for panels in line]
    highest = max(panels[0].image.height for panels in line)
    step = highest + style.pixels(BENEATH)
    band = Image.new("RGB", (head + sum(widths) + gap * (len(widths) - 1), step * len(headings) + gap), PAPER)
    for number, text in enumerate(headings):
        band.paste(_upwards(text, highest, head, style), (0, number * step))
        left = head
        for width, panels in zip(widths, line, strict=True):
            _place(band, panels[number], (left, number * step), (width, highest), style)
            left += width + gap
    return band


def _place(band: Image.Image, panel: Panel, corner: tuple[int, int], area: tuple[int, int], style: Style) -> None:
    """A panel in the middle of its area, (width, height), and its line beneath that."""
    (left, top), (width, height), font = corner, area, style.font(LINE)
    at = left + (width - panel.image.width) // 2, top + (height - panel.image.height) // 2
    band.paste(edged(panel.image, style), at)
    middle = left + width / 2, top + height + style.pixels(4)
    ImageDraw.Draw(band).text(middle, shortened(panel.beneath, font, width), QUIET, font, anchor="ma")


def _upwards(text: str, length: int, thickness: int, style: Style) -> Image.Image:
    """A heading that is read from below."""
    strip, font = Image.new("RGB", (length, thickness), PAPER), style.font(HEADING)
    middle = length / 2, thickness / 2 - style.pixels(2)
    ImageDraw.Draw(strip).text(middle, shortened(text, font, length), INK, font, anchor="mm")
    return strip.transpose(Image.Transpose.ROTATE_90)


def _foot(width: int, style: Style) -> Image.Image:
    """The scale, and what the numbers are."""
    scale = legend(width=max(160, min(width, style.pixels(440))))
    inset = round(24 * min(max(scale.width / 480, 0.6), 2))  # of its bar, which is moved to the edge of the images
    font = style.font(LINE)
    foot = Image.new("RGB", (max(width, scale.width), scale.height + style.pixels(BENEATH)), PAPER)
    foot.paste(scale, (-inset + style.pixels(4), 0))
    ImageDraw.Draw(foot).text((style.pixels(4), scale.height), shortened(NOTE, font, width), QUIET, font)
    return foot


def _line_width(panels: int, columns: int, style: Style) -> int:
    return _left(panels - 1, columns - 1, panels, style) + style.pixels(SIDE)


def _left(number: int, column: int, panels: int, style: Style) -> int:
    """Where a panel of an image of a line begins."""
    side, gap, gutter = (style.pixels(units) for units in (SIDE, GAP, GUTTER))
    return column * (panels * side + (panels - 1) * gap + gutter) + number * (side + gap)
