"""``zsad COMMAND``: parse, run, and turn errors into one line and an exit status.

Exit status: 0 all went well; 1 some of the work failed and was named; 2 the command could not run; above 128 a signal
ended it: 130 interrupted (Ctrl-C), 143 terminated (kill), 129 the terminal is gone, 141 nobody reads what is printed.
"""

import sys
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator, Sequence
from importlib import import_module
from io import TextIOWrapper

import zsad
from zsad.cli.configuration import add_configuration
from zsad.cli.ending import BY_SIGNAL, flushed, leave, listening, report_signal, unread
from zsad.cli.options import show_warnings
from zsad.cli.parsing import Parser
from zsad.errors import ZsadError
from zsad.wording import say

FAILED = 2
COMMANDS = {
    "predict": ("predict", "score images and draw heat maps"),
    "train": ("train", "train a method on an auxiliary data set"),
    "evaluate": ("evaluate", "measure a detector on labelled data"),
    "compare": ("compare", "compare two evaluations"),
    "bench": ("bench", "time a detector on this machine, stage by stage"),
    "benchmark": ("benchmark", "train and evaluate many detectors"),
    "gallery": ("gallery", "draw the maps of detectors side by side"),
    "fit": ("fit", "fit a detector to normal images (few-shot)"),
    "fit-normal": ("fit", "the same: an older name of fit"),
    "ensemble": ("ensemble", "put several detectors together"),
    "export": ("export", "write a detector as one graph: ONNX, OpenVINO, PyTorch"),
    "import": ("import_", "make a detector of a published checkpoint"),
    "calibrate": ("calibrate", "choose thresholds on images of known state"),
    "serve": ("serve", "serve detectors over HTTP, with a page"),
    "demo": ("demo", "try a detector on photographs of solar cells"),
    "methods": ("lists", "list the methods"),
    "backbones": ("lists", "list the CLIP architectures and their weights"),
    "datasets": ("lists", "list the data set layouts"),
    "knowledge": ("knowledge", "show or extend descriptions of defects"),
    "pretrain": ("pretrain", "train a small CLIP from scratch"),
    "data": ("data", "check data sets, or draw one"),
    "completion": ("completion", "complete commands in bash or zsh"),
}
"""Module and one line of help of each command. The module is imported where its command is typed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with flushed():
            command_line = parser(next((text for text in arguments if not text.startswith("-")), ""))
            options = command_line.parse_args(arguments)
            if "run" not in options:
                command_line.print_help(sys.stderr)
                return FAILED
            with listening(), show_warnings(getattr(options, "quiet", False)):
                status: int = options.run(options)
    except ZsadError as error:
        say(f"zsad: {error}", stderr=True)
        return FAILED
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "out of memory" not in str(error):  # PyTorch's own is a RuntimeError
            raise
        remedy = "Lower --micro-batch (in training), --batch-size or --image-size."
        say(f"zsad: out of memory. {remedy}", stderr=True)
        return FAILED
    except KeyboardInterrupt as ended:
        return report_signal(ended)
    except BrokenPipeError:  # as in zsad methods | head
        return unread()
    except OSError as error:
        say(f"zsad: {error}. What was finished before is kept.", stderr=True)
        return FAILED
    return status


def parser(command: str | None = None) -> Parser:
    """The command line with the options of one command, or of all."""
    root = Parser(prog="zsad", description=zsad.__doc__.splitlines()[0] if zsad.__doc__ else None)
    root.add_argument("-V", "--version", action="version", version=f"zsad {zsad.__version__}")
    commands = root.add_subparsers(title="commands", metavar="COMMAND")
    for name, (module, summary) in COMMANDS.items():
        subparser = commands.add_parser(name, help=summary, description=summary)
        if command in (None, name):
            import_module(f"zsad.cli.{module}").configure(subparser)
            for leaf in leaves(subparser):
                add_configuration(leaf)
    return root


def leaves(root: ArgumentParser) -> Iterator[ArgumentParser]:
    """The parser of a command, or those of its parts."""
    parts = [
        part for action in root._actions if isinstance(action, _SubParsersAction) for part in action.choices.values()
    ]
    if not parts:
        yield root
    for part in parts:
        yield from leaves(part)


def entry_point() -> None:
    """The ``zsad`` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Unicode loses a sign, not the run
    status = main()
    if status > BY_SIGNAL:
        leave(status)
    sys.exit(status)


if __name__ == "__main__":
    entry_point()
