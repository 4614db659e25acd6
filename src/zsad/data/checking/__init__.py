"""Checks of data sets: what is read of each image, and the rules that compare it with the rest.

* ``check``: runs all of it.
* ``inspection``: every image and its masks, decoded once -> ``SampleFacts``, a few hundred bytes each.
* ``counts``: how many images each class has, and how many were published.
* ``ground_truth``: files that cannot be read, masks, sizes.
* ``unused_files``: files that the layout does not use.
* ``leakage``: the same image twice, classes of one name, and what a detector was trained on.

Each rule returns ``findings.Finding``. Import from the modules; this file imports nothing.
"""
