"""The results of an evaluation, and its files.

    OUT/plan.json                                what is being evaluated, written first: by it a run is known again
    OUT/evaluation.json                          the Evaluation: everything but the images
    OUT/classes/<data set>/<class>/class.json    a ClassResult, written when the class is done
                                  /images.csv    an ImageResult a line
                                  /curves.json   Curves for drawing: image_roc, image_pr, pixel_roc, pixel_pr, pixel_pro
                                  /counts.npz    ImageCounts: what pixel metrics of any resample are made of
                                  /draws.npz     the metrics of each resample, behind the intervals
                                  /worst/*       worst.json: the WorstImages; their images, masks and overlays
    OUT/report.html                              one page, self-contained

Numbers are fractions in [0, 1]; tables and pages show percent.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from zsad.config import check_seed, check_within
from zsad.errors import ConfigError, unknown_name
from zsad.wording import pluralised

IMAGE_METRICS = ("image_auroc", "image_ap", "image_f1_max")
PIXEL_METRICS = ("pixel_auroc", "pixel_ap", "pixel_f1_max", "pixel_pro", "pixel_pro_200")
METRICS = (*IMAGE_METRICS, *PIXEL_METRICS)
TITLES = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "image_f1_max": "image F1-max",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "pixel_f1_max": "pixel F1-max",
    "pixel_pro": "PRO",
    "pixel_pro_200": "PRO-200",
}
"""Names of the metrics for people. A PRO in the papers' tables is ``pixel_pro_200`` here."""
FURTHER = {
    "fpr95": ("image_fpr95", "pixel_fpr95"),
    "aupimo": ("pixel_aupimo",),
    "pro-5": ("pixel_pro_5",),
    "spro": ("pixel_spro",),
    "seg-f1": ("pixel_seg_f1",),
}
"""Further metrics, which are measured where they are asked for, by their names on the command line."""
FURTHER_TITLES = {
    "image_fpr95": "image FPR95",
    "pixel_fpr95": "pixel FPR95",
    "pixel_aupimo": "AUPIMO",
    "pixel_pro_5": "PRO-5",
    "pixel_spro": "sPRO",
    "pixel_seg_f1": "SegF1",
}
"""Names of these for people. Of FPR95, lower is better."""


MAPS = "maps"
"""The method of an evaluation of maps that another tool made."""
Setting = Literal["zero-shot", "few-shot", "transductive", "unknown"]
SETTINGS: Mapping[Setting, str] = {
    "zero-shot": "each test image is judged alone",
    "few-shot": "each test image is judged with reference images that are no test images",
    "transductive": "the test images of a class judge one another, without their labels",
    "unknown": "the maps were made elsewhere",
}
"""What judges the test images, in the order of tables. Numbers of different settings are not compared."""

GREATEST_RESOLUTION, MOST_RESAMPLES = 8192, 100_000


@dataclass(frozen=True)
class Protocol:
    """How detectors are evaluated. Results of different protocols are not comparable.

    Attributes:
        resolution: side in px at which maps and masks are compared, whatever size an image or a detector has; 518 is
            that of most tables. None compares at each image's own size.
        split: of the data sets.
        confidence: of the intervals.
        resamples: of the bootstrap behind the intervals; 0 leaves them out.
        max_images: images of each class and state, drawn with seed 0, for a quick look; None takes them all.
        shots: normal images of the train split of each class that the memory bank of the detector holds while that
            class is scored; 0 is zero-shot.
        shots_seed: of the draw of these.
        further: metrics that are measured besides those of all evaluations, names of ``FURTHER``.
    """

    OLDER_NAMES: ClassVar[Mapping[str, str]] = {"most": "max_images"}

    resolution: int | None = 518
    split: str = "test"
    confidence: float = 0.95
    resamples: int = 1000
    max_images: int | None = None
    shots: int = 0
    shots_seed: int = 0
    further: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.resolution is not None and self.resolution < 1:
            raise ConfigError("a resolution is at least 1 px", self.resolution, "say 518, or own")
        if not 0 < self.confidence < 1:
            raise ConfigError("a confidence lies between 0 and 1", self.confidence, "say 0.95")
        if self.resamples < 0:
            raise ConfigError("the number of resamples is not negative", self.resamples, "say 0 for no intervals")
        if self.max_images is not None and self.max_images < 1:
            raise ConfigError("a quick look takes at least one image", self.max_images, "say 1 or more")
        check_within("a resolution in px", self.resolution or 1, 1, GREATEST_RESOLUTION)
        check_within("the number of resamples", self.resamples, 0, MOST_RESAMPLES)
        check_seed(self.shots_seed)
        if self.shots < 0:
            raise ConfigError("the number of shots is not negative", self.shots, "say --shots 4, or 0 for none")
        for name in self.further:
            if name not in FURTHER:
                raise unknown_name("further metric", name, FURTHER)
        if self.shots_seed and not self.shots:
            raise ConfigError("a seed of shots draws shots", f"seed {self.shots_seed} of none", "say --shots 4, too")

    @property
    def shown(self) -> str:
        """What is shown of each class, in brief; empty where nothing is.

        >>> Protocol(shots=1).shown, Protocol(shots=4, shots_seed=2).shown, Protocol().shown
        ('1 shot, seed 0', '4 shots, seed 2', '')
        """
        return f"{pluralised(self.shots, 'shot')}, seed {self.shots_seed}" if self.shots else ""


