"""Shards of a run: which images each has, how it is scored, and the file that it becomes.

plan.json             what the run is: written first, and compared before a run goes on
part-00000.parquet    one shard, whole or not there; a line of its metadata says how many images it has
maps/00000/*.png      anomaly maps of its images, where they are asked for: 16-bit grey, 65535 is 1
summary.json          how many images have a score: written last
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from zsad.cluster.manifest import require_arrow
from zsad.config import from_mapping
from zsad.documents import DocumentError, read_json_object
from zsad.drawing.render import encoded_map
from zsad.errors import ConfigError, InputError
from zsad.remote import Output
from zsad.types import Failure, Prediction

if TYPE_CHECKING:
    import pyarrow as pa

    from zsad.export import ExportedDetector
    from zsad.predictor import Detector

FORMAT = 1
PLAN, SUMMARY, FOLDER, KEY = "plan.json", "summary.json", "shards", b"zsad"
COLUMNS = {
    "row": "int64",
    "path": "string",
    "class_name": "string",
    "score": "float64",
    "threshold": "float64",
    "is_anomalous": "bool",
    "p_value": "float64",
    "pixel_threshold": "float64",
    "rows": "int32",
    "cols": "int32",
    "regions": "string",
    "map": "string",
    "notes": "string",
    "error": "string",
}
"""Columns of a shard. ``regions`` is JSON as in ``regions.json``; an image without a score has only an ``error``."""


@dataclass(frozen=True)
class Plan:
    """What a run is; another run in its folder is refused.

    Attributes:
        manifest: fingerprint of rows, paths and classes.
        images: how many there are.
        detector: its fingerprint.
        decisions: fingerprint of its calibration and of the thresholds of each class.
        shard_size: images of a shard; the last may have fewer.
        min_area: of the smallest region, in px.
        maps: whether anomaly maps are written.
        format: of the files.
    """

    manifest: str
    images: int
    detector: str
    decisions: str
    shard_size: int
    min_area: int
    maps: bool
    format: int = FORMAT

    @property
    def shards(self) -> int:
        """How many there are."""
        return -(-self.images // self.shard_size)

    def size_of(self, number: int) -> int:
        """Images of a shard."""
        return min(self.shard_size, self.images - number * self.shard_size)


@dataclass(frozen=True)
class Shard:
    """The images of a shard.

    Attributes:
        number: from 0.
        rows: of the manifest.
        paths, class_names: of these rows.
    """

    number: int
    rows: Sequence[int]
    paths: Sequence[str]
    class_names: Sequence[str]


@dataclass(frozen=True)
class Counts:
    """What became of images.

    Attributes:
        images: how many there are.
        failures: without a score.
        decided: with a decision, which need a threshold.
        anomalous: of these.
    """

    images: int = 0
    failures: int = 0
    decided: int = 0
    anomalous: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Counts(*(one + another for one, another in pairs))


def name_of(number: int) -> str:
    """The file of a shard.

    >>> name_of(7)
    'shards/part-00007.parquet'
    """
    return f"{FOLDER}/part-{number:05}.parquet"


def begin(plan: Plan, output: Output) -> None:
    """Write the plan, or see that it is the one in the folder.

    Raises:
        ConfigError: the folder holds another run.
        InputError: it holds files of a run's names that no run wrote, or cannot be written.
    """
    content = output.read(PLAN)
    if content is None:
        if output.read(SUMMARY) is not None or output.names(FOLDER):
            value = f"{SUMMARY} or {FOLDER} without {PLAN} in {output}"
            raise InputError("a run writes over no other file", value, "choose another --out")
        output.write(PLAN, (json.dumps(asdict(plan), indent=2) + "\n").encode(), lasting=True)
        return
    try:
        found = asdict(from_mapping(Plan, read_json_object(content), PLAN))
    except (DocumentError, ConfigError) as error:
        raise InputError(f"{PLAN} is one of a run", f"{output}/{PLAN} ({error})", "choose another --out") from error
    if different := [_WORDS[key] for key, value in asdict(plan).items() if found[key] != value]:
        rule = f"a run goes on with what it was begun with in {output}"
        raise ConfigError(rule, f"another {' and '.join(different)}", "repeat that, or choose another --out")


_WORDS = {
    "manifest": "manifest",
    "images": "number of images",
    "detector": "detector",
    "decisions": "calibration or threshold",
    "shard_size": "--shard-size",
    "min_area": "--min-area",
    "maps": "--with-maps",
    "format": "version of zsad",
}


def finished(plan: Plan, output: Output) -> dict[int, Counts]:
    """The shards that are there, whole, and what became of their images.

    Raises:
        InputError: a file of a shard's name is not one of this run.
    """
    names, found = {f"{FOLDER}/{name}" for name in output.names(FOLDER)}, {}
    for number in range(plan.shards):
        if name_of(number) in names:
            found[number] = _counted(plan, output, number)
    return found


def _counted(plan: Plan, output: Output, number: int) -> Counts:
    """From the metadata of a shard."""
    arrow, name = require_arrow(), name_of(number)
    try:
        metadata = arrow.parquet.read_metadata(BytesIO(output.read(name) or b""))
        told = read_json_object((metadata.metadata or {}).get(KEY, b"{}"))
        if told.pop("plan", None) != asdict(plan) or told.pop("shard", None) != number:
            raise ConfigError("a shard is of its run", "one of another run", "remove it")
        counts = from_mapping(Counts, told, name)
        if not metadata.num_rows == counts.images == plan.size_of(number):
            raise ConfigError("a shard has its images", f"{metadata.num_rows} rows", "remove it")
    except (arrow.ArrowException, OSError, ValueError, ConfigError) as error:
        remedy = "remove it and run the same command again, or choose another --out"
        raise InputError("a shard is a whole file of this run", f"{output}/{name} ({error})", remedy) from error
    return counts


def score(detector: "Detector | ExportedDetector", shard: Shard, plan: Plan, output: Output) -> Counts:
    """Score the images of a shard and write it.

    Raises:
        InputError, ZsadError: the output cannot be written, or a store does not answer. Images that cannot be read are
            rows with the reason.
    """
    lines: list[dict[str, object]] = [{} for _ in shard.rows]
    for class_name in dict.fromkeys(shard.class_names):
        places = [place for place, name in enumerate(shard.class_names) if name == class_name]
        answers = detector.stream([shard.paths[place] for place in places], class_name)
        for place, answer in zip(places, answers, strict=True):
            row = {"row": shard.rows[place], "path": shard.paths[place], "class_name": class_name}
            if isinstance(answer, Failure):
                lines[place] = row | {"error": answer.message}
                continue
            image, prediction = answer
            own = f"maps/{shard.number:05}/{shard.rows[place]:012}.png" if plan.maps else None
            if own is not None:
                output.write(own, encoded_map(prediction.anomaly_map))
            notes = "; ".join(image.notes) or None
            lines[place] = row | _values(prediction, plan.min_area) | {"map": own, "notes": notes}
    decisions = [line["is_anomalous"] for line in lines if line.get("is_anomalous") is not None]
    failures = sum("error" in line for line in lines)
    counts = Counts(len(lines), failures, len(decisions), sum(decision is True for decision in decisions))
    output.write(name_of(shard.number), _as_parquet(lines, plan, shard.number, counts), lasting=True)
    return counts


def _values(prediction: Prediction, min_area: int) -> dict[str, object]:
    rows, cols = prediction.size
    threshold, regions = prediction.pixel_threshold, None
    if threshold is not None:
        regions = json.dumps([region.as_dict() for region in prediction.regions(min_area=min_area)])
    return {
        "score": prediction.score,
        "threshold": prediction.threshold,
        "is_anomalous": prediction.is_anomalous,
        "p_value": prediction.p_value,
        "pixel_threshold": threshold,
        "rows": rows,
        "cols": cols,
        "regions": regions,
    }


def _as_parquet(lines: Sequence[Mapping[str, object]], plan: Plan, number: int, counts: Counts) -> bytes:
    arrow = require_arrow()
    told = {"plan": asdict(plan), "shard": number, **asdict(counts)}
    kinds = {name: arrow.type_for_alias(kind) for name, kind in COLUMNS.items()}
    schema = arrow.schema(list(kinds.items()), {KEY: json.dumps(told).encode()})
    columns = [arrow.array([line.get(name) for line in lines], kind) for name, kind in kinds.items()]
    file = BytesIO()
    arrow.parquet.write_table(arrow.table(columns, schema=schema), file, compression="zstd")
    return file.getvalue()


def shards_of(table: "pa.Table", plan: Plan, done: Mapping[int, Any]) -> Iterator[Shard]:
    """The shards of a manifest that are not done, in order."""
    for number in range(plan.shards):
        if number not in done:
            piece = table.slice(number * plan.shard_size, plan.shard_size)
            yield Shard(number, *(piece[name].to_pylist() for name in ("row", "path", "class_name")))
