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
        """The class in the words that the detector is told."""
        return in_words(self.name)

    @property
    def content(self) -> str:
        """SHA-256 of all that is judged."""
        words = [f"{one.source}\0{one.label}\0{one.content}\0{one.mask_content}" for one in self.items]
        return hashlib.sha256("\n".join([str(self.unlabelled), *words]).encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True)
class PlannedSet:
    """One data set: as it lies on disk, and the classes that are wanted of it."""

    data: DataSet
    classes: tuple[PlannedClass, ...]


def plan(
    data: Sequence[str | DataSet], protocol: Protocol, classes: Sequence[str] | None = None
) -> tuple[PlannedSet, ...]:
    """Find the images and read them once, to know them by their content.

    Args:
        data: data sets, or what :func:`zsad.data.specification.data_set` takes.
        protocol: says which images of them.
        classes: the classes that are wanted; all where not given. A data set with none of them is left out.

    Raises:
        ConfigError: two data sets have one name, or a class, a layout or a specification does not exist.
        InputError: a path does not exist or has another layout, no image is left, or a class has too few normal
            training images to show.
    """
    found = [one if isinstance(one, DataSet) else data_set(one) for one in data]
    _check_names(found)
    by_set = [(one, _by_class(one, protocol.split)) for one in found]
    known = {name for _, by_class in by_set for name in by_class}
    for name in classes or ():
        if name not in known:
            raise unknown_name("class of these data sets", name, known)
    _check_shots(by_set, protocol.shots, classes)
    taken: set[str] = set()
    planned = [_planned_set(one, by_class, protocol, classes, taken) for one, by_class in by_set]
    kept = tuple(one for one in planned if one.classes)
    if not kept:
        what = ", ".join(one.name for one in found) or "none"
        raise InputError(f"data sets have images in their split {protocol.split!r}", what, "name others")
    return kept


def _check_names(data: Sequence[DataSet]) -> None:
    names = [one.name for one in data]
    for name in names:
        if names.count(name) > 1:
            remedy = "give them names of their own: NAME=LAYOUT:PATH"
            raise ConfigError("data sets have different names", f"{name!r} twice", remedy)


def _by_class(data: DataSet, split: str) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {}
    for sample in data.samples:
        if split in ("all", sample.split):
            found.setdefault(sample.class_name, []).append(sample)
    return found


def _planned_set(
    data: DataSet,
    by_class: dict[str, list[Sample]],
    protocol: Protocol,
    classes: Sequence[str] | None,
    taken: set[str],
) -> PlannedSet:
    home, folders = Path(CLASSES, unique_name(data.name, taken, "data")), set[str]()
    wanted = [name for name in by_class if classes is None or name in classes]
    planned = []
    for name in wanted:
        samples = [one for one in by_class[name] if one.label is not None]
        items = _items(subset(samples, protocol.max_images), data.root)
        folder = home / unique_name(name, folders, "class")
        shown = draw_shots(_normal_training(data, name), protocol.shots, protocol.shots_seed) if protocol.shots else []
        unlabelled = len(by_class[name]) - len(samples)
        planned.append(PlannedClass(data.name, name, items, unlabelled, folder, _items(shown, data.root)))
    return PlannedSet(data, tuple(planned))


def _normal_training(data: DataSet, name: str) -> list[Sample]:
    return [one for one in data.samples if (one.class_name, one.split, one.label) == (name, "train", 0)]


def _check_shots(
    by_set: Sequence[tuple[DataSet, dict[str, list[Sample]]]], shots: int, classes: Sequence[str] | None
) -> None:
    """Each class has as many normal images in its train split as are to be shown."""
    if not shots:
        return
    there = {
        f"{name} ({data.name})": len(_normal_training(data, name))
        for data, by_class in by_set
        for name in by_class
        if classes is None or name in classes
    }
    if few := [f"{count} of {name}" for name, count in there.items() if count < shots]:
        raise InputError(
            f"each class has at least the {pluralised(shots, 'shot')} among the normal images of its train split",
            ", ".join(few),
            "say fewer --shots, or name by --classes those that have them",
        )


def _items(samples: Sequence[Sample], root: Path) -> tuple[PlannedImage, ...]:
    with readers(READERS) as pool:
        images = pool.map(_content, [[one.image] for one in samples])
        masks = pool.map(_content, [one.masks for one in samples])
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
"""In the order in which they are removed: as long as there is a plan, the rest is known to be ours."""
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
    ours = _words(detector, seen, protocol, planned)
    try:
        if (out / store.PLAN).exists():
            found = store.read_json(out / store.PLAN)
            if not found.keys() >= {"detector", "protocol", "data", "version"}:
                raise _others(out, store.PLAN)
            different = _different(found, ours)
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
        store.write_json(out / store.PLAN, ours)
    except OSError as error:
        raise InputError("the output folder must be writable", error, "choose another --out") from error


def clear(out: Path) -> None:
    """Remove an evaluation: its own files, and the folders that are empty then."""
    for folder in sorted(out.glob(f"{store.CLASSES}/*/*")):
        worst = folder / store.WORST
        drawn = [path for path in worst.glob("*") if path.name == store.MISSES or DRAWN.fullmatch(path.name)]
        for path in (*(folder / name for name in OWN_OF_CLASS), *drawn):
            path.unlink(missing_ok=True)
        _remove_if_empty(worst, folder, folder.parent, out / store.CLASSES)
    for name in OWN:
        (out / name).unlink(missing_ok=True)


def _remove_if_empty(*folders: Path) -> None:
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _check_free(out: Path) -> None:
    found = [name for name in (*OWN, store.CLASSES) if (out / name).exists()]
    if found:
        raise _others(out, ", ".join(found))


def _others(out: Path, names: str) -> InputError:
    rule = "an evaluation replaces an evaluation and no other file"
    return InputError(rule, f"{names} from elsewhere in {out}", "choose another --out, or move them away")


def _words(
    detector: DetectorInfo, seen: Sequence[str], protocol: Protocol, planned: Sequence[PlannedSet]
) -> dict[str, Any]:
    """What determines the results, apart from the code."""
    who = asdict(detector)
    del who["name"]
    words = {
        "detector": who,
        "protocol": asdict(protocol),
        "data": {
            data.data.name: {
                "layout": data.data.layout,
                "classes": {one.name: _class(one) for one in data.classes},
            }
            for data in planned
        },
        "seen": hashlib.sha256("\n".join(sorted(seen)).encode()).hexdigest() if seen else "",
        "version": version("zsad"),
    }
    return json.loads(json.dumps(words))


def _class(one: PlannedClass) -> dict[str, Any]:
    words = {"images": len(one.items), "folder": one.folder.as_posix(), "content": one.content}
    shots = {shot.source: shot.content for shot in one.shots}
    return words | ({"shots": shots} if shots else {})


def _different(found: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """What is another, by the keys of a plan; what an older plan did not know of is as it is by default."""
    then, now = _with_new_names(found), _with_new_names(ours)
    then["protocol"] = asdict(Protocol()) | then["protocol"]
    then["detector"] = {"remembers": {}, "memory": 0} | then["detector"]
    return [key for key in now if then.get(key) != now[key]]


def _with_new_names(plan: Any) -> Any:
    """A plan under today's names of its keys; names of data sets and classes that look alike change alike."""
    if not isinstance(plan, Mapping):
        return plan
    return {OLDER_NAMES.get(key, key): _with_new_names(value) for key, value in plan.items()}
