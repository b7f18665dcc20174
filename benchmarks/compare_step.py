"""Compares colorgan's training step with PyTorch's and TensorFlow's, with the same networks and the same batch size.

    python3 -m venv .venv-peers && .venv-peers/bin/pip install -r benchmarks/peers/requirements.txt
    python benchmarks/compare_step.py --peers_python=.venv-peers/bin/python
    python benchmarks/compare_step.py --gpu --batch_size=256
    python benchmarks/compare_step.py --network=pretrained [--critic] [--image_size=256]

"baseline" is the step of configs/baseline.py; "pretrained" that of configs/pretrained.py, a U-Net around EfficientNet-
Lite0, here with the L1 loss alone and random weights. `--critic` adds the adversarial loss and the patch critic.
The programs run in turns, each in a new process. The last line is JSON: the median images per second of each, and the
median over the turns of the ratio of colorgan's speed to the peer's. A peer whose package is not installed is skipped.
`--gpu` uses bfloat16 for colorgan, --bf16 --compile --channels_last for PyTorch, and leaves out TensorFlow. With
`--platform=cpu` that is rehearsed without a GPU: without --compile, which takes minutes there, and in one step.
"""

import argparse
import json
import signal
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PEERS = {"pytorch": "torch", "tensorflow": "tensorflow"}  # the package that each needs


def run(command: list[str]) -> dict[str, Any]:
    """Returns the JSON object in the last line that `command` prints. Exits if the command fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr.strip()}")
    return json.loads(done.stdout.splitlines()[-1])


def run_colorgan(arguments: argparse.Namespace) -> dict[str, Any]:
    precision = "bfloat16" if arguments.gpu else "float32"
    command = [sys.executable, "-m", "colorgan.benchmark", "step", f"--config=configs/{arguments.network}.py"]
    command += [f"--config.batch_size={arguments.batch_size}", f"--config.precision={precision}"]
    command += [f"--config.{key}={arguments.image_size}" for key in ("image_size", "data.load_size")]
    if arguments.network == "pretrained":
        command += [f"--config.loss.adversarial_weight={float(arguments.critic)}", "--config.model.encoder_weights="]
        command += [f"--config.{key}=0.0" for key in ("loss.palette_weight", "loss.histogram_weight", "data.degrade")]
    return run([*command, f"--config.platform={arguments.platform}"])


def run_peer(peer: str, arguments: argparse.Namespace) -> dict[str, Any]:
    script = "encoder" if arguments.network == "pretrained" else peer
    command = [arguments.peers_python, f"benchmarks/peers/{script}_step.py", f"--batch_size={arguments.batch_size}"]
    command += [f"--image_size={arguments.image_size}", *["--critic"] * arguments.critic]
    if arguments.gpu:
        command += ["--bf16", "--channels_last"]
    if arguments.platform == "gpu":
        command += ["--device=cuda", "--compile", "--steps=30", "--warm_up=10"]
    elif arguments.gpu:
        command += ["--steps=1", "--warm_up=1", "--repeats=1"]
    return run(command)


def installed_peers(arguments: argparse.Namespace) -> tuple[list[str], dict[str, str]]:
    """Returns the peers that can run, and why the others are skipped, which it prints too."""
    peers, skipped = [], {}
    for peer, package in PEERS.items():
        found = subprocess.run(
            [arguments.peers_python, "-c", f"import importlib.util as u; exit(u.find_spec('{package}') is None)"]
        )
        if peer == "tensorflow" and (arguments.gpu or arguments.network == "pretrained"):
            skipped[peer] = "it is compared on the CPU only, with the baseline"
        elif found.returncode:
            skipped[peer] = f"{package} is not installed for {arguments.peers_python}"
        else:
            peers.append(peer)
    for peer, reason in skipped.items():
        print(f"{peer} is skipped: {reason}")
    return peers, skipped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers_python", default=sys.executable, help="the Python that has the peers' packages")
    parser.add_argument("--network", choices=("baseline", "pretrained"), default="baseline")
    parser.add_argument("--critic", action="store_true", help="of the pretrained network's step")
    parser.add_argument("--image_size", type=int, default=128)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--gpu", action="store_true", help="compare on a GPU, in bfloat16")
    parser.add_argument("--platform", choices=("cpu", "gpu"), help="default: gpu with --gpu, cpu without")
    arguments = parser.parse_args()
    arguments.platform = arguments.platform or ("gpu" if arguments.gpu else "cpu")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # an exception, which ends the program that runs
    if arguments.critic and arguments.network != "pretrained":
        parser.error("--critic is for --network=pretrained; the baseline always has its critic")
    peers, skipped = installed_peers(arguments)
    turns: list[dict[str, float]] = []
    versions: dict[str, str] = {}
    for _ in range(arguments.turns):
        ours = run_colorgan(arguments)
        speeds = {"colorgan": ours["images_per_second"]}
        versions["jax"] = ours["jax"]
        for peer in peers:
            theirs = run_peer(peer, arguments)
            if theirs["num_values"] != ours["num_values"]:
                sys.exit(f"{peer}'s networks have {theirs['num_values']} values, colorgan's {ours['num_values']}")
            speeds[peer], versions[peer] = theirs["images_per_second"], theirs["version"]
        print("  ".join(f"{name} {speed:.2f} images/s" for name, speed in speeds.items()), flush=True)
        turns.append(speeds)
    print(
        json.dumps(
            {
                "images_per_second": {name: statistics.median(t[name] for t in turns) for name in turns[0]},
                "ratio": {peer: statistics.median(t["colorgan"] / t[peer] for t in turns) for peer in peers},
                **{key: getattr(arguments, key) for key in ("network", "critic", "image_size", "batch_size")},
                "skipped": skipped,
                "colorgan": ours,
                "device": ours["device"],
                "versions": versions,
                "date": ours["date"],
            }
        )
    )


if __name__ == "__main__":
    main()
