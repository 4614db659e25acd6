"""The command line's parser: a wrong command or option is answered with the nearest one."""

from argparse import Action, ArgumentError, ArgumentParser, Namespace, _SubParsersAction
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import NoReturn

from zsad.cli.configuration import with_configuration
from zsad.wording import printable

RENAMED = {"--most": "--max-images", "--pictures": "--images"}
"""Options of version 0.1.0 that have another name now."""


class Parser(ArgumentParser):
    """Names the nearest command or option, and prints what was typed without what a terminal would obey."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Namespace | None = None
    ) -> tuple[Namespace, list[str]]:
        """Look for wrong names first: argparse would name missing arguments before them."""
        if args is not None:
            self._check_names(args)
            args = with_configuration(self, args)
        return super().parse_known_args(args, namespace)

    def _check_value(self, action: Action, value: object) -> None:
        """Name the nearest of the choices."""
        try:
            super()._check_value(action, value)
        except ArgumentError as error:
            error.message += nearest(str(value), map(str, action.choices or ()))
            raise

    def error(self, message: str) -> NoReturn:
        """End with a message and where to read more."""
        self.exit(2, f"{self.prog}: error: {message}\nSee {self.prog} --help.\n")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """End with a message. A shell's ``*`` is names that others gave, so that control characters are escaped."""
        super().exit(status, message and printable(message, keep="\n"))

    def _check_names(self, args: Sequence[str]) -> None:
        commands = next((action.choices for action in self._actions if isinstance(action, _SubParsersAction)), None)
        if commands is not None:
            command = next((text for text in args if not text.startswith("-")), None)
            if command is not None and command not in commands:
                self.error(f"unknown command {command!r}{nearest(command, commands)}")
            return
        known = self._option_string_actions
        for text in args:
            name = text.partition("=")[0]
            if text == "--":
                return
            if name.startswith("--") and " " not in name and not any(option.startswith(name) for option in known):
                self.error(f"unknown option {name}{nearest(name, known)}")


def nearest(name: str, known: Iterable[str]) -> str:
    """A question that names the nearest of the known names; empty where none is near.

    >>> nearest("predit", ["predict", "train"]), nearest("--most", ["--max-images"]), nearest("xyz", ["train"])
    ("; did you mean 'predict'?", '; did you mean --max-images?', '')
    """
    known = list(known)
    renamed = RENAMED.get(name)
    match = [renamed] if renamed in known else get_close_matches(name, known, n=1)
    if not match:
        return ""
    return f"; did you mean {match[0] if match[0].startswith('--') else repr(match[0])}?"
