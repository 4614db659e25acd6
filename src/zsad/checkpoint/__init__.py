"""A detector on disk: a folder with a JSON card (its configuration), its trained tensors and its training record."""

from zsad.checkpoint.reading import method_of, read, read_training_record
from zsad.checkpoint.records import (
    CALIBRATION,
    CARD,
    FILES,
    FORMAT,
    IMAGES,
    MEMORY,
    OLDER_NAMES,
    TRAINED_STATE,
    TRAINING,
    UNFINISHED,
    Card,
    RememberedImage,
    TrainingRecord,
    file_of,
)
from zsad.checkpoint.state import load_trained_state, state_fingerprint, trained_state
from zsad.checkpoint.writing import write, write_calibration

__all__ = [
    "CALIBRATION",
    "CARD",
    "FILES",
    "FORMAT",
    "IMAGES",
    "MEMORY",
    "OLDER_NAMES",
    "TRAINED_STATE",
    "TRAINING",
    "UNFINISHED",
    "Card",
    "RememberedImage",
    "TrainingRecord",
    "file_of",
    "load_trained_state",
    "method_of",
    "read",
    "read_training_record",
    "state_fingerprint",
    "trained_state",
    "write",
    "write_calibration",
]
