"""A detector of the service that runs in PyTorch."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from zsad.export.exported import ExportedDetector
from zsad.methods._few_shot import FewShot
from zsad.methods._transductive import TransductiveMethod
from zsad.pipeline import Answer, Pipeline
from zsad.predictor import Detector
from zsad.service.served import Abilities, Served
from zsad.types import DecodedImage, Failure

T = TypeVar("T")


class ServedMethod(Served):
    """A detector whose images share batches, are scored by one another, or are compared with normal ones."""

    detector: Detector

    def __init__(self, name: str, detector: Detector | ExportedDetector) -> None:
        assert isinstance(detector, Detector)
        super().__init__(name, detector)
        self.batch = detector.runtime.images_at_once

    @property
    def abilities(self) -> Abilities:
        """What it does with the images of a request."""
        method = self.detector.method
        return Abilities(
            takes_normal=takes_normal(self.detector),
            needs_normal=isinstance(method, FewShot) and method.needs_normal and not method.is_few_shot,
            scores_together=self.scores_together(2),
            needs_several=self.scores_together(1),
        )

    def scores_together(self, count: int) -> bool:
        """Whether so many images are scored by one another."""
        method = self.detector.method
        return isinstance(method, TransductiveMethod) and method.scores_folder(count)

    def told_alone(self) -> str:
        """What judges an image that is scored alone."""
        method = self.detector.method
        return method.explain(1) if isinstance(method, TransductiveMethod) else ""

    def run(
        self, class_name: str, sources: Iterable[T], read: Callable[[T], DecodedImage | Failure]
    ) -> Iterator[Answer]:
        """Answers for images that are scored one by one, in batches."""
        detector = self.detector
        return Pipeline(detector.stages, class_name, detector.decision(class_name)).run(sources, read)

    def temporary_memory(self, normal: Sequence[bytes], class_name: str) -> AbstractContextManager[None]:
        """Within, images are compared with normal ones."""
        return self.detector.temporary_memory(normal, class_name)


def takes_normal(detector: Detector) -> bool:
    """Whether normal images can be given with a request: the method remembers them without learning from them."""
    method = detector.method
    return (
        isinstance(method, FewShot)
        and type(method).start_fit is FewShot.start_fit
        and detector.runtime.precision == "fp32"
    )
