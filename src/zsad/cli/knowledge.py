"""``zsad knowledge``: descriptions of the defects of each class."""

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from shutil import get_terminal_size
from textwrap import wrap
from typing import TYPE_CHECKING

from zsad.wording import pluralised, printable, say

if TYPE_CHECKING:
    from zsad.knowledge import Knowledge
    from zsad.knowledge.build import Model, Outcome
    from zsad.knowledge.questions import Question

SENT_SIDE = 1024
"""Longer side in px, at most, of an image that is sent."""
UNBROKEN = "\N{NO-BREAK SPACE}"
"""Within names, so that no line ends there."""


def configure(parser: ArgumentParser) -> None:
    """Add the three parts of the command."""
    parser.description = "Descriptions of what can be wrong with objects of each class; kanoclip is trained with them."
    parts = parser.add_subparsers(title="parts", metavar="PART", required=True)
    show = parts.add_parser("show", help="print the descriptions of a class")
    show.add_argument("class_name", metavar="CLASS", help='e.g. "metal nut" or mtd/tile')
    show.set_defaults(run=_show)
    listing = parts.add_parser("list", help="list the classes by data set")
    listing.set_defaults(run=_list)
    for part in (show, listing):
        part.add_argument("--file", type=Path, metavar="FILE", help="a knowledge file to read as well")
    _configure_build(parts.add_parser("build", help="extend a knowledge file with a chat model"))


