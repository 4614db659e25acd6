"""``zsad import PATH --as METHOD``: a checkpoint of the authors becomes a detector."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from zsad.cli.options import add_backbone, detector_argument
from zsad.wording import say

DESCRIPTION = """Make a detector of a checkpoint that the authors of a method published, or that their code saved.
The file is read as data; names and shapes of its tensors are checked, and options follow from the shapes."""


def configure(parser: ArgumentParser) -> None:
    """Add description and options."""
    parser.description = DESCRIPTION
    parser.add_argument("path", type=Path, metavar="PATH", help="file, e.g. adapter_20.pth, or a folder of several")
    parser.add_argument("--as", dest="method", required=True, metavar="METHOD", help="whose checkpoint it is")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the new detector")
    group = parser.add_argument_group("detector (default: as in the authors' code)")
    group.add_argument("--backbone", metavar="NAME", help="default: that of the checkpoint")
    add_backbone(group)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Read, check, save."""
    from zsad.importing import ImportSettings, import_detector

    settings = ImportSettings(
        backbone=options.backbone,
        weights=options.weights,
        image_size=options.image_size,
        activation=options.activation,
        position_resize=options.position_resize,
        options=dict(options.set),
    )
    card = import_detector(options.path, options.method, options.out, settings)
    chosen = ", ".join(f"{key}={value}" for key, value in card.options.items())
    say(f"{card.method} at {card.image_size} px on {card.backbone} ({card.weights}, {card.activation})")
    say(f"options: {chosen or 'as in its paper'}")
    say(f"detector: {options.out} (use it with --detector {detector_argument(options.out)})")
    return 0
