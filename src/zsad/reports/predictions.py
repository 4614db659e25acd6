"""What a run leaves behind: tables, anomaly maps, overlays, and one page that shows them all.

predictions.csv    one line an image, written as the run goes
predictions.json   the run, warnings on its numbers, the predictions, the failures, and which files were no images
maps/*.png         anomaly maps at the images' own sizes, 16-bit grey, 65535 is 1
overlays/*         heat maps or outlines over the images, at the images' own sizes: PNG, above half a megapixel JPEG
volumes/*          where slices of volumes are scored: their maps as a volume of the same geometry, NaN without a score
regions.json, regions.csv, coco.json, labelme/*   where there is a threshold for pixels: see zsad.reports.regions
legend.png         the fixed colour scale
report.html        self-contained: no other file, no network
"""

import json
import math
import os
import shutil
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import NamedTuple

from markupsafe import Markup

from zsad import spreadsheets
from zsad.data.frame_names import stem_of
from zsad.data.series import Frame
from zsad.drawing.render import ANCHORS, Overlay, legend, save_image
from zsad.errors import ConfigError, InputError
from zsad.files import replacing, unique_name, write_atomically
from zsad.locks import alone
from zsad.reports import earlier, pages, volumes
from zsad.reports import regions as region_files
from zsad.reports.earlier import TABLE
from zsad.reports.rendered import RenderedImage, render_image
from zsad.reports.score_warnings import score_warnings
from zsad.results.schema import Setting
from zsad.types import DecodedImage, Prediction
from zsad.types.large import LargePrediction

SHOWN_BOXES = 50
"""Regions of an image, those with the highest peaks, whose boxes the page knows."""

ROOM = 2**25
"""Pixels of images that wait to be written, at most, unless there is one alone; bounds memory."""

COLUMNS = (
    "source",
    "class_name",
    "score",
    "threshold",
    "is_anomalous",
    "p_value",
    "pixel_threshold",
    "rows",
    "cols",
    "map",
    "overlay",
    "regions",
    "volume",
    "setting",
    "notes",
    "error",
)
FOLDERS = ("maps", "overlays")


@dataclass(frozen=True)
class RunInfo:
    """What ran, on what, and when; every field stands in the report.

    Attributes:
        weights: a sentence for people.
        threshold: the score from which an image counts as anomalous; None while the detector is uncalibrated, and no
            image is called normal or anomalous.
        created: an ISO time.
        command: what the user typed.
        memory: what normal images the detector remembers, in words.
        pixel_threshold: score from which a pixel belongs to a region; None where no regions are written.
        min_area: of the smallest region, in px.
        overlay: what is drawn over the images: ``"heat"`` or the ``"outline"`` of the regions.
        explanation: what judged the images, and why, in a sentence or two; empty where the detector says it all.
        setting: whether each image was judged alone (zero-shot), with reference images (few-shot), or the images of
            the run by one another (transductive).
        calibration: on what the decisions and p-values stand, in words; empty where the detector is not calibrated.
    """

    detector: str
    backbone: str
    weights: str
    image_size: int
    precision: str
    device: str
    class_name: str
    threshold: float | None
    version: str
    created: str
    command: str
    memory: str = ""
    explanation: str = ""
    calibration: str = ""
    pixel_threshold: float | None = None
    min_area: int = 1
    overlay: Overlay = "heat"
    setting: Setting = "zero-shot"


@dataclass(frozen=True)
class ReportEntry:
    """One image of the report; without a threshold there is no decision, without one for pixels no count of regions."""

    source: str
    class_name: str
    score: float
    threshold: float | None
    is_anomalous: bool | None
    rows: int
    cols: int
    map: str
    overlay: str
    notes: tuple[str, ...] = ()
    p_value: float | None = None
    pixel_threshold: float | None = None
    regions: int | None = None
    volume: str = ""


class _Waiting(NamedTuple):
    """An image whose files are being made."""

    pixels: int
    rendered: Future[RenderedImage]
    volume: str


