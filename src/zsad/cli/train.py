"""``zsad train``: train a method on an auxiliary data set."""

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

from zsad.cli.options import add_backbone, add_data, detector_argument
from zsad.runtime import RuntimeConfig
from zsad.wording import say

DESCRIPTION = """Train a method on an auxiliary data set, as its paper does or as a recipe says. Methods of this
family learn from the test split of the data set, with its anomalous images and their masks, and are then used on
other data."""


def configure(parser: ArgumentParser) -> None:
    """Add description and options."""
    parser.description = DESCRIPTION
    parser.add_argument("method", metavar="METHOD|RECIPE", help="zsad methods; or a file, e.g. recipes/…/paper.toml")
    data = parser.add_argument_group("data")
    add_data(data, "LAYOUT:PATH")
    data.add_argument(
        "--max-images", type=int, metavar="N", help="per class and label, drawn with seed 0 (default: all)"
    )
    data.add_argument("--knowledge", type=Path, metavar="FILE", help="more descriptions of defects (zsad knowledge)")
    method = parser.add_argument_group("method")
    method.add_argument("--backbone", metavar="NAME", help="default: that of the recipe, or tiny")
    add_backbone(method)
    optimisation = parser.add_argument_group("optimisation (default: that of the paper or recipe)")
    optimisation.add_argument("--epochs", type=int, metavar="N")
    optimisation.add_argument("--batch-size", type=int, metavar="N")
    optimisation.add_argument("--learning-rate", type=float, metavar="RATE")
    optimisation.add_argument("--seed", type=int, default=111, metavar="N", help="default: 111")
    RuntimeConfig.add_options(parser, "device", "precision", "micro_batch", "workers", "processes", "cache", "cache_gb")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the detector and its checkpoints")
    parser.add_argument("--resume", action="store_true", help="continue the run in DIR")
    parser.add_argument("--tensorboard", action="store_true", help="log scalars to DIR (needs zsad[tensorboard])")
    parser.add_argument("--mlflow", action="store_true", help="log to MLflow, in DIR/mlruns (needs zsad[mlflow])")
    parser.add_argument("--wandb", action="store_true", help="log to Weights & Biases, offline (needs zsad[wandb])")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Train, with a line after each epoch."""
    from zsad.trainer.observers import ProgressLog, TensorBoardScalars, TrainingObserver
    from zsad.trainer.trackers import MlflowRun, WandbRun
    from zsad.trainer.training import TrainingData, train

    observers: list[TrainingObserver] = [ProgressLog(_say)]
    if options.tensorboard:
        observers.append(TensorBoardScalars(options.out))
    if options.mlflow:
        observers.append(MlflowRun(options.out))
    if options.wandb:
        observers.append(WandbRun(options.out))
    if options.resume and not (options.out / "resume.safetensors").exists():
        say(f"{options.out} holds no run yet: training starts", stderr=True)
    folder = train(
        options.method,
        TrainingData(options.data, options.split, options.classes, options.knowledge, options.max_images),
        options.out,
        seed=options.seed,
        resume=options.resume,
        runtime=RuntimeConfig.from_options(options),
        observers=observers,
        backbone=options.backbone,
        weights=options.weights,
        activation=options.activation,
        position_resize=options.position_resize,
        image_size=options.image_size,
        options=dict(options.set),
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
    )
    if os.environ.get("RANK", "0") == "0":  # torchrun runs this in every process
        say(f"detector: {folder} (use it with --detector {detector_argument(folder)})")
    return 0


def _say(line: str) -> None:
    """A name, unlike a lambda, reaches other processes."""
    say(line, stderr=True)
