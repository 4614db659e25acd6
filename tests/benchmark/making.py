"""A benchmark small enough to run in a test: toys on drawn images."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.trainer.toys import draw
from zsad.benchmark import leaderboard, plan, recipe, running
from zsad.benchmark.plan import Plan
from zsad.results.leaderboard import Leaderboard
from zsad.runtime import RuntimeConfig

HEAD = """
title = "Toys"
detectors = ["clip", "toy-reader", "toy-editor"]
backbone = "small"
weights = "random"
seeds = [1, 2]
resolution = 32
resamples = 10
"""
REST = """
[data]
nuts = "mvtec:nuts"
mpdd = "mvtec:tubes"
plates = "mvtec:plates"

[[split]]
name = "nuts"
train = ["nuts"]
test = ["mpdd", "plates"]

[[split]]
name = "plates"
train = ["plates"]
test = ["mpdd"]

[change.toy-reader]
training = { epochs = 1 }

[change.toy-editor]
training = { epochs = 1 }
"""


def data(folder: Path) -> Path:
    """Three data sets of four images each, and one of them with two classes."""
    for number, (name, classes) in enumerate({"nuts": ["metal_nut"], "tubes": ["tubes"], "plates": ["a", "b"]}.items()):
        for one in classes:
            draw(folder / name, count=2, side=40 + 8 * number, class_name=one)
    return folder


def write(folder: Path, head: str = HEAD, rest: str = REST) -> Path:
    """The recipe as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "toys.toml"
    path.write_text(head + rest, encoding="utf-8")
    return path


def planned(path: Path, root: Path, instead: Sequence[str] = ()) -> Plan:
    """What the recipe stands for."""
    benchmark = recipe.read(path)
    return plan.plan(benchmark, recipe.entrants(benchmark, path.parent), *plan.find(benchmark, root, instead))


def run(one: Plan, out: Path, said: list[str] | None = None) -> Leaderboard:
    """All of it, on this machine."""
    running.check(one, out)
    say = (said if said is not None else []).append
    running.do(one, one.runs, out, RuntimeConfig(device="cpu", cache=out.parent / "cache"), say)
    return leaderboard.collect(one, out)


def copy(out: Path, to: Path) -> Path:
    """A folder of a benchmark that may be changed."""
    return Path(shutil.copytree(out, to))
