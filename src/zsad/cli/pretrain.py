"""``zsad pretrain``: make the embedded backbone again, or one like it."""

from argparse import Namespace
from pathlib import Path

from zsad.cli.options import Verbs
from zsad.wording import say


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "pretrain",
        help="train a small CLIP from nothing",
        description="Train a small CLIP on a CNN: align with captions, see drawn defects. Resumes what OUT holds.",
    )
    parser.add_argument(
        "--recipe", type=Path, required=True, metavar="FILE", help="for instance recipes/tiny/tiny.toml"
    )
    parser.add_argument(
        "--corpus",
        type=Path,
        metavar="FILE",
        help="JSON lines: file, caption, label, source (none if all is drawn)",
    )
    parser.add_argument("--sources", type=Path, metavar="FILE", help="JSON: repository and terms of each source")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="images, checkpoints, log and model")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes that draw images (default: 2)")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu, cuda … (default: cpu)")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Train and export."""
    from zsad.locks import alone
    from zsad.tools.pretrain import export, loop, recipe, store

    chosen = recipe.read(options.recipe)
    corpus = [] if options.corpus is None else store.read_corpus(options.corpus)
    sources = None if options.sources is None else export.read_sources(options.sources)
    with alone(options.out, "train", "validation", "model"):
        clip = loop.run(chosen, corpus, options.out, workers=options.workers, device=options.device)
        folder = export.write(clip, chosen, corpus, options.out, sources)
    say(f"model: {folder / 'model.safetensors'}, card: {folder / 'card.json'}")
    return 0
