"""Detectors that are evaluated on planned data, each into its folder."""

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
from zsad.data.specification import DataSet, each
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
from zsad.evaluator.saved_maps import SavedMaps
from zsad.locks import alone
from zsad.predictor import Detector
from zsad.reports import evaluation as page
from zsad.results import store
from zsad.results.schema import DataSetResult, DetectorInfo, Evaluation, Protocol, setting_of
from zsad.side_by_side import groups, share_backbones
from zsad.statistics.intervals import means


def ignore(_: Progress) -> None:
    """The callback where none is given."""


@dataclass(frozen=True)
class Request:
    """What is asked for besides the protocol, see :func:`zsad.evaluate`."""

    classes: Sequence[str] | None = None
    allow_training_data: bool = False
    overwrite: bool = False
    command: str = ""
    watch: Watch = ignore


def evaluate_into(
    detectors: Mapping[Path, Detector],
    data: str | DataSet | Sequence[str | DataSet],
    protocol: Protocol,
    request: Request,
) -> list[Evaluation]:
    """Evaluate detectors, each into its folder; those that can share the pass over an image do.

    Args and raises as :func:`zsad.evaluate`.
    """
    for detector in detectors.values():
        (check_few_shot if protocol.shots else check_fitted)(detector)
    planned = plan(each(data), protocol, request.classes)
    for detector in detectors.values() if not request.allow_training_data else ():
        refuse_seen(planned, detector.training_record)
    check_shots(planned)
    return evaluated([Run(detector, out) for out, detector in detectors.items()], planned, protocol, request)


def evaluated(
    runs: "Sequence[Run]", planned: Sequence[PlannedSet], protocol: Protocol, request: Request
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
class Run:
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


def _score(runs: Sequence[Run], planned: PlannedClass, protocol: Protocol, watch: Watch) -> None:
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
        fingerprint=detector.fingerprint,
        trained_on=training.get("classes", {}),
        seed=training.get("seed"),
        epochs=training.get("epochs_done"),
        remembers=memory_bank.class_counts(detector.method, detector.training_record),
        memory=memory_bank.size(detector.method),
        unlabelled=memory_bank.unlabelled_count(detector.method, detector.training_record),
    )
