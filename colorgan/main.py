"""Trains a run, or resumes it from its last checkpoint."""

import argparse
import shlex

import jax
from etils import epath

from colorgan import command_line, library_patches
from colorgan import config as config_lib
from colorgan.errors import printable
from colorgan.run import devices
from colorgan.run.storage import parse_path


def main(arguments: argparse.Namespace) -> None:
    """Trains to the end, and prints which commands to use next."""
    # Not at the top: --help and every data worker import this module, and this loads Flax and Orbax.
    from colorgan.training.loop import train

    config = arguments.config
    config_lib.check_config(config)
    data = config.data
    workdir = arguments.workdir or epath.Path("runs", arguments.config_name)
    processes = devices.Processes(arguments.coordinator, arguments.num_processes, arguments.process_id)
    devices.join_processes(config.platform, processes)
    with devices.reporting_lost_processes():
        devices.select_platform(config.platform)
        train(config, workdir)
    if jax.process_index() == 0:
        print(_next_commands(workdir, data.validation or "validation"))
        if data.train.startswith("procedural:"):
            print("These networks have only seen synthetic scenes. To color photographs, train on photographs.")


def _next_commands(workdir: epath.Path, validation: str) -> str:
    from colorgan.run.workdir import SAMPLES_FOLDER, TENSORBOARD_FOLDER, find_pictures

    logs, colorgan = workdir / TENSORBOARD_FOLDER, command_line.program("colorgan")
    pictures = "".join(f"\n  {printable(str(path))}" for path in find_pictures(workdir))
    worth_opening = f"\n\nWorth opening:{pictures}" if pictures else ""
    return f"""
The run is complete.
  folder            {printable(str(workdir))}
  sample grids      {printable(str(workdir / SAMPLES_FOLDER))}
  TensorBoard logs  {printable(str(logs))}{worth_opening}

Next:
  {colorgan} evaluate {shlex.quote(f"--workdir={workdir}")} {shlex.quote(f"--data={validation}")}
  {command_line.program("tensorboard")} {shlex.quote(_tensorboard_flag(workdir))}
To color photographs, name them or their folder at the end:
  {colorgan} colorize {shlex.quote(f"--workdir={workdir}")} --output=colored
"""


def _tensorboard_flag(workdir: epath.Path) -> str:
    """The flag with which TensorBoard shows a run as NAME/tensorboard, without searching folders of other things."""
    if workdir.parent.name == "runs":
        return f"--logdir={workdir.parent}"
    is_plain = ":" not in workdir.name and "," not in str(workdir)  # these separate names and runs
    return f"--logdir_spec={workdir.name}:{workdir}" if is_plain else f"--logdir={workdir}"


def _parser() -> argparse.ArgumentParser:
    parser = command_line.create_parser("train", __doc__, "--config=default --workdir=runs/mine")
    command_line.add_config_flag(parser, lists_keys=True)
    parser.add_argument(
        "--workdir", type=parse_path, metavar="DIR", help="the run's folder (default: runs/<name of the config>)"
    )
    group = parser.add_argument_group("several processes that train together (TPU slices and Slurm need none of these)")
    group.add_argument("--coordinator", metavar="HOST:PORT", help="of process 0, the same for all processes")
    group.add_argument("--num_processes", type=int, metavar="N", help="the number of processes")
    group.add_argument("--process_id", type=int, metavar="I", help="the number of this process, from 0")
    return parser


if __name__ == "__mp_main__":  # this is a data worker, about to import Grain
    library_patches.leave_out_orbax()
if __name__ == "__main__":
    command_line.run(main, _parser())
