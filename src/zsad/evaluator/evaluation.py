"""``zsad.evaluate``: one detector on labelled data by one protocol."""

import os
from collections.abc import Sequence
from pathlib import Path

from zsad.data.specification import DataSet, Split, each
from zsad.errors import ConfigError
from zsad.evaluator.class_evaluator import Watch
from zsad.evaluator.plan import plan
from zsad.evaluator.runs import Request, Run, evaluate_into, evaluated, ignore
from zsad.evaluator.saved_maps import MapFiles
from zsad.files import unique_name
from zsad.loading import load
from zsad.methods import Method
from zsad.predictor import Detector
from zsad.results.schema import FURTHER, Evaluation, Protocol


def evaluate(
    detector: Detector | str | os.PathLike[str] | type[Method],
    data: str | DataSet | Sequence[str | DataSet],
    out: str | os.PathLike[str],
    *,
    resolution: int | None = 518,
    split: Split = "test",
    classes: Sequence[str] | None = None,
    max_images: int | None = None,
    shots: int = 0,
    shots_seed: int = 0,
    confidence: float = 0.95,
    resamples: int = 1000,
    metrics: Sequence[str] = (),
    allow_training_data: bool = False,
    overwrite: bool = False,
    command: str = "",
    watch: Watch | None = None,
) -> Evaluation:
    """Evaluate a detector on labelled data; write metrics, curves, the worst images and a page.

    The same call on the same folder resumes where it was stopped: classes that are done are not done again.

    Args:
        detector: a loaded one, or what :func:`zsad.load` takes.
        data: one or more data sets, each ``LAYOUT:PATH``, ``NAME=LAYOUT:PATH`` or a :class:`zsad.data.DataSet`.
        out: folder of the evaluation; ``zsad.results.schema`` says what is in it.
        resolution, split, confidence, resamples, max_images, shots, shots_seed: the protocol, see
            :class:`zsad.results.schema.Protocol`.
        classes: the classes that are wanted; all where not given.
        metrics: further ones, see :data:`zsad.results.schema.FURTHER`; they have no intervals.
        allow_training_data: evaluate also on images that the detector was trained on or remembers; results say so.
        overwrite: replace another evaluation in ``out``; no other file is deleted or written over.
        command: what the user typed, for the record.
        watch: called before the first image of each class and after every image.

    Returns:
        What ``OUT/evaluation.json`` holds.

    Raises:
        ConfigError: something asked for does not exist or does not fit, ``out`` holds another evaluation or is
            written by another process, or a detector that is to be shown shots cannot be or remembers images already.
        InputError: data cannot be read, the detector has seen some of them, or a class has too few to show.
    """
    protocol = Protocol(resolution, split, confidence, resamples, max_images, shots, shots_seed, several_names(metrics))
    request = Request(classes, allow_training_data, overwrite, command, watch or ignore)
    return evaluate_into({Path(out): _loaded(detector)}, data, protocol, request)[0]


def evaluate_all(
    detectors: Sequence[Detector | str | os.PathLike[str] | type[Method]],
    data: str | DataSet | Sequence[str | DataSet],
    out: str | os.PathLike[str],
    protocol: Protocol | None = None,
    *,
    classes: Sequence[str] | None = None,
    allow_training_data: bool = False,
    overwrite: bool = False,
    command: str = "",
    watch: Watch | None = None,
) -> dict[str, Evaluation]:
    """Evaluate several detectors on the same labelled data; each image is read once for all of them.

    Detectors on one backbone, at one image size, share the pass over an image, unless images are scored by one another
    or shots are shown. Results are those of :func:`evaluate`, but for ``seconds``: those of the shared pass.

    Args:
        detectors: loaded ones, or what :func:`zsad.load` takes.
        data, classes, allow_training_data, overwrite, command, watch: as of :func:`evaluate`.
        out: folder in which each detector has one of its name, as :func:`evaluate` writes it.
        protocol: how they are evaluated.

    Returns:
        What the ``evaluation.json`` of each folder holds, by the name of the folder, in the order of the detectors.

    Raises:
        ConfigError, InputError: as :func:`evaluate`.
    """
    folders = folders_of([_loaded(detector) for detector in detectors], Path(out))
    request = Request(classes, allow_training_data, overwrite, command, watch or ignore)
    evaluations = evaluate_into(folders, data, protocol or Protocol(), request)
    return dict(zip((folder.name for folder in folders), evaluations, strict=True))


def evaluate_maps(
    maps: str | os.PathLike[str],
    data: str | DataSet | Sequence[str | DataSet],
    out: str | os.PathLike[str],
    protocol: Protocol | None = None,
    *,
    scores: str | os.PathLike[str] | None = None,
    classes: Sequence[str] | None = None,
    overwrite: bool = False,
    command: str = "",
    watch: Watch | None = None,
) -> Evaluation:
    """Evaluate anomaly maps that another tool made, as :func:`evaluate` does those of a detector.

    Args:
        maps: a folder with a file for each image: ``.npy``, or grey PNG or TIFF; its path is that of the image below
            the data set, apart from the suffix. Or the report of ``zsad predict``, in which case scores are its own.
        data, out, classes, overwrite, command, watch: as of :func:`evaluate`.
        protocol: how they are evaluated; without shots. Maps of another size are resized.
        scores: a CSV table with the columns ``source`` and ``score``; without it the maximum of a map is the score of
            its image.

    Raises:
        ConfigError, InputError: as :func:`evaluate`; or an image has no map or no score, or one cannot be read.
    """
    protocol = protocol or Protocol()
    if protocol.shots:
        raise ConfigError("maps are evaluated as they are", f"{protocol.shots} shots", "leave --shots out")
    files = MapFiles.read(Path(maps), None if scores is None else Path(scores))
    request = Request(classes, False, overwrite, command, watch or ignore)
    planned = plan(each(data), protocol, request.classes)
    return evaluated([Run(files.matched(planned), Path(out))], planned, protocol, request)[0]


def folders_of(detectors: Sequence[Detector], out: Path) -> dict[Path, Detector]:
    """A folder for each detector, of its name, below another one."""
    taken = set[str]()
    return {out / unique_name(detector.name, taken, "detector"): detector for detector in detectors}


def several_names(metrics: Sequence[str]) -> tuple[str, ...]:
    """Names of further metrics, each once, in the order of tables; unknown ones come last."""
    known = [name for name in FURTHER if name in metrics]
    return (*known, *dict.fromkeys(name for name in metrics if name not in FURTHER))


def _loaded(detector: Detector | str | os.PathLike[str] | type[Method]) -> Detector:
    return detector if isinstance(detector, Detector) else load(detector)
