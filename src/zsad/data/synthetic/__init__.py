"""Images and defects drawn by procedure: what a model can practise on before it sees a real defect.

>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> image, name, foreground = part(rng, (96, 128))
>>> defect = draw_defect(rng, image, foreground, kind="scratch")
>>> defect.image.shape, bool(defect.mask.any()), bool((defect.image == image)[~defect.mask].all())
((96, 128, 3), True, True)

``surface`` and ``part`` draw good images, ``draw_defect`` harms one and says where, ``distract`` varies one without
harm. Everything is drawn from the generator that is handed in: the same seed gives the same image, bit for bit.
"""

from zsad.data.synthetic.defects import KINDS, Defect, draw_defect
from zsad.data.synthetic.distractions import distract
from zsad.data.synthetic.objects import PARTS, part
from zsad.data.synthetic.surfaces import FAMILIES, surface

__all__ = ["FAMILIES", "KINDS", "PARTS", "Defect", "distract", "draw_defect", "part", "surface"]
