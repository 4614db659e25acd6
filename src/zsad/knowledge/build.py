"""Open questions -> answers of a language model, each saved at once."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from zsad.documents import DocumentError, read_text
from zsad.errors import InputError
from zsad.files import write_atomically
from zsad.knowledge.chat import Endpoint
from zsad.knowledge.lookup import ClassKnowledge, Knowledge, folded, image_key
from zsad.knowledge.questions import Answer, Question, RejectedAnswer, read_answer


@dataclass(frozen=True)
class Model:
    """The model that is queried, and how answers are checked and cached.

    Attributes:
        endpoint: of the requests.
        text, vision: names of the models for questions about classes and about images.
        to_png: converts an image file to the PNG that is sent.
        count_tokens: length of a text in CLIP's tokens, including start and end.
        cache: folder of accepted answers, by content of model, prompt and image.
    """

    endpoint: Endpoint
    text: str
    vision: str
    to_png: Callable[[Path], bytes]
    count_tokens: Callable[[str], int]
    cache: Path

    def kept(self, question: Question) -> Answer | None:
        """The cached answer of an earlier run, or ``None`` if there is none or it is damaged."""
        try:
            return read_answer(question, read_text(self._path(question)), self.count_tokens)
        except (OSError, DocumentError, RejectedAnswer):
            return None

    def ask(self, question: Question) -> Answer:
        """Ask until an answer is valid, and cache it.

        Raises:
            RejectedAnswer: no answer was valid.
            ConfigError: the endpoint does not work.
            InputError: the image cannot be read.
        """
        image = self.to_png(question.image) if question.image else None
        prompt = question.prompt
        for attempt in range(self.endpoint.retries + 1):
            text = self.endpoint.ask(self._name(question), prompt, image)
            try:
                answer = read_answer(question, text, self.count_tokens)
                break
            except RejectedAnswer as refusal:
                if attempt == self.endpoint.retries:
                    raise
                prompt = f"{question.prompt} An earlier answer was refused: {refusal}."
        with suppress(OSError):  # the knowledge file has it too
            write_atomically(self._path(question), json.dumps(asdict(answer)).encode("ascii"))
        return answer

    def _name(self, question: Question) -> str:
        return self.vision if question.image else self.text

    def _path(self, question: Question) -> Path:
        return self.cache / f"{question.key(self._name(question))}.json"


@dataclass
class Outcome:
    """Progress of a run: accepted answers, how many of them from the cache, rejections, open questions."""

    taken: int = 0
    kept: int = 0
    refused: list[str] = field(default_factory=list)
    left: int = 0


def open_questions(
    classes: Iterable[str], images: Iterable[tuple[Path, str]], own: Knowledge, known: Knowledge
) -> list[Question]:
    """Open questions: classes without knowledge, then images without a description in the file.

    Args:
        classes: names.
        images: files of anomalous images with their class names; duplicates are asked about once.
        own: the content of the file.
        known: classes that need no question either; an entry is copied when an image of its class is described.
    """
    images = list(images)
    unique: dict[str, str] = {}
    for name in (*classes, *(name for _, name in images)):
        unique.setdefault(folded(name), name)
    questions = [Question(name) for name in unique.values() if not (own.named(name) or known.named(name))]
    described = {(name, key) for name in unique for at in own.named(name)[:1] for key in own.entries[at].vqa}
    for image, name in images:
        if (this := (folded(name), image_key(image))) not in described:
            described.add(this)
            questions.append(Question(name, image))
    return questions


def build(
    questions: Sequence[Question], model: Model, own: Knowledge, known: Knowledge, out: Path, limit: int | None = None
) -> Iterator[Outcome]:
    """Ask one question after the other; the file is complete after each answer.

    Args:
        questions: from :func:`open_questions`.
        model: that is queried.
        own, known: as there.
        out: the knowledge file.
        limit: maximum number of requests to the endpoint; cached answers do not count.

    Yields:
        The updated outcome after each question.

    Raises:
        ConfigError: the endpoint does not work.
    """
    outcome, asked = Outcome(), 0
    for question in questions:
        answer = model.kept(question)
        outcome.kept += answer is not None
        if answer is None and limit is not None and asked == limit:
            outcome.left += 1
        elif question.image and not (own.named(question.class_name) or known.named(question.class_name)):
            outcome.refused.append(f"{question}: its class has no descriptions")
        else:
            asked += answer is None
            try:
                own = _with(own, known, question, answer or model.ask(question))
                own.write(out)
                outcome.taken += 1
            except (RejectedAnswer, InputError) as refusal:
                outcome.refused.append(f"{question}: {refusal}")
        yield outcome


def _with(own: Knowledge, known: Knowledge, question: Question, answer: Answer) -> Knowledge:
    """The knowledge of the file with one answer added."""
    if question.image is None:
        entry = ClassKnowledge(answer.background, answer.descriptions)
    else:
        source = own if own.named(question.class_name) else known
        entry = source.lookup(question.class_name)
        described = {image_key(question.image): answer.descriptions}
        entry = entry.extended(ClassKnowledge(entry.background, entry.llm, described))
    return own.merged(Knowledge({question.class_name: entry}, {}))
