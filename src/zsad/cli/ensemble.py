"""``zsad ensemble DETECTOR ...``: several detectors become one, which runs the backbone once for all of them."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from zsad.cli.options import DETECTOR, POSITION_RESIZES, WEIGHTS, add_runtime, detector_argument
from zsad.runtime import RuntimeConfig
from zsad.wording import pluralised, say

DESCRIPTION = """Put several detectors together. All run on one backbone; those that do not edit its blocks share one
pass over the image. In a folder, an image is scored by the mean of its ranks; with --normal, by the mean of p-values
among normal images."""


def configure(parser: ArgumentParser) -> None:
    """Add description and options."""
    parser.description = DESCRIPTION
    parser.add_argument("detectors", nargs="+", metavar="DETECTOR", help=DETECTOR)
    parser.add_argument("--normal", type=Path, metavar="DIR", help="images that are known to be normal")
    parser.add_argument("--class-name", default="object", metavar="WORDS", help="what these show")
    parser.add_argument(
        "--fusion", choices=("ranks", "mean"), default="ranks", help="without normal images (default: ranks)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the new detector")
    group = parser.add_argument_group("backbone of all of them")
    group.add_argument("--backbone", metavar="NAME", help="default: that of saved detectors, or tiny")
    group.add_argument("--weights", metavar="TAG|PATH|REPO", help=WEIGHTS)
    group.add_argument("--activation", choices=("quick_gelu", "gelu"), help="default: that of the weights")
    group.add_argument("--position-resize", choices=POSITION_RESIZES, metavar="HOW", help="see zsad predict --help")
    group.add_argument("--image-size", type=int, metavar="PX", help="input size (default: that of the backbone)")
    add_runtime(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Load, put together, save."""
    from zsad.cli.fit import readable
    from zsad.ensembling import assemble
    from zsad.loading import load

    normal = readable(options.normal)
    detectors = [
        load(
            name,
            backbone=options.backbone,
            weights=options.weights,
            image_size=options.image_size,
            activation=options.activation,
            position_resize=options.position_resize,
            runtime=RuntimeConfig.from_options(options),
        )
        for name in options.detectors
    ]
    made = assemble(detectors, fusion=options.fusion, normal=normal, class_name=options.class_name)
    made.save(options.out)
    members = ", ".join(detector.name for detector in detectors)
    say(f"ensemble of {members} at {made.image_size} px on {made.method.clip.name}")
    if normal:
        say(f"p-values among {pluralised(len(normal), 'normal image')}")
    say(f"detector: {options.out} (use it with --detector {detector_argument(options.out)})")
    return 0
