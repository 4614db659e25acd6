"""``Detector``: from images to predictions, fitting and calibration."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zsad import calibrator, checkpoint, memory_bank
from zsad.arguments import check_folder, several
from zsad.backbones.config import image_size_for
from zsad.calibration import Calibration, Criterion
from zsad.calibration.deciding import Deciding
from zsad.config import check_class_name
from zsad.data.decode import Source, decode
from zsad.data.decoding.ranges import Range
from zsad.data.frame_names import frame_name
from zsad.data.reading import read_file
from zsad.data.series import frames
from zsad.drawing import notebook
from zsad.errors import ConfigError, InputError
from zsad.files import content_hash
from zsad.folder_pass import FirstPass, Progress, ScoredFolder, chunks
from zsad.methods._base import Method
from zsad.methods._few_shot import FewShot
from zsad.methods._transductive import TransductiveMethod
from zsad.pipeline import Pipeline, Stages
from zsad.runtime import RuntimeConfig
from zsad.tensors.reading import check_finite
from zsad.tiled_pass import TiledPipeline, tiles_of
from zsad.tiling import Tiling
from zsad.types import DecodedImage, Failure, Identity, Prediction, Size

T = TypeVar("T")


class Detector(Deciding):
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
        self.image_size = image_size_for(method.clip.name, card.image_size, method.clip.config)
        self.training_record, self.name = training_record or checkpoint.TrainingRecord(), name or card.method
        self.method = method.to(self.runtime.device, self.runtime.dtype).eval()
        if self.runtime.precision != "fp32":
            check_finite(self.method.state_dict(), f"{self.name} in {self.runtime.precision}", "run it in fp32")

    def __repr__(self) -> str:
        return f"<Detector {self.name}: {', '.join(f'{name} {value}' for name, value in self._facts()[1:5])}>"

    def _repr_html_(self) -> str:
        """For notebooks."""
        return notebook.table(f"Detector {self.name}", [(name, value) for name, value in self._facts() if value])

    def _facts(self) -> list[tuple[str, str]]:
        """What it is, in words; empty where there is nothing to say."""
        clip, runtime, found = self.method.clip, self.runtime, self.calibration
        threshold = "none" if self.threshold is None else f"{self.threshold:.4g}"
        return [
            ("method", self.card.method),
            ("backbone", clip.name),
            ("image size", f"{self.image_size} px"),
            ("device", f"{runtime.device} ({runtime.precision})"),
            ("threshold", threshold),
            ("weights", clip.weights),
            ("options", ", ".join(f"{key}={value}" for key, value in self.card.options.items())),
            ("remembers", self.memory_summary),
            ("calibrated", found.summary if found else ""),
        ]

    @property
    def identity(self) -> Identity:
        """What it is and where it runs."""
        clip, runtime = self.method.clip, self.runtime
        return Identity(self.card.method, clip.name, clip.weights, self.image_size, runtime.precision, runtime.device)

    @property
    def calibration(self) -> Calibration | None:
        """The thresholds that :meth:`calibrate` found, and on what; None where it is not calibrated."""
        return self.training_record.calibration

    @property
    def given_threshold(self) -> float | None:
        """Score in [0, 1] that was given as the threshold; None where none was. Kept on saving."""
        return self.card.threshold

    @property
    def value_range(self) -> Range | None:
        """The samples that are black and white in all image files; None takes the range of each. Kept on saving."""
        return self.card.value_range

    @value_range.setter
    def value_range(self, value: Range | None) -> None:
        self.card = replace(self.card, value_range=value)

    @property
    def tiling(self) -> Tiling | None:
        """How images are cut into overlapping tiles; None scores them whole. Kept on saving."""
        return None if self.card.tiling is None else Tiling(*self.card.tiling)

    @tiling.setter
    def tiling(self, value: Tiling | None) -> None:
        self.card = replace(self.card, tiling=value)

    @property
    def fingerprint(self) -> str:
        """Content hash of all that decides scores and maps: method, configuration, size, backbone, trained tensors."""
        return checkpoint.state_fingerprint(self.card, self.method, self.image_size, self.runtime.precision)

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
        decoded = [self._decode(image, number) for number, image in enumerate(several(images))]
        if (tiled := self._tiled(class_name, raises=True)) is not None:
            found = tiled.run(range(len(decoded)), decoded.__getitem__)
            return [answer[1] for answer in found if not isinstance(answer, Failure)]
        folder = self._scored_folder(len(decoded), decoded.__getitem__, class_name)
        pipeline = Pipeline(self.stages, class_name, self.decision(class_name), folder=folder, raises=True)
        answers = pipeline.run(range(len(decoded)), decoded.__getitem__)
        return [answer[1] for answer in answers if not isinstance(answer, Failure)]

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
        hashes = list[str]()
        decoded = self._shown(images, hashes)
        batches = (self.stages.pixels(chunk) for chunk in chunks(decoded, self.runtime.images_at_once))
        patches = memory_bank.fit(self.few_shot(), batches, add, class_name)
        memory = [
            checkpoint.RememberedImage(class_name.strip(), content, count, is_normal)
            for content, count in zip(hashes, patches, strict=True)
        ]
        record = self.training_record
        known = dict.fromkeys([*record.images, *filter(None, hashes)])
        self.training_record = calibrator.without_calibration(
            replace(record, images=tuple(known), memory=(*record.memory, *memory))
        )

    def _shown(self, images: Sequence[Source], hashes: list[str]) -> Iterator[DecodedImage]:
        """The images, or their tiles, that a fit sees; the content hash of each is added to a list."""
        contents = [_content_hash(image) or "" for image in images]
        for number, (image, content) in enumerate(zip(images, contents, strict=True)):
            decoded = self._decode(image, number)
            for part in [decoded] if self.tiling is None else tiles_of(decoded, self.tiling):
                hashes.append(content)
                yield part

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
        images = [*calibration_images(normal), *calibration_images(abnormal, is_anomalous=True)]
        request = calibrator.Request(criterion, target, class_name.strip(), self.runtime.images_at_once, progress)
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
        before = memory_bank.remembered(method)
        self.training_record = replace(training_record, calibration=None)
        try:
            self.fit_normal(images, class_name)
            yield
        finally:
            memory_bank.restore(method, before)
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

    @property
    def stages(self) -> Stages:
        """What happens to images on their way to a prediction, and where."""
        return Stages(self.method, self.image_size, self.runtime)

    def stream(
        self,
        sources: Sequence[T],
        class_name: str = "object",
        size: Size | None = None,
        progress: Progress | None = None,
        read: Callable[[T], DecodedImage | Failure] | None = None,
    ) -> Iterator[tuple[DecodedImage, Prediction] | Failure]:
        """Score files batch by batch, in order; a file without a score gives a :class:`Failure`, and the rest goes on.

        A method that scores images by one another reads all of them before the first is answered, and reads each again
        for its answer; a file that changed in between gives a failure. Memory does not grow with the number of files.

        Args:
            sources: paths, or what ``read`` takes.
            class_name: what they show, in plain English.
            size: (rows, cols) of all maps; by default each has the size of its image.
            progress: called with the number of files that were read before the first answer; never where files are
                scored one by one.
            read: from a source to its image, called in threads; by default, files are decoded.

        Raises:
            ConfigError: the class name is not text on one line.
            InputError: the method needs several images, and fewer are there or can be read.
        """
        listed = several(sources)
        check_class_name(class_name)
        if (tiled := self._tiled(class_name, size)) is not None:
            yield from tiled.run(listed, read or self.read)
            return
        yield from self.pipeline(listed, class_name, size, progress, read).run(listed, read or self.read)

    def read(self, path: str | os.PathLike[str]) -> DecodedImage | Failure:
        """The image in a file as this detector takes it, or why there is none."""
        return read_file(path, self.value_range)

    def predict_series(
        self,
        path: str | os.PathLike[str],
        class_name: str = "object",
        *,
        selection: str | None = None,
        axis: int | None = None,
    ) -> Iterator[Prediction]:
        """Score the frames of a file one after the other: pages, slices, pictures of a video; memory does not grow.

        A method that is transductive scores them by one another.

        Args:
            path: of a file that :func:`zsad.data.series.frames` takes.
            class_name: what they show, in plain English.
            selection: ``"0:100:5"`` or ``"17"``; all by default.
            axis: of volumes, along which the slices are: 0, 1 or 2.

        Raises:
            InputError: the file or a frame of it cannot be read.
            ConfigError, DependencyError: as :func:`zsad.data.series.frames`.
        """
        for answer in self.stream(frames(path, selection, axis=axis), class_name):
            if isinstance(answer, Failure):
                raise InputError("every frame of a series has a score", answer.message, "choose others")
            yield answer[1]

    def _decode(self, image: Source, number: int) -> DecodedImage:
        return decode(image, _name(image, number), self.value_range)

    def pipeline(
        self,
        sources: Sequence[T],
        class_name: str = "object",
        size: Size | None = None,
        progress: Progress | None = None,
        read: Callable[[T], DecodedImage | Failure] | None = None,
    ) -> Pipeline:
        """What :meth:`stream` runs the images through; where they are scored by one another, they are by now.

        Args and raises as :meth:`stream`.
        """
        check_class_name(class_name)
        decoded: Callable[[Any], DecodedImage | Failure] = read or self.read
        folder = self._scored_folder(len(sources), lambda index: decoded(sources[index]), class_name, progress)
        return Pipeline(self.stages, class_name, self.decision(class_name), size, folder)

    def _tiled(self, class_name: str, size: Size | None = None, raises: bool = False) -> TiledPipeline | None:
        """What cuts images into tiles, where this detector does; sets the explanation."""
        if self.tiling is None:
            return None
        size_px, overlap, coarse = self.tiling
        whole = f", joined with the whole image (weight {coarse:g})" if coarse else ""
        told = ""
        if isinstance(self.method, TransductiveMethod):
            is_alone = self.method.scores_folder(2)
            told = "Tiles are not compared with one another." if is_alone else self.method.explain(1)
        cut = f"Images are scored by tiles of {size_px} px that overlap by {overlap} px or more{whole}."
        self.explanation, self.scored_together = f"{cut} {told}".strip(), False
        decided = self.decision(class_name)
        return TiledPipeline(self.stages, class_name, decided, self.tiling, size, raises, self.value_range)

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
        stages, runtime = self.stages, self.runtime
        first_pass = FirstPass(read, stages.pixels, runtime.images_at_once, progress, runtime.workers)
        with stages.exact():
            folder = ScoredFolder(method.score_folder(first_pass.load, count, class_name), first_pass)
        self.explanation, self.scored_together = folder.explanation, folder.by_one_another
        return folder


def calibration_images(images: Sequence[Source], is_anomalous: bool = False) -> list[calibrator.CalibrationImage]:
    """Images of one state as a calibration takes them, with the content hashes of those that are files."""
    return [
        calibrator.CalibrationImage(image, _name(image, number) or str(image), _content_hash(image) or "", is_anomalous)
        for number, image in enumerate(several(images))
    ]


def _name(image: Source, number: int) -> str | None:
    return None if isinstance(image, str | os.PathLike) else f"image {number}"


def _content_hash(image: Source) -> str | None:
    """SHA-256 of the file; None for pixels in memory."""
    if isinstance(image, bytes):
        return hashlib.sha256(image).hexdigest()
    if isinstance(image, str | os.PathLike) and not os.path.exists(image) and (named := frame_name(image)):
        return hashlib.sha256(f"{content_hash(named[0])}#{named[1]}".encode()).hexdigest()
    return content_hash(Path(image)) if isinstance(image, str | os.PathLike) else None
