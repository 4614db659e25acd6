"""Train a method on one data set and test it on another one.

    python examples/train_and_test.py                                          # two small drawn data sets, one epoch
    python examples/train_and_test.py --train visa:data/visa --test mvtec:data/mvtec --epochs 9 --out runs/fe-clip

A detector is never tested on what trained it: zsad.evaluate refuses images that are in its training record.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import zsad
from zsad.data.synthetic.dataset import write
from zsad.data.synthetic.drawing import Drawing


def train_and_test(method: str, train: str, test: str, epochs: int, image_size: int | None, out: Path) -> None:
    """Leaves the detector in out/detector, and tables, curves and a report in out/results."""
    run = zsad.train(method, train, out / "detector", image_size=image_size, epochs=epochs)
    evaluation = zsad.evaluate(run, test, out / "results", resolution=128, resamples=200)
    for data_set in evaluation.data_sets:
        print(f"{method} on {data_set.name}:")
        for name, metric in data_set.means.items():
            if metric.value is not None:
                interval = "" if metric.low is None else f"  [{100 * metric.low:.1f}, {100 * metric.high:.1f}]"
                print(f"  {name:<24} {100 * metric.value:5.1f}{interval}")
        for warning in data_set.warnings:
            print(f"  note: {warning}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="fe-clip", help="a method that is trained: zsad methods")
    parser.add_argument("--train", help="LAYOUT:PATH; drawn where not given")
    parser.add_argument("--test", help="LAYOUT:PATH; drawn where not given")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--image-size", type=int, default=112, help="in px, at which it runs (small, to be quick)")
    parser.add_argument("--out", type=Path, help="kept where given")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        for name, seed in (("train", 0), ("test", 1)):
            if getattr(options, name) is None:
                write(Drawing(images=24, side=128, seed=seed), Path(folder, name))
                setattr(options, name, f"mvtec:{folder}/{name}")
        out = options.out or Path(folder)
        train_and_test(options.method, options.train, options.test, options.epochs, options.image_size, out)


if __name__ == "__main__":
    main()
