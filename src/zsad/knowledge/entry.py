"""What is known of one class, and its form in a file."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from zsad.config import from_mapping
from zsad.errors import ConfigError

LLM_COUNT = 5
"""n, descriptions of each class (KAnoCLIP, section 2.2.1)."""


@dataclass(frozen=True)
class ClassKnowledge:
    """What is known of one class.

    Attributes:
        background: one sentence about what the normal thing looks like.
        llm: ``LLM_COUNT`` different sentences about what an abnormal image of it may show.
        vqa: sentences about what is wrong in one image, by the SHA-256 of the content of its file.

    Raises:
        ConfigError: a wrong number of sentences, an empty one, one twice, or a key that is no SHA-256.
    """

    background: str
    llm: tuple[str, ...]
    vqa: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.llm) != LLM_COUNT:
            raise ConfigError(f"there are {LLM_COUNT} descriptions under 'llm'", len(self.llm), "add or remove some")
        _check_sentences([*self.llm, self.background], "llm and background")
        for key, sentences in self.vqa.items():
            if not re.fullmatch("[0-9a-f]{64}", key):
                raise ConfigError("an image under 'vqa' is named by the SHA-256 of its file", repr(key), "hash it")
            if not sentences:
                raise ConfigError("an image under 'vqa' has at least one description", "none", f"remove {key}")
            _check_sentences(sentences, f"vqa, {key}")

    def extended(self, other: "ClassKnowledge") -> "ClassKnowledge":
        """The other entry, with what only this one knows of single images."""
        return ClassKnowledge(other.background, other.llm, {**self.vqa, **other.vqa})


@dataclass(frozen=True)
class _Stored:
    background: str
    llm: tuple[str, ...]
    vqa: dict[str, tuple[str, ...]] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()


def from_file(values: object, where: str) -> tuple[ClassKnowledge, tuple[str, ...]]:
    """An entry and its aliases.

    Args:
        values: what a JSON file holds for one class.
        where: file and class, for errors.

    Raises:
        ConfigError: it is not as :class:`ClassKnowledge` says.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} must be an object", repr(values), "write {'background': ..., 'llm': [...]}")
    stored = from_mapping(_Stored, values, where)
    try:
        return ClassKnowledge(stored.background, stored.llm, stored.vqa), stored.aliases
    except ConfigError as error:
        raise ConfigError(f"in {where} {error.rule}", error.value, error.remedy) from error


def to_file(entry: ClassKnowledge, aliases: Sequence[str]) -> dict[str, object]:
    """What :func:`from_file` reads; empty parts are left out."""
    values: dict[str, object] = {"background": entry.background, "llm": list(entry.llm)}
    if aliases:
        values["aliases"] = list(aliases)
    if entry.vqa:
        values["vqa"] = {key: list(sentences) for key, sentences in sorted(entry.vqa.items())}
    return values


def plain(sentence: str) -> str:
    """What two sentences have in common if they say the same: case, spaces and the full stop do not count.

    >>> plain(" A deep  scratch. ")
    'a deep scratch'
    """
    return " ".join(sentence.casefold().split()).rstrip(".")


def _check_sentences(sentences: Sequence[str], where: str) -> None:
    if not all(map(plain, sentences)):
        raise ConfigError(f"no sentence of {where} is empty", "an empty one", "write it or remove it")
    if twice := {sentence for sentence in sentences if list(map(plain, sentences)).count(plain(sentence)) > 1}:
        raise ConfigError(f"each sentence of {where} is there once", repr(min(twice)), "say something else")
