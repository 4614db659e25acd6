"""``zsad predict MANIFEST --engine local|ray``: score the images of a table into shards."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from zsad.cli.answers import Teller
from zsad.cli.options import exported_arguments, load_arguments
from zsad.wording import pluralised

if TYPE_CHECKING:
    from zsad.cluster import Counts, Job

DEFAULT_OUT = Path("runs/predict")


def add_options(parser: ArgumentParser) -> None:
    """Options for manifests."""
    group = parser.add_argument_group(
        "manifest", "PATH is a .csv, .jsonl or .parquet table with a column path (class_name), --out a folder or URL"
    )
    group.add_argument("--engine", choices=("local", "ray"), help="write Parquet shards, here or with Ray")
    group.add_argument("--workers", type=int, metavar="N", help="processes of Ray (default: one a GPU, or CPU)")
    group.add_argument("--shard-size", type=int, metavar="N", help="images of a shard (default: 1000)")
    group.add_argument("--with-maps", action="store_true", help="also write anomaly maps, as 16-bit PNG")


def check_unused(options: Namespace) -> None:
    """Refuse what is for manifests where no engine is asked for.

    Raises:
        ConfigError: an option is given that is for manifests.
        InputError: images or the report would be in an object store.
    """
    from zsad.errors import ConfigError, InputError
    from zsad.remote import is_url

    given = {
        "--workers": options.workers,
        "--shard-size": options.shard_size,
        "--with-maps": options.with_maps or None,
    }
    for name, value in given.items():
        if value is not None:
            raise ConfigError(f"{name} is for a manifest", value, "leave it out, or say --engine local or ray")
    for text in (*options.paths, options.out):
        if is_url(text):
            remedy = "list images in a table with a column path, and say zsad predict TABLE.csv --engine local"
            raise InputError("images and reports are files of this machine", text, remedy)


def run(options: Namespace) -> int:
    """Predict, with a progress bar, and print a summary."""
    from tqdm import tqdm

    from zsad.cluster import Manifest, predict_manifest

    source, job, out = _source(options), _job(options), str(options.out or DEFAULT_OUT)
    tell = Teller(False, options.quiet)
    manifest = Manifest(source, options.class_name)
    if manifest.repeated:
        tell(f"zsad: note: {pluralised(manifest.repeated, 'row')} of an image named before, left out", stderr=True)
    with tqdm(total=len(manifest), unit="image", disable=options.quiet or None) as bar:

        def observe(counts: "Counts") -> None:
            bar.update(counts.images)

        total = predict_manifest(manifest, out, job, engine=options.engine, workers=options.workers, observer=observe)
    called = f"{total.anomalous:,} anomalous" if total.decided else "none called anomalous or normal"
    tell(f"{pluralised(total.images - total.failures, 'image')} scored, {called}.")
    if total.failures:
        tell(f"{total.failures:,} without a score: see the column error (exit status 1).")
    tell(f"shards: {out.rstrip('/')}/shards")
    return 1 if total.failures else 0


def _source(options: Namespace) -> str:
    """The manifest.

    Raises:
        ConfigError: there are several, or an option is given that is for images.
    """
    from zsad.errors import ConfigError

    if len(options.paths) != 1:
        raise ConfigError("--engine takes one manifest", f"{len(options.paths)} paths", "put them into one table")
    unused = {
        "--normal": options.normal is not None,
        "--overlay outline": options.overlay == "outline",
        "--json": options.json,
    }
    for name in (name for name, is_given in unused.items() if is_given):
        remedy = "fit the detector first (zsad fit)" if name == "--normal" else "leave it out"
        raise ConfigError(f"{name} is for images that are given by path", "--engine", remedy)
    return str(options.paths[0])


def _job(options: Namespace) -> "Job":
    from zsad.cluster import Job
    from zsad.export import is_exported

    arguments_of = exported_arguments if is_exported(options.detector) else load_arguments
    size = {} if options.shard_size is None else {"shard_size": options.shard_size}
    return Job(
        options.detector,
        arguments_of(options, options.threshold),
        options.pixel_threshold,
        options.min_area,
        options.with_maps,
        **size,
    )
