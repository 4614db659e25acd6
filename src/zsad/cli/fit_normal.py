"""``zsad fit-normal DETECTOR``: show a detector a few images of normal things, which it remembers from then on."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from zsad.cli.options import Verbs, add_detector, add_runtime, as_detector, describe, load_detector
from zsad.wording import pluralised, say

if TYPE_CHECKING:
    from zsad.data.sources import SkippedFile

if TYPE_CHECKING:
    pass

ABOUT = """Show a detector a few images of normal things of one kind. What it remembers is saved with it, and images
are then also compared with that. A detector that remembers images already keeps these as well."""


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser("fit-normal", help="show a detector a few normal images", description=ABOUT)
    parser.add_argument("--normal", type=Path, required=True, metavar="DIR", help="images of normal things")
    parser.add_argument(
        "--class-name",
        default="",
        metavar="WORDS",
        help='what they show, such as "metal nut": it is kept, and told where another class is judged by them',
    )
    parser.add_argument("--shots", type=int, metavar="K", help="how many are drawn from these (default: all)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="which are drawn (default: 0)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the detector that results")
    add_detector(parser, positional=True)
    add_runtime(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Choose, remember, save."""
    from zsad.data.sources import scan

    found = scan([options.normal])
    refuse(found.skipped_files)
    chosen = choose(found.images, options.shots, options.seed)
    detector = load_detector(options)
    say(describe(detector))
    detector.fit_normal([*chosen], options.class_name)
    detector.save(options.out)
    if options.shots is not None:
        say("\n".join(f"normal: {path}" for path in chosen))
    say(f"{len(chosen)} normal image{'s' * (len(chosen) != 1)} remembered.")
    say(f"remembers: {detector.memory_summary}")
    for said in detector.memory_warnings(options.class_name or "object"):
        say(f"! {said}")
    say(f"detector: {options.out} (use it with --detector {as_detector(options.out)})")
    return 0


def refuse(left_out: "list[SkippedFile]") -> None:
    """What is remembered is all that was shown, or nothing.

    Raises:
        InputError: something was left out.
    """
    from zsad.errors import InputError

    for one in left_out:
        print(f"zsad: left out: {one.message}", file=sys.stderr)
    if left_out:
        value = f"{pluralised(len(left_out), 'file')} that cannot, such as {left_out[0].source}"
        raise InputError("every image of normal things can be read", value, "convert them, or move them away")


def choose(images: list[Path], shots: int | None, seed: int) -> list[Path]:
    """As many of the images as are asked for, see :func:`zsad.data.sampling.draw_shots`; all where no number is given.

    Raises:
        ConfigError: there are fewer, or none is asked for.
    """
    from zsad.config import check_seed
    from zsad.data.sampling import draw_shots
    from zsad.errors import ConfigError

    check_seed(seed)
    if shots is None:
        return images
    if not 1 <= shots <= len(images):
        rule = f"the shots are at least 1 and at most the {len(images)} images that there are"
        raise ConfigError(rule, shots, "say fewer, or add images" if shots > 0 else "say --shots 1 or more")
    return draw_shots(images, shots, seed)
