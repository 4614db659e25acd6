"""The parts of ``zsad.data.check``: what is read of each image, and the rules that hold it against the rest.

* ``inspection``: every image and its mask, decoded once -> ``Facts``, a few hundred bytes each.
* ``counts``: what there is of each class, beside what was published.
* ``truth``: files that cannot be read, masks, sizes.
* ``copies``: the same image twice: in a data set, or in two of them.
* ``training``: class names that meet, and what a detector has seen.

Each rule returns ``findings.Finding``. Import from the modules; this file imports nothing.
"""
