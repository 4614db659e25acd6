"""Maps that another tool made, in the place of a detector."""

import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from zsad import spreadsheets
from zsad.checkpoint import TrainingRecord
from zsad.data.map_files import SUFFIXES, read_map
from zsad.data.reading import read_file
from zsad.data.sources import is_system_file
from zsad.documents import LIST_LIMIT, DocumentError, read_json_object
from zsad.errors import InputError
from zsad.evaluator.matching import matched, name_of
from zsad.evaluator.plan import PlannedClass, PlannedImage, PlannedSet
from zsad.files import contents_hash
from zsad.parts.maps import resize
from zsad.pipeline import Answer
from zsad.results.schema import MAPS, DetectorInfo
from zsad.runtime import RuntimeConfig
from zsad.types import Failure, Prediction, Size

REPORT = "predictions.json"
"""Of ``zsad predict``: says which image each map is of, and its score."""
SOURCES = ("source", "path", "image", "file", "filename")
SCORES = ("score", "image_score", "anomaly_score")


@dataclass(frozen=True)
class MapFiles:
    """Maps in a folder, before it is known of which images.

    Attributes:
        folder: where they are.
        maps: by the path of the image below the data set, or another name that ends in it, without suffix.
        scores: of images, by the same; empty where the maximum of a map is the score.
        scored_by: what gave the scores, in words.
    """

    folder: Path
    maps: Mapping[str, Path]
    scores: Mapping[str, float]
    scored_by: str

    @classmethod
    def read(cls, folder: Path, scores: Path | None = None) -> "MapFiles":
        """The maps in a folder: of a report of ``zsad predict``, else all files of known suffixes, at any depth.

        Args:
            folder: of the maps.
            scores: a CSV table with a column ``source`` (or path, image, file, filename) and a column ``score`` (or
                image_score, anomaly_score).

        Raises:
            InputError: there is no map, or a table cannot be read.
        """
        listed = _report(folder) if (folder / REPORT).exists() else {}
        maps = {name: path for name, (path, _) in listed.items()} or _maps_below(folder)
        if not maps:
            rule = f"a folder of maps has files of {', '.join(SUFFIXES)}"
            raise InputError(rule, f"none in {folder}", "name the folder that the other tool wrote")
        if scores is not None:
            return cls(folder, maps, _scores(scores), f"that in {scores}")
        by = "that of the report" if listed else "the maximum of its map"
        return cls(folder, maps, {name: score for name, (_, score) in listed.items()}, by)

    def matched(self, planned: Sequence[PlannedSet]) -> "SavedMaps":
        """The map, and the score, of each image of an evaluation; each map is read, to know their range.

        Raises:
            InputError: an image has no map, several or one of another image, has no score, or a map cannot be read.
        """
        maps = matched("map", planned, self.maps, self.folder)
        scores = matched("score", planned, self.scores, self.folder) if self.scores else {}
        peaks, lowest = {}, math.inf
        for image, path in maps.items():
            values = read_map(path)
            peaks[image], lowest = float(values.max()), min(lowest, float(values.min()))
        of_maps = _Range.over([lowest, *peaks.values()])
        of_scores = _Range.over(scores.values()) if scores else of_maps
        return SavedMaps(self, maps, scores or peaks, of_maps, of_scores)


