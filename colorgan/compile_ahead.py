"""Compiles the training step for TPUs that are not present, and prints its cost.

The JSON object says whether the step fits into the memory of a chip and what it costs. The compiler is the TPU's own
(extra `tpu`), and the program the one that `colorgan train` would run there; nothing is trained. Memory is compared
with the published size, of which the runtime reserves a little (0.25 of 16 GiB on v5e).
"""

import argparse
import json
import os

# JAX queries the metadata server of a TPU machine when it is imported; this need not be one.
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # the compiler uses no chip that another process might use

from colorgan import command_line
from colorgan import config as config_lib
from colorgan.run import devices


def main(arguments: argparse.Namespace) -> None:
    """Prints one JSON object."""
    from colorgan.profiling import compile_ahead  # not at the top, for a fast --help: it loads Flax

    config_lib.check_config(arguments.config)
    devices.select_platform("cpu")  # uses none of the devices of this machine
    mesh = compile_ahead.describe_mesh(arguments.topology)
    config_lib.check_batch_size(arguments.config.batch_size, mesh.size)
    print(json.dumps({"topology": arguments.topology, **compile_ahead.compile_ahead(arguments.config, mesh)}))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.create_parser("compile-ahead", __doc__)
    command_line.add_config_flag(parser)
    topology_help = "kind and arrangement of the chips, such as v5e:2x4 (default) or v5p:2x2x1"
    parser.add_argument("--topology", default="v5e:2x4", help=topology_help)
    return parser


if __name__ == "__main__":
    command_line.run(main, _parser())
