"""What an evaluation will look at: data sets, classes and images by their content; and the folder that keeps to it."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from zsad.data.layouts import Sample
from zsad.data.sampling import draw_shots, subset
from zsad.data.specification import DataSet, data_set, in_words
from zsad.errors import ConfigError, InputError, unknown_name
from zsad.files import contents_hash, unique_name
from zsad.results import store
from zsad.results.schema import DetectorInfo, Protocol
from zsad.results.store import CLASSES
from zsad.threads import readers
from zsad.wording import pluralised

READERS = 2
"""Threads that read files to know them by their content."""


@dataclass(frozen=True)
class PlannedImage:
    """A labelled image.

    Attributes:
        sample: as the layout has it.
        source: path below the root of the data set, with ``/``; where it lies elsewhere, the whole path.
        label: 0 normal, 1 anomalous.
        content: SHA-256 of the file; empty where it cannot be read.
        mask_content: the same of its mask, of several that of their hashes; empty where there is none.
    """

    sample: Sample
    source: str
    label: int
    content: str
    mask_content: str


@dataclass(frozen=True)
class PlannedClass:
    """One class of one data set.

    Attributes:
        data_set, name: as the data set names them.
        items: what is scored, in the order of the data set.
        unlabelled: images left out, because nobody says what they are.
        folder: of its files, below that of the evaluation.
        shots: normal images of its train split that the detector is shown for it, in the order of the data set.
    """

    data_set: str
    name: str
    items: tuple[PlannedImage, ...]
    unlabelled: int
    folder: Path
    shots: tuple[PlannedImage, ...] = ()

    @property
    def prompt(self) -> str:
        """The class name as it stands in the prompts."""
        return in_words(self.name)

    @property
    def content(self) -> str:
        """SHA-256 of all that is scored."""
        lines = [f"{item.source}\0{item.label}\0{item.content}\0{item.mask_content}" for item in self.items]
        return hashlib.sha256("\n".join([str(self.unlabelled), *lines]).encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True)
class PlannedSet:
    """One data set: as it lies on disk, and the classes that are wanted of it."""

    data: DataSet
    classes: tuple[PlannedClass, ...]


def plan(
    data: Sequence[str | DataSet], protocol: Protocol, classes: Sequence[str] | None = None
) -> tuple[PlannedSet, ...]:
    """Find the images and read them once, to identify them by their content.

    Args:
        data: data sets, or what :func:`zsad.data.specification.data_set` takes.
        protocol: says which images of them.
        classes: the classes that are wanted; all where not given. A data set with none of them is left out.

    Raises:
        ConfigError: two data sets have one name, or a class, a layout or a specification does not exist.
        InputError: a path does not exist or has another layout, no image is left, or a class has too few normal
            training images to show.
    """
    data_sets = [item if isinstance(item, DataSet) else data_set(item) for item in data]
    _check_names(data_sets)
    by_set = [(item, _by_class(item, protocol.split)) for item in data_sets]
    names = {name for _, by_class in by_set for name in by_class}
    for name in classes or ():
        if name not in names:
            raise unknown_name("class of these data sets", name, names)
    _check_shots(by_set, protocol.shots, classes)
    folders: set[str] = set()
    planned = [_planned_set(item, by_class, protocol, classes, folders) for item, by_class in by_set]
    wanted = tuple(planned_set for planned_set in planned if planned_set.classes)
    if not wanted:
        names_of_sets = ", ".join(item.name for item in data_sets) or "none"
        raise InputError(f"data sets have images in their split {protocol.split!r}", names_of_sets, "name others")
    return wanted


def _check_names(data: Sequence[DataSet]) -> None:
    names = [data_set.name for data_set in data]
    for name in names:
        if names.count(name) > 1:
            remedy = "give them names of their own: NAME=LAYOUT:PATH"
            raise ConfigError("data sets have different names", f"{name!r} twice", remedy)


def _by_class(data: DataSet, split: str) -> dict[str, list[Sample]]:
    samples: dict[str, list[Sample]] = {}
    for sample in data.samples:
        if split in ("all", sample.split):
            samples.setdefault(sample.class_name, []).append(sample)
    return samples


def _planned_set(
    data: DataSet,
    by_class: dict[str, list[Sample]],
    protocol: Protocol,
    classes: Sequence[str] | None,
    folders_of_sets: set[str],
) -> PlannedSet:
    home, folders = Path(CLASSES, unique_name(data.name, folders_of_sets, "data")), set[str]()
    wanted = [name for name in by_class if classes is None or name in classes]
    planned = []
    for name in wanted:
        samples = [sample for sample in by_class[name] if sample.label is not None]
        items = _items(subset(samples, protocol.max_images), data.root)
        folder = home / unique_name(name, folders, "class")
        shown = draw_shots(_normal_training(data, name), protocol.shots, protocol.shots_seed) if protocol.shots else []
        unlabelled = len(by_class[name]) - len(samples)
        planned.append(PlannedClass(data.name, name, items, unlabelled, folder, _items(shown, data.root)))
    return PlannedSet(data, tuple(planned))


def _normal_training(data: DataSet, name: str) -> list[Sample]:
    return [sample for sample in data.samples if (sample.class_name, sample.split, sample.label) == (name, "train", 0)]


def _check_shots(
    by_set: Sequence[tuple[DataSet, dict[str, list[Sample]]]], shots: int, classes: Sequence[str] | None
) -> None:
    """Each class has as many normal images in its train split as are to be shown."""
    if not shots:
        return
    available = {
        f"{name} ({data.name})": len(_normal_training(data, name))
        for data, by_class in by_set
        for name in by_class
        if classes is None or name in classes
    }
    if few := [f"{count} of {name}" for name, count in available.items() if count < shots]:
        raise InputError(
            f"each class has at least the {pluralised(shots, 'shot')} among the normal images of its train split",
            ", ".join(few),
            "say fewer --shots, or name by --classes those that have them",
        )


def _items(samples: Sequence[Sample], root: Path) -> tuple[PlannedImage, ...]:
    with readers(READERS) as pool:
        images = pool.map(_content, [[sample.image] for sample in samples])
        masks = pool.map(_content, [sample.masks for sample in samples])
        return tuple(
            PlannedImage(sample, sample.source(root), int(sample.label or 0), image, mask)
            for sample, image, mask in zip(samples, images, masks, strict=True)
        )


def _content(paths: Sequence[Path]) -> str:
    """A file that cannot be read is named when its class is scored."""
    try:
        return contents_hash(paths)
    except InputError:
        return ""


OLDER_NAMES = {"pictures": "images", **Protocol.OLDER_NAMES}
"""Keys of plans that version 0.1.0 wrote."""
OWN = (store.EVALUATION, store.PAGE, store.PLAN)
"""In the order in which they are removed: as long as there is a plan, the rest is known to be of an evaluation."""
OWN_OF_CLASS = (store.CLASS, store.IMAGES, store.CURVES, store.COUNTS, store.DRAWS)
DRAWN = re.compile(r"(missed|false-alarm|misplaced)-\d+(-mask\.png|(-overlay)?\.jpg)")


def begin(
    out: Path,
    detector: DetectorInfo,
    seen: Sequence[str],
    protocol: Protocol,
    planned: Sequence[PlannedSet],
    overwrite: bool,
) -> None:
    """Make the folder that of this evaluation, if it is not already.

    Raises:
        ConfigError: it holds another evaluation and ``overwrite`` was not said.
        InputError: it holds files of an evaluation's names that no evaluation wrote, or cannot be written.
    """
    identity = _identity(detector, seen, protocol, planned)
    try:
        if (out / store.PLAN).exists():
            existing = store.read_json(out / store.PLAN)
            if not existing.keys() >= {"detector", "protocol", "data", "version"}:
                raise _foreign(out, store.PLAN)
            different = _different(existing, identity)
            if not different:
                return
            if not overwrite:
                raise ConfigError(
                    f"{out} holds one evaluation, which goes on as it began",
                    f"another {' and '.join(different)}",
                    "say what was said at first, name another folder, or say --overwrite",
                )
            clear(out)
        else:
            _check_free(out)
        store.write_json(out / store.PLAN, identity)
    except OSError as error:
        raise InputError("the output folder must be writable", error, "choose another --out") from error


def clear(out: Path) -> None:
    """Remove an evaluation: its own files, and the folders that are empty then."""
    for folder in sorted(out.glob(f"{store.CLASSES}/*/*")):
        worst = folder / store.WORST
        images = [path for path in worst.glob("*") if path.name == store.WORST_LIST or DRAWN.fullmatch(path.name)]
        for path in (*(folder / name for name in OWN_OF_CLASS), *images):
            path.unlink(missing_ok=True)
        _remove_if_empty(worst, folder, folder.parent, out / store.CLASSES)
    for name in OWN:
        (out / name).unlink(missing_ok=True)


def _remove_if_empty(*folders: Path) -> None:
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _check_free(out: Path) -> None:
    existing = [name for name in (*OWN, store.CLASSES) if (out / name).exists()]
    if existing:
        raise _foreign(out, ", ".join(existing))


def _foreign(out: Path, names: str) -> InputError:
    rule = "an evaluation replaces an evaluation and no other file"
    return InputError(rule, f"{names} from elsewhere in {out}", "choose another --out, or move them away")


def _identity(
    detector: DetectorInfo, seen: Sequence[str], protocol: Protocol, planned: Sequence[PlannedSet]
) -> dict[str, Any]:
    """All that determines the results, apart from the code."""
    info = asdict(detector)
    del info["name"], info["setting"]  # the one decides nothing, the other is known afterwards
    identity = {
        "detector": info,
        "protocol": asdict(protocol),
        "data": {
            data.data.name: {
                "layout": data.data.layout,
                "classes": {planned_class.name: _class(planned_class) for planned_class in data.classes},
            }
            for data in planned
        },
        "seen": hashlib.sha256("\n".join(sorted(seen)).encode()).hexdigest() if seen else "",
        "version": version("zsad"),
    }
    return json.loads(json.dumps(identity))


def _class(planned: PlannedClass) -> dict[str, Any]:
    identity = {"images": len(planned.items), "folder": planned.folder.as_posix(), "content": planned.content}
    shots = {shot.source: shot.content for shot in planned.shots}
    return identity | ({"shots": shots} if shots else {})


def _different(existing: Mapping[str, Any], identity: Mapping[str, Any]) -> list[str]:
    """Keys of a plan whose values differ; a key that an older plan lacks has its default."""
    old, new = _with_new_names(existing), _with_new_names(identity)
    old["protocol"] = asdict(Protocol()) | {"further": []} | old["protocol"]
    old["detector"] = {"remembers": {}, "memory": 0} | old["detector"]
    return [key for key in new if old.get(key) != new[key]]


def _with_new_names(plan: Any) -> Any:
    """A plan under today's names of its keys; names of data sets and classes that look alike change alike."""
    if not isinstance(plan, Mapping):
        return plan
    return {OLDER_NAMES.get(key, key): _with_new_names(value) for key, value in plan.items()}
