"""The papers' own numbers that belong beside ours, and in what ours are another experiment."""

from collections.abc import Iterator
from dataclasses import dataclass

from zsad import methods, published
from zsad.backbones import config as architectures
from zsad.benchmark.plan import Plan
from zsad.benchmark.recipe import Change, Entrant, Split
from zsad.data import layouts
from zsad.data.specification import DataSet
from zsad.published import Row
from zsad.runtime import image_size_for

OWN_VARIANT = {"acd-clip": "N = 2"}
"""Which variant in the tables of its paper is a method as it is by default; elsewhere it is the one without a name."""

RESOLUTION = 518
"""Side in px at which most tables compare maps and masks."""

OURS = {"pixel_pro": "pixel_pro_200"}
"""Our metrics by those of the papers, where the names differ."""


@dataclass(frozen=True)
class Printed:
    """A number that a paper prints for a detector on a data set.

    Attributes:
        detector, title: ours that it belongs to.
        source: paper and table.
        metric: ours that it compares with, one of ``zsad.evaluator.results.METRICS``.
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


def printed(plan: Plan, split: Split, entrant: Entrant, data_set: str) -> list[Printed]:
    """What the papers print for a detector on a data set, in the order of their tables."""
    rows = _of_row(entrant, data_set) if entrant.is_row else _of_method(entrant, data_set)
    return [
        Printed(
            detector=entrant.name,
            title=entrant.title,
            source=source,
            metric=OURS.get(row.metric, row.metric),
            value=round(row.value / 100, 6),
            note=row.note,
            suspect=row.suspect,
            differs=tuple(_differs(plan, split, entrant, data_set, row)),
        )
        for source, row in rows
    ]


def others(data_set: str) -> list[Row]:
    """All zero-shot numbers of the papers on a data set, of any method, without the rows of ablations."""
    if data_set not in published.data_sets():
        return []
    return [row for row in published.rows(data_set=data_set) if row.shots == 0 and _is_main(row)]


def source_of(row: Row) -> str:
    """Paper and table for people.

    >>> source_of(published.rows("kanoclip", "mvtec", "winclip")[0])
    'KAnoCLIP, Table 1'
    """
    return f"{published.methods()[row.paper]}, {row.table}"


def _is_main(row: Row) -> bool:
    return row.variant in ("", OWN_VARIANT.get(row.method, ""))


def _of_method(entrant: Entrant, data_set: str) -> Iterator[tuple[str, Row]]:
    for row in others(data_set):
        if row.method == entrant.recipe.method:
            yield source_of(row), row


def _of_row(entrant: Entrant, data_set: str) -> Iterator[tuple[str, Row]]:
    """The numbers that the recipe holds, with what is known of them."""
    recipe = entrant.recipe
    for metric, value in recipe.published.get(data_set, {}).items():
        rows = [row for row in published.rows(recipe.method, data_set, recipe.method, metric) if row.value == value]
        rows.sort(key=lambda row: row.table not in recipe.paper)
        bare = Row(recipe.method, "", recipe.method, "", data_set, metric, value, 0, "", "", "", "")
        yield (source_of(rows[0]), rows[0]) if rows else (recipe.paper, bare)


def _differs(plan: Plan, split: Split, entrant: Entrant, data_set: str, row: Row) -> Iterator[str]:
    told, recipe = plan.benchmark, entrant.recipe
    theirs = row.backbone or methods.get(recipe.method).paper_backbone
    side, usual = image_size_for(recipe.backbone, recipe.image_size), image_size_for(recipe.backbone, None)
    if recipe.backbone != theirs:
        yield f"backbone {recipe.backbone}, not {theirs}"
    elif side != usual:
        yield f"{recipe.backbone} at {side} px, not {usual}"
    if recipe.weights == "random" or recipe.weights not in (None, *architectures.weight_names(recipe.backbone)):
        yield f"{recipe.weights} weights"
    if told.resolution != RESOLUTION:
        yield f"maps and masks compared at {told.resolution or 'their own'} px, not {RESOLUTION}"
    if entrant.trained and row.trained_on and split.train != (row.trained_on,):
        yield f"trained on {' + '.join(split.train)}, not on {row.trained_on}"
    change = told.change.get(entrant.name, Change())
    for key, value in (change.options | change.training).items():
        yield f"{entrant.name} with {key} {value}"
    if entrant.trained and told.most is not None:
        yield f"trained on at most {told.most} pictures of a class and state"
    if told.most_tested is not None:
        yield f"tested on at most {told.most_tested} pictures of a class and state"
    same = entrant.trained and split.train == (row.trained_on,)
    for name in (data_set, *(split.train if same else ())):
        yield from _incomplete(plan.data[name])


def _incomplete(found: DataSet) -> Iterator[str]:
    """Where the test pictures are others than published; what nobody counted is believed."""
    if found.name not in layouts.names() and not found.is_published:
        return
    known = layouts.get(found.name) if found.name in layouts.names() else found.kind
    labels: dict[str, list[int | None]] = {}
    for sample in found.samples:
        if sample.split == "test":
            labels.setdefault(sample.class_name, []).append(sample.label)
    ours = {name: (one.count(0), one.count(1)) for name, one in labels.items()}
    theirs = {name: (count.normal, count.anomalous) for name, count in known.counts.items()}
    if missing := theirs.keys() - ours:
        yield f"{found.name} with {len(theirs) - len(missing)} of its {len(theirs)} classes"
    elif theirs and ours != theirs:
        yield f"{found.name} with other numbers of pictures than published"
