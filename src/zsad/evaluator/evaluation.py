"""``zsad.evaluate``: one detector on labelled data by one protocol."""

import os
import platform
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from zsad import memory_bank
from zsad.data.specification import DataSet, Split, each
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
from zsad.evaluator.class_evaluator import Progress, Watch, evaluate_class
from zsad.evaluator.further import means as further_means
from zsad.evaluator.plan import PlannedSet, begin, plan
from zsad.loading import load
from zsad.locks import alone
from zsad.methods import Method
from zsad.predictor import Detector
from zsad.reports import evaluation as page
from zsad.results import store
from zsad.results.schema import FURTHER, DataSetResult, DetectorInfo, Evaluation, Protocol, setting_of
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
    loaded = detector if isinstance(detector, Detector) else load(detector)
    if shots:
        check_few_shot(loaded)
    else:
        check_fitted(loaded)
    planned = plan(each(data), protocol, classes)
    if not allow_training_data:
        refuse_seen(planned, loaded.training_record)
    check_shots(planned)
    info, folder = detector_info(loaded), Path(out)
    with alone(folder, f"{store.CLASSES}/*/*", f"{store.CLASSES}/*/*/{store.WORST}"):
        begin(folder, info, loaded.training_record.images, protocol, planned, overwrite)
        data_sets = tuple(_data_set(loaded, data_set, protocol, folder, watch or _ignore) for data_set in planned)
        results = [result for data_set in data_sets for result in data_set.classes]
        evaluation = Evaluation(
            detector=replace(info, setting=setting_of(info, protocol, results)),
            protocol=protocol,
            data_sets=data_sets,
            version=version("zsad"),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=machine(loaded.runtime.device),
            command=command,
        )
        page.write(evaluation, folder)
        store.write(evaluation, folder)
    return evaluation


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


def _data_set(detector: Detector, planned: PlannedSet, protocol: Protocol, out: Path, watch: Watch) -> DataSetResult:
    results, folders = [], [out / planned_class.folder for planned_class in planned.classes]
    for planned_class, folder in zip(planned.classes, folders, strict=True):
        if store.is_done(folder):
            result = store.read_class(folder)
            watch(
                Progress(planned_class.data_set, planned_class.name, len(planned_class.items), len(planned_class.items))
            )
        else:
            seen = seen_in_training(planned_class, detector.training_record)
            result = evaluate_class(detector, planned_class, protocol, folder, seen, watch)
        results.append(result)
    is_trained = any(parameter.requires_grad for parameter in detector.method.parameters())
    warnings = [
        *detector.memory_warnings(*(planned_class.prompt for planned_class in planned.classes)),
        *leakage_warnings(planned, detector.training_record, is_trained),
        *shots_warnings(planned),
        *data_warnings(planned, results, protocol),
    ]
    averages = means(results, [store.read_draws(folder) for folder in folders], protocol.confidence)
    besides = further_means({result.class_name: result.further for result in results})
    return DataSetResult(planned.data.name, planned.data.layout, tuple(results), averages, tuple(warnings), besides)


def _ignore(_: Progress) -> None:
    """The callback where none is given."""


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
