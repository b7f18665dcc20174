"""The flags that choose a generator: --workdir, or --model, and --checkpoint; without them the one that ships."""

import argparse
import dataclasses
from typing import TYPE_CHECKING

from colorgan.errors import UserError
from colorgan.inference.colorizer import Colorizer
from colorgan.run.storage import parse_local_path, parse_path
from colorgan.run.weights_file import SHIPPED, SUFFIX

if TYPE_CHECKING:
    from colorgan.inference.load_weights import LoadedGenerator


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags for `load_colorizer` and `load_generator`."""
    group = parser.add_mutually_exclusive_group()
    workdir_help = "a run's folder (default: the network that ships with colorgan)"
    group.add_argument("--workdir", type=parse_path, help=workdir_help)
    group.add_argument("--model", type=parse_local_path, help="a file written by colorgan export, instead of a run")
    parser.add_argument("--checkpoint", choices=("latest", "best"), help="which one of the run (default: best)")


def load_colorizer(arguments: argparse.Namespace) -> Colorizer:
    """The colorizer that the flags choose. Raises UserError if it cannot be loaded."""
    if arguments.workdir:
        return Colorizer.from_workdir(arguments.workdir, arguments.checkpoint or "best")
    _check_no_checkpoint(arguments)
    return Colorizer.from_file(arguments.model or SHIPPED)


def load_generator(arguments: argparse.Namespace) -> "LoadedGenerator":
    """The generator that the flags choose, with its weights. Raises UserError if it cannot be loaded."""
    from colorgan.inference import load_run, load_weights

    if arguments.workdir:
        return load_run.load_run(arguments.workdir, arguments.checkpoint or "best")
    _check_no_checkpoint(arguments)
    if arguments.model is None:
        return dataclasses.replace(load_weights.load_weights(SHIPPED), checkpoint="shipped")
    if arguments.model.suffix != SUFFIX:
        raise UserError(f"--model={arguments.model} must be a {SUFFIX} file here: other files are programs")
    return load_weights.load_weights(arguments.model)


def _check_no_checkpoint(arguments: argparse.Namespace) -> None:
    if arguments.checkpoint:
        raise UserError("--checkpoint applies to --workdir only: a file and the network that ships have one checkpoint")