class ReportWriter:
    """Writes a report while images are being scored; a context manager.

    Maps, overlays and the table are on disk when :meth:`add` returns, or with ``writers`` some images later, in the
    order of the images. JSON and page are written at the end, also when
    the block ends with an exception, and then say so. An earlier report in the same folder is replaced: its own files,
    and the maps and overlays that its table lists. No other file is deleted or written over. The table is there before
    all other files and lists an image before its files are written, so that what a kill leaves is known to be ours.
    Until it is closed, no other process can write a report there.

    Args:
        out: folder, made where it does not exist.
        run: what ran.
        warnings: sentences that a reader of all the numbers should know; it may grow until the report is closed.
        ignored: the files that were no images, in words.
        writers: threads that encode the files of images; with 0 it is the thread that adds them.
        sources: what is scored, in order; of volumes among their frames the maps are written as volumes.

    Raises:
        InputError: the folder cannot be made or written, or has a file of a report's name that no report wrote.
        ConfigError: another process writes into the folder, or outlines are to be drawn without a threshold for pixels.
    """

    def __init__(
        self,
        out: Path,
        run: RunInfo,
        warnings: Sequence[str] = (),
        ignored: str = "",
        writers: int = 0,
        sources: Sequence[str | os.PathLike[str]] = (),
    ) -> None:
        self._frames = {os.fspath(source): source for source in sources if isinstance(source, Frame)}
        self.out, self.run = out, run
        self.entries: list[ReportEntry] = []
        self.failures: list[dict[str, str]] = []
        self._warnings, self._ignored = warnings, ignored
        self._writers = ThreadPoolExecutor(writers, "zsad-writer") if writers else None
        self._waiting, self._most_waiting = deque[_Waiting](), 2 * writers
        check_overlay(run.overlay, run.pixel_threshold)
        with ExitStack() as stack:
            stack.enter_context(alone(out, *FOLDERS, region_files.FOLDER, volumes.FOLDER))
            try:
                self._begin(stack)
            except OSError as error:
                raise InputError("the output folder must be writable", error, "choose another --out") from error
            if self._writers is not None:
                stack.callback(self._writers.shutdown, cancel_futures=True)
            self._until_closed = stack.pop_all()
        # Thumbnails wait on disk for the page; the file is nobody else's and goes with the run.
        self._cards = TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  # closed with the report

    def _begin(self, stack: ExitStack) -> None:
        pixel_threshold = self.run.pixel_threshold
        earlier.remove(self.out, with_regions=pixel_threshold is not None)
        write_atomically(self.out / TABLE, spreadsheets.line(COLUMNS).encode(), lasting=True)
        folders = FOLDERS if pixel_threshold is None else (*FOLDERS, region_files.FOLDER)
        for folder in folders:
            (self.out / folder).mkdir(exist_ok=True)
        self._names = {path.stem.casefold() for folder in folders for path in (self.out / folder).iterdir()}
        self._regions = None
        if pixel_threshold is not None:
            self._regions = region_files.RegionFiles(self.out, pixel_threshold, self.run.min_area)
            stack.callback(self._regions.close)
        self._volumes = volumes.VolumeFiles(self.out)
        save_image(legend(self.run.threshold), self.out / "legend.png")
        # The name of a file need not be Unicode; what is not is written as an escape.
        self._table = (self.out / TABLE).open("a", encoding="utf-8", errors="backslashreplace", newline="")

    def __enter__(self) -> "ReportWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close("" if kind is None else kind.__name__)

    def add(self, image: DecodedImage, prediction: Prediction) -> None:
        """Write the map, the overlay and the regions of an image, and its line of the table.

        Raises:
            InputError: a score outside [0, 1], or as :func:`zsad.drawing.render.overlay`.
        """
        if not 0 <= prediction.score <= 1:
            raise InputError("an anomaly score lies in [0, 1]", prediction.score, "give a probability")
        find = None if self._regions is None else self._regions.find
        render = partial(render_image, image, prediction, self.run.overlay, find)
        frame = self._frames.get(image.source)
        volume = "" if frame is None else self._volumes.add(frame, prediction.anomaly_map)
        if self._writers is None:
            self._write(render(), volume)
            return
        self._waiting.append(_Waiting(math.prod(image.size), self._writers.submit(render), volume))
        while len(self._waiting) > self._most_waiting or self._is_full():
            self._write_next()

    def _is_full(self) -> bool:
        return len(self._waiting) > 1 and sum(image.pixels for image in self._waiting) > ROOM

    def _write_next(self) -> None:
        waiting = self._waiting.popleft()
        self._write(waiting.rendered.result(), waiting.volume)

    def _write(self, image: RenderedImage, volume: str = "") -> None:
        """Write the files of an image, after its line of the table."""
        name = unique_name(stem_of(image.source), self._names, "image")
        map_path, overlay_path = f"maps/{name}.png", f"overlays/{name}{image.suffix}"
        rows, cols = image.size
        entry = ReportEntry(
            source=image.source,
            class_name=image.class_name,
            score=image.score,
            threshold=image.threshold,
            is_anomalous=image.is_anomalous,
            rows=rows,
            cols=cols,
            map=map_path,
            overlay=overlay_path,
            notes=image.notes,
            p_value=image.p_value,
            pixel_threshold=image.pixel_threshold,
            regions=None if image.regions is None else len(image.regions),
            volume=volume,
        )
        with self._listed(_row(entry) | {"setting": self.run.setting}):
            for path, content in ((map_path, image.map), (overlay_path, image.overlay)):
                _write_content(self.out / path, content)
            if self._regions is not None and image.regions is not None:
                self._regions.add(image.regions, image.source, image.size, name)
        self.entries.append(entry)
        boxes = [region.box for region in (image.regions or [])[:SHOWN_BOXES]]
        shown = {"photo_uri": image.photo_uri, "overlay_uri": image.overlay_uri, "boxes": boxes}
        self._cards.write(pages.embedded(asdict(entry) | shown) + "\n")

    @property
    def warnings(self) -> list[str]:
        """Those of the run, and what the scores themselves say."""
        return [*self._warnings, *score_warnings([entry.score for entry in self.entries])]

    def add_failure(self, source: str, message: str) -> None:
        """Note an image that has no score, and why."""
        while self._waiting:  # the table keeps the order
            self._write_next()
        self.failures.append({"source": source, "message": message})
        self._write_row(source=source, error=message)

    def close(self, stopped_by: str = "") -> None:
        """Finish the table, and write the JSON and the page, which name the exception that ended the run early."""
        with self._until_closed, self._table, self._cards:
            try:
                while self._waiting:
                    self._write_next()
                self._volumes.finish()
            finally:
                self._finish(stopped_by)

    def _finish(self, stopped_by: str) -> None:
        run = asdict(self.run) | {"stopped_by": stopped_by}
        predictions = [asdict(entry) for entry in self.entries]
        notes = {"run": run, "warnings": self.warnings, "failures": self.failures, "ignored": self._ignored}
        listing = json.dumps(notes | {"predictions": predictions}, indent=2) + "\n"
        write_atomically(self.out / "predictions.json", listing.encode())
        if self._regions is not None:
            self._regions.finish()
        with replacing(self.out / "report.html") as temporary, temporary.open("w", encoding="utf-8") as page:
            page.writelines(self._page(notes))

    def _page(self, notes: Mapping[str, object]) -> Iterator[str]:
        """The page in pieces: the cards of a long run are more than memory should hold."""
        caveat = pages.caveat(self.run.backbone, self.run.weights)
        about = pages.embedded({**notes, "caveat": caveat, "scale": ANCHORS})
        self._cards.seek(0)
        return pages.streamed("predictions.html", about=about, cards=map(Markup, self._cards))

    def _write_row(self, **values: str) -> None:
        self._table.write(spreadsheets.line(values.get(column, "") for column in COLUMNS))
        self._table.flush()

    @contextmanager
    def _listed(self, row: dict[str, str]) -> Iterator[None]:
        """Around the writing of an image's files: its line is there first, and both go again where it fails."""
        end = (self.out / TABLE).stat().st_size
        self._write_row(**row)
        try:
            yield
        except Exception:
            labelme = f"{region_files.FOLDER}/{Path(row['map']).stem}.json"
            for name in (row["map"], row["overlay"], labelme):  # the next run would not know whose they are
                (self.out / name).unlink(missing_ok=True)
            os.truncate(self.out / TABLE, end)
            raise