def _configure_build(parser: ArgumentParser) -> None:
    parser.add_argument("--classes", nargs="+", default=[], metavar="NAME", help="classes to ask about")
    parser.add_argument(
        "--data",
        type=_layout_and_path,
        metavar="LAYOUT:PATH",
        help="data set: its classes, and images with --vision-model",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/knowledge.json"), metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument("--again", action="store_true", help="ask about classes in the package, too")
    parser.add_argument("--limit", type=int, metavar="N", help="ask at most N questions; run again to continue")
    parser.add_argument("--dry-run", action="store_true", help="only print the questions")
    group = parser.add_argument_group("endpoint")
    group.add_argument("--base-url", default="https://api.openai.com/v1", metavar="URL", help="default: %(default)s")
    group.add_argument("--model", required=True, metavar="NAME", help="for questions about classes")
    group.add_argument("--vision-model", metavar="NAME", help="for questions about images (default: none)")
    group.add_argument(
        "--api-key-variable",
        default="OPENAI_API_KEY",
        metavar="NAME",
        help="variable with the key (default: %(default)s)",
    )
    group.add_argument("--timeout", type=float, default=120, metavar="S", help="seconds for a reply (default: 120)")
    group.add_argument("--retries", type=int, default=3, metavar="N", help="attempts after the first (default: 3)")
    parser.set_defaults(run=_build)


def _show(options: Namespace) -> int:
    known = _known(options.file)
    entry = known.lookup(options.class_name)
    name, *same_name = known.named(options.class_name)
    rows = [
        ("class", name),
        ("also called", ", ".join(known.aliases.get(name, ()))),
        ("same name", ", ".join(same_name)),
        ("normal", entry.background),
        *(("abnormal", sentence) for sentence in entry.llm),
        *((f"image {key[:7]}", sentence) for key, sentences in entry.vqa.items() for sentence in sentences),
    ]
    say("\n".join(line for heading, text in rows if text for line in _wrapped(heading, text)))
    return 0


def _list(options: Namespace) -> int:
    by_data_set: dict[str, list[str]] = {}
    for key in _known(options.file).classes:
        data_set, _, name = key.rpartition("/")
        by_data_set.setdefault(data_set, []).append(name)
    for data_set, names in sorted(by_data_set.items()):
        whole = ", ".join(name.replace(" ", UNBROKEN) for name in names)
        say("\n".join(_wrapped(data_set or "(yours)", whole)).replace(UNBROKEN, " "))
    return 0


def _build(options: Namespace) -> int:
    from zsad.locks import alone_with

    # From before the file is read: answers of another process would be written over.
    with nullcontext() if options.dry_run else alone_with(options.out):
        return _asked(options)


def _asked(options: Namespace) -> int:
    from zsad.errors import ConfigError
    from zsad.knowledge import Knowledge
    from zsad.knowledge.build import build, open_questions

    classes = list(options.classes)
    images: list[tuple[Path, str]] = []
    if options.data:
        of_data, images = _of_data(*options.data)
        classes += of_data
    if not classes:
        raise ConfigError("there is something to ask about", "no class", "give --classes NAME or --data LAYOUT:PATH")
    if not all(name.strip(" /_-") for name in classes):
        raise ConfigError("a class has a name", "an empty one", "name it in a word or two")
    if options.limit is not None and options.limit < 1:
        raise ConfigError("a limit is at least 1 question", options.limit, "leave --limit out for all")
    own = Knowledge.read(options.out) if options.out.exists() else Knowledge({}, {})
    known = Knowledge({}, {}) if options.again else Knowledge.shipped()
    questions = open_questions(classes, images if options.vision_model else [], own, known)
    model = _model(options)
    if options.dry_run:
        return _dry_run(questions, model, options.limit)
    outcome = _follow(build(questions, model, own, known, options.out, options.limit), len(questions))
    if images and not options.vision_model:
        say(f"{pluralised(len(images), 'anomalous image')} not described: give --vision-model.")
    say(_summary(outcome, options.out))
    return 1 if outcome and outcome.refused else 0


def _of_data(layout: str, path: Path) -> tuple[list[str], list[tuple[Path, str]]]:
    """Classes of a data set, and its anomalous images with theirs."""
    from zsad.data import layouts

    samples = layouts.get(layout).samples(path)
    images = [(sample.image, sample.class_name) for sample in samples if sample.label == 1]
    return list(dict.fromkeys(sample.class_name for sample in samples)), images


def _model(options: Namespace) -> "Model":
    from importlib.resources import files

    from zsad.backbones.prompt_cache import cache_dir
    from zsad.backbones.tokenizer import Tokenizer
    from zsad.knowledge.build import Model
    from zsad.knowledge.chat import Endpoint

    variable = options.api_key_variable
    key = os.environ.get(variable, "").strip()
    tokenizer = Tokenizer.from_merges(files("zsad.backbones") / "clip_merges.txt.gz", sys.maxsize)
    return Model(
        Endpoint(options.base_url, key, variable, options.timeout, options.retries),
        options.model,
        options.vision_model or "",
        _to_png,
        lambda text: len(tokenizer.encode(text)),
        cache_dir() / "answers",
    )


def _to_png(path: Path) -> bytes:
    """Any image as an 8-bit PNG of at most ``SENT_SIDE`` px a side."""
    from io import BytesIO

    from PIL import Image

    from zsad.data.decode import decode
    from zsad.drawing.render import eight_bit

    image, file = Image.fromarray(eight_bit(decode(path).pixels)), BytesIO()
    image.thumbnail((SENT_SIDE, SENT_SIDE), Image.Resampling.LANCZOS)
    image.save(file, "PNG")
    return file.getvalue()


def _dry_run(questions: "list[Question]", model: "Model", limit: int | None) -> int:
    """Print what would be asked; requests are counted as if every first answer were taken."""
    asked = [question for question in questions if model.kept(question) is None][:limit]
    for question in asked:
        say(f"{question}: {question.prompt}")
    say(f"{pluralised(len(asked), 'request')} to {model.endpoint.base_url}, if no answer is refused.")
    return 0


def _follow(outcomes: "Iterator[Outcome]", total: int) -> "Outcome | None":
    """Run to the end, print what is refused, and return the last state."""
    from tqdm import tqdm

    printed, outcome = 0, None
    for outcome in tqdm(outcomes, total=total, unit="question", disable=None):
        for refusal in outcome.refused[printed:]:
            tqdm.write(printable(f"zsad: refused: {refusal}"), file=sys.stderr)
        printed = len(outcome.refused)
    return outcome


def _summary(outcome: "Outcome | None", out: Path) -> str:
    if outcome is None:
        return "Nothing to ask: all of this is known (--again asks about classes that the package knows)."
    text = f"{pluralised(outcome.taken, 'answer')} taken, {outcome.kept} from earlier runs"
    text += f"; {pluralised(outcome.left, 'question')} left (--limit)" * bool(outcome.left)
    text += f"; {len(outcome.refused)} refused: see the lines above (exit status 1)" * bool(outcome.refused)
    return f"{text}.\nknowledge: {out}"


def _known(file: Path | None) -> "Knowledge":
    from zsad.knowledge import Knowledge

    return Knowledge.shipped() if file is None else Knowledge.shipped().merged(Knowledge.read(file))


def _wrapped(name: str, text: str) -> list[str]:
    """A heading, and a text next to it, wrapped to the terminal."""
    width, indent = max(get_terminal_size().columns, 40), " " * 16
    if len(name) >= len(indent):
        return [name, *wrap(text, width, initial_indent=indent, subsequent_indent=indent)]
    return wrap(text, width, initial_indent=f"{name:<16}", subsequent_indent=indent) or [name]


def _layout_and_path(text: str) -> tuple[str, Path]:
    layout, colon, path = text.partition(":")
    if not (layout and colon and path):
        raise ArgumentTypeError(f"{text!r} is no LAYOUT:PATH, for instance mvtec:data/mvtec")
    return layout, Path(path)
