"""Prediction for manifests of millions of images, in shards, on one machine or on many.

manifest -> shards of rows -> one detector a worker -> one Parquet file a shard -> summary.json
"""

from zsad.cluster.job import Job
from zsad.cluster.manifest import Manifest
from zsad.cluster.prediction import predict_manifest
from zsad.cluster.shards import Counts

__all__ = ["Counts", "Job", "Manifest", "predict_manifest"]
