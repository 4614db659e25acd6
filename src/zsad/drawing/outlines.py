"""Images with the outlines of regions: nothing of what is inside is covered."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from zsad.drawing.picture import Picture
from zsad.drawing.render import INK, eight_bit
from zsad.regions import Region
from zsad.regions.contours import Contour, simplify

LINE = (255, 214, 10)
"""Bright, between dark edges: against any background one of the two has a contrast of at least 3 to 1."""
THICKNESS = 200
"""Longer side of an image over the width of a line: outlines look alike in images of all sizes, and on thumbnails."""


def outlined(image: Picture, regions: Sequence[Region]) -> Image.Image:
    """The unchanged image, in 8 bits, with a bright line between dark edges around each region and its holes.

    Args:
        image: 8 or 16 bits a sample.
        regions: in px of the image.
    """
    drawn = Image.fromarray(eight_bit(image.pixels))
    width = line_width(drawn.width, drawn.height)
    # Finer steps than the line is wide cannot be seen, and would fray it.
    lines = [simplify(polygon, width / 2) for region in regions for polygon in region.polygons]
    draw = ImageDraw.Draw(drawn)
    edge = max(1, round(width / 2))
    for colour, stroke in ((INK, width + 2 * edge), (LINE, width)):
        for line in lines:
            _draw(draw, line, colour, stroke)
    return drawn


def line_width(cols: int, rows: int) -> int:
    """Of the bright line, in px.

    >>> line_width(100, 80), line_width(1000, 600), line_width(4000, 3000)
    (1, 5, 20)
    """
    return max(1, round(max(cols, rows) / THICKNESS))


def _draw(draw: ImageDraw.ImageDraw, polygon: Contour, colour: tuple[int, int, int], width: int) -> None:
    # Pillow counts the centres of pixels, of which the upper left one is (0, 0).
    points = [(x - 0.5, y - 0.5) for x, y in polygon]
    draw.line([*points, *points[:2]], colour, width, joint="curve")
