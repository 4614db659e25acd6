"""``zsad fit DETECTOR``: images that a detector remembers and compares with, saved with it."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from zsad.cli.options import add_detector, add_runtime, describe, detector_argument, load_detector
from zsad.wording import pluralised, say

if TYPE_CHECKING:
    from zsad.data.sources import SkippedFile

DESCRIPTION = """Fit a detector to a few normal images of one class (few-shot), or to unlabelled ones. Their features
are saved with it, and test images are compared with them. A detector that has a memory already keeps it. Predictions
for another class are warned of."""


def configure(parser: ArgumentParser) -> None:
    """Add description and options."""
    parser.description = DESCRIPTION
    parser.add_argument("--normal", type=Path, metavar="DIR", help="images that are known to be normal")
    parser.add_argument(
        "--unlabelled", type=Path, metavar="DIR", help="images that may be normal or not (some methods)"
    )
    parser.add_argument(
        "--class-name", default="", metavar="WORDS", help='what they show, e.g. "metal nut"; it is saved'
    )
    parser.add_argument("--shots", type=int, metavar="K", help="number drawn from the normal ones (default: all)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of their random choice (default: 0)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the new detector")
    add_detector(parser, positional=True)
    add_runtime(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Choose images, add them to the memory, save."""
    _check_named(options)
    normal, unlabelled = readable(options.normal), readable(options.unlabelled)
    _check_disjoint(normal, unlabelled)
    normal = choose(normal, options.shots, options.seed)
    detector = load_detector(options)
    say(describe(detector))
    if unlabelled:
        detector.fit_unlabelled([*unlabelled], options.class_name)
    if normal:
        detector.fit_normal([*normal], options.class_name)
    detector.save(options.out)
    if options.shots is not None:
        say("\n".join(f"normal: {path}" for path in normal))
    for count, kind in ((len(normal), "normal image"), (len(unlabelled), "unlabelled image")):
        if count:
            say(f"{pluralised(count, kind)} remembered.")
    say(f"remembers: {detector.memory_summary}")
    for warning in detector.memory_warnings(options.class_name or "object"):
        say(f"! {warning}")
    say(f"detector: {options.out} (use it with --detector {detector_argument(options.out)})")
    return 0


def readable(folder: Path | None) -> list[Path]:
    """The images of a folder; none where no folder is named.

    Raises:
        InputError: the folder has no images, or a file that cannot be read.
    """
    from zsad.data.sources import scan

    if folder is None:
        return []
    scanned = scan([folder])
    refuse_skipped(scanned.skipped_files)
    return scanned.images


def _check_named(options: Namespace) -> None:
    """Refuse a command without a folder, and shots of no folder.

    Raises:
        ConfigError: as said.
    """
    from zsad.errors import ConfigError

    if options.normal is None and options.unlabelled is None:
        raise ConfigError("a detector is fitted to a folder of images", "none", "say --normal DIR")
    if options.normal is None and options.shots is not None:
        raise ConfigError("the shots are drawn from the normal images", "no such folder", "say --normal DIR as well")


def _check_disjoint(normal: list[Path], unlabelled: list[Path]) -> None:
    """Refuse two statements about one image.

    Raises:
        ConfigError: an image is in both lists.
    """
    from zsad.errors import ConfigError

    if both := {path.resolve() for path in normal} & {path.resolve() for path in unlabelled}:
        raise ConfigError("an image is either normal or unlabelled", min(both), "name folders without common images")


def refuse_skipped(left_out: "list[SkippedFile]") -> None:
    """Refuse a folder with files that cannot be read: all of it is remembered, or nothing.

    Raises:
        InputError: something was left out.
    """
    from zsad.errors import InputError

    for skipped in left_out:
        say(f"zsad: left out: {skipped.message}", stderr=True)
    if left_out:
        value = f"{pluralised(len(left_out), 'file')} that cannot, such as {left_out[0].source}"
        raise InputError("every image that is remembered can be read", value, "convert them, or move them away")


def choose(images: list[Path], shots: int | None, seed: int) -> list[Path]:
    """Draw ``shots`` of the images, see :func:`zsad.data.sampling.draw_shots`; all if it is None.

    Raises:
        ConfigError: there are fewer, or ``shots`` is below 1.
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
