"""Byte-pair merges learned from the captions, in the form of CLIP's own vocabulary."""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, models, trainers

from zsad.backbones.tokenizer import WORD_END, byte_symbols, clean, pre_tokenizer
from zsad.files import write_atomically


def learn_merges(texts: Iterable[str], merges: int) -> list[tuple[str, str]]:
    """At most ``merges`` pairs, the most frequent first; the same texts give the same merges."""
    backend = Tokenizer(models.BPE(end_of_word_suffix=WORD_END))
    backend.pre_tokenizer = pre_tokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=2 * 256 + merges,
        initial_alphabet=byte_symbols(),
        end_of_word_suffix=WORD_END,
        show_progress=False,
    )
    backend.train_from_iterator((clean(text) for text in texts), trainer)
    pairs = json.loads(backend.to_str())["model"]["merges"]
    return [(left, right) for left, right in pairs][:merges]


def write_merges(pairs: Iterable[tuple[str, str]], path: Path) -> None:
    """Write the merges as :meth:`zsad.backbones.tokenizer.Tokenizer.from_merges` reads them."""
    text = "".join(f"{left} {right}\n" for left, right in pairs)
    write_atomically(path, gzip.compress(text.encode("utf-8"), mtime=0))
