"""Commands of which one argument is absurd, made from the command line's own description."""

from argparse import Action, ArgumentParser
from random import Random

from zsad.cli.main import parser

VALUES = (
    *("", " ", "-1", "0", "-0", "1", "1.5", "nan", "inf", "-inf", "1e400", "9" * 20, "9" * 5000, "2147483648"),
    *("a" * 300, "a" * 5000, "é", "\udc80", "\x1b[31m", "[" * 500, "{", "=1+1", "<script>", "\n", "*", "**", "[", "~"),
    *("a=1", "a=[[[[", "sigma=1e9", "sigma=nan", "sigma=-1", "levels=[]", "=", "mvtec:", ":", "mvtec:nowhere", "in"),
    *("data", "in/a.png", "nowhere", "nowhere/at/all", ".", "in/a.png/x", "a\0b", "/dev/null", "knowledge.json"),
)
SMALL = ("--image-size", "64", "--device", "cpu")
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("predict", "in", *SMALL, "--out", "out"),
    ("train", "fe-clip", "--data", "mvtec:data", *SMALL, "--epochs", "1", "--batch-size", "4", "--out", "out"),
    ("evaluate", "clip", "--data", "mvtec:data", *SMALL, "--resolution", "64", "--no-intervals", "--out", "out"),
    ("compare", "evaluation", "evaluation", "--resamples", "100"),
    ("benchmark", "recipes/benchmark/small.toml", "--data-root", "data", "--dry-run", "--out", "out"),
    ("gallery", "./card", "--data", "mvtec:data", "--out", "out.png"),
    ("fit-normal", "./fe-clip", "--normal", "data/nut/test/good", *SMALL, "--out", "out"),
    ("methods",),
    ("backbones",),
    ("datasets",),
    ("knowledge", "show", "metal nut"),
    ("knowledge", "list"),
    ("knowledge", "build", "--model", "m", "--base-url", "http://127.0.0.1:9", "--retries", "0", "--classes", "nut"),
    ("pretrain", "--recipe", "recipes/tiny/tiny.toml", "--corpus", "nowhere", "--out", "out"),
    ("data", "check", "mvtec:data"),
    ("data", "draw", "--images", "2", "--size", "48", "--workers", "1", "--out", "out"),
)
"""Each works, or fails in words, as it stands."""
LASTS = {("data draw", "--images"), ("data draw", "--size"), ("train", "--epochs"), ("compare", "--resamples")}
"""What may rightly take long where a large number is asked for."""


def absurd(draw: Random) -> tuple[str, ...]:
    """A command with one or two options more, each with a value from ``VALUES``, or with a word replaced by one."""
    command = list(draw.choice(COMMANDS))
    if draw.random() < 0.2:
        command[draw.randrange(1, len(command)) if len(command) > 1 else 0] = draw.choice(VALUES)
        return tuple(command)
    verb = _verb(command)
    for _ in range(draw.choice((1, 1, 2))):
        option = draw.choice(_options(verb))
        if not option.option_strings:
            continue
        name = draw.choice([one for one in option.option_strings if one.startswith("--")] or option.option_strings)
        value = draw.choice(VALUES)
        if (" ".join(verb), name) in LASTS and value in ("9" * 20, "9" * 5000, "2147483648"):
            continue
        command += [name] if option.nargs == 0 else [f"{name}={value}"]
    return tuple(command)


def _verb(command: list[str]) -> tuple[str, ...]:
    return tuple(command[:2]) if command[0] in ("data", "knowledge") else tuple(command[:1])


def _options(verb: tuple[str, ...]) -> list[Action]:
    """All that the verb takes, but for help."""
    found: ArgumentParser = parser()
    for word in verb:
        (choices,) = (one.choices for one in found._actions if isinstance(one.choices, dict))
        found = choices[word]
    return [one for one in found._actions if one.dest != "help"]
