"""CLIP's byte-pair encoding, run by the ``tokenizers`` library on a plain list of merges.

The size of a tokenizer that comes with weights is limited, and it may contain only the regular expressions of CLIP,
since a malicious one could run forever.
"""

import gzip
import html
import re
from collections.abc import Mapping
from functools import cached_property
from importlib.resources.abc import Traversable
from pathlib import Path

import ftfy
from tokenizers import Regex, models, pre_tokenizers
from tokenizers import Tokenizer as Backend

from zsad.documents import read_bytes, read_json_object
from zsad.errors import WeightsError

START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
HUGGING_FACE_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
PATTERNS = {WORDS, HUGGING_FACE_WORDS, rf"<\|startoftext\|>|<\|endoftext\|>|{HUGGING_FACE_WORDS}", r"\s+"}
"""All regular expressions of CLIP's tokenizers: ours, two versions of Hugging Face, and white space."""
MERGES, JSON = 64 * 2**20, 64 * 2**20
"""Maximum bytes of a decompressed list of merges and of a tokenizer.json; CLIP's have 0.5 and 3.6 million."""
SPACES = re.compile(r"\s+")
PLAIN = re.compile(r"[ -%'-~]*")
"""Printable ASCII without ``&``, which ftfy does not change."""


class Tokenizer:
    """Text to token ids, as OpenAI's CLIP does it (Radford et al. 2021).

    Args:
        backend: a byte-level BPE without normaliser or post-processor of its own that changes cleaned text.
        context: maximum number of ids, including start and end; longer text is truncated and keeps its end token.
    """

    def __init__(self, backend: Backend, context: int) -> None:
        self.backend, self.context = backend, context
        self.start, self.end = (self._special(token) for token in (START, END))

    @classmethod
    def from_merges(cls, path: Path | Traversable, context: int) -> "Tokenizer":
        """Read gzipped merges, one pair a line. Ids: 256 bytes, 256 word-final bytes, the merges, start, end.

        Raises:
            WeightsError: they are damaged, or too large.
        """
        try:
            lines = unpacked(path).decode("utf-8").splitlines()
            return cls(_bpe([(left, right) for left, right in (line.split(" ") for line in lines)]), context)
        except WeightsError:
            raise
        except Exception as error:  # of gzip, of the library, over anything
            raise WeightsError(
                f"{path} must be gzipped merges, two tokens a line", _line(error), "copy it again"
            ) from error

    @classmethod
    def from_tokenizer_json(cls, path: Path, context: int) -> "Tokenizer":
        """Read the ``tokenizer.json`` of a Hugging Face CLIP folder.

        Raises:
            WeightsError: it is damaged, too large, or not CLIP's byte-pair encoding.
        """
        try:
            content = read_bytes(path, JSON)
            _check_pipeline(read_json_object(content, JSON))
            backend = Backend.from_buffer(content)
        except Exception as error:  # the library raises nothing more precise
            raise WeightsError(f"{path} must be a tokenizer.json of CLIP", _line(error), "copy it again") from error
        backend.no_padding()
        backend.no_truncation()
        return cls(backend, context)

    def __deepcopy__(self, memo: dict[int, object]) -> "Tokenizer":
        """Itself, for copies of a Clip: nothing of it changes, and copying the vocabulary takes a tenth of a second."""
        return self

    def __len__(self) -> int:
        """The largest id plus one: the number of embeddings that a text tower needs."""
        return self._size

    @cached_property
    def _size(self) -> int:
        return 1 + max(self.backend.get_vocab().values())

    def encode(self, text: str) -> list[int]:
        """Ids from start to end token, at most ``context``, without padding."""
        ids = self.backend.encode(clean(text), add_special_tokens=False).ids
        return [self.start, *ids[: self.context - 2], self.end]

    def count(self, text: str) -> int:
        """Number of ids of the whole text, including start and end; :meth:`encode` truncates above ``context``."""
        return len(self.backend.encode(clean(text), add_special_tokens=False).ids) + 2

    def _special(self, token: str) -> int:
        number = self.backend.token_to_id(token)
        if number is None:
            raise WeightsError("the vocabulary of CLIP has start and end tokens", f"no {token}", "use CLIP's tokenizer")
        return int(number)


def unpacked(path: Path | Traversable) -> bytes:
    """The decompressed file, up to a limit."""
    with path.open("rb") as file, gzip.open(file) as merges:
        content = merges.read(MERGES + 1)
    if len(content) > MERGES:
        raise ValueError(f"more than {MERGES} bytes")
    return content


def _check_pipeline(pipeline: Mapping[str, object]) -> None:
    """Refuse other models than byte-pair encoding, dropout, and regular expressions that are not CLIP's."""
    model = pipeline.get("model")
    if not isinstance(model, Mapping) or model.get("type", "BPE") != "BPE" or model.get("dropout"):
        raise ValueError("a model that is no byte-pair encoding without dropout")
    level: list[object] = [pipeline.get("normalizer"), pipeline.get("pre_tokenizer")]
    while level:
        step = level.pop()
        if isinstance(step, Mapping):
            if "Regex" in step and step["Regex"] not in PATTERNS:
                raise ValueError(f"the regular expression {ascii(step['Regex'])[:80]}, which is not CLIP's")
            level.extend(step.values())
        elif isinstance(step, list):
            level.extend(step)


def _line(error: Exception) -> str:
    return str(error).split("\n")[0][:200] or type(error).__name__


def clean(text: str) -> str:
    """Repair broken Unicode, undo HTML entities, collapse white space, lower-case: CLIP's own cleaning.

    >>> clean("  A  photo&amp;nbsp;of a CAT ")
    'a photo of a cat'
    """
    repaired = text if PLAIN.fullmatch(text) else html.unescape(html.unescape(ftfy.fix_text(text)))
    return SPACES.sub(" ", repaired).strip().lower()


def byte_symbols() -> list[str]:
    """One printable character for each byte, in the order in which CLIP numbers them.

    Printable bytes stand for themselves and come first; the others follow as the characters from 256 on.

    >>> symbols = byte_symbols()
    >>> len(set(symbols)), symbols[0], symbols[-1]
    (256, '!', 'Ń')
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(code) for code in printable] + [chr(256 + n) for n in range(256 - len(printable))]


def pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    """Words as split by CLIP, as byte symbols."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _bpe(merges: list[tuple[str, str]]) -> Backend:
    symbols = byte_symbols()
    tokens = [*symbols, *(symbol + WORD_END for symbol in symbols), *(left + right for left, right in merges)]
    vocabulary = {token: number for number, token in enumerate([*tokens, START, END])}
    if len(vocabulary) < len(tokens) + 2:  # all following ids would change
        raise ValueError("a token stands there twice")
    backend = Backend(models.BPE(vocabulary, merges, end_of_word_suffix=WORD_END))
    backend.pre_tokenizer = pre_tokenizer()
    backend.add_special_tokens([START, END])
    return backend
