"""What a benchmark finds: the schema of leaderboard.json."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from zsad import published
from zsad.published import PublishedNumber
from zsad.results.schema import METRICS, Setting


@dataclass(frozen=True)
class PublishedResult:
    """A number that a paper prints for a detector on a data set.

    Attributes:
        detector, title: ours that it belongs to.
        source: paper and table.
        metric: ours that it compares with, one of ``zsad.results.schema.METRICS``.
        value: a fraction in [0, 1].
        note: what a reader must know of it.
        suspect: why it cannot be taken as it stands; empty where nothing is known.
        differs: in what ours is another experiment, as phrases; empty where the two can be compared.
    """

    detector: str
    title: str
    source: str
    metric: str
    value: float
    note: str
    suspect: str
    differs: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    """A metric of a detector over its runs.

    Attributes:
        value: mean over the runs that define it, in [0, 1]; None where none does.
        std: their sample standard deviation; None below two runs.
        n: how many runs define it.
        low, high: of the bootstrap interval, where there is one run.
        reason: why there is no value.
        values: of each run, by its seed; of the one run of what is not trained by ``"-"``.
    """

    value: float | None
    std: float | None = None
    n: int = 0
    low: float | None = None
    high: float | None = None
    reason: str = ""
    values: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class LeaderboardRow:
    """A detector on a data set.

    Attributes:
        detector, title: names for files and for people.
        method, backbone, weights: what ran.
        seeds: of the runs that are done.
        of: how many runs there will be.
        means: over the classes, each counting alike, by the names of ``METRICS``.
        classes: the same of each class.
        evaluations: folders of the runs, below that of the benchmark.
    """

    detector: str
    title: str
    method: str
    backbone: str
    weights: str
    seeds: tuple[str, ...]
    of: int
    means: Mapping[str, Score]
    classes: Mapping[str, Mapping[str, Score]]
    evaluations: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """All detectors of one setting on one data set after one split.

    Attributes:
        split, train, data_set, setting: what it is about.
        lines: detectors of which a run is done, in the order of the recipe.
        printed: what the papers print for these detectors.
        others: all that the papers print on this data set.
        warnings: of the evaluations, once each, without those of the leaderboard.
    """

    split: str
    train: tuple[str, ...]
    data_set: str
    lines: tuple[LeaderboardRow, ...]
    printed: tuple[PublishedResult, ...]
    others: tuple[PublishedNumber, ...]
    warnings: tuple[str, ...]
    setting: Setting = "zero-shot"

    @property
    def best(self) -> dict[str, float]:
        """The highest mean of each metric that two or more lines define."""
        found = {name: [line.means[name].value for line in self.lines] for name in METRICS}
        known = {name: [one for one in values if one is not None] for name, values in found.items()}
        return {name: max(values) for name, values in known.items() if len(values) > 1}


@dataclass(frozen=True)
class Leaderboard:
    """A benchmark as far as it is done.

    Attributes:
        title, about: of the recipe.
        facts: how it was made, in sentences.
        differs: in what the experiment is another than the papers', as phrases, and of which detectors where it is not
            that of all; empty where all can be compared.
        warnings: of the evaluations, that hold for all tables.
        tables: by split, setting and data set, in the order of the recipe.
        skipped: data sets that were not found, detectors that they would have trained, and why.
        failed: what went wrong, by run and data set.
        unfinished: runs that are not done, or what of them was never tried where they failed.
        version, created, command: of the tables.
    """

    title: str
    about: str
    facts: tuple[str, ...]
    differs: tuple[str, ...]
    warnings: tuple[str, ...]
    tables: tuple[Table, ...]
    skipped: Mapping[str, str]
    failed: Mapping[str, str]
    unfinished: tuple[str, ...]
    version: str
    created: str
    command: str


def source_of(row: PublishedNumber) -> str:
    """Paper and table for people.

    >>> source_of(published.rows("kanoclip", "mvtec", "winclip")[0])
    'KAnoCLIP, Table 1'
    """
    return f"{published.methods()[row.paper]}, {row.table}"
