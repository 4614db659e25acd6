"""``zsad train``: teach a method on an auxiliary data set."""

from argparse import Namespace
from pathlib import Path

from zsad.cli.options import POSITION_RESIZES, Verbs, as_detector, pair
from zsad.runtime import RuntimeConfig
from zsad.wording import say

ABOUT = """Train a method on an auxiliary data set, as its paper does or as a recipe says. Methods of this family learn
from the test split of the data set, with its anomalous images and their masks, and are then used on other data."""


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser("train", help="train a method on an auxiliary data set", description=ABOUT)
    parser.add_argument(
        "method", metavar="METHOD|RECIPE", help="see zsad methods; or a file such as recipes/…/paper.toml"
    )
    data = parser.add_argument_group("data")
    data.add_argument("--data", action="append", required=True, metavar="LAYOUT:PATH", help="see zsad datasets")
    data.add_argument("--split", default="test", choices=("train", "test", "all"), help="default: test")
    data.add_argument("--classes", nargs="+", metavar="NAME", help="default: all")
    data.add_argument("--knowledge", type=Path, metavar="FILE", help="descriptions beside those that are shipped")
    how = parser.add_argument_group("how")
    how.add_argument("--backbone", metavar="NAME", help="default: the recipe's, or tiny")
    how.add_argument("--weights", metavar="TAG|PATH|REPO", help="published tag, file, folder or hub repository")
    how.add_argument("--activation", choices=("quick_gelu", "gelu"), help="default: what the weights were trained with")
    how.add_argument(
        "--position-resize",
        choices=POSITION_RESIZES,
        help="how positions are resized to other image sizes (default: bicubic_antialias)",
    )
    how.add_argument("--image-size", type=int, metavar="PX", help="side at which the method runs")
    how.add_argument("--set", type=pair, action="append", default=[], metavar="KEY=VALUE", help="a field of the method")
    how.add_argument("--epochs", type=int, metavar="N", help="default: the paper's")
    how.add_argument("--batch-size", type=int, metavar="N", help="default: the paper's")
    how.add_argument("--learning-rate", type=float, metavar="RATE", help="default: the paper's")
    how.add_argument("--seed", type=int, default=111, metavar="N", help="default: 111")
    RuntimeConfig.add_options(parser, "device", "precision", "micro_batch", "workers", "cache", "cache_gb")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the detector and its checkpoints")
    parser.add_argument("--resume", action="store_true", help="go on with the run that DIR holds")
    parser.add_argument("--tensorboard", action="store_true", help="write scalars to DIR (needs zsad[tensorboard])")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Train, with a line after each epoch."""
    from zsad.trainer.observers import ProgressLog, TensorBoardScalars, TrainingObserver
    from zsad.trainer.training import TrainingData, train

    observers: list[TrainingObserver] = [ProgressLog(lambda line: say(line, stderr=True))]
    if options.tensorboard:
        observers.append(TensorBoardScalars(options.out))
    if options.resume and not (options.out / "resume.safetensors").exists():
        say(f"{options.out} holds no run yet: training starts", stderr=True)
    folder = train(
        options.method,
        TrainingData(options.data, options.split, options.classes, options.knowledge),
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
    say(f"detector: {folder} (use it with --detector {as_detector(folder)})")
    return 0
