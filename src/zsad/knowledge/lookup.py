"""Descriptions of many classes, looked up by name."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path

from zsad.config import from_mapping
from zsad.documents import LIST_LIMIT, DocumentError, Source, read_json_object
from zsad.errors import ConfigError, InputError, unknown_name
from zsad.files import write_atomically

LLM_COUNT = 5
"""n, descriptions of each class (KAnoCLIP, section 2.2.1)."""


@dataclass(frozen=True)
class ClassKnowledge:
    """The descriptions of one class.

    Attributes:
        background: one sentence on the normal appearance.
        llm: ``LLM_COUNT`` different sentences on what an abnormal image may show.
        vqa: sentences on the anomaly in one image, by the SHA-256 of its file.

    Raises:
        ConfigError: a wrong number of sentences, an empty or repeated one, or a key that is no SHA-256.
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
        """The other entry, with the descriptions of single images that only this one has."""
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
        values: the JSON object of one class.
        where: file and class, for errors.

    Raises:
        ConfigError: it is invalid, see :class:`ClassKnowledge`.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} must be an object", repr(values), "write {'background': ..., 'llm': [...]}")
    stored = from_mapping(_Stored, values, where)
    try:
        return ClassKnowledge(stored.background, stored.llm, stored.vqa), stored.aliases
    except ConfigError as error:
        raise ConfigError(f"in {where} {error.rule}", error.value, error.remedy) from error


def to_file(entry: ClassKnowledge, aliases: Sequence[str]) -> dict[str, object]:
    """The inverse of :func:`from_file`; empty parts are omitted."""
    values: dict[str, object] = {"background": entry.background, "llm": list(entry.llm)}
    if aliases:
        values["aliases"] = list(aliases)
    if entry.vqa:
        values["vqa"] = {key: list(sentences) for key, sentences in sorted(entry.vqa.items())}
    return values


def plain(sentence: str) -> str:
    """A normal form for comparing sentences: without case, repeated spaces and full stop.

    >>> plain(" A deep  scratch. ")
    'a deep scratch'
    """
    return " ".join(sentence.casefold().split()).rstrip(".")


def _check_sentences(sentences: Sequence[str], where: str) -> None:
    if not all(map(plain, sentences)):
        raise ConfigError(f"no sentence of {where} is empty", "an empty one", "write it or remove it")
    if twice := {sentence for sentence in sentences if list(map(plain, sentences)).count(plain(sentence)) > 1}:
        raise ConfigError(f"each sentence of {where} is there once", repr(min(twice)), "write another one")


PREFERRED = ("mvtec", "visa", "bmad", "cvc_clinicdb")
"""Data sets whose classes take precedence over those of the same name in others, in this order."""


