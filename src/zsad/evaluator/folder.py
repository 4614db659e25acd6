"""The folder of an evaluation: whose it is, and what may be replaced in it."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from zsad.errors import ConfigError, InputError
from zsad.evaluator.plan import PlannedClass, PlannedSet
from zsad.results import store
from zsad.results.schema import DetectorInfo, Protocol

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
