"""Pixel metrics of maps of 518×518 with masks: AUROC, average precision, F1-max and PRO together, against peers.

The peers: scikit-learn for the first three, with the loop over 200 thresholds of the published evaluations for PRO; and
torchmetrics (the first two and no PRO) and ADEval, where they are installed.

Each runs in a process of its own; memory is what the process grows by at its highest, over the maps and masks.

``--skewed`` changes the scores in ways that leave their order alone, or nearly, and prints how far each answer is from
the exact one: of scikit-learn for AUROC and average precision, of all scores sorted for F1-max and PRO.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter, label

from zsad.metrics import PixelMetrics
from zsad.metrics.counters import stored

SIZE = 518
AT_ONCE = 8
BARS = {200: 2.5, 1725: 40.0}
"""Seconds by number of maps."""


def main() -> None:
    """Print time, memory and answers of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--maps", type=int, default=200)
    parser.add_argument("--peers", action="store_true", help="time the peers, too: minutes and gigabytes")
    parser.add_argument("--skewed", action="store_true", help="check answers under skewed scores instead: minutes")
    options = parser.parse_args()
    maps, masks = draw(options.maps)
    if options.skewed:
        print_errors(maps, masks)
        return
    print(f"{options.maps} maps of {SIZE}x{SIZE}, {masks.mean():.1%} anomalous; bar {BARS.get(options.maps, '-')} s")
    print(f"{'':<26}{'s':>9}{'ratio':>8}{'MB':>8}{'AUROC':>9}{'AP':>9}{'F1':>9}{'PRO':>9}{'PRO-200':>9}")
    ours = measure("zsad", zsad, maps, masks, None)
    for name, run in (peers() if options.peers else {}).items():
        measure(name, run, maps, masks, ours)


Run = Callable[[np.ndarray, np.ndarray], list[float]]


def measure(name: str, run: Run, maps: np.ndarray, masks: np.ndarray, ours: float | None) -> float:
    """Run once in a process of its own and print a line; returns the seconds."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sender.send(timed(run, maps, masks)))
    process.start()
    seconds, megabytes, answers = receiver.recv()
    process.join()
    figures = f"{seconds:9.3f}{seconds / (ours or seconds):8.1f}{megabytes:8.0f}"
    print(f"{name:<26}{figures}" + "".join(f"{answer:9.5f}" for answer in answers), flush=True)
    return float(seconds)


def timed(run: Run, maps: np.ndarray, masks: np.ndarray) -> tuple[float, float, list[float]]:
    """Seconds, MB, answers."""
    run(maps[:1], masks[1:2])  # imports and threads are there when the clock starts
    before = resident("VmRSS")
    start = time.perf_counter()
    answers = run(maps, masks)
    return time.perf_counter() - start, resident("VmHWM") - before, answers


def resident(what: str) -> float:
    """Memory of this process in MB: now (VmRSS) or at its highest (VmHWM)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1e3


def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Smooth maps in [0, 1] that know something of their masks; every third image is normal."""
    rng = np.random.default_rng(0)
    maps, masks = np.empty((count, SIZE, SIZE), np.float32), np.zeros((count, SIZE, SIZE), bool)
    for number in range(count):
        noise = gaussian_filter(rng.normal(size=(SIZE // 7, SIZE // 7)).astype(np.float32), 1.5)
        smooth = np.kron(noise / noise.std(), np.ones((7, 7), np.float32))
        if number % 3:
            masks[number] = np.roll(smooth, 40, 0) > 2.2
        logits = gaussian_filter(smooth + 1.5 * masks[number], 4) - 2
        maps[number] = 1 / (1 + np.exp(-logits))
    return maps, masks


def zsad(maps: np.ndarray, masks: np.ndarray) -> list[float]:
    """Gathered a few images at a time, as an evaluation does it."""
    metrics = PixelMetrics()
    for start in range(0, len(maps), AT_ONCE):
        metrics.update(maps[start : start + AT_ONCE], masks[start : start + AT_ONCE])
    return numbers(metrics)


def print_errors(maps: np.ndarray, masks: np.ndarray) -> None:
    """How far answers are from the exact ones, and ours from scikit-learn's of the scores as they are kept."""
    print(f"{len(maps)} maps of {SIZE}x{SIZE}; differences from exact, in units of 1")
    print(f"{'scores':<16}{'':<22}{'AUROC':>11}{'AP':>11}{'F1':>11}{'PRO':>11}")
    outlier = maps.copy()
    outlier[0, 0, 0] *= 1000
    changed = {"as drawn": maps, "8th power": maps**8, "30th power": maps**30, "one pixel x1000": outlier}
    runs = {"zsad": zsad} | ({"adeval": adeval} if find_spec("adeval") else {})
    for name, scores in changed.items():
        exact = exactly(scores, masks)
        print(f"{name:<16}{'exact':<22}" + "".join(f"{answer:11.7f}" for answer in exact))
        for who, run in runs.items():
            print_difference(who, run(scores, masks), exact)
        print_difference("zsad, of kept scores", zsad(scores, masks), exactly(stored(scores), masks))


