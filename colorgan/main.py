"""`python -m colorgan.main --config=FILE`: trains, or goes on with, one run."""

from pathlib import Path

import jax
from absl import flags
from etils import epath
from ml_collections import config_flags

from colorgan import command_line, config, library_patches
from colorgan.run import devices

_CONFIG = config_flags.DEFINE_config_file("config", None, "The config file, e.g. configs/default.py.")
_WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder; runs/<name of the config> by default.")
# Of several processes that train together; a TPU slice and Slurm tell these themselves.
_COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0, the same for all processes.")
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "How many processes train together.", lower_bound=1)
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Which of them this is, from 0.", lower_bound=0)


def main() -> None:
    # Here, since --help and every data worker import this module: it loads Flax and Orbax.
    from colorgan.training.loop import train

    config.check_config(_CONFIG.value)
    name = Path(flags.FLAGS["config"].config_filename).stem
    workdir = epath.Path(_WORKDIR.value or Path("runs", name)).expanduser()
    processes = devices.Processes(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    devices.join_processes(_CONFIG.value.platform, processes)
    with devices.reporting_lost_processes():
        devices.select_platform(_CONFIG.value.platform)
        train(_CONFIG.value, workdir)
    if jax.process_index() == 0:
        print(_what_next(workdir, _CONFIG.value.data.validation))
        if _CONFIG.value.data.train.startswith("procedural:"):
            print("These networks have seen drawn scenes only; to colour photographs, train on photographs.")


def _what_next(workdir: epath.Path, validation: str) -> str:
    return f"""
The run is complete.
  its folder        {workdir}
  sample grids      {workdir}/samples
  TensorBoard logs  {workdir}/tensorboard

What comes next:
  tensorboard --logdir={workdir}/tensorboard
  python -m colorgan.evaluate --workdir={workdir} --data={validation}
  python -m colorgan.colorize --workdir={workdir} --output=colored YOUR_PHOTOGRAPHS
"""


if __name__ == "__mp_main__":  # this is a data worker of the command, about to import Grain
    library_patches.leave_out_orbax()
if __name__ == "__main__":
    command_line.run_with_config(main)
