"""What is killed: commands that write a folder, small enough to be run hundreds of times, and what they work on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

FAST = ("--image-size", "64")
RECIPE = """
title = "Faults"
detectors = ["clip", "fe-clip"]
seeds = [1]
image_size = 64
resolution = 64
resamples = 10

[data]
nuts = "mvtec:nuts"
bolts = "mvtec:bolts"

[[split]]
name = "nuts"
train = ["nuts"]
test = ["bolts"]

[change.fe-clip]
training = { epochs = 1 }
"""


@dataclass(frozen=True)
class Command:
    """A command that writes the folder ``out`` in the folder where it is run.

    Attributes:
        name: in the table.
        words: of the command line.
        before: commands that were run there earlier, undisturbed.
        others: files of somebody else's that lie there and may not be touched.
        is_detector: whether what it leaves is loaded, and may never be a mixture of two.
        is_watched: whether it changes files in its own process alone, so that its operations are known.
        waits: whether other processes compute for it.
    """

    name: str
    words: tuple[str, ...]
    before: tuple[tuple[str, ...], ...] = ()
    others: tuple[str, ...] = ("out/notes.txt", "beside.txt")
    is_detector: bool = False
    is_watched: bool = True
    waits: bool = False


def commands() -> tuple[Command, ...]:
    """All of them."""
    return tuple(command for make in MAKERS for command in make())


def prepare(folder: Path) -> None:
    """Images, masks and a recipe, which no command writes."""
    for number, one in enumerate(("nuts/nut", "bolts/long bolt", "bolts/short bolt")):
        _draw(folder / one, 10 * number)
    (folder / "faults.toml").write_text(RECIPE)
    # Relative paths would be below the folder of each trial, and a shard names them.
    images = sorted(str(path.absolute()) for path in folder.glob("*/*/test/*/*.png"))
    (folder / "manifest.csv").write_text("\n".join(["path", *images]) + "\n")


def _draw(folder: Path, seed: int) -> None:
    for number, kind in enumerate(("good", "good", "square", "square")):
        rng = np.random.default_rng(seed + number)
        pixels, mask = rng.integers(0, 128, (64, 64, 3)).astype(np.uint8), np.zeros((64, 64), np.uint8)
        if kind == "square":
            top, left = rng.integers(0, 40, 2)
            mask[top : top + 20, left : left + 20] = 255
            pixels[mask > 0] = 255
            _save(mask, folder / "ground_truth" / kind / f"{number}_mask.png")
        _save(pixels, folder / "test" / kind / f"{number}.png")


def _save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _predict() -> tuple[Command, ...]:
    words = ("predict", "data/nuts/nut/test", *FAST, "--out", "out")
    others = ("out/notes.txt", "out/maps/mine.png", "out/overlays/mine.png", "beside.txt")
    earlier = ("predict", "data/bolts", *FAST, "--class-name", "bolt", "--out", "out")
    regions = ("--pixel-threshold", "0.3")
    return (
        Command("predict", words, others=others),
        Command("predict again", words, (earlier,), others),
        Command("predict regions", (*words, *regions), ((*earlier, *regions),), (*others, "out/labelme/mine.json")),
    )


def _manifest() -> tuple[Command, ...]:
    """Into shards; killed between two of them, it goes on with the third."""
    words = ("predict", "data/manifest.csv", "--engine", "local", "--detector", "clip", *FAST, "--shard-size", "5")
    maps = ("--with-maps", "--pixel-threshold", "0.3")
    return (
        Command("manifest", (*words, "--out", "out")),
        Command("manifest, maps", (*words, *maps, "--out", "out"), others=("out/notes.txt", "out/maps/mine.png")),
    )


def _export() -> tuple[Command, ...]:
    """One file, or two, with nothing beside them but what is being written."""
    words = ("export", "clip", *FAST[:2], "--out", "out/model.onnx")
    earlier = ("export", "clip", "--image-size", "96", "--out", "out/model.onnx")
    return (
        Command("export", words),
        Command("export again", words, (earlier,)),
        Command("export, OpenVINO", ("export", "clip", *FAST[:2], "--format", "openvino", "--out", "out/model.xml")),
        Command("export, pt2", ("export", "clip", *FAST[:2], "--format", "pt2", "--out", "out/model.pt2")),
    )


def _fit() -> tuple[Command, ...]:
    words = ("fit", "fe-clip", *FAST, "--normal", "data/nuts/nut/test/good", "--out", "out")
    earlier = ("fit", "fe-clip", "--image-size", "96", "--normal", "data/bolts/long bolt/test/good", "--out", "out")
    return (
        Command("fit", words, is_detector=True),
        Command("fit again", words, (earlier,), is_detector=True),
    )


def _calibrate() -> tuple[Command, ...]:
    """In the folder of a detector."""
    earlier = ("fit", "fe-clip", *FAST, "--normal", "data/bolts/long bolt/test/good", "--out", "out")
    words = ("calibrate", "out", "--normal", "data/nuts/nut/test/good", "--fpr", "0.4")
    return (Command("calibrate", words, (earlier,), is_detector=True),)


def _draw_data() -> tuple[Command, ...]:
    words = ("data", "draw", "--images", "6", "--size", "48", "--out", "out")
    others = ("beside.txt",)  # its folder is new or empty
    return (
        Command("data draw", (*words, "--workers", "1"), others=others),
        Command("data draw, 2 workers", (*words, "--workers", "2"), others=others, waits=True),
    )


def _train() -> tuple[Command, ...]:
    words = ("train", "fe-clip", "--data", "mvtec:data/nuts", *FAST, "--epochs", "2", "--workers", "1", "--out", "out")
    two = (*words, "--processes", "2", "--resume")
    return (
        Command("train", (*words, "--resume")),
        Command("train, 2 processes", two, is_watched=False, waits=True),
    )


def _evaluate() -> tuple[Command, ...]:
    words = ("evaluate", "clip", *FAST, "--data", "mvtec:data/bolts", "--resolution", "64", "--out", "out")
    earlier = ("evaluate", "clip", *FAST, "--data", "mvtec:data/nuts", "--resolution", "32", "--out", "out")
    return Command("evaluate", words), Command("evaluate --overwrite", (*words, "--overwrite"), (earlier,))


def _benchmark() -> tuple[Command, ...]:
    words = ("benchmark", "data/faults.toml", "--data-root", "data", "--workers", "1", "--out", "out")
    return (Command("benchmark", words),)


MAKERS: tuple[Callable[[], tuple[Command, ...]], ...] = (
    _predict,
    _manifest,
    _export,
    _fit,
    _calibrate,
    _draw_data,
    _train,
    _evaluate,
    _benchmark,
)
