"""``zsad.load`` and ``Detector``: from images to predictions."""

import hashlib
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from jaxtyping import Float32
from PIL import Image
from torch import Tensor

from zsad import calibrator, checkpoint, memory_bank, methods
from zsad.arguments import LoadArguments, check_detector, check_folder, plain, several
from zsad.backbones import weights as backbone_weights
from zsad.backbones.config import EMBEDDED, FORMER, Activation, PositionResize, absolute_weights, image_size_for
from zsad.calibration import Calibration, Criterion, Decision, calibration_warnings, decision
from zsad.config import from_mapping
from zsad.data.decode import Source, decode
from zsad.data.preprocess import to_batch
from zsad.errors import ConfigError, DependencyError, InputError, WeightsError, ZsadWarning
from zsad.files import content_hash
from zsad.folder_pass import FirstPass, Progress, ScoredFolder, chunks
from zsad.methods._base import Config, Method
from zsad.methods._few_shot import FewShot
from zsad.methods._transductive import TransductiveMethod
from zsad.parts.maps import resize
from zsad.parts.prompts import check_class_name
from zsad.runtime import Precision, RuntimeConfig, without_tf32
from zsad.scoring import anomaly_maps
from zsad.tensors.reading import check_finite
from zsad.threads import readers
from zsad.types import DecodedImage, Evidence, Failure, ImageBatch, Prediction, Size

DEFAULT_DETECTOR = "auto"
SETTINGS = ("activation", "position_resize")
"""Settings of a backbone that its tensors do not determine."""


