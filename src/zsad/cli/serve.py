"""``zsad serve DETECTOR...``: detectors over HTTP, with a page for people."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from zsad.cli.options import add_backbone, add_runtime, describe, load_any
from zsad.wording import say

if TYPE_CHECKING:
    from zsad.export import ExportedDetector
    from zsad.predictor import Detector
    from zsad.service.settings import ServiceSettings

DESCRIPTION = """Serve detectors over HTTP: a page to drop images on, and an API for programs. Other machines reach it
only with --host and a token. A signal (Ctrl-C) stops it when what was accepted is answered, a second one at once."""
PACKAGES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
MIB, MOST_MIB = 2**20, 2**20


def configure(parser: ArgumentParser) -> None:
    """Add description and options."""
    parser.description = DESCRIPTION
    group = parser.add_argument_group("detectors")
    group.add_argument(
        "detectors",
        nargs="*",
        default=["auto"],
        metavar="DETECTOR",
        help="folders, exported files, or methods (default: auto)",
    )
    group.add_argument("--backbone", metavar="NAME", help="of all of them (default: tiny, for trying out)")
    add_backbone(group)
    group = parser.add_argument_group("address")
    group.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="default: 127.0.0.1, this machine alone")
    group.add_argument("--port", type=int, default=8000, metavar="N", help="default: 8000; 0: any free one")
    group.add_argument("--token-file", type=Path, metavar="FILE", help="token of clients (or $ZSAD_SERVE_TOKEN)")
    group = parser.add_argument_group("limits")
    group.add_argument("--queue", type=int, default=64, metavar="N", help="images that wait (default: 64)")
    group.add_argument("--max-files", type=int, default=256, metavar="N", help="of a request (default: 256)")
    group.add_argument("--max-file-mib", type=int, default=64, metavar="N", help="of an image (default: 64)")
    group.add_argument("--max-request-mib", type=int, default=256, metavar="N", help="of a request (default: 256)")
    group.add_argument(
        "--max-pixels", type=int, default=50_000_000, metavar="N", help="of an image (default: 50000000)"
    )
    group.add_argument("--timeout", type=float, default=300, metavar="S", help="until an answer (default: 300)")
    group.add_argument(
        "--upload-timeout", type=float, default=120, metavar="S", help="until a request is there (default: 120)"
    )
    group.add_argument(
        "--max-wait-ms", type=float, default=5, metavar="MS", help="for others to fill a batch (default: 5)"
    )
    add_runtime(parser, batch_size="auto")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Load the detectors, and serve them until a signal comes."""
    _require_packages()
    from zsad.service.server import address, bound, serve

    settings = _settings(options)
    with bound(settings) as listener:
        detectors = _detectors(options)
        serve(detectors, settings, listener, lambda: say(f"serving: {address(listener)} (Ctrl-C stops it)"))
    say("stopped: what was accepted is answered")
    return 0


def _require_packages() -> None:
    from importlib import import_module

    from zsad.errors import DependencyError

    for package in PACKAGES:
        try:
            import_module(package)
        except ImportError as error:
            raise DependencyError(
                "zsad serve needs the extra serve", f"no {package}", "run: pip install 'zsad[serve]'"
            ) from error


def _settings(options: Namespace) -> "ServiceSettings":
    from zsad.config import check_within
    from zsad.service.settings import ServiceSettings, read_token

    for name in ("max_file_mib", "max_request_mib"):
        check_within(f"--{name.replace('_', '-')}", getattr(options, name), 1, MOST_MIB)
    return ServiceSettings(
        host=options.host,
        port=options.port,
        token=read_token(options.token_file),
        queue=options.queue,
        max_files=options.max_files,
        max_file_bytes=options.max_file_mib * MIB,
        max_request_bytes=options.max_request_mib * MIB,
        max_pending_bytes=4 * options.max_request_mib * MIB,
        max_pixels=options.max_pixels,
        timeout=options.timeout,
        upload_timeout=options.upload_timeout,
        max_wait_ms=options.max_wait_ms,
    )


def _detectors(options: Namespace) -> "dict[str, Detector | ExportedDetector]":
    """The detectors by name; that of an exported one is its file's.

    Raises:
        ConfigError: two have the same name.
    """
    from zsad.errors import ConfigError
    from zsad.export import is_exported

    found = dict[str, "Detector | ExportedDetector"]()
    for named in options.detectors:
        detector = load_any(Namespace(**vars(options), detector=named))
        name = Path(named).stem if is_exported(named) else detector.name
        if name in found:
            rule = "detectors that are served together have different names"
            raise ConfigError(rule, f"two called {name}", "rename a folder or file")
        found[name] = detector
        say(describe(detector))
    return found
