"""The papers' own numbers that belong beside ours, and in what ours are another experiment."""

from collections.abc import Collection, Iterator
from dataclasses import asdict

from zsad import methods, published
from zsad.backbones import config as architectures
from zsad.benchmark.data_sets import ClassListing
from zsad.benchmark.plan import Plan
from zsad.benchmark.recipe import BenchmarkDetector, Change, Split
from zsad.config import from_mapping
from zsad.data import layouts
from zsad.methods._trainable import Trainable
from zsad.published import PublishedNumber
from zsad.results.leaderboard import PublishedResult, source_of

OWN_VARIANT = {"acd-clip": "N = 2"}
"""Which variant in the tables of its paper is a method as it is by default; elsewhere it is the one without a name."""

RESOLUTION = 518
"""Side in px at which most tables compare maps and masks."""

OURS = {"pixel_pro": "pixel_pro_200"}
"""Our metrics by those of the papers, where the names differ."""


def printed(plan: Plan, split: Split, entrant: BenchmarkDetector, data_set: str) -> list[PublishedResult]:
    """What the papers print for a detector on a data set, in the order of their tables."""
    rows = _of_row(entrant, data_set) if entrant.is_row else _of_method(entrant, data_set)
    return [
        PublishedResult(
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


def others(data_set: str, shots: Collection[int] = (0,)) -> list[PublishedNumber]:
    """All numbers of the papers on a data set, of any method, without the rows of ablations.

    Args:
        data_set: its name.
        shots: normal images that the methods were shown; 0 are zero-shot numbers.
    """
    if data_set not in published.data_sets():
        return []
    return [row for row in published.rows(data_set=data_set) if row.shots in shots and _is_main(row)]


def _is_main(row: PublishedNumber) -> bool:
    return row.variant in ("", OWN_VARIANT.get(row.method, ""))


def _of_method(entrant: BenchmarkDetector, data_set: str) -> Iterator[tuple[str, PublishedNumber]]:
    for row in others(data_set, (entrant.shots,)):
        if row.method == entrant.recipe.method:
            yield source_of(row), row


def _of_row(entrant: BenchmarkDetector, data_set: str) -> Iterator[tuple[str, PublishedNumber]]:
    """The numbers that the recipe holds, with what is known of them."""
    recipe = entrant.recipe
    if entrant.shots:  # its numbers are zero-shot ones
        return
    for metric, value in recipe.published.get(data_set, {}).items():
        place = (recipe.method, recipe.method, data_set, value)
        rows = [
            row
            for row in published.rows(metric=metric)  # of a method or data set that no table has there are none
            if (row.paper, row.method, row.data_set, row.value) == place
        ]
        rows.sort(key=lambda row: row.table not in recipe.paper)
        bare = PublishedNumber(
            recipe.method, "", recipe.method, "", data_set, metric, value, 0, "", "", "", "", recipe.activation or ""
        )
        yield (source_of(rows[0]), rows[0]) if rows else (recipe.paper, bare)


def _differs(
    plan: Plan, split: Split, entrant: BenchmarkDetector, data_set: str, row: PublishedNumber
) -> Iterator[str]:
    """Nothing where ours is what the paper did, as far as it says."""
    benchmark = plan.benchmark
    yield from _tower(entrant, row)
    if benchmark.resolution != RESOLUTION:
        yield f"maps and masks compared at {benchmark.resolution or 'their own'} px, not {RESOLUTION}"
    if entrant.trained and row.trained_on and split.train != (row.trained_on,):
        yield f"trained on {' + '.join(split.train)}, not on {row.trained_on}"
    if entrant.trained and benchmark.precision != "fp32":
        yield f"trained in {benchmark.precision}, not fp32"
    yield from _row_changed(benchmark.change.get(entrant.base, Change())) if entrant.is_row else _changed(entrant, row)
    if entrant.trained and benchmark.max_train_images is not None:
        yield f"trained on at most {benchmark.max_train_images} images of a class and state"
    if benchmark.max_test_images is not None:
        yield f"tested on at most {benchmark.max_test_images} images of a class and state"
    yield from _images(data_set, plan.known[data_set], row)
    if entrant.trained and split.train == (row.trained_on,):
        yield from _incomplete(row.trained_on, plan.known[row.trained_on])


def _tower(entrant: BenchmarkDetector, row: PublishedNumber) -> Iterator[str]:
    recipe, method = entrant.recipe, methods.get(entrant.recipe.method)
    theirs = row.backbone or method.paper_backbone
    side, wanted_side = (
        architectures.image_size_for(recipe.backbone, size) for size in (recipe.image_size, method.paper_image_size)
    )
    if recipe.backbone != theirs:
        yield f"backbone {recipe.backbone}, not {theirs}"
    elif side != wanted_side:
        yield f"{recipe.backbone} at {side} px, not {wanted_side}"
    if recipe.weights == "random" or recipe.weights not in (None, *architectures.weight_names(recipe.backbone)):
        yield f"{recipe.weights} weights"
    elif recipe.backbone == theirs:
        yield from _activation(entrant, row)


def _activation(entrant: BenchmarkDetector, row: PublishedNumber) -> Iterator[str]:
    """That of the row or, where it has none of its own, of the code of the method's authors; else of the weights."""
    recipe, method = entrant.recipe, methods.get(entrant.recipe.method)
    backbone = architectures.get(recipe.backbone)
    usual = backbone.weights[recipe.weights].activation if recipe.weights in backbone.weights else backbone.activation
    options = recipe.options if entrant.is_row else {}  # other numbers are of the method by default
    config = from_mapping(method.config_type, options, f"options of {entrant.name}")
    ours = recipe.tower_activation() or usual
    wanted = row.activation or method.authors_activation(config) or usual
    if ours != wanted:
        yield f"activation {ours}, not {wanted}"


def _changed(entrant: BenchmarkDetector, row: PublishedNumber) -> Iterator[str]:
    """What is neither as the method is by default, which is the paper's, nor as the row is said to be of."""
    recipe, method = entrant.recipe, methods.get(entrant.recipe.method)
    given, default = (
        asdict(from_mapping(method.config_type, one, f"options of {entrant.name}")) for one in (recipe.options, {})
    )
    if issubclass(method, Trainable):
        given |= asdict(recipe.training_config())
        default |= asdict(method.training_defaults)
    special = dict(row.options) if row.method == recipe.method else {}
    wanted = default | special
    for key, value in given.items():
        if value != wanted[key]:
            yield f"{key} {value}, not {wanted[key]}" + (f" as on {row.data_set}" if key in special else "")


def _row_changed(change: Change) -> Iterator[str]:
    for key, value in (change.options | change.training).items():
        yield f"{key} {value}, unlike its row"


def _images(data_set: str, listing: ClassListing, row: PublishedNumber) -> Iterator[str]:
    """Where the test images are others than those of the paper."""
    if row.pack is None:
        yield from _incomplete(data_set, listing)
    elif row.pack.total != listing.total:
        paper = published.methods()[row.paper]
        yield f"{data_set} of {_counted(listing.total)} images, not {paper}'s: {row.pack.about}"


def _counted(total: tuple[int, int]) -> str:
    return f"{total[0]} normal and {total[1]} anomalous"


def _incomplete(name: str, listing: ClassListing) -> Iterator[str]:
    """Where the test images are others than published; what nobody counted is believed."""
    if name not in layouts.names() and not listing.is_published:
        return
    kind = layouts.get(name if name in layouts.names() else listing.layout)
    published_counts = {class_name: (count.normal, count.anomalous) for class_name, count in kind.counts.items()}
    classes = {*kind.classes, *published_counts}
    if not published_counts:
        return
    if missing := classes - listing.classes.keys():
        yield f"{name} with {len(classes) - len(missing)} of its {len(classes)} classes"
    elif any(
        published_counts.get(class_name, count if class_name in classes else None) != count
        for class_name, count in listing.classes.items()
    ):
        yield f"{name} with other numbers of images than published"
