"""The flags that choose a generator: --workdir, or --model, and --checkpoint."""

import argparse

from colorgan.errors import UserError
from colorgan.inference.colorizer import Colorizer
from colorgan.run.storage import parse_local_path, parse_path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags for `load_colorizer`."""
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--workdir", type=parse_path, help="the run's folder")
    group.add_argument("--model", type=parse_local_path, help="a file written by colorgan export, instead of a run")
    parser.add_argument("--checkpoint", choices=("latest", "best"), help="which one of the run (default: best)")


def load_colorizer(arguments: argparse.Namespace) -> Colorizer:
    """The colorizer that the flags choose. Raises UserError if it cannot be loaded."""
    if arguments.model:
        if arguments.checkpoint:
            raise UserError("--checkpoint applies to --workdir only: an exported file holds one checkpoint")
        return Colorizer.from_file(arguments.model)
    return Colorizer.from_workdir(arguments.workdir, arguments.checkpoint or "best")
