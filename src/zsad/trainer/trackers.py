"""Trainings in MLflow and in Weights & Biases: settings, and after each epoch the loss and its terms. Without network.

Both keep runs on disk below the folder of the run, unless their own environment variables name a server. A training
that is resumed continues its run there.
"""

import hashlib
import os
from abc import abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zsad.errors import DependencyError
from zsad.trainer.observers import Epoch, TrainingObserver

if TYPE_CHECKING:
    from zsad.trainer.loop import TrainingRun

PROJECT = "zsad"
"""Experiment of MLflow, and project of Weights & Biases."""
TAG = "zsad.run"
"""By which MLflow finds the run of a folder again."""


class Tracker(TrainingObserver):
    """Passes on what a run is and what each epoch gave; the first of them begins the run, the last ends it.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings: dict[str, Any] = {}
        self._is_open = False

    @property
    def identity(self) -> str:
        """Eight hexadecimal digits that stand for the folder: a resumed training has the same."""
        return hashlib.sha256(os.fsencode(self.folder.resolve())).hexdigest()[:8]

    def begun(self, run: "TrainingRun") -> None:
        """Note the settings."""
        card = run.card
        own = {"method": card.method, "backbone": card.backbone, "image_size": card.image_size, "seed": run.seed}
        self.settings = own | card.options | {"images": len(run.images)} | asdict(run.training)

    def epoch(self, epoch: Epoch) -> None:
        """Log one point of each curve."""
        if not self._is_open:
            self._open(resumes=epoch.number > 1)
            self._is_open = True
        self._log({f"train/{name}": value for name, value in {"loss": epoch.loss, **epoch.terms}.items()}, epoch.number)
        if epoch.number == epoch.of:
            self._close()

    @abstractmethod
    def _open(self, resumes: bool) -> None:
        """Begin a run, or go on with the last of the same identity."""

    @abstractmethod
    def _log(self, values: dict[str, float], step: int) -> None:
        """Log numbers."""

    @abstractmethod
    def _close(self) -> None:
        """End the run."""


class MlflowRun(Tracker):
    """Logs to ``MLFLOW_TRACKING_URI``, or without it to ``mlruns`` in the folder of the run.

    Raises:
        DependencyError: MLflow is not installed.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        try:
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise DependencyError(
                "this log needs MLflow", error, "pip install 'zsad[mlflow]', or leave --mlflow away"
            ) from error
        self._client_type = MlflowClient

    def _open(self, resumes: bool) -> None:
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if not uri:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # a database needs another package
            uri = (self.folder.resolve() / "mlruns").as_uri()
        self._client = self._client_type(tracking_uri=uri)
        experiment = self._client.get_experiment_by_name(PROJECT)
        home = experiment.experiment_id if experiment else self._client.create_experiment(PROJECT)
        if resumes and (before := self._client.search_runs([home], f"tags.`{TAG}` = '{self.identity}'")):
            self._run = before[0].info.run_id
            return
        tags = {TAG: self.identity}
        self._run = self._client.create_run(home, tags=tags, run_name=self.folder.resolve().name).info.run_id
        for name, value in self.settings.items():
            self._client.log_param(self._run, name, value)

    def _log(self, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self._client.log_metric(self._run, name, value, step=step)

    def _close(self) -> None:
        self._client.set_terminated(self._run)


class WandbRun(Tracker):
    """Logs offline to ``wandb`` in the folder of the run; online where ``WANDB_MODE`` says so.

    Raises:
        DependencyError: Weights & Biases is not installed.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        try:
            import wandb  # noqa: F401  # kept by name: a module does not travel to another process
        except ImportError as error:
            raise DependencyError(
                "this log needs Weights & Biases", error, "pip install 'zsad[wandb]', or leave --wandb away"
            ) from error

    def _open(self, resumes: bool) -> None:
        import wandb

        quiet: dict[str, Any] = {
            "silent": True,
            "console": "off",
            "x_disable_stats": True,
            "disable_git": True,
            "save_code": False,
        }
        mode: Any = os.environ.get("WANDB_MODE", "offline")
        self._run: Any = wandb.init(
            mode=mode,
            dir=str(self.folder),
            project=PROJECT,
            name=self.folder.resolve().name,
            id=self.identity,
            resume="allow" if mode == "online" else None,
            config=self.settings,
            settings=wandb.Settings(**quiet),
        )

    def _log(self, values: dict[str, float], step: int) -> None:
        self._run.log(values, step=step)

    def _close(self) -> None:
        self._run.finish()
