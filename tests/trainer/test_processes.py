"""Training in two processes: the weights of one, also where a batch does not divide."""

import json
import pickle
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import zsad
from tests.small import register
from tests.trainer.toys import draw
from zsad.errors import ConfigError, DependencyError, InputError, ZsadError
from zsad.runtime import RuntimeConfig
from zsad.trainer import processes
from zsad.trainer.loop import TrainingRun
from zsad.trainer.observers import Epoch, TrainingObserver
from zsad.trainer.processes import FabricProcesses, Processes
from zsad.trainer.recipe import Recipe
from zsad.trainer.training import prepare_run, samples_of


class Noting(TrainingObserver):
    """Appends what it is told to a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begun(self, run: TrainingRun) -> None:
        self._note("begun")

    def epoch(self, epoch: Epoch) -> None:
        self._note(str(epoch.number))

    def _note(self, line: str) -> None:
        with self.path.open("a") as file:
            file.write(f"{line}\n")


@pytest.mark.filterwarnings("ignore")  # of Lightning Fabric
def test_two_processes_train_the_weights_of_one(tmp_path: Path) -> None:
    """Six images in batches of five: the first process takes 3 and 1 of them, the second 2 and none."""
    data = draw(tmp_path / "data", 3, 64)
    folders = {}
    for count in (1, 2):
        runtime = RuntimeConfig(device="cpu", processes=count, workers=1)
        out, observers = tmp_path / str(count), [Noting(tmp_path / f"{count}.txt")]
        folders[count] = zsad.train(
            "coop", data, out, runtime=runtime, observers=observers, image_size=64, epochs=1, batch_size=5
        )
        assert observers[0].path.read_text().split() == ["begun", "1"]
    ours, theirs = (load_file(folders[count] / "trained_state.safetensors") for count in (2, 1))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    start = prepare_run(Recipe("coop", image_size=64), samples_of(data, "test"), tmp_path).method.state_dict()
    assert max(float((theirs[name] - start[name]).abs().max()) for name in theirs) > 1e-4
    records = [json.loads((folders[count] / "training.json").read_text()) for count in (1, 2)]
    assert records[1].pop("processes") == 2
    assert records[0].pop("history")[0] == pytest.approx(records[1].pop("history")[0], rel=1e-5)
    assert records[0] == records[1]


def fail(together: Processes) -> None:
    raise InputError("an image is whole", "a.png", "replace it")


class Fabric:
    """The first of several processes, of which the others have what is told here."""

    global_rank, device = 0, "cpu"

    def __init__(self, count: int, others: torch.Tensor | None = None) -> None:
        self.world_size, self._others = count, others

    def all_reduce(self, values: torch.Tensor, reduce_op: str) -> torch.Tensor:
        assert reduce_op == "sum"
        assert self._others is not None
        return values + self._others


def test_parts_of_a_batch_are_the_batch() -> None:
    for images, count in ((8, 2), (7, 3), (1, 2), (2, 4)):
        batch = torch.randperm(images)
        parts = []
        for rank in range(count):
            together = FabricProcesses(Fabric(count))
            together.rank = rank
            assert together.place(images) == sum(map(len, parts))
            parts.append(together.part(batch))
        assert torch.equal(torch.cat(parts), batch)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_gradients_are_added_and_none_stays_none() -> None:
    """Of three parameters the second has a gradient elsewhere only, and the third nowhere."""
    trained = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((2, 2), (3,), (1,))]
    trained[0].grad = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    others = torch.tensor([1.0, 1, 0, 10, 20, 30, 40, 5, 6, 7, 0])
    FabricProcesses(Fabric(2, others)).add_gradients(trained)
    assert trained[0].grad.tolist() == [[11.0, 22.0], [33.0, 44.0]]
    assert trained[1].grad is not None
    assert trained[1].grad.tolist() == [5.0, 6.0, 7.0]
    assert trained[2].grad is None
    Processes().add_gradients(trained)
    assert trained[0].grad.tolist() == [[11.0, 22.0], [33.0, 44.0]]


class OneOfTwo(FabricProcesses):
    """A process that notes its gradients, as if the other had none."""

    def __init__(self, rank: int) -> None:
        super().__init__(Fabric(2, torch.zeros(())))
        self.rank, self.noted = rank, list[torch.Tensor]()

    def add_gradients(self, parameters: Iterable[torch.Tensor]) -> None:
        self.noted += [one.grad.clone() for one in parameters if one.grad is not None]

    def total(self, values: Mapping[str, float]) -> dict[str, float]:
        return dict(values)


@pytest.mark.parametrize(
    ("name", "options", "micro_batch"),
    [
        ("wmoe-clip", {}, None),
        ("wmoe-clip", {}, 2),
        ("vcp-clip", {}, 2),
        ("wmoe-clip", {"balance_weight": 0.5}, None),
        ("inctrl", {}, None),
    ],
)
def test_chance_and_what_images_share_are_those_of_one_process(
    name: str, options: dict[str, float], micro_batch: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six images of one step, in micro-batches or none: noise of each, the balance of all, and batch normalisation."""
    register(monkeypatch)
    recipe = Recipe(name, backbone="small", weights="random", options=options, training={"batch_size": 6})
    samples, gradients, terms = samples_of(draw(tmp_path / "data", 3, 32), "test"), [], []
    for rank in (None, 0, 1):
        micro = None if rank is None else micro_batch
        runtime = RuntimeConfig(device="cpu", workers=1, cache_gb=0, micro_batch=micro)
        run = prepare_run(recipe, samples, tmp_path, runtime=runtime)
        run.processes = noting = OneOfTwo(rank or 0)
        if rank is None:
            noting.count = 1
        terms.append(run._epoch(0))
        gradients.append(noting.noted)
    for whole, *parts in zip(*gradients, strict=True):
        torch.testing.assert_close(sum(parts), whole, rtol=1e-4, atol=1e-6)
    for term, value in terms[0].items():
        assert terms[1][term] + terms[2][term] == pytest.approx(value, rel=1e-4)
    assert max(float(one.abs().max()) for one in gradients[0]) > 1e-4


