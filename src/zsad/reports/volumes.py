"""The maps of volumes as volumes, beside a report."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32

from zsad.data.series import Frame
from zsad.data.series.nifti import Volume
from zsad.data.series.volume_maps import VolumeMaps
from zsad.files import replacing, unique_name

FOLDER = "volumes"


class VolumeFiles:
    """Writes a volume of maps for each volume whose slices are scored, those of one after those of another.

    Args:
        out: folder of the report.
    """

    def __init__(self, out: Path) -> None:
        self._out, self._names = out, set[str]()
        self._maps: VolumeMaps | None = None
        self._path = ""

    def add(self, frame: Frame, anomaly_map: Float32[np.ndarray, "rows cols"]) -> str:
        """Keep the map of a slice.

        Returns:
            The path of the volume, in the folder of the report; empty for a frame of another file.
        """
        if not isinstance(frame.series, Volume):
            self.finish()
            return ""
        if self._maps is None or self._maps.volume is not frame.series:
            self.finish()
            self._maps = VolumeMaps(frame.series)
            name = frame.series.path.name
            suffix = ".nii.gz" if name.lower().endswith(".gz") else ".nii"
            stem = unique_name(name.removesuffix(".gz").rpartition(".")[0], self._names, "volume")
            self._path = f"{FOLDER}/{stem}{suffix}"
        self._maps.add(frame.index, anomaly_map)
        return self._path

    def finish(self) -> None:
        """Write the volume whose slices were added last."""
        if self._maps is None:
            return
        path = self._out / self._path
        path.parent.mkdir(exist_ok=True)
        maps, self._maps = self._maps, None
        try:
            with replacing(path) as staged:
                maps.write(staged, packed=path.suffix == ".gz")
        finally:
            maps.close()
