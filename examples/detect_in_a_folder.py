"""Look for defects in a folder of images, without training, and print the images from most to least suspicious.

    python examples/detect_in_a_folder.py                                      # images that are drawn for the purpose
    python examples/detect_in_a_folder.py photos --class-name "metal nut"      # images of your own

The default backbone, "tiny", is small and for trying out; real work names a real CLIP:
zsad.load("winclip", backbone="ViT-B-16-plus-240", weights=...).
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import zsad
from zsad.data.sources import find_images
from zsad.data.synthetic.dataset import write
from zsad.data.synthetic.drawing import Drawing


def detect(folder: Path, class_name: str, detector_name: str, image_size: int | None) -> list[zsad.Prediction]:
    """Predictions of all images below a folder, the highest score first; what cannot be read is named and left out."""
    detector = zsad.load(detector_name, image_size=image_size)
    predictions = []
    for result in detector.stream(find_images([folder]), class_name):
        if isinstance(result, zsad.Failure):
            print(f"skipped: {result.message}")
        else:
            _, prediction = result
            predictions.append(prediction)
    return sorted(predictions, key=lambda prediction: prediction.score, reverse=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="images; drawn where not given")
    parser.add_argument("--class-name", default="object", help="what they show, in plain English")
    parser.add_argument("--detector", default="winclip", help="name of a method, or folder of a trained detector")
    parser.add_argument("--image-size", type=int, help="in px, at which it runs; larger finds smaller defects")
    options = parser.parse_args()
    with TemporaryDirectory() as drawn:
        if options.folder is None:
            write(Drawing(images=12, side=128), Path(drawn))
            options.folder, options.class_name, options.image_size = Path(drawn, "part", "test"), "part", 112
        for prediction in detect(options.folder, options.class_name, options.detector, options.image_size):
            row, col = divmod(int(prediction.anomaly_map.argmax()), prediction.size[1])
            print(f"{prediction.score:.3f}  highest at row {row}, column {col}  {prediction.source}")


if __name__ == "__main__":
    main()
