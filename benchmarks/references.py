"""What known-good images add to `auto`: image and pixel AUROC with 1, 4 and 16 of them.

    python -m benchmarks.references --data LAYOUT:PATH --elpv --max-images 150 --out runs/references

Normal images are drawn from the training split and from normal images that are not scored; where there are none, from
those that are, which then are left out of the draw's test images. Each image goes through the tower once; maps are
compared at 224 px. "0" is text alone.
"""

import json
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

import zsad
from zsad import demo
from zsad.cli.options import key_value
from zsad.data.decode import decode
from zsad.data.layouts import Sample
from zsad.data.masks.ground_truth import read_ground_truth, resize_mask
from zsad.data.preprocess import to_batch
from zsad.data.sampling import subset
from zsad.data.specification import DataSet, data_set, in_words
from zsad.methods.auto.method import Auto, Observation
from zsad.metrics import PixelMetrics, auroc
from zsad.parts.maps import resize
from zsad.scoring import anomaly_maps
from zsad.types import Evidence

SIDE = 224
"""Of maps and masks, in px."""


@dataclass(frozen=True)
class Seen:
    """An image that went through the tower; ``mask`` only of images that count for pixels."""

    sample: Sample
    observed: Observation
    mask: np.ndarray | None


def main() -> None:
    """Measure, print a table, write ``references.json``."""
    options = parsed()
    data = [data_set(words) for words in [*options.data, *([f"elpv:{demo.photographs()}"] if options.elpv else [])]]
    rows = [measured(each, options) for each in data]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "references.json").write_text(json.dumps(rows, indent=2) + "\n")
    print("\n".join(table(rows, options.shots)))


def parsed() -> Namespace:
    """The options."""
    parser = ArgumentParser(prog="python -m benchmarks.references", description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=[], metavar="[NAME=]LAYOUT:PATH")
    parser.add_argument("--elpv", action="store_true", help="also the solar cells of the package elpv-dataset")
    parser.add_argument("--shots", type=int, nargs="+", default=[0, 1, 4, 16])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--max-images", type=int, help="of each state, drawn with seed 0")
    parser.add_argument("--weights", help="of the embedded backbone")
    parser.add_argument("--set", type=key_value, action="append", default=[], metavar="KEY=VALUE", help="of auto")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def measured(data: DataSet, options: Namespace) -> dict[str, object]:
    """Mean and deviation over draws, for each number of shots, of a data set of one class."""
    began = time.monotonic()
    detector = zsad.load("auto", weights=options.weights, options=dict(options.set))
    labelled = [sample for sample in data.samples if sample.label is not None]
    tested = subset([sample for sample in labelled if sample.split == "test"], options.max_images)
    paths = {sample.image for sample in tested}
    others = [sample for sample in labelled if sample.label == 0 and sample.image not in paths]
    pool = others or [sample for sample in tested if sample.label == 0]
    draws = [
        np.random.default_rng(number).permutation(len(pool))[: max(options.shots)].tolist()
        for number in range(options.draws)
    ]
    needed = {pool[index].image: pool[index] for draw in draws for index in draw} | {s.image: s for s in tested}
    seen = {path: observed(detector, sample) for path, sample in tqdm(needed.items(), desc=data.name, mininterval=10)}
    result: dict[str, object] = {"data": data.name, "test": len(tested), "references": len(pool)}
    for shots in options.shots:
        count = min(shots, len(pool) // 2 if not others else len(pool))
        values = [
            scored(detector, [seen[pool[index].image] for index in draw[:count]], [seen[s.image] for s in tested])
            for draw in (draws if shots else draws[:1])
        ]
        result[str(shots)] = {
            "shots": count,
            "image_auroc": [image for image, _ in values],
            "pixel_auroc": [pixel for _, pixel in values if pixel is not None],
        }
    result["seconds"] = round(time.monotonic() - began)
    return result


@torch.inference_mode()
def observed(detector: zsad.Detector, sample: Sample) -> Seen:
    """One image through the tower, and its mask."""
    method, config = detector.method, detector.method.clip.config
    assert isinstance(method, Auto)
    image = decode(sample.image)
    side = (detector.image_size, detector.image_size)
    found = method.observe(to_batch([image], side, config.mean, config.std).pixels, [in_words(sample.class_name)])
    if sample.label == 0:
        return Seen(sample, found, np.zeros((SIDE, SIDE), bool))
    if not sample.masks:
        return Seen(sample, found, None)
    mask = read_ground_truth(sample.masks, image.size).pixels
    return Seen(sample, found, resize_mask(mask, (SIDE, SIDE)))


@torch.inference_mode()
def scored(detector: zsad.Detector, references: Sequence[Seen], tested: Sequence[Seen]) -> tuple[float, float | None]:
    """Image and pixel AUROC of all test images that are not references."""
    method = detector.method
    assert isinstance(method, Auto)
    method.forget_normal()
    if references:
        remember(method, references)
    known = {id(each) for each in references}
    scores, labels, pixels, has_masks = [], [], PixelMetrics(), False
    for each in (each for each in tested if id(each) not in known):
        evidence = method.compare(each.observed)
        scores.append(float(evidence.score[0]))
        labels.append(int(each.sample.label or 0))
        if each.mask is not None:
            has_masks |= bool(each.mask.any())
            pixels.update([pixel_map(evidence, detector)], [each.mask])
    return auroc(scores, labels), pixels.compute()["auroc"] if has_masks else None


def remember(method: Auto, references: Sequence[Seen]) -> None:
    """As ``fit_normal``, from what was seen already."""
    for each in references:
        method.remember(each.observed.patches, each.observed.text, method.bank)
    method.finish_fit()


def pixel_map(evidence: Evidence, detector: zsad.Detector) -> np.ndarray:
    """At 224 px."""
    side = detector.image_size
    return resize(anomaly_maps(evidence, (side, side), detector.method.config), (SIDE, SIDE))[0].numpy()


def table(rows: Sequence[dict[str, object]], shots: Sequence[int]) -> list[str]:
    """Percent, mean ± deviation over draws."""
    lines = ["| data | test images | " + " | ".join(f"{count} normal" for count in shots) + " |"]
    lines.append("|---" * (2 + len(shots)) + "|")
    for key in ("image_auroc", "pixel_auroc"):
        means = []
        for row in rows:
            found = [row[str(count)][key] for count in shots]  # type: ignore[index]
            if all(found):
                means.append([float(np.mean(values)) for values in found])
                cells = [f"{100 * np.mean(values):.1f} ± {100 * np.std(values):.1f}" for values in found]
                lines.append(f"| {row['data']}, {key.replace('_', ' ')} | {row['test']} | {' | '.join(cells)} |")
        if means:
            lines.append(f"| mean, {key} | | {' | '.join(f'{100 * each:.1f}' for each in np.mean(means, 0))} |")
    return lines


if __name__ == "__main__":
    main()
