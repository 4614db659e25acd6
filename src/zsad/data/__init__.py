"""From files to batches: what stands between a path and a backbone.

* ``sources.find_pictures``: files, folders and glob patterns -> picture paths, in natural order.
* ``decode.decode``: one file, bytes, PIL image or array -> an upright RGB ``Picture``, or an error that names the file.
* ``preprocess.to_batch``: pictures -> one normalised ``ImageBatch``.
* ``layouts``: how the data sets on disk say what is normal, what is anomalous, and where.

Import from the modules; this file imports nothing, so that listing layouts costs no torch.
"""