class Detector:
    """A method on a backbone, ready to predict. Made by :func:`load`.

    Attributes:
        image_size: side in px at which the method runs.
        runtime: device, precision and batch size.
        name: for tables: that of the folder it was loaded from, or of the method.
        training_record: the images that it was trained on, those in its memory bank, and its calibration.
        explanation: what judged the images of the last run, and why, in a sentence; empty where the method is all
            there is to say.
        scored_together: whether the images of the last run were scored by one another.
    """

    def __init__(
        self,
        card: checkpoint.Card,
        method: Method,
        runtime: RuntimeConfig | None = None,
        training_record: checkpoint.TrainingRecord | None = None,
        name: str | None = None,
    ) -> None:
        self.card, self.runtime = card, (runtime or RuntimeConfig()).resolved()
        self.explanation, self.scored_together = "", False
        self._given_pixel_threshold: float | None = None
        self.image_size = image_size_for(method.clip.name, card.image_size, method.clip.config)
        self.training_record, self.name = training_record or checkpoint.TrainingRecord(), name or card.method
        self.method = method.to(self.runtime.device, self.runtime.dtype).eval()
        if self.runtime.precision != "fp32":
            check_finite(self.method.state_dict(), f"{self.name} in {self.runtime.precision}", "run it in fp32")

    @property
    def calibration(self) -> Calibration | None:
        """The thresholds that :meth:`calibrate` found, and on what; None where it is not calibrated."""
        return self.training_record.calibration

    @property
    def threshold(self) -> float | None:
        """Score in [0, 1] from which an image counts as anomalous: as given, or calibrated; None without either."""
        if self.card.threshold is not None:
            return self.card.threshold
        return self.calibration.threshold if self.calibration else None

    @property
    def pixel_threshold(self) -> float | None:
        """Anomaly in [0, 1] from which a pixel counts as anomalous, for regions; as :attr:`threshold`. May be set."""
        if self._given_pixel_threshold is not None:
            return self._given_pixel_threshold
        return self.calibration.pixel_threshold if self.calibration else None

    @pixel_threshold.setter
    def pixel_threshold(self, value: float | None) -> None:
        self._given_pixel_threshold = value

    @property
    def fingerprint(self) -> str:
        """Content hash of all that decides scores and maps: method, configuration, size, backbone, trained tensors."""
        return checkpoint.state_fingerprint(self.card.method, self.method, self.image_size, self.runtime.precision)

    def decision(self, class_name: str) -> Decision:
        """How images of a class are decided: its thresholds and calibration, if there are any."""
        found = decision(self.card.threshold, self.calibration, class_name)
        given = self._given_pixel_threshold
        return found if given is None else replace(found, pixel_threshold=given)

    def calibration_warnings(self, class_name: str) -> list[str]:
        """Warnings about deciding on images of a class, in full sentences; mostly none."""
        return calibration_warnings(self.card.threshold, self.calibration, class_name)

    @overload
    def predict(self, images: Source, class_name: str = "object") -> Prediction: ...

    @overload
    def predict(self, images: list[Source], class_name: str = "object") -> list[Prediction]: ...

    def predict(self, images: Source | list[Source], class_name: str = "object") -> Prediction | list[Prediction]:
        """Score one image, or a list of images.

        A method that is transductive, such as ``musc``, scores the images of a list by one another.

        Args:
            images: path, file content, PIL image or array (rows × cols, grey or RGB or RGBA), or a list of these.
            class_name: what the images show, in plain English.

        Raises:
            InputError: an image cannot be read, or its score is not finite, the message names it; or the method needs
                several images.
            ConfigError: the class name is not text on one line.
        """
        check_class_name(class_name)
        if isinstance(images, str | os.PathLike | bytes | Image.Image | np.ndarray):
            return self.predict([images], class_name)[0]
        decoded = [decode(image, _name(image, number)) for number, image in enumerate(several(images))]
        folder = self._scored_folder(len(decoded), decoded.__getitem__, class_name)
        return [_scored(result) for _, result in self._batches(dict(enumerate(decoded)), class_name, None, folder)]

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write card, trained tensors and the training record into a folder that ``zsad.load`` and ``--detector`` take.

        Raises:
            ConfigError: no folder is named; the detector was loaded in another precision than fp32, which rounded its
                trained tensors; or another process writes into the folder.
            InputError: the folder cannot be written, or has files of these names that are not a detector's.
        """
        if self.runtime.precision != "fp32" and checkpoint.trained_state(self.method):
            raise ConfigError(
                "a detector is saved in fp32, as it was trained", self.runtime.precision, "load it in fp32"
            )
        checkpoint.write(self.card, self.method, self.training_record, check_folder(folder))

    @torch.inference_mode(False)
    @torch.no_grad()
    def fit_normal(self, images: Sequence[Source], class_name: str = "") -> None:
        """Add normal images to the memory bank: the few-shot mode of methods that have one.

        The content hashes of images given as files, or as the content of files, go into the training record: they are
        refused as test images of this detector. Its calibration, if it has one, is dropped with a warning.

        Args:
            images: normal ones, as :meth:`predict` takes them.
            class_name: what they show, in plain English; :meth:`memory_warnings` says where another class is compared
                with them.

        Raises:
            ConfigError: the method has no few-shot mode, the detector is not in fp32, there is no image, or the class
                name is not text on one line.
            InputError: an image cannot be read; the message names it. The memory bank stays as it was.
        """
        self._fit(images, class_name, self.few_shot().fit_normal, is_normal=True)

    @torch.inference_mode(False)
    @torch.no_grad()
    def fit_unlabelled(self, images: Sequence[Source], class_name: str = "") -> None:
        """Add images to the memory bank of which nobody knows whether they are normal, as :meth:`fit_normal` does.

        Args:
            images, class_name: as of :meth:`fit_normal`.

        Raises:
            ConfigError, InputError: as :meth:`fit_normal`; or the method compares with normal images only.
        """
        method = memory_bank.takes_unlabelled(self.few_shot(), self.card.method)
        self._fit(images, class_name, method.fit_unlabelled, is_normal=False)

    def _fit(
        self, images: Sequence[Source], class_name: str, add: Callable[[Tensor], None], *, is_normal: bool
    ) -> None:
        if class_name:
            check_class_name(class_name)
        if not (images := several(images)):
            raise ConfigError("a few-shot detector sees at least one normal image", "none", "name some")
        hashes = [_content_hash(image) or "" for image in images]
        decoded = (decode(image, _name(image, number)) for number, image in enumerate(images))
        batches = (self._pixels(chunk).pixels for chunk in chunks(decoded, self.runtime.batch_size))
        patches = memory_bank.fit(self.few_shot(), batches, add)
        memory = [
            checkpoint.RememberedImage(class_name.strip(), content, count, is_normal)
            for content, count in zip(hashes, patches, strict=True)
        ]
        record = self.training_record
        known = dict.fromkeys([*record.images, *filter(None, hashes)])
        self.training_record = calibrator.without_calibration(
            replace(record, images=tuple(known), memory=(*record.memory, *memory))
        )

    def calibrate(
        self,
        normal: Sequence[Source],
        abnormal: Sequence[Source] = (),
        class_name: str = "object",
        *,
        criterion: Criterion = "fpr",
        target: float | None = None,
        progress: Progress | None = None,
    ) -> Calibration:
        """Choose thresholds on images of known state; predictions then carry a decision and a p-value.

        Images that the memory bank holds are compared with the others in it. Copies count once. The content hashes of
        all images that are files are kept: they are refused as test images of this detector. A threshold that was given
        before is dropped.

        Args:
            normal: images as :meth:`predict` takes them; for a false-positive rate of 5 % at least 19.
            abnormal: the same of anomalous ones; all criteria but ``"fpr"`` need some.
            class_name: what they show, in plain English; the calibration is for images of this class.
            criterion: ``"fpr"`` a false-positive rate that holds of new normal images
                (:func:`zsad.calibration.conformal_threshold`); ``"tpr"`` a share of the anomalous images; ``"f1"`` or
                ``"youden"``, where F1 or TPR - FPR is highest.
            target: the rate, for the first two; a false-positive rate is 0.05 where none is given.
            progress: called with the number of images that are done.

        Raises:
            ConfigError: the criterion does not exist, the rate does not fit it, the class name is not text on one line,
                or the method scores images by one another.
            InputError: there are too few images, an image cannot be read, is of both states, or was trained on, or
                nothing is left of the memory bank without an image. Thresholds stay as they were.
        """
        check_class_name(class_name)
        images = [
            calibrator.CalibrationImage(
                image, _name(image, number) or str(image), _content_hash(image) or "", is_anomalous
            )
            for sources, is_anomalous in ((normal, False), (abnormal, True))
            for number, image in enumerate(several(sources))
        ]
        request = calibrator.Request(criterion, target, class_name.strip(), self.runtime.batch_size, progress)
        found = calibrator.calibrate(
            images, lambda batch: self.predict(batch, class_name), self.method, self.training_record, request
        )
        found = replace(found, detector=self.fingerprint)
        self.card = replace(self.card, threshold=None)
        self.training_record = replace(self.training_record, calibration=found)
        return found

    @contextmanager
    def temporary_memory(self, images: Sequence[Source], class_name: str = "") -> Iterator[None]:
        """Fit to normal images for the duration of a ``with`` block; afterwards the detector is as it was before.

        Args and raises as :meth:`fit_normal`.
        """
        method, training_record = self.few_shot(), self.training_record
        banks = {name: bank.copy() for name, bank in method.banks().items()}
        self.training_record = replace(training_record, calibration=None)
        try:
            self.fit_normal(images, class_name)
            yield
        finally:
            memory_bank.restore(method, banks)
            self.training_record = training_record

    def few_shot(self) -> FewShot:
        """The method, if this detector has a few-shot mode.

        Raises:
            ConfigError: it has no few-shot mode, or the detector is not in fp32.
        """
        method = memory_bank.few_shot(self.method, self.card.method)
        if self.runtime.precision != "fp32":
            raise ConfigError("a detector is fitted to normal images in fp32", self.runtime.precision, "say fp32")
        return method

    @property
    def memory_summary(self) -> str:
        """Images and patches of the memory bank, in words; empty where there are none."""
        return memory_bank.described(self.method, self.training_record)

    def memory_warnings(self, *class_names: str) -> list[str]:
        """Warnings about scoring images of these classes with the memory bank, in full sentences; often none."""
        return memory_bank.warnings(self.method, self.training_record, class_names)

    def _pixels(self, images: Sequence[DecodedImage]) -> ImageBatch:
        """The batch as the method takes it, on its device and in its precision."""
        size, config = (self.image_size, self.image_size), self.method.clip.config
        batch = to_batch(images, size, config.mean, config.std)
        return replace(batch, pixels=batch.pixels.to(self.runtime.device, self.runtime.dtype))

    def stream(
        self,
        sources: Sequence[str | os.PathLike[str]],
        class_name: str = "object",
        size: Size | None = None,
        progress: Progress | None = None,
    ) -> Iterator[tuple[DecodedImage, Prediction] | Failure]:
        """Score files batch by batch, in order; a file without a score gives a :class:`Failure`, and the rest goes on.

        A method that scores images by one another reads all of them before the first is answered, and reads each again
        for its answer; a file that changed in between gives a failure. Memory does not grow with the number of files.

        Args:
            sources: paths.
            class_name: what they show, in plain English.
            size: (rows, cols) of all maps; by default each has the size of its image.
            progress: called with the number of files that were read before the first answer; never where files are
                scored one by one.

        Raises:
            ConfigError: the class name is not text on one line.
            InputError: the method needs several images, and fewer are there or can be read.
        """
        check_class_name(class_name)
        paths = several(sources)
        folder = self._scored_folder(len(paths), lambda index: _read(paths[index]), class_name, progress)
        with readers(1) as reader:
            pending: list[Future[list[tuple[int, DecodedImage | Failure]]]] = []
            for batch in chunks(enumerate(paths), self.runtime.batch_size):
                pending.append(reader.submit(_read_batch, batch))
                if len(pending) > 1:
                    yield from self._results(pending.pop(0).result(), class_name, size, folder)
            for future in pending:
                yield from self._results(future.result(), class_name, size, folder)

    @torch.inference_mode()
    def _scored_folder(
        self,
        count: int,
        read: Callable[[int], DecodedImage | Failure],
        class_name: str,
        progress: Progress | None = None,
    ) -> ScoredFolder | None:
        """The images scored by one another, where the method does that; sets the explanation."""
        method, self.explanation, self.scored_together = self.method, "", False
        if not isinstance(method, TransductiveMethod) or not count:
            return None
        if not method.scores_folder(count):
            self.explanation = method.explain(count)
            return None
        first_pass = FirstPass(read, lambda batch: self._pixels(batch).pixels, self.runtime.batch_size, progress)
        with without_tf32():
            folder = ScoredFolder(method.score_folder(first_pass.load, count, class_name), first_pass)
        self.explanation, self.scored_together = folder.explanation, True
        return folder

    def _results(
        self,
        read: list[tuple[int, DecodedImage | Failure]],
        class_name: str,
        size: Size | None,
        folder: ScoredFolder | None,
    ) -> Iterator[tuple[DecodedImage, Prediction] | Failure]:
        items = dict(read) if folder is None else {index: folder.checked(index, item) for index, item in read}
        images = {index: item for index, item in items.items() if isinstance(item, DecodedImage)}
        results = self._batches(images, class_name, size, folder)
        for item in items.values():
            yield item if isinstance(item, Failure) else _with_failures(*next(results))

    def _batches(
        self, images: dict[int, DecodedImage], class_name: str, size: Size | None, folder: ScoredFolder | None
    ) -> Iterator[tuple[DecodedImage, Prediction | InputError]]:
        for batch in chunks(images.items(), self.runtime.batch_size):
            decoded = [image for _, image in batch]
            indices = [index for index, _ in batch]
            evidence = self._evidence(decoded, class_name) if folder is None else folder.evidence(indices)
            yield from zip(decoded, self._predictions(decoded, evidence, class_name, size), strict=True)

    @torch.inference_mode()
    def _evidence(self, images: Sequence[DecodedImage], class_name: str) -> Evidence:
        with without_tf32():
            evidence: Evidence = self.method(self._pixels(images).pixels, [class_name] * len(images))
        return evidence

    @torch.inference_mode()
    def _predictions(
        self, images: Sequence[DecodedImage], evidence: Evidence, class_name: str, size: Size | None
    ) -> list[Prediction | InputError]:
        maps = anomaly_maps(evidence, (self.image_size, self.image_size), self.method.config)
        decided = self.decision(class_name)
        return [
            _prediction(
                image.source, class_name, float(score), decided, resize(anomaly_map[None], size or image.size)[0]
            )
            for image, score, anomaly_map in zip(images, evidence.score, maps, strict=True)
        ]


def load(
    detector: str | os.PathLike[str] | type[Method] = DEFAULT_DETECTOR,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    image_size: int | None = None,
    threshold: float | None = None,
    device: str = "auto",
    precision: Precision = "fp32",
    batch_size: int = 1,
    runtime: RuntimeConfig | None = None,
    activation: Activation | None = None,
    position_resize: PositionResize | None = None,
    options: dict[str, Any] | None = None,
) -> Detector:
    """Load a detector.

    Args:
        detector: name of a method (``zsad methods`` lists them), its class, or the folder of a saved detector, whose
            card then says what is not given below. Of methods that are trained the package brings one that was trained
            on the embedded backbone; a name stands for that one where nothing of the method or its backbone is changed.
        backbone: name of an architecture (``zsad backbones``). The default, ``"tiny"``, is embedded: small and
            project-trained, for trying out and for tests; real work names a real CLIP.
        weights: a published tag, a path or a hub repository, see :func:`zsad.backbones.weights.load`.
        image_size: side in px at which the method runs, rounded down to whole patches; by default what suits the
            backbone.
        threshold: score in [0, 1] from which an image counts as anomalous; by default that of the detector or
            of its calibration. Without one, images are ranked by score, and none is called normal or anomalous.
        device: ``"auto"`` takes a GPU where there is one.
        precision: ``"fp32"`` or ``"bf16"``.
        batch_size: images that go through the tower together.
        runtime: instead of these three, as one object.
        activation, position_resize: override what the weights were trained with.
        options: fields of the method's configuration, for instance ``{"sigma": 8.0}``; each replaces the card's.

    Raises:
        ConfigError, WeightsError: a name does not exist, or values or weights do not fit.
    """
    asked: dict[str, Any] = {
        "backbone": backbone,
        "weights": os.fspath(weights) if isinstance(weights, os.PathLike) else weights,
        "image_size": image_size,
        "threshold": threshold,
        "activation": activation,
        "position_resize": position_resize,
    }
    detector = check_detector(detector)
    given = {key: plain(value) for key, value in asked.items() if value is not None}
    others = {"device": str(device), "precision": precision, "batch_size": plain(batch_size), "options": options or {}}
    from_mapping(LoadArguments, given | others, "what is loaded")
    named = checkpoint.Card(os.fspath(detector), options or {}, **given)
    folder = Path(detector) if _is_folder(detector) else _head(named)
    saved = checkpoint.read(folder) if folder else named
    card = replace(saved, **given, options=saved.options | (options or {}))
    method_type = checkpoint.method_of(card)
    config = from_mapping(method_type.config_type, card.options, f"the options of {card.method}")
    image_size_for(card.backbone, card.image_size)  # what does not fit is said before the weights are read
    runtime = (runtime or RuntimeConfig(str(device), precision, int(plain(batch_size)))).resolved()
    method = _on_its_backbone(method_type, config, card)
    # Tensors that were trained on a backbone do not fit it under other settings, which are then a mistake.
    swaps = {"backbone", "weights"} if checkpoint.trained_state(method) else {"backbone", "weights", *SETTINGS}
    another = _is_folder(detector) and given.keys() & swaps
    if card.fingerprint not in (None, method.fingerprint) and not another:
        former = _on_former_weights(method_type, config, card)
        if former is None:
            raise _of_another_backbone(detector, given, method.clip.weights)
        _say_former(detector, card.backbone, former.clip.name)
        method, card = former, replace(card, backbone=former.clip.name)
    if folder:
        checkpoint.load_trained_state(method, folder)
    elif any(parameter.requires_grad for parameter in method.parameters()):
        raise checkpoint.untrained(named)
    kept = replace(card, fingerprint=method.fingerprint, weights=absolute_weights(card.weights, card.backbone))
    if not folder:
        return Detector(kept, method, runtime)
    loaded = Detector(kept, method, runtime, checkpoint.read_training_record(folder), folder.resolve().name)
    if loaded.calibration:
        loaded.training_record = calibrator.of_this_state(loaded.training_record, loaded.fingerprint, loaded.name)
    return loaded


def _on_its_backbone(method_type: type[Method], config: Config, card: checkpoint.Card) -> Method:
    """The method of a card on the backbone that the card names, without trained tensors."""
    clip = backbone_weights.load(
        card.backbone, card.weights, activation=card.activation, position_resize=card.position_resize
    )
    return method_type(clip, config)


def _on_former_weights(method_type: type[Method], config: Config, card: checkpoint.Card) -> Method | None:
    """The method on the weights that were embedded under the name of its backbone; None for one saved on others."""
    name = FORMER.get(card.backbone)
    if name is None or card.weights not in (None, EMBEDDED):
        return None
    method = _on_its_backbone(method_type, config, replace(card, backbone=name))
    return method if method.fingerprint == card.fingerprint else None


def _say_former(detector: str | os.PathLike[str], backbone: str, former: str) -> None:
    text = (
        f"{detector} was saved on the weights that {backbone} had in version 0.1.0: it runs on them as {former}, "
        f"for research and tests."
    )
    warnings.warn(text, ZsadWarning, stacklevel=3)


def _of_another_backbone(detector: str | os.PathLike[str], given: dict[str, Any], weights: str) -> WeightsError:
    settings = " and ".join(f"{key} {given[key]}" for key in SETTINGS if key in given)
    remedy = "restore the weights, or name the backbone to say that another one is meant"
    if not _is_folder(detector):
        remedy = "install zsad again: its files are not of one version"
    elif settings:
        remedy = "leave them as they were in training, train anew with them, or name the backbone as well"
    return WeightsError(
        f"the backbone of {detector} must be the one that it was saved with",
        settings or f"other weights or settings ({weights})",
        remedy,
    )


def _head(named: checkpoint.Card) -> Path | None:
    """The trained detector that the package brings for a method that is given by name; None where there is none."""
    return checkpoint.fitting_head(named) if named.method in methods.names() else None


def _is_folder(detector: str | os.PathLike[str]) -> bool:
    """Whether it is a path: the name of a method always means the method, and ``./clip`` the folder of that name."""
    path = Path(detector)
    is_method = isinstance(detector, str) and detector in methods.names()
    return not is_method and (len(path.parts) > 1 or os.path.isdir(path))


def _prediction(
    source: str, class_name: str, score: float, decided: Decision, anomaly_map: Float32[Tensor, "rows cols"]
) -> Prediction | InputError:
    """The prediction for an image, or the error where its score is not finite."""
    try:
        return Prediction(
            source,
            class_name,
            score,
            decided.threshold,
            anomaly_map.numpy(),
            decided.p_value(score) if math.isfinite(score) else None,
            decided.pixel_threshold,
        )
    except InputError as error:
        return error


def _scored(result: Prediction | InputError) -> Prediction:
    if isinstance(result, InputError):
        raise result
    return result


def _with_failures(image: DecodedImage, result: Prediction | InputError) -> tuple[DecodedImage, Prediction] | Failure:
    return Failure(image.source, str(result)) if isinstance(result, InputError) else (image, result)


def _name(image: Source, number: int) -> str | None:
    return None if isinstance(image, str | os.PathLike) else f"image {number}"


def _content_hash(image: Source) -> str | None:
    """SHA-256 of the file; None for pixels in memory."""
    if isinstance(image, bytes):
        return hashlib.sha256(image).hexdigest()
    return content_hash(Path(image)) if isinstance(image, str | os.PathLike) else None


def _read_batch(
    batch: Sequence[tuple[int, str | os.PathLike[str]]],
) -> list[tuple[int, DecodedImage | Failure]]:
    return [(index, _read(path)) for index, path in batch]


def _read(path: str | os.PathLike[str]) -> DecodedImage | Failure:
    try:
        return decode(path)
    except (InputError, DependencyError) as error:
        return Failure(os.fspath(path), str(error))