def _write_content(path: Path, content: bytes | LargePrediction) -> None:
    if isinstance(content, bytes):
        write_atomically(path, content)
        return
    content.map_file.seek(0)
    with replacing(path) as staged, staged.open("wb") as file:
        shutil.copyfileobj(content.map_file, file)


def _row(entry: ReportEntry) -> dict[str, str]:
    """The line of an image in the table."""
    return {
        "source": entry.source,
        "class_name": entry.class_name,
        "score": f"{entry.score:.6f}",
        "threshold": _cell(entry.threshold),
        "is_anomalous": _cell(entry.is_anomalous),
        "p_value": _cell(entry.p_value),
        "pixel_threshold": _cell(entry.pixel_threshold),
        "rows": str(entry.rows),
        "cols": str(entry.cols),
        "map": entry.map,
        "overlay": entry.overlay,
        "regions": "" if entry.regions is None else str(entry.regions),
        "volume": entry.volume,
        "notes": "; ".join(entry.notes),
    }


def _cell(value: float | bool | None) -> str:
    """A number or a truth value of the table; empty where there is none.

    >>> _cell(0.5), _cell(True), _cell(None)
    ('0.5', 'true', '')
    """
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else f"{value:.9g}"


def check_overlay(overlay: Overlay, pixel_threshold: float | None) -> None:
    """Check that there are regions to outline.

    Raises:
        ConfigError: there is no threshold for pixels.
    """
    if overlay == "outline" and pixel_threshold is None:
        remedy = "give --pixel-threshold, calibrate the detector (zsad calibrate), or choose --overlay heat"
        raise ConfigError("outlines need a threshold for pixels", "none", remedy)
