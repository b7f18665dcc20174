"""Compiles the training step for TPUs or GPUs that are not present, and prints its cost.

The JSON object says whether the step fits into the memory of a device and what it costs. The compiler is the device's
own (the extra `tpu`, or `compile-cuda`, each in an environment of its own), and the program the one that `colorgan
train` would run there; nothing is trained. Memory is compared with the published size, of which the runtime reserves a
little (0.25 of 16 GiB on v5e). For GPUs the algorithms of cuDNN are not chosen, so memory is a lower bound.
"""

import argparse
import json
import os
import sys

# JAX queries the metadata server of a TPU machine when it is imported; this need not be one.
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # the compiler uses no chip that another process might use

from colorgan import command_line
from colorgan import config as config_lib
from colorgan.run import devices

_NUM_EXPLAINED = 10


def main(arguments: argparse.Namespace) -> None:
    """Prints one JSON object."""
    from colorgan.profiling import compile_ahead  # not at the top, for a fast --help: it loads Flax

    config_lib.check_config(arguments.config)
    devices.select_platform("cpu")  # uses none of the devices of this machine
    mesh = compile_ahead.describe_mesh(arguments.topology)
    config_lib.set_batch_size(arguments.config, mesh.size)
    what = f"compiling the training step for {arguments.topology}: about a minute for a GPU, several for a TPU"
    print(what, file=sys.stderr, flush=True)
    number = _NUM_EXPLAINED if arguments.explain else 0
    print(json.dumps({"topology": arguments.topology, **compile_ahead.compile_ahead(arguments.config, mesh, number)}))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.create_parser("compile-ahead", __doc__, "--config=tpu --topology=v5e:2x4")
    command_line.add_config_flag(parser)
    topology_help = (
        "TPU chips, such as v5e:2x4 (default) or v5p:2x2x1, or GPUs of one host: h100, h200, a100, l4, h100:8"
    )
    parser.add_argument("--topology", default="v5e:2x4", help=topology_help)
    parser.add_argument(
        "--explain", action="store_true", help="lists the ten most expensive operations with their source"
    )
    return parser


if __name__ == "__main__":
    command_line.run(main, _parser())