def test_statistics_are_averaged_and_counts_kept() -> None:
    buffers = [torch.tensor([1.0, 3.0]), torch.tensor(7)]
    FabricProcesses(Fabric(2, torch.tensor([3.0, 5.0]))).average(buffers)
    assert [buffer.tolist() for buffer in buffers] == [[2.0, 4.0], 7]


def test_the_error_of_a_process_is_that_of_the_run(tmp_path: Path) -> None:
    assert processes._reported(tmp_path) is None

    with pytest.raises(InputError):
        processes._begin(Fabric(2), fail, pickle.dumps(()), str(tmp_path))
    found = processes._reported(tmp_path)
    assert isinstance(found, InputError)
    assert (found.rule, found.value, found.remedy) == ("an image is whole", "a.png", "replace it")
    (tmp_path / "0.json").write_text(json.dumps(["Exception", "a", "b", "c"]))
    assert type(processes._reported(tmp_path)) is ZsadError


def test_what_cannot_be_launched_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = RuntimeConfig(device="cpu", processes=2)
    assert processes.several(runtime)
    assert not processes.several(RuntimeConfig())
    with pytest.raises(ConfigError, match="the number of processes lies in"):
        RuntimeConfig(processes=0)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "lightning_fabric", None)
        with pytest.raises(DependencyError, match=r"pip install 'zsad\[distributed\]'"):
            processes.run(print, runtime)
    with pytest.raises(ConfigError, match="can be pickled"):
        processes.run(print, runtime, lambda line: None)
    for name, value in (("TORCHELASTIC_RUN_ID", "none"), ("WORLD_SIZE", "2"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    assert processes.several(RuntimeConfig())
    with pytest.raises(ConfigError, match="the number of processes is that of torchrun"):
        processes.run(print, runtime)