def print_difference(who: str, answers: list[float], exact: list[float]) -> None:
    """One line."""
    differences = [abs(answer - truth) for answer, truth in zip(answers, exact, strict=False)]
    print(f"{'':<16}{who:<22}" + "".join(f"{one:11.1e}" for one in differences), flush=True)


def exactly(maps: np.ndarray, masks: np.ndarray) -> list[float]:
    """AUROC and average precision of scikit-learn; F1-max and PRO of all scores in full precision."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    _, _, f1, pro, _ = numbers(PixelMetrics(precision="float32").update(maps, masks))
    scores, truth = maps.ravel(), masks.ravel()
    return [roc_auc_score(truth, scores), average_precision_score(truth, scores), f1, pro]


def numbers(metrics: PixelMetrics) -> list[float]:
    """AUROC, AP, F1-max, PRO, PRO-200; PRO-200 of a map with an outlier is not defined."""
    return [value if isinstance(value, float) else float("nan") for value in metrics.compute().values()]


def peers() -> dict[str, Run]:
    """Those that are installed."""
    known = {"scikit-learn + 200 loops": ("sklearn", scikit_learn)}
    known |= {"torchmetrics": ("torchmetrics", torchmetrics), "adeval": ("adeval", adeval)}
    return {name: run for name, (module, run) in known.items() if find_spec(module)}


def scikit_learn(maps: np.ndarray, masks: np.ndarray) -> list[float]:
    """What the published evaluations do."""
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

    scores, truth = maps.ravel(), masks.ravel()
    precision, recall, _ = precision_recall_curve(truth, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    answers = [roc_auc_score(truth, scores), average_precision_score(truth, scores), f1.max()]
    return [*answers, float("nan"), loop_of_200(maps, masks)]


def loop_of_200(maps: np.ndarray, masks: np.ndarray) -> float:
    """PRO with one pass over all pixels a threshold; regions are found once, not 200 times as published."""
    labels = [label(mask, np.ones((3, 3)))[0] for mask in masks]
    regions = [
        (number, *np.nonzero(found == index))
        for number, found in enumerate(labels)
        for index in range(1, found.max() + 1)
    ]
    overlaps, rates = [], []
    for threshold in np.arange(maps.min(), maps.max(), (maps.max() - maps.min()) / 200):
        called = maps > threshold
        overlaps.append(np.mean([called[number, rows, cols].mean() for number, rows, cols in regions]))
        rates.append((called & ~masks).sum() / (~masks).sum())
    kept = np.array(rates) < 0.3
    x, y = np.array(rates)[kept], np.array(overlaps)[kept]
    return float(-np.trapezoid(y, (x - x.min()) / (x.max() - x.min())))


def torchmetrics(maps: np.ndarray, masks: np.ndarray) -> list[float]:
    """Exact mode of its functions; it has neither F1-max nor PRO for these."""
    import torch
    from torchmetrics.functional.classification import binary_auroc, binary_average_precision

    scores, truth = torch.from_numpy(maps).ravel(), torch.from_numpy(masks).ravel().long()
    return [float(metric(scores, truth)) for metric in (binary_auroc, binary_average_precision)]


def adeval(maps: np.ndarray, masks: np.ndarray) -> list[float]:
    """Its accumulator without CUDA, which keeps counts, too; it has no F1-max."""
    from adeval import EvalAccumulator

    np.trapz = np.trapezoid  # type: ignore[attr-defined]  # a name that NumPy 2.4 dropped and ADEval 1.1 asks for
    accumulator = EvalAccumulator(0.0, 1.0, float(maps.min()), float(maps.max()))
    for scores, mask in zip(maps, masks, strict=True):
        accumulator.add_anomap(scores, mask.astype(np.uint8))
    with np.errstate(invalid="ignore"):  # it has no image scores
        found = accumulator.summary()
    return [found["p_auroc"], found["p_aupr"], float("nan"), found["p_aupro"]]


if __name__ == "__main__":
    main()