@dataclass(frozen=True)
class Metric:
    """A metric of a class or the mean of a data set.

    Attributes:
        value: in [0, 1]; None where the data do not define it.
        low, high: of the bootstrap interval, where there is one.
        reason: why there is no value.
        classes: of a mean, over how many classes it is taken: those that define it.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""
    classes: int = 1


UNMEASURED = Metric(None, reason="this evaluation did not measure it", classes=0)
"""Of an evaluation by a version that did not have the metric yet."""


@dataclass(frozen=True)
class ImageResult:
    """The result of one image.

    Attributes:
        source: path below the root of its data set, with ``/``.
        content: SHA-256 of the file, by which images are known in any folder.
        label: 0 normal, 1 anomalous.
        kind: of defect, as the data set calls it.
        score: P(anomalous) of the image.
        peak: highest value of its map.
        anomalous_share: of its pixels that are anomalous; None where there is no mask.
        truth: hash of the mask as it was compared; empty where there is none.
        pixel_auroc: of this image alone; None where it lacks normal or anomalous pixels, or a mask.
    """

    source: str
    content: str
    label: int
    kind: str
    score: float
    peak: float
    anomalous_share: float | None
    pixel_auroc: float | None
    truth: str = ""


@dataclass(frozen=True)
class WorstImage:
    """An image among the worst of its class.

    Attributes:
        why: ``"missed"``: anomalous, of the lowest scores; ``"false alarm"``: normal, of the highest;
            ``"misplaced"``: anomalous, with the lowest AUROC of its own pixels.
        source, score, pixel_auroc: as in :class:`ImageResult`.
        image, mask, overlay: files beside the list, all of one size; ``mask`` is None where there is none.
    """

    OLDER_NAMES: ClassVar[Mapping[str, str]] = {"picture": "image"}

    why: str
    source: str
    score: float
    pixel_auroc: float | None
    image: str
    mask: str | None
    overlay: str


@dataclass(frozen=True)
class ClassResult:
    """The result of one class.

    Attributes:
        data_set, class_name: as the data set names them.
        prompt: the class name as it stands in the prompts.
        normal, anomalous: images that were scored.
        unlabelled: images left out because they have no label.
        without_mask: anomalous images that count for image metrics only.
        blank_masks: anomalous images of which no pixel is, in the file or at the resolution of the protocol; all of
            their pixels count as normal.
        unreadable: images left out, and why, by source.
        seen_in_training: images whose content the detector was trained on.
        metrics: by the names of ``METRICS``.
        seconds: for the images: reading, the detector, and counting; of all detectors that shared the pass.
        peak_memory_mb: highest resident memory of the process by the end of the class; of a GPU, its own.
        mask_warnings: images whose masks may have been read wrongly, by the reasons of ``zsad.data.masks.warnings``.
        shots: the normal images that the detector was shown for this class, and their SHA-256, by source.
        is_transductive: whether the images were scored by one another.
        explanation: what judged them, and why, in a sentence; often empty.
        further: the metrics that were asked for besides, by the names of ``FURTHER_TITLES``.
        detectors: that shared the pass over the images, this one included.
    """

    OLDER_NAMES: ClassVar[Mapping[str, str]] = {"doubts": "mask_warnings"}

    data_set: str
    class_name: str
    prompt: str
    normal: int
    anomalous: int
    unlabelled: int
    without_mask: int
    unreadable: Mapping[str, str]
    seen_in_training: int
    metrics: Mapping[str, Metric]
    seconds: float
    peak_memory_mb: float
    blank_masks: int = 0
    mask_warnings: Mapping[str, int] = field(default_factory=dict)
    shots: Mapping[str, str] = field(default_factory=dict)
    is_transductive: bool = False
    explanation: str = ""
    further: Mapping[str, Metric] = field(default_factory=dict)
    detectors: int = 1


@dataclass(frozen=True)
class DataSetResult:
    """The result of one data set.

    Attributes:
        name, layout: as :class:`zsad.data.specification.DataSet` has them.
        classes: in natural order.
        means: over the classes, each counting alike, as in the papers' tables; by the names of ``METRICS``.
        warnings: what a reader must know before believing the numbers, in full sentences.
        further: means of the metrics that were asked for besides, by the names of ``FURTHER_TITLES``.
    """

    name: str
    layout: str
    classes: tuple[ClassResult, ...]
    means: Mapping[str, Metric]
    warnings: tuple[str, ...] = ()
    further: Mapping[str, Metric] = field(default_factory=dict)


@dataclass(frozen=True)
class DetectorInfo:
    """The detector that was evaluated.

    Attributes:
        name: for tables: the folder's name, or the method's.
        method, options, backbone, weights, image_size, precision, device: what ran.
        fingerprint: content hash of all that decides its answers: card, backbone, trained tensors.
        trained_on: classes and number of their images, where it was trained.
        seed: of its training, where it was trained.
        epochs: of its training, where it was trained.
        remembers: normal images in its memory bank before the evaluation, by class; ``""`` where it is not on record
            of which.
        memory: patches of these at each level. The shots of each class are in :class:`Protocol`.
        unlabelled: number of images in its memory bank of which nobody said whether they are normal.
        setting: what judged the test images; transductive where those of any class judged one another.
    """

    name: str
    method: str
    options: Mapping[str, object]
    backbone: str
    weights: str
    image_size: int
    precision: str
    device: str
    fingerprint: str
    trained_on: Mapping[str, int] = field(default_factory=dict)
    seed: int | None = None
    epochs: int | None = None
    remembers: Mapping[str, int] = field(default_factory=dict)
    memory: int = 0
    unlabelled: int = 0
    setting: Setting = "zero-shot"


def setting_by(is_transductive: bool, has_references: bool) -> Setting:
    """What judged images: one another, reference images that are none of them, or each itself.

    >>> setting_by(is_transductive=True, has_references=True), setting_by(is_transductive=False, has_references=False)
    ('transductive', 'zero-shot')
    """
    if is_transductive:
        return "transductive"
    return "few-shot" if has_references else "zero-shot"


def judged_by(setting: Setting, explanation: str) -> str:
    """The setting and what judged the images, as they are told to users.

    >>> judged_by("zero-shot", "")
    'zero-shot: each test image is judged alone.'
    """
    return f"{setting}: {explanation or SETTINGS[setting] + '.'}"


def setting_of(detector: DetectorInfo, protocol: Protocol, classes: Iterable[ClassResult]) -> Setting:
    """What judged the test images of an evaluation; of maps that another tool made, nobody knows."""
    if detector.method == MAPS:
        return "unknown"
    is_transductive = any(result.is_transductive for result in classes)
    return setting_by(is_transductive, has_references=bool(detector.memory or protocol.shots))


@dataclass(frozen=True)
class Evaluation:
    """One detector on one or more data sets.

    ``created`` is an ISO time, ``machine`` a sentence for people, ``command`` what the user typed.
    """

    OLDER_NAMES: ClassVar[Mapping[str, str]] = {"subject": "detector"}

    detector: DetectorInfo
    protocol: Protocol
    data_sets: tuple[DataSetResult, ...]
    version: str
    created: str
    machine: str
    command: str
