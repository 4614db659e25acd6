"""The prediction for an image that is too large for a map in memory."""

from dataclasses import dataclass, field, replace
from typing import IO

from zsad.regions import Region
from zsad.types.images import Prediction, Size


@dataclass(frozen=True, repr=False)
class LargePrediction(Prediction):
    """A prediction whose map is in a file; ``anomaly_map`` is that map reduced, by the highest score of each block.

    Attributes:
        full_size: (rows, cols) of the image.
        factor: side of a block, in px of the image.
        map_file: the whole map as 16-bit grey PNG, which goes with this object.
    """

    full_size: Size = field(kw_only=True)
    factor: int = field(kw_only=True)
    map_file: IO[bytes] = field(kw_only=True, compare=False)

    def __del__(self) -> None:
        if "map_file" in self.__dict__:
            self.map_file.close()

    @property
    def size(self) -> Size:
        """(rows, cols) of the image."""
        return self.full_size

    def regions(self, threshold: float | None = None, *, min_area: int = 1) -> list[Region]:
        """Regions of the reduced map, in px of the image: exact to a block."""
        least = -(-min_area // self.factor**2)
        return [self.enlarged(region) for region in super().regions(threshold, min_area=least)]

    def enlarged(self, region: Region) -> Region:
        """A region of the reduced map in px of the image."""
        factor, (rows, cols) = self.factor, self.full_size
        polygons = tuple(
            tuple((min(x * factor, cols), min(y * factor, rows)) for x, y in polygon) for polygon in region.polygons
        )
        left, top, width, height = (value * factor for value in region.box)
        x, y = region.peak_position
        return replace(
            region,
            box=(left, top, min(width, cols - left), min(height, rows - top)),
            polygons=polygons,
            area=min(region.area * factor**2, rows * cols),
            peak_position=(min(x * factor + factor // 2, cols - 1), min(y * factor + factor // 2, rows - 1)),
        )
