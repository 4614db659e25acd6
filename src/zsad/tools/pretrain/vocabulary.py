"""The vocabulary of a small tower: the most frequent byte-pair merges of CLIP's own."""

import gzip
from importlib.resources import files

from zsad.backbones import tokenizer
from zsad.config import check_within


def first_merges(count: int) -> bytes:
    """The first ``count`` lines of CLIP's merges, gzipped, as :meth:`~zsad.backbones.tokenizer.Tokenizer.from_merges`
    reads them; merges are ordered by frequency, and each is made of earlier ones.

    Raises:
        ConfigError: CLIP has fewer merges.
    """
    lines = tokenizer.unpacked(files("zsad.backbones") / "clip_merges.txt.gz").splitlines(keepends=True)
    check_within("the number of byte-pair merges", count, 0, len(lines))
    return gzip.compress(b"".join(lines[:count]), mtime=0)
