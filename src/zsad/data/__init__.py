"""From files to batches: what stands between a path and a backbone.

* ``sources.find_images``: files, folders and glob patterns -> image paths, in natural order.
* ``decode.decode``: one file, bytes, PIL image or array -> an upright RGB ``Image``, or an error that names the file.
* ``preprocess.to_batch``: images -> one normalised ``ImageBatch``.
* ``layouts``: how the data sets on disk say what is normal, what is anomalous, and where.

Import from the modules; this file imports nothing, so that listing layouts costs no torch.
"""
