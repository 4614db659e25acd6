"""Any folder of images, without labels."""

from pathlib import Path

from zsad.data.layouts._base import Layout, Sample
from zsad.data.sources import find_images


class Folder(Layout):
    """``<class>/**/*.png``: every image at any depth shows the class that the folder is named after."""

    title = "Folder of images"
    about = "Any images of your own, without labels; the class is the name of the folder."

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """Every image below ``root``, with unknown labels."""
        class_name = root.resolve().name
        return [Sample(image, None, class_name, "unknown", None, "test") for image in find_images([root])]
