"""Further metrics of a class, those that a protocol asks for."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool

from zsad.data.masks.saturation import saturated_defects
from zsad.evaluator.plan import PlannedImage
from zsad.metrics import (
    ImageMetrics,
    PimoMetrics,
    PixelMetrics,
    SaturatedProMetrics,
    SaturatedRegion,
    SegF1Metrics,
    Undefined,
)
from zsad.results.schema import FURTHER, Metric, Protocol
from zsad.types import Prediction, Size

NO_SATURATION = "the layout has no saturation thresholds"
NO_THRESHOLD = "the detector has no threshold for pixels: zsad calibrate"


class FurtherMetrics:
    """What the metrics that a protocol asks for are made of; nothing where it asks for none."""

    def __init__(self, protocol: Protocol) -> None:
        self._names = protocol.further
        self._pimo, self._saturated, self._seg_f1 = PimoMetrics(), SaturatedProMetrics(), SegF1Metrics()
        self._lacking: dict[str, str] = {}

    def add(
        self, item: PlannedImage, own: Size, prediction: Prediction, mask: Bool[np.ndarray, "rows cols"] | None
    ) -> None:
        """Count the pixels of an image.

        Args:
            item: the image.
            own: its size.
            prediction: its map.
            mask: at the size of the map; None where there is none.

        Raises:
            InputError: the saturation thresholds of its defects cannot be read.
        """
        if mask is None:
            return
        maps, masks = [prediction.anomaly_map], [mask]
        if "spro" in self._names:
            self._add_saturated(item, own, prediction)
        if "aupimo" in self._names and (item.label == 0 or mask.any()):
            self._pimo.update(maps, masks)
        if "seg-f1" in self._names:
            if prediction.pixel_threshold is None:
                self._lacking["pixel_seg_f1"] = NO_THRESHOLD
            else:
                self._seg_f1.update(maps, masks, prediction.pixel_threshold)

    def _add_saturated(self, item: PlannedImage, own: Size, prediction: Prediction) -> None:
        sample, regions = item.sample, []
        if item.label:
            if sample.saturation is None:
                self._lacking["pixel_spro"] = NO_SATURATION
                return
            defects = saturated_defects(sample.masks, sample.saturation, own, prediction.size, sample.image)
            regions = [SaturatedRegion(mask, pixels) for mask, pixels in defects]
        self._saturated.update([prediction.anomaly_map], [regions])

    def metrics(self, images: ImageMetrics, pixels: PixelMetrics, reason: str) -> dict[str, Metric]:
        """The metrics that were asked for, by their names in results, without intervals.

        Args:
            images, pixels: of the same images.
            reason: why those of pixels mean nothing; empty where they do.
        """
        if not self._names:
            return {}
        found: dict[str, float | Undefined] = {}
        for level, gathered in (("image", images), ("pixel", pixels)):
            found |= {f"{level}_{name}": value for name, value in gathered.further().items()}
        for computed in (self._pimo.compute(), self._saturated.compute(), self._seg_f1.compute()):
            found |= {f"pixel_{name}": value for name, value in computed.items()}
        names = [name for asked in self._names for name in FURTHER[asked]]
        lacking = self._lacking | ({name: reason for name in names if name.startswith("pixel")} if reason else {})
        return {name: _metric(found[name], lacking.get(name, "")) for name in names}


def _metric(value: float | Undefined, reason: str) -> Metric:
    if reason:
        return Metric(None, reason=reason)
    return Metric(None, reason=value.reason) if isinstance(value, Undefined) else Metric(value)


def means(results: Mapping[str, Mapping[str, Metric]]) -> dict[str, Metric]:
    """Mean of each metric over the classes that define it.

    Args:
        results: further metrics of each class, by its name.
    """
    names = dict.fromkeys(name for metrics in results.values() for name in metrics)
    return {name: _mean([metrics[name] for metrics in results.values() if name in metrics]) for name in names}


def _mean(metrics: list[Metric]) -> Metric:
    values = [metric.value for metric in metrics if metric.value is not None]
    if not values:
        reasons = {metric.reason for metric in metrics}
        return Metric(None, reason=reasons.pop() if len(reasons) == 1 else "no class defines it", classes=0)
    return Metric(float(np.mean(values)), classes=len(values))
