"""``zsad pretrain``: make the embedded backbone again, or one like it."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from zsad.runtime import RuntimeConfig
from zsad.wording import say


def configure(parser: ArgumentParser) -> None:
    """Add description and options."""
    parser.description = "Train a small CLIP on a CNN, with captions and drawn defects. Resumes the run in DIR."
    parser.add_argument("--recipe", type=Path, required=True, metavar="FILE", help="e.g. recipes/tiny/tiny.toml")
    parser.add_argument("--corpus", type=Path, metavar="FILE", help="JSON lines: file, caption, label, source")
    parser.add_argument("--sources", type=Path, metavar="FILE", help="JSON: repository and licence of each source")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for images, checkpoints, log and model")
    RuntimeConfig.add_options(parser, "device", "workers", device="cpu")
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
