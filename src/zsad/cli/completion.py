"""``zsad completion bash|zsh``: a script that completes commands, options and their values in a shell."""

from argparse import ONE_OR_MORE, ZERO_OR_MORE, Action, ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from importlib.resources import files

from zsad.wording import say

DESCRIPTION = """Print a script for a shell: it completes commands, options, choices, methods, layouts, backbones and
paths. It is a snapshot: print it again after an update, or after methods were installed. For bash:
zsad completion bash > ~/.local/share/bash-completion/completions/zsad; for zsh: zsad completion zsh into a file _zsad
in a folder of $fpath."""
SHELLS = ("bash", "zsh")
KINDS = {
    "METHOD": "method",
    "METHOD|RECIPE": "trained",
    "DETECTOR": "detector",
    "NAME|DIR": "detector",
    "DIR|NAME": "detector",
    "NAME|DIR|FILE": "detector-file",
    "LAYOUT:PATH": "data",
    "[NAME=]LAYOUT:PATH": "data",
    "NAME=LAYOUT:PATH": "data",
    "RECIPE": "toml",
    "DIR": "folder",
    "FILE": "file",
    "PATH": "file",
    "TAG|PATH|REPO": "file",
}
"""What completes a value, by how the help calls it; nothing completes others."""
OWN_KINDS = {"--backbone": "backbone", "--config": "toml", "--recipe": "toml"}


def configure(parser: ArgumentParser) -> None:
    """Add description and options."""
    parser.description = DESCRIPTION
    parser.add_argument("shell", choices=SHELLS, help="bash or zsh")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Print the script."""
    say(script(options.shell).rstrip("\n"))
    return 0


def script(shell: str) -> str:
    """The script: what a command line may have, and the part that is the shell's own."""
    own = files("zsad.cli").joinpath(f"completion.{shell}").read_text(encoding="utf-8")
    before, mark, after = own.partition("# TABLES\n")
    return before + "\n".join(_tables()) + "\n" + after if mark else own


def _tables() -> Iterator[str]:
    """Functions of any shell: names, and for each command its parts, options, and what completes their values."""
    from zsad import methods
    from zsad.backbones import config
    from zsad.cli.main import COMMANDS, leaves, parser
    from zsad.data import layouts

    by_command = {" ".join(leaf.prog.split()[1:]): leaf for leaf in leaves(parser())}
    yield from _case("_zsad_parts", "$1", _parts(by_command) | {"": list(COMMANDS)})
    options = {name: sorted(leaf._option_string_actions, key=_long_first) for name, leaf in by_command.items()}
    yield from _case("_zsad_options", "$1", options)
    yield from _case("_zsad_kind", "$1 $2", _kinds(by_command))
    known = {"method": methods.names(), "layout": layouts.names(), "backbone": config.names()}
    yield from _case("_zsad_names", "$1", known)


def _case(function: str, subject: str, words: dict[str, list[str]]) -> Iterator[str]:
    """A function that prints words; patterns with the same words share a line."""
    yield f"{function}() {{"
    yield f'    case "{subject}" in'
    patterns: dict[str, list[str]] = {}
    for pattern, values in words.items():
        patterns.setdefault(" ".join(values), []).append(f'"{pattern}"')
    for line, names in patterns.items():
        yield f'        {"|".join(names)}) echo "{line}" ;;'
    yield "    esac"
    yield "}"


def _parts(commands: Iterable[str]) -> dict[str, list[str]]:
    """The parts of the commands that have some."""
    found: dict[str, list[str]] = {}
    for command, *part in map(str.split, commands):
        if part:
            found.setdefault(command, []).extend(part)
    return found


def _kinds(by_command: dict[str, ArgumentParser]) -> dict[str, list[str]]:
    """How values are completed, of each command and option ("-" for arguments): a kind, or "words" and these.

    "many" before it says that several values may follow.
    """
    found = {}
    for name, leaf in by_command.items():
        for action in leaf._actions:
            if action.nargs == 0:
                continue
            many = ["many"] if action.nargs in (ONE_OR_MORE, ZERO_OR_MORE) else []
            for option in action.option_strings or ["-"]:
                found[f"{name} {option}"] = many + _kind(action, option)
    return found


def _kind(action: Action, option: str) -> list[str]:
    if action.choices:
        return ["words", *map(str, action.choices)]
    return [OWN_KINDS.get(option) or KINDS.get(str(action.metavar), "none")]


def _long_first(option: str) -> tuple[bool, str]:
    return not option.startswith("--"), option
