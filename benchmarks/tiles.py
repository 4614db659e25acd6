"""A picture of 20,000 × 20,000 px by tiles: memory beside that of one image of 518 px, seams, and a defect of 12 px.

    python -m benchmarks.tiles
    python -m benchmarks.tiles --side 4000 --tile 518 --image-size 224

Draws a surface as a TIFF in tiles with one defect, fits PatchCore to a normal piece by tiles, runs ``zsad predict``
on an image of 518 px untiled and on the picture tiled, each in a process of its own, and reads the written map by rows.
"""

import argparse
import csv
import json
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

import zsad
from zsad.tiling import Tiling, starts

DEFECT = 12
"""Side of the defect in px."""
BLOCK = 512
"""Side of the tiles of the TIFF in px."""
ROOM_MB, SEAM = 300, 1.0
RUN = """
import resource, sys
from zsad.cli.main import main
status = main(sys.argv[1:])
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
raise SystemExit(status)
"""


def surface(top: int, left: int, rows: int, cols: int) -> np.ndarray:
    """A brushed surface: waves of several lengths and fine noise, the same wherever it is asked for."""
    y, x = np.mgrid[top : top + rows, left : left + cols].astype(np.float32)
    waves = 12 * np.sin(y / 3.1 + 2 * np.sin(x / 171)) + 8 * np.sin(x / 41 + y / 230) + 5 * np.sin(x / 7.3)
    noise = np.random.default_rng([top, left]).normal(0, 4, (rows, cols))
    return np.clip(140 + waves + noise, 0, 255).astype(np.uint8)


def blocks(side: int, place: tuple[int, int]) -> Iterator[np.ndarray]:
    """The tiles of the picture, with a dark square as its defect."""
    for top in range(0, side, BLOCK):
        for left in range(0, side, BLOCK):
            block = surface(top, left, BLOCK, BLOCK)
            y, x = place[0] - top, place[1] - left
            block[max(y, 0) : max(y + DEFECT, 0), max(x, 0) : max(x + DEFECT, 0)] = 25
            yield block


def predict(*arguments: str) -> float:
    """Peak memory of ``zsad predict`` in MB."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, "predict", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return float(done.stdout.rsplit("peak", 1)[1])


def rows_of(path: Path) -> Iterator[np.ndarray]:
    """The rows of a 16-bit grey PNG whose rows all have the filter Up, as ours do, one at a time."""
    inflate = zlib.decompressobj()
    with path.open("rb") as file:
        file.seek(8)
        left, above, cols = b"", np.zeros(0, np.uint8), 0
        while head := file.read(8):
            length, kind = struct.unpack(">I4s", head)
            content = file.read(length)
            file.seek(4, 1)
            if kind == b"IHDR":
                cols = struct.unpack(">I", content[:4])[0]
                above = np.zeros(2 * cols, np.uint8)
            elif kind == b"IDAT":
                left += inflate.decompress(content)
                while len(left) > 2 * cols:
                    line, left = np.frombuffer(left[1 : 2 * cols + 1], np.uint8), left[2 * cols + 1 :]
                    above = above + line
                    yield above.view(">u2").astype(np.float32) / 65535


def borders(side: int, tiling: Tiling) -> np.ndarray:
    """Whether a tile begins or ends between each pixel of an axis and the next."""
    found = np.zeros(side - 1, bool)
    for begin in starts(side, tiling.size, tiling.overlap):
        for edge in (begin, begin + tiling.size):
            if 0 < edge < side:
                found[edge - 1] = True
    return found


def seams(path: Path, side: int, tiling: Tiling) -> tuple[float, tuple[int, int]]:
    """The mean step of the map over borders of tiles as a share of that elsewhere, and where the map is highest."""
    is_border = borders(side, tiling)
    at, inside, before = [0.0, 0], [0.0, 0], None
    highest, place = -1.0, (0, 0)
    for number, row in enumerate(rows_of(path)):
        steps = np.abs(np.diff(row))
        at[0] += float(steps[is_border].sum())
        inside[0] += float(steps[~is_border].sum())
        at[1] += int(is_border.sum())
        inside[1] += int((~is_border).sum())
        if before is not None:
            kind = at if is_border[number - 1] else inside
            kind[0] += float(np.abs(row - before).sum())
            kind[1] += side
        if row.max() > highest:
            highest, place = float(row.max()), (number, int(row.argmax()))
        before = row
    return (at[0] / at[1]) / (inside[0] / inside[1]), place


def main() -> int:
    """Draw, predict, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=20_000)
    parser.add_argument("--tile", type=int, default=1036)
    parser.add_argument("--overlap", type=int, default=64)
    parser.add_argument("--image-size", type=int, default=518)
    options = parser.parse_args()
    tiling = Tiling.of(options.tile, options.overlap)
    place = (options.side * 7 // 10 + 5, options.side * 3 // 10 + 3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shape = {"shape": (options.side, options.side), "dtype": np.uint8, "tile": (BLOCK, BLOCK)}
        picture = folder / "picture.tif"
        tifffile.imwrite(picture, blocks(options.side, place), photometric="minisblack", metadata=None, **shape)
        Image.fromarray(surface(0, 0, 518, 518)).save(folder / "one.png")
        Image.fromarray(surface(77, 99, options.tile * 3 // 2, options.tile * 3 // 2)).save(folder / "normal.png")
        detector = zsad.load("patchcore", image_size=options.image_size, tiling=tiling)
        detector.fit_normal([folder / "normal.png"], "surface")
        detector.save(folder / "tiled")
        detector.tiling = None
        detector.save(folder / "whole")
        untiled = predict(
            str(folder / "one.png"),
            "--detector",
            str(folder / "whole"),
            "--image-size",
            "518",
            "--out",
            str(folder / "1"),
        )
        start, out = time.perf_counter(), folder / "2"
        tiled = predict(str(picture), "--detector", str(folder / "tiled"), "--out", str(out))
        seconds = time.perf_counter() - start
        with (out / "predictions.csv").open(newline="") as table:
            (row,) = csv.DictReader(table)
        ratio, highest = seams(out / row["map"], options.side, tiling)
        run = json.loads((out / "predictions.json").read_text())["run"]
    y, x = highest
    found = all(-DEFECT <= at - begin < 2 * DEFECT for at, begin in zip(highest, place, strict=True))
    count = len(starts(options.side, tiling.size, tiling.overlap)) ** 2
    print(f"{options.side:,} × {options.side:,} px in {count:,} tiles of {tiling.size} px at {run['image_size']} px")
    print(f"{seconds:.0f} s, {seconds / count * 1000:.0f} ms a tile")
    print(f"peak memory {tiled:.0f} MB, untiled {untiled:.0f} MB: {tiled - untiled:+.0f} MB (at most {ROOM_MB:+d})")
    print(f"step of the map over borders of tiles: {ratio:.2f} of that elsewhere (at most {SEAM:g})")
    verdict = "found" if found else "missed"
    print(f"defect of {DEFECT} px at ({place[1]}, {place[0]}), map highest at ({x}, {y}): {verdict}")
    return int(not (tiled - untiled <= ROOM_MB and ratio <= SEAM and found))


if __name__ == "__main__":
    raise SystemExit(main())