@dataclass(frozen=True)
class _Range:
    """What is taken to [0, 1], linearly; values that lie within it stay as they are."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Iterable[float]) -> "_Range":
        found = list(values)
        low, high = min(found), max(found)
        return cls(0, 1) if low >= 0 and high <= 1 else cls(low, high)

    @property
    def is_unit(self) -> bool:
        return (self.low, self.high) == (0, 1)

    def unit(self, values: Float32[np.ndarray, "rows cols"]) -> Float32[np.ndarray, "rows cols"]:
        if self.is_unit:
            return values
        scaled = (values.astype(np.float64) - self.low) / self._span
        return scaled.astype(np.float32).clip(0, 1)

    def unit_score(self, value: float) -> float:
        return value if self.is_unit else (value - self.low) / self._span

    @property
    def _span(self) -> float:
        return self.high - self.low or 1.0


class SavedMaps:
    """Maps of the images of an evaluation; answers as a detector would have.

    Attributes:
        training_record: empty: nothing is known of it.
        runtime: where maps are resized.
        explanation, scored_together: as of a detector.
    """

    def __init__(
        self,
        files: MapFiles,
        maps: Mapping[Path, Path],
        scores: Mapping[Path, float],
        of_maps: _Range,
        of_scores: _Range,
    ) -> None:
        self.files, self.training_record, self.runtime = files, TrainingRecord(), RuntimeConfig(device="cpu")
        self.explanation, self.scored_together = "", False
        self._maps, self._scores, self._of_maps, self._of_scores = maps, scores, of_maps, of_scores

    def info(self) -> DetectorInfo:
        """What results name as the detector."""
        name = self.files.folder.resolve().name
        scores = "\n".join(repr(score) for score in self._scores.values())
        content = contents_hash([*self._maps.values()])
        return DetectorInfo(
            name=name,
            method=MAPS,
            options={"scores": self.files.scored_by},
            backbone="unknown",
            weights="of another tool, which made the maps",
            image_size=0,
            precision=self.runtime.precision,
            device=self.runtime.device,
            fingerprint=hashlib.sha256(f"{content} {scores}".encode()).hexdigest(),
        )

    def memory_warnings(self, *_: str) -> list[str]:
        """What a reader of the numbers should know, in full sentences."""
        said = [
            f"The maps are those of {self.files.folder}, made elsewhere: what made them may have seen these images. "
            f"The score of an image is {self.files.scored_by}."
        ]
        if not self._of_maps.is_unit:
            low, high = self._of_maps.low, self._of_maps.high
            said.append(f"Maps from {low:.6g} to {high:.6g} were taken to [0, 1], all by one linear function.")
        return said

    def answers(self, planned: PlannedClass, size: Size | None) -> Iterator[Answer]:
        """For each image of a class its map and score, as :meth:`zsad.predictor.Detector.stream`."""
        for item in planned.items:
            yield self._answer(item, planned.prompt, size)

    def _answer(self, item: PlannedImage, class_name: str, size: Size | None) -> Answer:
        path = item.sample.image
        image = read_file(path)
        if isinstance(image, Failure):
            return image
        values = self._of_maps.unit(read_map(self._maps[path]))
        wanted = size or image.size
        if values.shape != wanted:
            values = resize(torch.from_numpy(values)[None], wanted)[0].numpy()
        score = self._of_scores.unit_score(self._scores[path])
        return image, Prediction(image.source, class_name, score, None, values, image=image)


def _report(folder: Path) -> dict[str, tuple[Path, float]]:
    """Map and score of each image of a report of ``zsad predict``."""
    path = folder / REPORT
    try:
        entries = read_json_object(path, LIST_LIMIT, file_names=True)["predictions"]
        if not isinstance(entries, list):
            raise TypeError("no list of predictions")
        return {name_of(str(one["source"])): (folder / str(one["map"]), float(one["score"])) for one in entries}
    except (OSError, DocumentError, LookupError, TypeError, ValueError) as error:
        raise InputError("a report of zsad predict is whole", f"{path} ({error})", "predict again") from error


def _maps_below(folder: Path) -> dict[str, Path]:
    """All files of known suffixes; of several with one name that whose suffix comes first."""
    if not folder.is_dir():
        raise InputError("maps are in a folder", folder, "check the path")
    files = [
        Path(where, name)
        for where, folders, names in os.walk(folder)
        for name in names
        if not any(map(is_system_file, (*Path(where).relative_to(folder).parts, name)))
    ]
    found: dict[str, Path] = {}
    for suffix in SUFFIXES:
        for path in sorted(file for file in files if file.suffix.lower() == suffix):
            found.setdefault(name_of(path.relative_to(folder).as_posix()), path)
    return found


def _scores(path: Path) -> dict[str, float]:
    """Scores of images, by their path without suffix."""
    try:
        rows = spreadsheets.read(path, file_names=True)
        source = _column(rows, SOURCES)
        score = _column(rows, SCORES)
        found = {name_of(row[source]): float(row[score]) for row in rows if row.get(score)}
    except (OSError, DocumentError, LookupError, ValueError) as error:
        rule = f"scores are in a CSV table with the columns {SOURCES[0]} and {SCORES[0]}"
        raise InputError(rule, f"{path} ({error})", "name the columns so, and write numbers") from error
    odd = [name for name, value in found.items() if not math.isfinite(value)]
    if odd:
        raise InputError("a score is a finite number", f"that of {odd[0]} in {path}", "correct it")
    return found


def _column(rows: Sequence[Mapping[str, str]], names: Sequence[str]) -> str:
    """The column of one of these names, whatever their case."""
    columns = {column.strip().casefold(): column for column in (rows[0] if rows else ())}
    for name in names:
        if name in columns:
            return columns[name]
    raise LookupError(f"no column {' or '.join(names)}")
