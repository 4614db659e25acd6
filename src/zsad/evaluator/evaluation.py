"""``zsad.evaluate``: one detector on labelled data by one protocol."""

import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from zsad import memory_bank
from zsad.data.specification import DataSet, Split, each
from zsad.errors import ConfigError
from zsad.evaluator.checks import (
    check_few_shot,
    check_fitted,
    check_shots,
    data_warnings,
    leakage_warnings,
    refuse_seen,
    seen_in_training,
    shots_warnings,
)
from zsad.evaluator.class_evaluator import ClassTask, Progress, Watch, evaluate_class
from zsad.evaluator.further import means as further_means
from zsad.evaluator.plan import PlannedClass, PlannedSet, begin, plan
from zsad.evaluator.saved_maps import MapFiles, SavedMaps
from zsad.files import unique_name
from zsad.loading import load
from zsad.locks import alone
from zsad.methods import Method
from zsad.predictor import Detector
from zsad.reports import evaluation as page
from zsad.results import store
from zsad.results.schema import FURTHER, DataSetResult, DetectorInfo, Evaluation, Protocol, setting_of
from zsad.side_by_side import groups, share_backbones
from zsad.statistics.intervals import means


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
    return _evaluated([_Run(files.matched(planned), Path(out))], planned, protocol, request)[0]


def folders_of(detectors: Sequence[Detector], out: Path) -> dict[Path, Detector]:
    """A folder for each detector, of its name, below another one."""
    taken = set[str]()
    return {out / unique_name(detector.name, taken, "detector"): detector for detector in detectors}


def ignore(_: Progress) -> None:
    """The callback where none is given."""


@dataclass(frozen=True)
class Request:
    """What is asked for besides the protocol, see :func:`evaluate`."""

    classes: Sequence[str] | None = None
    allow_training_data: bool = False
    overwrite: bool = False
    command: str = ""
    watch: Watch = ignore


def _loaded(detector: Detector | str | os.PathLike[str] | type[Method]) -> Detector:
    return detector if isinstance(detector, Detector) else load(detector)


def evaluate_into(
    detectors: Mapping[Path, Detector],
    data: str | DataSet | Sequence[str | DataSet],
    protocol: Protocol,
    request: Request,
) -> list[Evaluation]:
    """Evaluate detectors, each into its folder; those that can share the pass over an image do.

    Args and raises as :func:`evaluate`.
    """
    for detector in detectors.values():
        (check_few_shot if protocol.shots else check_fitted)(detector)
    planned = plan(each(data), protocol, request.classes)
    for detector in detectors.values() if not request.allow_training_data else ():
        refuse_seen(planned, detector.training_record)
    check_shots(planned)
    return _evaluated([_Run(detector, out) for out, detector in detectors.items()], planned, protocol, request)


def _evaluated(
    runs: "Sequence[_Run]", planned: Sequence[PlannedSet], protocol: Protocol, request: Request
) -> list[Evaluation]:
    """What is planned and checked, done."""
    with ExitStack() as locks:
        for run in runs:
            locks.enter_context(alone(run.out, f"{store.CLASSES}/*/*", f"{store.CLASSES}/*/*/{store.WORST}"))
        for run in runs:
            run.begin(protocol, planned, request.overwrite)
        if len(runs) > 1:
            share_backbones([run.detector for run in runs if isinstance(run.detector, Detector)])
        for planned_class in (planned_class for planned_set in planned for planned_class in planned_set.classes):
            _score(runs, planned_class, protocol, request.watch)
        return [run.finish(protocol, planned, request.command) for run in runs]