@dataclass(frozen=True)
class Knowledge:
    """Entries by class.

    Names are case-insensitive, and ``_``, ``-`` and space are equal. ``"mtd/tile"`` is the tile of data set mtd;
    ``"tile"`` alone is the last of several in ``entries``. Class names take precedence over aliases.

    Attributes:
        entries: by class, as ``"data_set/class"`` or ``"class"``.
        aliases: other names of a class.
    """

    entries: Mapping[str, ClassKnowledge]
    aliases: Mapping[str, tuple[str, ...]]

    @classmethod
    def shipped(cls, data_set: str | None = None) -> "Knowledge":
        """The knowledge in the package, of one data set or of all.

        Of classes of the same name, that of the first data set in ``PREFERRED`` is found. To prefer another:
        ``Knowledge.shipped().merged(Knowledge.shipped("mtd"))``.

        Raises:
            ConfigError: unknown data set.
        """
        return _shipped(data_set)

    @classmethod
    def read(cls, path: Path) -> "Knowledge":
        """Read a file: a JSON object of classes, each with ``background``, ``llm``, and optionally ``vqa``,
        ``aliases``.

        Raises:
            InputError: the file cannot be read, or is no JSON.
            ConfigError: it is invalid, see :class:`ClassKnowledge`, or has a class twice.
        """
        try:
            return _parse(path, str(path))
        except OSError as error:
            raise InputError("a knowledge file must be readable", error, "check the path") from error

    def write(self, path: Path) -> None:
        """Write the file that :meth:`read` reads, atomically."""
        values = {key: to_file(entry, self.aliases.get(key, ())) for key, entry in self.entries.items()}
        write_atomically(path, (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode("utf-8"))

    @property
    def classes(self) -> tuple[str, ...]:
        """Every class in the order of reading; the last of a name is the one that is found."""
        return tuple(self.entries)

    def named(self, class_name: str) -> tuple[str, ...]:
        """The classes of this name, as in ``classes``; the one that :meth:`lookup` takes first."""
        return tuple(reversed(self._index.get(folded(class_name), ())))

    def lookup(self, class_name: str) -> ClassKnowledge:
        """The descriptions of a class.

        Raises:
            ConfigError: there are none; the message proposes the most similar name.
        """
        if entry := self.named(class_name):
            return self.entries[entry[0]]
        near = get_close_matches(folded(class_name), self._index, n=1)
        nearest = f"use {near[0]!r} if that is meant, or " if near else ""
        raise ConfigError(
            "the knowledge base must know the class",
            repr(class_name),
            f"{nearest}extend it: zsad knowledge build --classes {class_name!r} --model NAME",
        )

    def descriptions(self, class_name: str, image: Path | None = None) -> tuple[str, ...]:
        """The N + M sentences of KAnoCLIP, eq. 3: of the class, and of the image where there are any.

        Raises:
            ConfigError: unknown class.
            OSError: the image cannot be read.
        """
        entry = self.lookup(class_name)
        described = entry.vqa.get(image_key(image), ()) if image and entry.vqa else ()
        return (*entry.llm, *described)

    def merged(self, other: "Knowledge") -> "Knowledge":
        """Both; the other takes precedence: a class of the same name is replaced, its aliases and image descriptions
        are kept."""
        entries, aliases = dict(self.entries), dict(self.aliases)
        for key, entry in other.entries.items():
            old = next((known for known in self.named(key) if folded(key) in _names(known)), key)
            known = entries.pop(old, None)  # moved to the end, so that it is the one found
            entries[old] = known.extended(entry) if known else entry
            aliases[old] = tuple(dict.fromkeys((*aliases.get(old, ()), *other.aliases.get(key, ()))))
        return Knowledge(entries, aliases)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the entry of every name; the order of entries matters only where it decides which is found."""
        content = {name: to_file(self.entries[keys[-1]], ()) for name, keys in self._index.items()}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode("ascii")).hexdigest()

    @cached_property
    def _index(self) -> dict[str, list[str]]:
        """Classes by folded name, the one to be found last."""
        index: dict[str, list[str]] = {}
        by_alias = [(name, key) for key in self.entries for name in _names(key, self.aliases.get(key, ()))]
        by_name = [(name, key) for key in self.entries for name in _names(key)]
        for name, key in by_alias + by_name:
            index[name] = [*(known_key for known_key in index.get(name, ()) if known_key != key), key]
        return index


def folded(name: str) -> str:
    """The normal form of a name for comparisons.

    >>> folded(" Metal_Nut"), folded("DTD-Synthetic/Woven_001")
    ('metal nut', 'dtd synthetic/woven 001')
    """
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def image_key(image: Path) -> str:
    """The key of the descriptions of an image: the SHA-256 of its file."""
    return hashlib.sha256(image.read_bytes()).hexdigest()


@cache
def _shipped(data_set: str | None) -> Knowledge:
    known = {file.name.removesuffix(".json"): file for file in (files("zsad.knowledge") / "base").iterdir()}
    if data_set is not None and data_set not in known:
        raise unknown_name("data set", data_set, known)
    chosen = sorted(known, key=_preference, reverse=True) if data_set is None else [data_set]
    parts = [_parse(known[name].read_bytes(), name, f"{name}/") for name in chosen]
    entries = {key: entry for part in parts for key, entry in part.entries.items()}
    return Knowledge(entries, {key: names for part in parts for key, names in part.aliases.items()})


def _preference(data_set: str) -> tuple[int, str]:
    return PREFERRED.index(data_set) if data_set in PREFERRED else len(PREFERRED), data_set


def _parse(source: Source, where: str, prefix: str = "") -> Knowledge:
    try:
        values = read_json_object(source, LIST_LIMIT)
    except DocumentError as error:
        raise InputError(f"{where} must be a JSON object of classes", error, "see docs/knowledge.md") from error
    _check_names(values, where)
    read = {f"{prefix}{name}": from_file(value, f"{where}, {name}") for name, value in values.items()}
    return Knowledge({key: item[0] for key, item in read.items()}, {key: item[1] for key, item in read.items()})


def _check_names(values: Mapping[str, object], where: str) -> None:
    """Refuse two names of one class, also among descriptions of single images."""
    counts = Counter(map(folded, values))
    for name, count in counts.items():
        if count > 1 or not name.strip("/"):
            raise ConfigError(f"in {where} every name is there once and not empty", repr(name), "rename one")
    for name, value in values.items():
        if isinstance(value, dict):
            _check_names(value, f"{where}, {name}")


def _names(key: str, aliases: Sequence[str] | None = None) -> list[str]:
    """The folded names of a class, or its aliases, each alone and after its data set."""
    data_set, slash, name = key.rpartition("/")
    names = [folded(name)] if aliases is None else [folded(alias) for alias in aliases]
    return names + [folded(data_set + slash) + name for name in names] if slash else names
