"""From files to batches: what stands between a path and a backbone.

* ``sources.find_images``: files, folders and glob patterns -> image paths, in natural order.
* ``decode.decode``: one file, bytes, PIL image or array -> an upright RGB ``Image``, or an error that names the file.
* ``preprocess.to_batch``: images -> one normalised ``ImageBatch``.
* ``layouts``: how the data sets on disk say what is normal, what is anomalous, and where.

What is exported here says what a data set is, and needs no PyTorch.
"""

from zsad.data.layouts import Layout, PublishedCount, Sample, get, names, register
from zsad.data.specification import DataSet, data_set, samples_of

__all__ = [
    "DataSet",
    "Layout",
    "PublishedCount",
    "Sample",
    "data_set",
    "get",
    "names",
    "register",
    "samples_of",
]
