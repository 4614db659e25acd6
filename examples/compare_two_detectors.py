"""Compare two detectors on the same images, and say whether the images are enough to call one of them better.

    python examples/compare_two_detectors.py
    python examples/compare_two_detectors.py --data mvtec:data/mvtec winclip clip-ac

Every resample draws the same images for both detectors, so an image that is hard for both does not blur the difference.
A difference whose interval holds 0 is no finding. Say which metric counts before looking at any: nothing is corrected
for their number.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import zsad
from zsad.data.synthetic.dataset import write
from zsad.data.synthetic.drawing import Drawing
from zsad.statistics.comparison import compare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("detectors", nargs="*", default=["clip-ac", "winclip"], help="two names or folders")
    parser.add_argument("--data", help="LAYOUT:PATH; drawn where not given")
    parser.add_argument("--image-size", type=int, default=112, help="in px, at which both run (small, to be quick)")
    parser.add_argument("--metric", default="image_auroc", help="the one that counts")
    options = parser.parse_args()
    first, second = options.detectors
    with TemporaryDirectory() as folder:
        if options.data is None:
            write(Drawing(images=24, side=128), Path(folder, "data"))
        for side, detector in (("a", first), ("b", second)):
            loaded = zsad.load(detector, image_size=options.image_size)
            zsad.evaluate(
                loaded, options.data or f"mvtec:{folder}/data", Path(folder, side), resolution=128, resamples=200
            )
        comparison = compare(Path(folder, "a"), Path(folder, "b"))
    for data_set in comparison.data_sets:
        found = data_set.means[options.metric]
        print(f"{options.metric} on {data_set.name}: {first} {found.a:.3f}, {second} {found.b:.3f}")
        print(
            f"  difference {found.difference:+.3f}, 95% interval [{found.low:+.3f}, {found.high:+.3f}]: {found.verdict}"
        )
    for warning in comparison.warnings:
        print(f"note: {warning}")


if __name__ == "__main__":
    main()
