"""Any folder of pictures, without labels."""

from pathlib import Path

from zsad.data.layouts._base import Layout, Sample
from zsad.data.sources import find_pictures


class Folder(Layout):
    """``<class>/**/*.png``: every picture at any depth shows the class that the folder is named after."""

    title = "Folder of pictures"
    about = "Any pictures of your own, without labels; the class is the name of the folder."

    @classmethod
    def samples(cls, root: Path) -> list[Sample]:
        """Every picture below ``root``, with unknown labels."""
        class_name = root.resolve().name
        return [Sample(picture, None, class_name, "unknown", None, "test") for picture in find_pictures([root])]
