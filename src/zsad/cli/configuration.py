"""``--config FILE``: options of a command in a TOML file, under the names that they have on the command line."""

import json
from argparse import ONE_OR_MORE, OPTIONAL, ZERO_OR_MORE, Action, ArgumentParser, _AppendAction, _StoreTrueAction
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from zsad.documents import DocumentError, read_toml
from zsad.errors import ConfigError, unknown_name

OPTION = "--config"
EXCLUDED = ("config", "help", "version")


def add_configuration(parser: ArgumentParser) -> None:
    """Add the option to a command."""
    parser.add_argument(OPTION, type=Path, metavar="FILE", help="options as TOML; those that are typed win")


def with_configuration(parser: ArgumentParser, args: Sequence[str]) -> Sequence[str]:
    """The arguments of a command, and those of its configuration file that were not typed.

    An argument without hyphens, such as the images of ``zsad predict``, gets its value in the parser: it need not be
    typed then.

    Raises:
        ConfigError: the file cannot be read, names an option that the command does not have, or has a value that is
            no text, number, truth value or list of these.
    """
    typed, path = _typed(parser, args)
    if path is None:
        return args
    values = _read(path)
    known = _names(parser)
    words: list[str] = []
    for name, value in values.items():
        option = name.replace("_", "-")
        if option not in known:
            raise unknown_name(f"name in {path}", name, known)
        action = known[option]
        if not action.option_strings:
            _give(action, _texts(value, f"{name} in {path}"))
        elif not typed & {action.dest, *_alternatives(parser, action)}:
            words += _words(f"--{option}", action, value, f"{name} in {path}")
    end = list(args).index("--") if "--" in args else len(args)
    return [*args[:end], *words, *args[end:]]


def _typed(parser: ArgumentParser, args: Sequence[str]) -> tuple[set[str], Path | None]:
    """The options that are on the command line, and the file that is."""
    typed, path, words = set[str](), None, list(args)
    for number, text in enumerate(words):
        if text == "--":
            break
        name, equals, value = text.partition("=")
        if not name.startswith("--"):
            continue
        options = parser._option_string_actions
        found = {name} if name in options else {option for option in options if option.startswith(name)}
        actions = {options[option].dest for option in found}
        typed |= actions
        if actions == {"config"}:
            following = words[number + 1] if number + 1 < len(words) else ""
            path = Path(value if equals else following)
    return typed, path


def _read(path: Path) -> dict[str, object]:
    try:
        return read_toml(path)
    except (OSError, DocumentError) as error:
        remedy = "correct its path or its content"
        raise ConfigError("a configuration is a readable TOML file", f"{path} ({error})", remedy) from error


def _names(parser: ArgumentParser) -> dict[str, Action]:
    """All arguments of a command, by their long name without hyphens before it."""
    names = {}
    for action in parser._actions:
        strings = [option.removeprefix("--") for option in action.option_strings if option.startswith("--")]
        for name in strings or [action.dest.replace("_", "-")]:
            names[name] = action
    return {name: action for name, action in names.items() if name not in EXCLUDED}


def _alternatives(parser: ArgumentParser, action: Action) -> set[str]:
    """The options that exclude this one."""
    groups = (group._group_actions for group in parser._mutually_exclusive_groups)
    return {other.dest for actions in groups if action in actions for other in actions}


def _give(action: Action, texts: list[str]) -> None:
    """Let an argument without hyphens have a value where none is typed."""
    many = action.nargs in (ONE_OR_MORE, ZERO_OR_MORE)
    convert = action.type if callable(action.type) else str
    values = [convert(text) for text in texts]
    if not many and len(values) != 1:
        raise ConfigError(f"{action.dest} has one value", texts, "give one")
    action.required, action.nargs = False, ZERO_OR_MORE if many else OPTIONAL
    action.default = values if many else values[0]


def _words(option: str, action: Action, value: object, where: str) -> list[str]:
    """An option as it is typed."""
    if isinstance(action, _StoreTrueAction):
        if not isinstance(value, bool):
            raise ConfigError(f"{where} is true or false", repr(value), "write one of them")
        return [option] if value else []
    texts = _texts(value, where)
    if isinstance(action, _AppendAction):
        return [f"{option}={text}" for text in texts]
    if action.nargs == ONE_OR_MORE:
        return [option, *texts]
    if len(texts) != 1:
        raise ConfigError(f"{where} is one value", value, "write it without brackets")
    return [f"{option}={texts[0]}"]


def _texts(value: object, where: str) -> list[str]:
    """A value, each of a list, or each ``KEY=VALUE`` of a table, as it is typed."""
    return list(_each(value, where))


def _each(value: object, where: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from (f"{key}={json.dumps(item)}" for key, item in value.items())
    elif isinstance(value, list):
        yield from (_text(item, where) for item in value)
    else:
        yield _text(value, where)


def _text(value: object, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ConfigError(f"{where} is text, a number, or a list of these", repr(value), "write one of them")
    return str(value)
