"""Drawn pictures as a data set on disk, in the tree of MVTec AD: to train heads on, or to try a detector.

<class>/test/{good,<kind>,combined}/<number>.png
<class>/ground_truth/{<kind>,combined}/<number>_mask.png
drawn.json                                                  what was drawn, and how many of what
"""

import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from uuid import uuid4

import numpy as np
from PIL import Image

from zsad.data.synthetic.drawing import Drawing, draw
from zsad.errors import ConfigError, InputError
from zsad.files import write_atomically

GOOD, COMBINED = "good", "combined"
"""The folders of pictures without defects, and of those with defects of several kinds."""
RECORD = "drawn.json"
_EFFORT = 1  # of compressing: more takes four times as long, and noise gets no smaller by it
_CHUNK = 16  # pictures that a process is given at a time


@dataclass(frozen=True)
class Drawn:
    """A data set that was written.

    Attributes:
        counts: number of pictures by class, and by folder of its ``test``: ``good``, a kind of defect, ``combined``.
        unusable: photographs that could not be drawn on, with the reason; others stand in for them.
    """

    counts: dict[str, dict[str, int]]
    unusable: dict[str, str]

    @property
    def classes(self) -> dict[str, int]:
        """Number of pictures by class."""
        return {name: sum(kinds.values()) for name, kinds in self.counts.items()}

    @property
    def kinds(self) -> dict[str, int]:
        """Number of pictures by folder of ``test``, over all classes."""
        total: Counter[str] = Counter()
        for kinds in self.counts.values():
            total.update(kinds)
        return dict(sorted(total.items()))


@dataclass(frozen=True)
class Written:
    """A picture that was written.

    Attributes:
        class_name, kind: of its folders.
        unusable: as of ``Example``.
    """

    class_name: str
    kind: str
    unusable: dict[str, str]


def write(
    drawing: Drawing,
    folder: Path,
    workers: int = 1,
    progress: Callable[[Iterator[Written], int], Iterator[Written]] = lambda pictures, total: pictures,
) -> Drawn:
    """Draw all pictures and write them; the folder is filled when all are there, and left as it was when not.

    A picture with defects of several kinds is of kind ``combined``. Masks are 0 and 255, of the size of the picture.

    Args:
        drawing: what to draw.
        folder: new or empty.
        workers: processes; they change nothing but the time. With more than one, a script that calls this must keep
            its work below ``if __name__ == "__main__"``, as for all processes in Python.
        progress: passes on what it is given, so many of them, and may say how far it is.

    Raises:
        ConfigError: there is something in the folder, or fewer than one worker.
        InputError: no photograph can be drawn on, or the folder cannot be written.
        DependencyError: a photograph is a DICOM file, and the extra ``dicom`` is not installed.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError("a data set is drawn into a new folder", folder, "name another, or empty it")
    if workers < 1:
        raise ConfigError("at least one process draws", workers, "say 1 or more")
    with _filling(folder) as place, closing(_written(drawing, place, workers)) as written:
        drawn = _counted(progress(written, drawing.pictures))
        write_atomically(place / RECORD, json.dumps(_record(drawing, drawn), indent=2).encode() + b"\n")
    return drawn


@contextmanager
def _filling(folder: Path) -> Iterator[Path]:
    """A hidden folder in it: what that holds moves up when the block ends well, and is removed when it does not."""
    is_new = not folder.exists()
    place = folder / f".{uuid4().hex}.tmp"
    try:
        place.mkdir(parents=True)
        yield place
        for one in sorted(place.iterdir(), key=lambda one: one.name == RECORD):
            os.rename(one, folder / one.name)
    except OSError as error:
        raise InputError("a drawn data set can be written", error, "choose another folder, or make room") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)
        if is_new and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _written(drawing: Drawing, place: Path, workers: int) -> Generator[Written, None, None]:
    """All pictures, those of a photograph one after the other, so that it is decoded once."""
    numbers = sorted(range(drawing.pictures), key=lambda number: number % max(len(drawing.photographs), 1))
    make = partial(_write_one, drawing, place)
    if workers == 1:
        yield from map(make, numbers)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _leave_interrupts) as pool:
        yield from pool.map(make, numbers, chunksize=_CHUNK)


def _leave_interrupts() -> None:
    """To the process that waits for this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _write_one(drawing: Drawing, place: Path, number: int) -> Written:
    example = draw(drawing, number)
    kinds = [kind.replace(" ", "_") for kind in dict.fromkeys(example.scene.kinds)]
    kind = COMBINED if len(kinds) > 1 else kinds[0] if kinds else GOOD
    stem = f"{number:06}"
    _save(example.scene.image, place / example.class_name / "test" / kind / f"{stem}.png")
    if kinds:
        mask = example.scene.mask.astype(np.uint8) * np.uint8(255)
        _save(mask, place / example.class_name / "ground_truth" / kind / f"{stem}_mask.png")
    return Written(example.class_name, kind, example.unusable)


def _save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=_EFFORT)


def _counted(written: Iterator[Written]) -> Drawn:
    counts: Counter[tuple[str, str]] = Counter()
    unusable: dict[str, str] = {}
    for one in written:
        counts[one.class_name, one.kind] += 1
        unusable |= one.unusable
    classes = sorted({class_name for class_name, _ in counts})
    of_class = {name: {kind: n for (of, kind), n in sorted(counts.items()) if of == name} for name in classes}
    return Drawn(of_class, dict(sorted(unusable.items())))


def _record(drawing: Drawing, drawn: Drawn) -> dict[str, object]:
    """Photographs are told by their names alone: where they lie is nobody's business but their owner's."""
    names = {"photographs": [Path(path).name for path in drawing.photographs]}
    unusable = [Path(path).name for path in drawn.unusable]
    return {"zsad": version("zsad")} | asdict(drawing) | names | {"unusable": unusable, "counts": drawn.counts}
