"""``zsad predict PATH...``: score pictures, draw heat maps, write a report."""

import sys
from argparse import Namespace
from pathlib import Path

from zsad.cli.options import Verbs, add_detector, add_machine, describe, load_detector, run_info


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "predict",
        help="score pictures and draw heat maps",
        description="Score pictures of things the model was never trained on, and draw where they look anomalous.",
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="picture, folder or glob pattern")
    parser.add_argument("--class-name", default="object", metavar="WORDS", help='what they show, such as "metal nut"')
    parser.add_argument("--out", type=Path, default=Path("runs/predict"), metavar="DIR", help="default: runs/predict")
    parser.add_argument(
        "--threshold", type=float, metavar="P", help="score from which a picture is anomalous (default: 0.5)"
    )
    add_detector(parser)
    add_machine(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Predict, write, and say what happened."""
    from tqdm import tqdm

    from zsad.data.sources import find_pictures
    from zsad.errors import InputError
    from zsad.report import ReportWriter
    from zsad.types import Failure

    # Heat maps of an earlier run are no pictures to score.
    paths = [path for path in find_pictures(options.paths) if not _below(path, options.out)]
    if not paths:
        raise InputError("there is a picture to score outside of the output folder", "none", "choose another --out")
    detector = load_detector(options, options.threshold)
    print(describe(detector))
    anomalous = failed = 0
    with ReportWriter(options.out, run_info(detector, options.class_name)) as report:
        for answer in tqdm(detector.stream(paths, options.class_name), total=len(paths), unit="picture", disable=None):
            if isinstance(answer, Failure):
                failed += 1
                report.add_failure(answer.source, answer.message)
                tqdm.write(f"zsad: skipped: {answer.message}", file=sys.stderr)
            else:
                anomalous += answer[1].is_anomalous
                report.add(*answer)
    print(summary(len(paths) - failed, anomalous, failed, detector.settings.threshold))
    print(f"report: {options.out / 'report.html'}")
    return 1 if failed else 0


def _below(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def summary(scored: int, anomalous: int, failed: int, threshold: float) -> str:
    """One or two sentences for the terminal.

    >>> summary(5, 2, 3, 0.5)
    '5 pictures scored, 2 anomalous (score ≥ 0.5). 3 could not be read: see the lines above (exit status 1).'
    """
    text = f"{scored} picture{'s' * (scored != 1)} scored, {anomalous} anomalous (score ≥ {threshold:g})."
    return text + (f" {failed} could not be read: see the lines above (exit status 1)." if failed else "")
