"""Whether all that is done saw the same images and masks, and those that are found now."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zsad.benchmark.plan import BenchmarkRun, Plan, folder_of, training_of
from zsad.data.specification import DataSet
from zsad.errors import ConfigError
from zsad.evaluator import plan as evaluation
from zsad.results import store
from zsad.results.schema import Protocol
from zsad.trainer.images import TrainingImages
from zsad.trainer.training import content_hash_of

CARD = "training.json"
ANY_SIDE = 32
"""In px; what tells images apart does not depend on it."""


@dataclass(frozen=True)
class RunInputs:
    """Images and masks that a run saw.

    Attributes:
        run: which one.
        trained: whether it was trained on them, or tested.
        names: of the data sets.
        content: hashes of them, as training or evaluation wrote them down.
        shots: how many images were shown, and the seed of their draw.
    """

    run: BenchmarkRun
    trained: bool
    names: tuple[str, ...]
    content: Any
    shots: tuple[int, int] = (0, 0)

    @property
    def places(self) -> list[Path]:
        """Folders, below that of the benchmark, of what must be made anew if the images are others."""
        if self.trained:
            return [training_of(self.run, Path()), folder_of(self.run, "", Path())]
        return [folder_of(self.run, self.names[0], Path())]


def check(plan: Plan, out: Path, data: Mapping[str, DataSet]) -> None:
    """Make sure that what is done belongs together.

    Args:
        plan: the benchmark.
        out: its folder.
        data: data sets that are read and compared as well; of others all that is done is compared with the first.

    Raises:
        ConfigError: a run saw other images or masks.
        InputError: what is done, or the data, cannot be read.
    """
    right: dict[tuple[bool, tuple[str, ...], tuple[int, int]], Any] = {}
    places: dict[Path, None] = {}
    for inputs in _seen(plan, out):
        key = inputs.trained, inputs.names, inputs.shots
        if key not in right:
            right[key] = _content(plan, inputs, data) if all(name in data for name in inputs.names) else inputs.content
        if inputs.content != right[key]:
            places |= dict.fromkeys(inputs.places)
    if places:
        where = "those that are there now" if data else "the same for all"
        raise ConfigError(
            f"what {out} holds was made of the images and masks of its data sets: {where}",
            "".join(f"\n  others in {place}" for place in places),
            "put the data back, choose another --out, or delete these folders to make them anew",
        )


def _seen(plan: Plan, out: Path) -> Iterator[RunInputs]:
    for run in plan.runs:
        card = training_of(run, out) / CARD
        if card.exists():
            yield RunInputs(run, True, run.split.train, store.read_json(card).get("data"))
        for name in run.test:
            folder = folder_of(run, name, out)
            if (folder / store.EVALUATION).exists():
                found = store.read_json(folder / store.PLAN).get("data", {}).get(name, {}).get("classes", {})
                content = {key: (words.get("content"), words.get("shots", {})) for key, words in found.items()}
                yield RunInputs(run, False, (name,), content, (run.entrant.shots, run.shots_seed or 0))


def _content(plan: Plan, inputs: RunInputs, data: Mapping[str, DataSet]) -> Any:
    """The same of the data as they are found now."""
    benchmark = plan.benchmark
    if inputs.trained:
        return content_hash_of(*TrainingImages(plan.images(inputs.run.split), ANY_SIDE).hashes(evaluation.READERS))
    shots, seed = inputs.shots
    protocol = Protocol(
        benchmark.resolution or None, max_images=benchmark.max_test_images, shots=shots, shots_seed=seed
    )
    planned = evaluation.plan([data[inputs.names[0]]], protocol)
    return {
        planned_class.name: (planned_class.content, {shot.source: shot.content for shot in planned_class.shots})
        for planned_class in planned[0].classes
    }
