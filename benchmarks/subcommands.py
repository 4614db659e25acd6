"""Benchmarks of several parts, each a module with ``configure(parser)`` and ``run(options)``."""

import argparse
from types import ModuleType


def run(description: str, **modules: ModuleType) -> int:
    """Run the part that the command line names; returns its exit status.

    Args:
        description: of all, for ``--help``.
        modules: by the names of their parts.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, module in modules.items():
        command = commands.add_parser(name, help=(module.__doc__ or "").partition("\n")[0])
        module.configure(command)
        command.set_defaults(run=module.run)
    options = parser.parse_args()
    status: int = options.run(options)
    return status
