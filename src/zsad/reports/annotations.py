"""Regions as annotations of other programs: COCO instances, and shapes of LabelMe.

COCO (cocodataset.org/#format-data) counts corners of pixels, as regions do; a region with holes is a run-length code,
which is exact, because polygons of COCO have no holes. LabelMe (github.com/wkentaro/labelme) counts pixels and draws
outlines too, so that its polygons run through the centres of the outermost pixels; a hole is a shape labelled
``_background_`` after the one around it, which clears what it covers.
"""

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
from jaxtyping import Bool

from zsad.regions import Region
from zsad.regions.contours import Contour, signed_area, simplify, through_centres
from zsad.types import Size

LABEL, BACKGROUND = "anomaly", "_background_"
CATEGORY = {"id": 1, "name": LABEL, "supercategory": LABEL}
LABELME_VERSION = "5.5.0"
"""Of the format that is written; LabelMe 5 opens it."""


def coco_annotation(region: Region, number: int, image: int, size: Size, tolerance: float) -> dict[str, object]:
    """An annotation of COCO, with the peak as ``score``.

    Args:
        region: with exact polygons.
        number, image: ids, from 1.
        size: (rows, cols) of the image.
        tolerance: of simplified polygons, in px.
    """
    return {
        "id": number,
        "image_id": image,
        "category_id": CATEGORY["id"],
        "bbox": list(region.box),
        "area": region.area,
        "segmentation": (
            {"counts": run_lengths(region.mask(), region.box, size), "size": list(size)}
            if region.holes
            else [list(chain.from_iterable(simplify(region.outline, tolerance)))]
        ),
        "iscrowd": 0,
        "score": round(region.peak, 6),
    }


def run_lengths(mask: Bool[np.ndarray, "height width"], box: tuple[int, int, int, int], size: Size) -> list[int]:
    """Lengths of the runs of 0 and 1 of an image, in turn and from 0 on, column by column: COCO's uncompressed code.

    Args:
        mask: of the pixels within the box.
        box: (left, top, width, height) in px.
        size: (rows, cols) of the image.

    >>> run_lengths(np.array([[True], [True]]), (1, 0, 1, 2), (2, 3))
    [2, 2, 2]
    """
    left, top, _, _ = box
    column, place = np.nonzero(np.diff(np.pad(mask.T, ((0, 0), (1, 1))), axis=1))
    changes = (left + column) * size[0] + top + place
    # Runs that go on at the top of the next column are one.
    places, counts = np.unique(changes, return_counts=True)
    edges = np.concatenate([[0], places[counts == 1], [size[0] * size[1]]])
    lengths: list[int] = np.diff(edges).tolist()
    return lengths if lengths[-1] else lengths[:-1]


def labelme_file(regions: Sequence[Region], image_path: str, size: Size, tolerance: float) -> dict[str, object]:
    """The content of a file of LabelMe.

    Args:
        regions: with exact polygons.
        image_path: of the image, relative to the folder of the file.
        size: (rows, cols) of the image.
        tolerance: of simplified polygons, in px; 0 lets LabelMe rasterise the regions exactly.
    """
    # A region in the hole of another one is smaller, and drawn after it.
    inwards = sorted(enumerate(regions, 1), key=lambda pair: -signed_area(pair[1].outline))
    return {
        "version": LABELME_VERSION,
        "flags": {},
        "shapes": [shape for number, region in inwards for shape in _shapes(region, number, tolerance)],
        "imagePath": image_path,
        "imageData": None,
        "imageHeight": size[0],
        "imageWidth": size[1],
    }


def _shapes(region: Region, number: int, tolerance: float) -> list[Mapping[str, object]]:
    words = f"peak {region.peak:.3f}, mean {region.mean:.3f}, {region.area} px"
    outline = _shape(LABEL, region.outline, number, words, tolerance)
    return [outline, *(_shape(BACKGROUND, hole[::-1], number, "hole", tolerance) for hole in region.holes)]


def _shape(label: str, contour: Contour, number: int, words: str, tolerance: float) -> Mapping[str, object]:
    points = simplify(through_centres(contour), tolerance)
    return {
        "label": label,
        "points": [list(point) for point in (*points, *points[-1:] * (3 - len(points)))],  # a polygon has at least 3
        "group_id": number,
        "description": words,
        "shape_type": "polygon",
        "flags": {},
        "mask": None,
    }
