"""Drawn pictures as a data set on disk, in the tree of MVTec AD: to train heads on, or to try a detector."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from zsad.data.decode import decode
from zsad.data.synthetic.objects import part
from zsad.data.synthetic.scenes import Scene, crop, scene
from zsad.data.synthetic.surfaces import surface
from zsad.errors import ConfigError, DependencyError, InputError
from zsad.files import write_atomically

LEAST_SIDE = 32
COMBINED = "combined"
"""The folder of pictures with defects of several kinds."""
RECORD = "drawn.json"


@dataclass(frozen=True)
class Drawing:
    """What is drawn; the same values give the same files.

    Attributes:
        pictures: how many.
        side: of each, in px.
        seed: of all chance.
        damaged: share of the pictures that get one to three defects.
        photographs: files of good pictures; a random square of at least half of the short side of one is drawn on.
        share: of the pictures that are made of photographs; the others are drawn surfaces and parts.
        class_name: what the photographs show.
    """

    pictures: int = 1000
    side: int = 224
    seed: int = 0
    damaged: float = 0.5
    photographs: tuple[str, ...] = ()
    share: float = 0.0
    class_name: str = "photograph"

    def __post_init__(self) -> None:
        rules = {
            "a data set has at least one picture": self.pictures >= 1,
            f"a drawn picture has a side of at least {LEAST_SIDE} px": self.side >= LEAST_SIDE,
            "a seed is not negative": self.seed >= 0,
            "shares lie in [0, 1]": 0 <= self.damaged <= 1 and 0 <= self.share <= 1,
            "a share of photographs needs photographs": bool(self.photographs or not self.share),
            "the name of a class is that of a folder": Path(self.class_name).name == self.class_name != "",
        }
        for rule, holds in rules.items():
            if not holds:
                shown = asdict(self) | {"photographs": len(self.photographs)}
                raise ConfigError(rule, shown, "say other values")


@dataclass(frozen=True)
class Drawn:
    """A data set that was written.

    Attributes:
        classes: number of pictures of each class.
        kinds: number of pictures of each folder of ``test``: ``good``, a kind of defect, or ``combined``.
        unreadable: photographs that could not be read, with the reason; other pictures stand in for them.
    """

    classes: dict[str, int]
    kinds: dict[str, int]
    unreadable: dict[str, str]


def write(
    drawing: Drawing,
    folder: Path,
    workers: int = 1,
    progress: Callable[[Iterator[Path], int], Iterator[Path]] | None = None,
) -> Drawn:
    """Draw all pictures and write them: ``CLASS/test/KIND/NUMBER.png`` and ``CLASS/ground_truth/KIND/NUMBER_mask.png``.

    Args:
        drawing: what to draw.
        folder: new or empty.
        workers: processes; they change nothing but the time.
        progress: wraps the files as they appear, given how many there will be.

    Raises:
        ConfigError: there is something in the folder, or fewer than one worker.
        InputError: no photograph can be read, or the folder cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError("a data set is drawn into a new folder", folder, "say another --out, or empty it")
    if workers < 1:
        raise ConfigError("at least one process draws", workers, "say --workers 1 or more")
    unreadable = {path: reason for path in drawing.photographs if (reason := _problem(path))}
    usable = tuple(path for path in drawing.photographs if path not in unreadable)
    if drawing.photographs and not usable:
        raise InputError("photographs can be read", next(iter(unreadable.values())), "name pictures")
    files = _files(drawing, usable, folder, workers)
    written = list(progress(files, drawing.pictures) if progress else files)
    found = Drawn(
        dict(sorted(Counter(path.parts[0] for path in written).items())),
        dict(sorted(Counter(path.parts[2] for path in written).items())),
        unreadable,
    )
    names = {"photographs": [Path(path).name for path in usable]}
    record = asdict(drawing) | names | {"classes": found.classes, "kinds": found.kinds}
    write_atomically(folder / RECORD, (json.dumps(record, indent=2) + "\n").encode())
    return found


def _files(drawing: Drawing, photographs: tuple[str, ...], folder: Path, workers: int) -> Iterator[Path]:
    make, numbers = partial(_write_one, drawing, photographs, folder), range(drawing.pictures)
    if workers == 1:
        yield from map(make, numbers)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(make, numbers, chunksize=8)


def _write_one(drawing: Drawing, photographs: tuple[str, ...], folder: Path, number: int) -> Path:
    """The path of the picture below the folder."""
    class_name, drawn = draw(drawing, photographs, number)
    kinds = sorted(set(drawn.kinds))
    kind = "good" if not kinds else kinds[0].replace(" ", "_") if len(kinds) == 1 else COMBINED
    place = Path(class_name) / "test" / kind / f"{number:06}.png"
    _save(drawn.image, folder / place)
    if kinds:
        mask = drawn.mask.astype(np.uint8) * np.uint8(255)
        _save(mask, folder / class_name / "ground_truth" / kind / f"{number:06}_mask.png")
    return place


def draw(drawing: Drawing, photographs: tuple[str, ...], number: int) -> tuple[str, Scene]:
    """The class and the content of one picture, which depend on nothing but the arguments."""
    rng = np.random.default_rng([drawing.seed, number])
    if rng.random() < drawing.share:
        photograph = decode(photographs[int(rng.integers(len(photographs)))]).pixels.astype(np.uint8)
        return drawing.class_name, scene(rng, crop(rng, photograph, drawing.side), None, drawing.damaged)
    size = (drawing.side, drawing.side)
    if rng.random() < 0.5:
        return "surface", scene(rng, surface(rng, size)[0], None, drawing.damaged)
    image, _, foreground = part(rng, size)
    return "part", scene(rng, image, foreground, drawing.damaged)


def _problem(path: str) -> str | None:
    try:
        decode(path)
    except (InputError, DependencyError) as error:
        return str(error)
    return None


def _save(pixels: np.ndarray, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    except OSError as error:
        raise InputError("a drawn data set can be written", error, "choose another folder, or make room") from error
