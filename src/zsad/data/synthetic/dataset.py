"""Drawn images as a data set on disk, in the tree of MVTec AD: to train heads on, or to try a detector.

<class>/test/{good,<kind>,combined}/<number>.png
<class>/ground_truth/{<kind>,combined}/<number>_mask.png
drawn.json                                                  what was drawn, and how many of what

The record is there before the classes, each of which is there whole or not at all: what a kill leaves is known by it.
"""

import hashlib
import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from PIL import Image

from zsad.config import check_workers
from zsad.data.synthetic.drawing import Drawing, draw
from zsad.documents import read_json_object
from zsad.errors import ConfigError, InputError
from zsad.files import content_hash, temporary, write_atomically
from zsad.locks import LOCK, alone

GOOD, COMBINED = "good", "combined"
"""The folders of images without defects, and of those with defects of several kinds."""
RECORD = "drawn.json"
_EFFORT = 1  # of compressing: more takes four times as long, and noise gets no smaller by it
_CHUNK = 16  # images that a process is given at a time


@dataclass(frozen=True)
class WrittenDataSet:
    """A data set that was written.

    Attributes:
        counts: number of images by class, and by folder of its ``test``: ``good``, a kind of defect, ``combined``.
        unusable: photographs that could not be drawn on, with the reason; others stand in for them.
    """

    counts: dict[str, dict[str, int]]
    unusable: dict[str, str]

    @property
    def classes(self) -> dict[str, int]:
        """Number of images by class."""
        return {name: sum(kinds.values()) for name, kinds in self.counts.items()}

    @property
    def kinds(self) -> dict[str, int]:
        """Number of images by folder of ``test``, over all classes."""
        total: Counter[str] = Counter()
        for kinds in self.counts.values():
            total.update(kinds)
        return dict(sorted(total.items()))


@dataclass(frozen=True)
class Written:
    """An image that was written.

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
    progress: Callable[[Iterator[Written], int], Iterator[Written]] = lambda images, total: images,
) -> WrittenDataSet:
    """Draw all images and write them; the folder is filled when all are there, and left as it was when not.

    An image with defects of several kinds is of kind ``combined``. Masks are 0 and 255, of the size of the image.
    Where the folder holds all or some classes of the same drawing, what is missing is drawn.

    Args:
        drawing: what to draw.
        folder: new or empty, or of this drawing.
        workers: processes; they change nothing but the time. With more than one, a script that calls this must keep
            its work below ``if __name__ == "__main__"``, as for all processes in Python.
        progress: passes on what it is given, so many of them, and may say how far it is.

    Raises:
        ConfigError: there is something else in the folder, another process writes there, or fewer than one worker.
        InputError: no photograph can be drawn on, or the folder cannot be written.
        DependencyError: a photograph is a DICOM file, and the extra ``dicom`` is not installed.
    """
    if workers < 1:
        raise ConfigError("at least one process draws", workers, "use 1 or more")
    check_workers(workers)
    if folder.exists() and not folder.is_dir():
        raise _another(folder)
    with alone(folder):
        words = _words(drawing)
        known = _known(folder, words)
        if known is not None and _is_whole(folder, known.counts):
            return known
        with _staged(folder) as place, closing(_written(drawing, place, workers)) as written:
            summary = _counted(progress(written, drawing.images))
            _publish(place, folder, words | _outcome(summary))
        return summary


def _another(folder: Path) -> ConfigError:
    return ConfigError("a data set is drawn into a new folder", folder, "name another, or empty it")


def _known(folder: Path, words: dict[str, Any]) -> WrittenDataSet | None:
    """What the record says that was drawn; None where the folder is empty.

    Raises:
        ConfigError: there is something else in it.
    """
    if not any(path.name != LOCK for path in folder.iterdir()):
        return None
    try:
        record: dict[str, Any] = read_json_object(folder / RECORD, file_names=True)
        counts, unusable = record.pop("counts"), record.pop("unusable")
        reasons = {name: f"{name}, as when this was drawn" for name in unusable}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _another(folder) from error
    if record != words:
        raise _another(folder)
    return WrittenDataSet(counts, reasons)


def _is_whole(folder: Path, counts: dict[str, dict[str, int]]) -> bool:
    """Whether all images and masks that were drawn are there."""
    wanted = {Path(name, "test", kind): count for name, kinds in counts.items() for kind, count in kinds.items()}
    wanted |= {Path(at.parts[0], "ground_truth", at.name): n for at, n in wanted.items() if at.name != GOOD}
    return all(len([*(folder / at).glob("*.png")]) == count for at, count in wanted.items())


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A hidden folder in it, which is gone when the block ends."""
    place = temporary(folder / RECORD)
    try:
        place.mkdir()
        yield place
    except OSError as error:
        raise InputError("a drawn data set can be written", error, "choose another folder, or make room") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _publish(place: Path, folder: Path, record: dict[str, Any]) -> None:
    """Move the classes up that are not there yet, after the record that tells them to be ours."""
    write_atomically(folder / RECORD, json.dumps(record, indent=2).encode() + b"\n")
    for entry in sorted(place.iterdir()):
        if not (folder / entry.name).exists():
            os.rename(entry, folder / entry.name)


