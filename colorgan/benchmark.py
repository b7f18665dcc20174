"""Measures the speed of training, and of each of its two parts.

step   the jitted training step alone, on images that are on the device
input  the data path alone, beside a minimal loop that reads, decodes and resizes the same images
loop   training itself for a few epochs in a temporary folder, beside the two parts

Each prints one JSON object. Compilation and the first steps are left out; values are medians over repeats.
"""

import argparse
import json

import jax

from colorgan import command_line, library_patches
from colorgan import config as config_lib
from colorgan.errors import UserError
from colorgan.run import devices

PARTS = ("step", "input", "loop")


def main(arguments: argparse.Namespace) -> None:
    """Prints one JSON object, or one metric per line with --pretty."""
    from colorgan.profiling import benchmarks  # not at the top: --help and every data worker import this module

    config = arguments.config
    config_lib.check_config(config)
    devices.join_processes(config.platform, devices.Processes())
    devices.select_platform(config.platform)
    if jax.process_count() > 1:
        raise UserError("the benchmark measures one process; run it on a single host")
    result = {"part": arguments.part, **benchmarks.MEASURES[arguments.part](config)}
    result |= benchmarks.describe_setup(config, arguments.config_name)
    print(benchmarks.as_text(result) if arguments.pretty else json.dumps(result))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.create_parser("benchmark", __doc__, "step --config=default")
    parser.add_argument("part", choices=PARTS, metavar=f"{{{','.join(PARTS)}}}", help="what is measured")
    command_line.add_config_flag(parser)
    parser.add_argument("--pretty", action="store_true", help="one metric per line instead of JSON")
    return parser


if __name__ == "__mp_main__":  # this is a data worker, about to import Grain
    library_patches.leave_out_orbax()
if __name__ == "__main__":
    command_line.run(main, _parser())
