"""Both classes keep what zsad promises its users."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from zsad_example.linear_probe import LinearProbe
from zsad_example.ok_nok import OkNok

from zsad.testing import check_layout, check_method


@pytest.mark.parametrize("options", [{}, {"scale": 3.0}])
def test_the_method(options: dict[str, float]) -> None:
    check_method(LinearProbe, **options)


def test_the_layout(tmp_path: Path) -> None:
    for part, shade in (("ok", 90), ("nok", 90), ("masks", 255)):
        (tmp_path / "lid" / part).mkdir(parents=True)
        Image.fromarray(np.full((40, 40), shade, np.uint8)).save(tmp_path / "lid" / part / "1.png")
    check_layout(OkNok, tmp_path)
    ok, nok = OkNok.samples(tmp_path)
    assert (ok.label, ok.mask) == (0, None)
    assert (nok.label, nok.mask) == (1, tmp_path / "lid" / "masks" / "1.png")
