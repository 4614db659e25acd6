"""Do calibrated detectors keep their false-positive rate on real images? ``python -m benchmarks.calibration``

Solar cells of ELPV (package ``elpv-dataset``). A few-shot detector remembers some intact cells; all others are scored
once. Then the scores are split at random, many times: half of the intact cells calibrate, the other half and the
defective cells are decided.

    alarms inside    splits whose false alarms lie in the central 95 % of a binomial with the stated rate, or below its
                     end; and, as a calibration varies as well, of a beta-binomial. "expected" is what exchangeable
                     scores without ties give on average: less than 95 % for the binomial, which knows nothing of the
                     calibration.
    rate, caught     share of the intact and of the defective cells that are called anomalous; mean and range

Full size: python -m benchmarks.calibration --good 0 --defective 0 (0 is all of them).
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, lgamma
from pathlib import Path

import numpy as np
from tqdm import tqdm

from zsad import demo, load
from zsad.calibration import conformal_threshold, images_needed
from zsad.data.layouts import get
from zsad.errors import ConfigError, ZsadError
from zsad.types import Failure

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Scores:
    """Of cells that the detector does not remember."""

    intact: np.ndarray
    defective: np.ndarray


@dataclass(frozen=True)
class Split:
    """What one calibration did: alarms among so many intact cells, and the share of defective cells."""

    alarms: int
    intact: int
    caught: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Score, split, and print a table for each rate."""
    options = parsed(arguments)
    try:
        scores = score(options)
        size = len(scores.intact) // 2
        for rate in options.rates:
            if size < images_needed(rate):
                raise ConfigError(
                    f"a rate of {rate:g} is calibrated on {images_needed(rate)} cells", size, "say --good N"
                )
            rng = np.random.default_rng(options.seed)
            splits = [split(scores, rate, rng) for _ in range(options.splits)]
            print("\n".join(table(splits, size, rate)))
    except ZsadError as error:
        print(f"zsad: {error}", file=sys.stderr)
        return 2
    return 0


def parsed(arguments: Sequence[str] | None) -> Namespace:
    """The options."""
    parser = ArgumentParser(prog="python -m benchmarks.calibration", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="photographs of ELPV (default: those of elpv-dataset)")
    parser.add_argument("--detector", default="auto", help="with a few-shot mode (default: auto)")
    parser.add_argument("--bank", type=int, default=16, help="intact cells that it remembers (default: 16)")
    parser.add_argument("--good", type=int, default=120, help="other intact cells (default: 120; 0: all)")
    parser.add_argument("--defective", type=int, default=60, help="defective cells (default: 60; 0: all)")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.05, 0.1], help="default: 0.05 0.1")
    parser.add_argument("--splits", type=int, default=20, help="default: 20")
    parser.add_argument("--seed", type=int, default=0, help="of the cells and the splits (default: 0)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch-size", type=int, default=8)
    return parser.parse_args(arguments)


def score(options: Namespace) -> Scores:
    """Fit the detector to the bank, and score the other cells."""
    samples = get("elpv").samples(options.data or demo.photographs())
    rng = np.random.default_rng(options.seed)
    intact, defective = (
        [sample.image for sample in rng.permutation(np.array([one for one in samples if one.label == label], object))]
        for label in (0, 1)
    )
    detector = load(options.detector, device=options.device, batch_size=options.batch_size)
    detector.fit_normal(intact[: options.bank], demo.CLASS_NAME)
    others = intact[options.bank :][: options.good or None]
    chosen = [*others, *defective[: options.defective or None]]
    answers = detector.stream(chosen, demo.CLASS_NAME, size=(detector.image_size, detector.image_size))
    found = []
    for answer in tqdm(answers, total=len(chosen), unit="image", disable=None):
        if isinstance(answer, Failure):
            raise ConfigError("the photographs are readable", answer.message, "install elpv-dataset again")
        found.append(answer[1].score)
    print(
        f"{options.detector}, bank of {options.bank}: {len(others)} intact, {len(chosen) - len(others)} defective cells"
    )
    return Scores(np.array(found[: len(others)]), np.array(found[len(others) :]))


def split(scores: Scores, rate: float, rng: np.random.Generator) -> Split:
    """Calibrate on a random half of the intact cells, and decide on the rest."""
    intact = rng.permutation(scores.intact)
    half = len(intact) // 2
    threshold = conformal_threshold(intact[:half], rate)
    rest = intact[half:]
    return Split(int((rest >= threshold).sum()), len(rest), float((scores.defective >= threshold).mean()))


def table(splits: Sequence[Split], calibrated_on: int, rate: float) -> list[str]:
    """Lines for one rate."""
    intact = splits[0].intact
    binomial = _binomial(intact, rate)
    varying = _beta_binomial(intact, calibrated_on, rate)
    lines = [f"rate {rate:g}: calibrated on {calibrated_on}, decided on {intact}, {len(splits)} splits"]
    ranges = [
        ("binomial", *_central(binomial)),
        ("binomial, from above", 0, _central(binomial)[1]),
        ("beta-binomial", *_central(varying)),
    ]
    for name, low, high in ranges:
        inside = sum(low <= one.alarms <= high for one in splits)
        expected = varying[low : high + 1].sum() * len(splits)
        lines.append(f"  alarms inside {low} to {high} ({name}): {inside} (expected {expected:.1f})")
    for name, shares in (
        ("false-positive rate", [one.alarms / one.intact for one in splits]),
        ("defective caught", [one.caught for one in splits]),
    ):
        lines.append(f"  {name}: {np.mean(shares):.3f} ({min(shares):.3f} to {max(shares):.3f})")
    return lines


def _binomial(count: int, rate: float) -> np.ndarray:
    """Probabilities of 0..count alarms."""
    return np.array(
        [np.exp(_log_choices(count, k) + k * np.log(rate) + (count - k) * np.log1p(-rate)) for k in range(count + 1)]
    )


def _beta_binomial(count: int, calibrated_on: int, rate: float) -> np.ndarray:
    """The same where the rate of a calibration is itself drawn, from Beta(l, n + 1 - l), l = floor(rate (n + 1))."""
    first = floor(round(rate * (calibrated_on + 1), 9))
    second = calibrated_on + 1 - first
    return np.array(
        [
            np.exp(_log_choices(count, k) + _log_beta(k + first, count - k + second) - _log_beta(first, second))
            for k in range(count + 1)
        ]
    )


def _central(chances: np.ndarray) -> tuple[int, int]:
    """The narrowest range with at most half of the rest on either side."""
    below, tail = np.cumsum(chances), (1 - CONFIDENCE) / 2
    return int(np.argmax(below > tail)), int(np.argmax(below >= 1 - tail))


def _log_choices(count: int, chosen: int) -> float:
    return lgamma(count + 1) - lgamma(chosen + 1) - lgamma(count - chosen + 1)


def _log_beta(first: int, second: int) -> float:
    return lgamma(first) + lgamma(second) - lgamma(first + second)


if __name__ == "__main__":
    sys.exit(main())
