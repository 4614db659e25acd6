"""Questions to a language model, and the validation of answers."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zsad.documents import DocumentError, read_json_object
from zsad.knowledge.lookup import LLM_COUNT, image_key, plain

VQA_COUNT = 1
"""m, descriptions of each anomalous image (KAnoCLIP, section 2.2.1)."""
LONGEST = 96
"""Maximum CLIP tokens of a sentence. The context is 77: longer ones are truncated there."""

ABOUT_CLASS = (
    "Describe what an abnormal image of {name} looks like? Answer with JSON alone, of this form: "
    '{{"descriptions": [{count} strings], "background": "..."}}. Each description is one English sentence of at most '
    "35 words about another kind of anomaly: what it is, where, and its colour, shape and size. The background is one "
    "sentence of at most 35 words about what a normal image of {name} looks like."
)
ABOUT_IMAGE = (
    "Identify anomalies in the input image of the specified class ({name}). Describe each anomaly's location, color, "
    "shape, size, and other characteristics. Answer with JSON alone, of this form: "
    '{{"descriptions": [{count} string]}}. A description is one English sentence of at most 35 words.'
)
"""Both begin with the prompt of the paper, followed by the required form of the answer."""

THOUGHT = re.compile("<think>.*?</think>", re.DOTALL)
REFUSAL = re.compile(r"\b(i(['’]m| am) (sorry|unable|not able)|i can(no|['’])t|i cannot|as an ai|unable to)\b")
NOTHING_FOUND = re.compile(r"\b(no|not any|without) (\w+ )?(anomal|defect|abnormalit)")


class RejectedAnswer(Exception):  # noqa: N818  # a rejected answer is no error of the program
    """An invalid answer, with the reason."""


@dataclass(frozen=True)
class Question:
    """One request: about a class, or about an image of it.

    Attributes:
        class_name: as in the knowledge file.
        image: the subject of the question, or ``None``.
    """

    class_name: str
    image: Path | None = None

    @property
    def prompt(self) -> str:
        """The text of the request."""
        name = self.class_name.rpartition("/")[2].replace("_", " ").replace("-", " ")
        template, count = (ABOUT_IMAGE, VQA_COUNT) if self.image else (ABOUT_CLASS, LLM_COUNT)
        return template.format(name=name, count=count)

    def key(self, model: str) -> str:
        """SHA-256 of everything that the answer depends on."""
        image = image_key(self.image) if self.image else None
        return hashlib.sha256(json.dumps([model, self.prompt, image]).encode("ascii")).hexdigest()

    def __str__(self) -> str:
        return f"image {self.image} ({self.class_name})" if self.image else f"class {self.class_name}"


@dataclass(frozen=True)
class Answer:
    """The content of a valid reply: descriptions, and for a class its background."""

    descriptions: tuple[str, ...]
    background: str = ""


def read_answer(question: Question, text: str, count_tokens: Callable[[str], int]) -> Answer:
    """Parse and validate a reply.

    Args:
        question: that was asked.
        text: the reply; the JSON object in it is used, text around it is ignored.
        count_tokens: length of a text in CLIP's tokens, start and end counted.

    Raises:
        RejectedAnswer: there is no such object, has another number of sentences, an empty, repeated or overlong one, or
            says that the model would not answer or saw nothing.
    """
    values = _object_in(text)
    descriptions = _sentences(values.get("descriptions"), VQA_COUNT if question.image else LLM_COUNT)
    background = [] if question.image else _sentences([values.get("background")], 1)
    for sentence in (*descriptions, *background):
        _check_sentence(sentence, count_tokens)
    for sentence in descriptions:
        if NOTHING_FOUND.search(sentence.lower()):
            raise RejectedAnswer(f"it describes no anomaly: {sentence!r}")
    if len(set(map(plain, (*descriptions, *background)))) < len(descriptions) + len(background):
        raise RejectedAnswer("two of its sentences are the same")
    return Answer(tuple(descriptions), *background)


def _object_in(text: str) -> dict[str, object]:
    """The JSON object in a reply, which models often wrap in Markdown."""
    text = THOUGHT.sub("", text)
    start, end = text.find("{"), text.rfind("}")
    try:
        return read_json_object(text[start : end + 1])
    except DocumentError as error:
        if REFUSAL.search(text.lower()):
            raise RejectedAnswer("the model would not answer") from error
        raise RejectedAnswer(f"it is no JSON object: {text[:60]!r} ({error})") from error


def _sentences(values: object, count: int) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise RejectedAnswer("it lacks a sentence where one was asked for")
    if len(values) != count:
        raise RejectedAnswer(f"it has {len(values)} descriptions instead of {count}")
    return [" ".join(value.split()) for value in values]


def _check_sentence(sentence: str, count_tokens: Callable[[str], int]) -> None:
    if not plain(sentence):
        raise RejectedAnswer("a sentence is empty")
    if not sentence.isprintable():
        raise RejectedAnswer("a sentence has a character that cannot be printed")
    if REFUSAL.search(sentence.lower()):
        raise RejectedAnswer(f"the model would not answer: {sentence!r}")
    if (length := count_tokens(sentence)) > LONGEST:
        raise RejectedAnswer(f"a sentence has {length} tokens, more than {LONGEST}")