@dataclass(frozen=True)
class _Run:
    """A detector, or maps of one, and the folder of its evaluation."""

    detector: Detector | SavedMaps
    out: Path

    @property
    def info(self) -> DetectorInfo:
        """The detector as results name it."""
        return self.detector.info() if isinstance(self.detector, SavedMaps) else detector_info(self.detector)

    @property
    def is_trained(self) -> bool:
        """Whether something of it is learnt by training, as far as is known."""
        judge = self.detector
        return isinstance(judge, Detector) and any(parameter.requires_grad for parameter in judge.method.parameters())

    def begin(self, protocol: Protocol, planned: Sequence[PlannedSet], overwrite: bool) -> None:
        """Make the folder that of this evaluation."""
        begin(self.out, self.info, self.detector.training_record.images, protocol, planned, overwrite)

    def task(self, planned: PlannedClass) -> ClassTask:
        """A class as this detector scores it."""
        return ClassTask(
            self.detector, self.out / planned.folder, seen_in_training(planned, self.detector.training_record)
        )

    def finish(self, protocol: Protocol, planned: Sequence[PlannedSet], command: str) -> Evaluation:
        """The evaluation, from the classes that are written; it is written, too."""
        info = self.info
        data_sets = tuple(self._data_set(planned_set, protocol) for planned_set in planned)
        results = [result for data_set in data_sets for result in data_set.classes]
        evaluation = Evaluation(
            detector=replace(info, setting=setting_of(info, protocol, results)),
            protocol=protocol,
            data_sets=data_sets,
            version=version("zsad"),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=machine(self.detector.runtime.device),
            command=command,
        )
        page.write(evaluation, self.out)
        store.write(evaluation, self.out)
        return evaluation

    def _data_set(self, planned: PlannedSet, protocol: Protocol) -> DataSetResult:
        detector, folders = self.detector, [self.out / planned_class.folder for planned_class in planned.classes]
        results = [store.read_class(folder) for folder in folders]
        warnings = [
            *detector.memory_warnings(*(planned_class.prompt for planned_class in planned.classes)),
            *leakage_warnings(planned, detector.training_record, self.is_trained),
            *shots_warnings(planned),
            *data_warnings(planned, results, protocol),
        ]
        averages = means(results, [store.read_draws(folder) for folder in folders], protocol.confidence)
        besides = further_means({result.class_name: result.further for result in results})
        return DataSetResult(planned.data.name, planned.data.layout, tuple(results), averages, tuple(warnings), besides)


def _score(runs: Sequence[_Run], planned: PlannedClass, protocol: Protocol, watch: Watch) -> None:
    """Score a class with all detectors that have not done so before."""
    left = [run for run in runs if not store.is_done(run.out / planned.folder)]
    if not left:
        count = len(planned.items)
        watch(Progress(planned.data_set, planned.name, count, count))
    detectors = [run.detector for run in left if isinstance(run.detector, Detector)]
    alone_each = planned.shots or len(detectors) < len(left)
    together = [[index] for index in range(len(left))] if alone_each else groups(detectors, len(planned.items))
    for indices in together:
        evaluate_class([left[index].task(planned) for index in indices], planned, protocol, watch)


def several_names(metrics: Sequence[str]) -> tuple[str, ...]:
    """Names of further metrics, each once, in the order of tables; unknown ones come last."""
    known = [name for name in FURTHER if name in metrics]
    return (*known, *dict.fromkeys(name for name in metrics if name not in FURTHER))


def machine(device: str) -> str:
    """The device and the software that a detector runs on, in words."""
    if torch.device(device).type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = f"{platform.machine()}, {torch.get_num_threads()} of {os.cpu_count()} threads"
    return f"{name}, {platform.system()}, Python {platform.python_version()}, PyTorch {torch.__version__}"


def detector_info(detector: Detector) -> DetectorInfo:
    """The detector as results name it: method, backbone, training, and memory bank."""
    card, clip = detector.card, detector.method.clip
    training = detector.training_record.training
    return DetectorInfo(
        name=detector.name,
        method=card.method,
        options=card.options,
        backbone=clip.name,
        weights=clip.weights,
        image_size=detector.image_size,
        precision=detector.runtime.precision,
        device=detector.runtime.device,
        fingerprint=fingerprint(detector),
        trained_on=training.get("classes", {}),
        seed=training.get("seed"),
        epochs=training.get("epochs_done"),
        remembers=memory_bank.class_counts(detector.method, detector.training_record),
        memory=memory_bank.size(detector.method),
        unlabelled=memory_bank.unlabelled_count(detector.method, detector.training_record),
    )


def fingerprint(detector: Detector) -> str:
    """Content hash of all that decides the answers: method and its configuration, size, backbone, trained tensors."""
    return detector.fingerprint