def _written(drawing: Drawing, place: Path, workers: int) -> Generator[Written, None, None]:
    """All images, those of a photograph one after the other, so that it is decoded once."""
    numbers = sorted(range(drawing.images), key=lambda number: number % max(len(drawing.photographs), 1))
    if workers == 1:
        yield from (_write_one(drawing, place, number) for number in numbers)
        return
    processes = {*active_children()}
    with ProcessPoolExecutor(workers, get_context("spawn"), _serve) as pool:
        try:
            with _left_to_us():
                chunks = [numbers[start : start + _CHUNK] for start in range(0, len(numbers), _CHUNK)]
                asked = [pool.submit(_write_some, drawing, place, chunk) for chunk in chunks]
            for result in asked:  # pool.map would cancel them as it ends, which a pool whose processes end cannot bear
                yield from result.result()
        except BrokenProcessPool as error:
            remedy = "use fewer workers, or a smaller size"
            raise ConfigError("processes that draw have the memory that they need", error, remedy) from error
        finally:
            for process in {*active_children()} - processes:
                process.terminate()


@contextmanager
def _left_to_us() -> Iterator[None]:
    """A Ctrl-C reaches all processes of a terminal: those that begin in this block leave it to the one that waits."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve() -> None:
    """In a process that draws: leave interrupts to the one that waits, and end with it, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _write_some(drawing: Drawing, place: Path, numbers: list[int]) -> list[Written]:
    return [_write_one(drawing, place, number) for number in numbers]


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


def _counted(written: Iterator[Written]) -> WrittenDataSet:
    counts: Counter[tuple[str, str]] = Counter()
    unusable: dict[str, str] = {}
    for sample in written:
        counts[sample.class_name, sample.kind] += 1
        unusable |= sample.unusable
    classes = sorted({class_name for class_name, _ in counts})
    of_class = {name: {kind: n for (of, kind), n in sorted(counts.items()) if of == name} for name in classes}
    return WrittenDataSet(of_class, dict(sorted(unusable.items())))


def _words(drawing: Drawing) -> dict[str, Any]:
    """What decides the images.

    Photographs are told by their names and content alone: where they lie is nobody's business but their owner's.
    """
    names = {"photographs": [Path(path).name for path in drawing.photographs]}
    content = hashlib.sha256("\n".join(map(_content, drawing.photographs)).encode()).hexdigest()
    words = {"zsad": version("zsad")} | asdict(drawing) | names | ({"content": content} if drawing.photographs else {})
    return json.loads(json.dumps(words))


def _content(photograph: str) -> str:
    """What cannot be read is named when it is to be drawn on."""
    try:
        return content_hash(Path(photograph))
    except InputError:
        return ""


def _outcome(summary: WrittenDataSet) -> dict[str, Any]:
    return {"unusable": [Path(path).name for path in summary.unusable], "counts": summary.counts}
