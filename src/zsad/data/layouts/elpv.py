"""ELPV: solar cells in electroluminescence, as in the Python package ``elpv-dataset``."""

from io import TextIOWrapper
from pathlib import Path
from types import MappingProxyType

from zsad.data.layouts._base import ANOMALOUS, NORMAL, Layout, PublishedCount, Sample
from zsad.errors import InputError
from zsad.files import open_file

LABELS = {"0.0": NORMAL, "1.0": ANOMALOUS}
"""Defect probabilities that stand for a label; 1/3 and 2/3 mean that the experts were unsure."""


class Elpv(Layout):
    """``labels.csv`` (path, defect probability, cell type; separated by spaces) next to ``images/``."""

    title = "ELPV"
    about = "2,624 solar cells in electroluminescence, no masks (Buerhop-Lutz et al. 2018; CC BY-NC-SA 4.0)"
    classes = ("solar cell",)
    counts = MappingProxyType({"solar cell": PublishedCount(normal=1508, anomalous=715)})
    has_masks = False

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """All cells; those that the experts were unsure of have no label.

        Raises:
            InputError: ``labels.csv`` is missing or has other columns.
        """
        table = root / "labels.csv"
        try:
            with TextIOWrapper(open_file(table), encoding="utf-8") as file:
                rows = [line.split() for line in file if line.strip()]
            return [cls._sample(root, *row) for row in rows]
        except (InputError, OSError, UnicodeDecodeError, TypeError, ValueError) as error:
            raise InputError(
                "ELPV has a labels.csv of path, defect probability and cell type",
                f"{table}: {error}",
                "point at the folder 'data' of the package elpv-dataset",
            ) from error

    @classmethod
    def _sample(cls, root: Path, path: str, probability: str, kind: str) -> Sample:
        label = LABELS.get(str(float(probability)))
        named = {NORMAL: "good", ANOMALOUS: f"defective ({kind}crystalline)", None: f"unsure ({probability})"}[label]
        return Sample(root / path, label, cls.classes[0], named, None, "test")
