"""A run's folder: who may use it, and what it says of itself."""

import contextlib
import fcntl
import json
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from etils import epath
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from colorgan import config as config_lib
from colorgan.errors import Stopped, UserError
from colorgan.run.append_file import AppendFile
from colorgan.run.metric_writer import LOG_FILE, METRICS_FILE
from colorgan.run.storage import bucket_errors, check_bucket, folder_errors, is_remote, write_whole
from colorgan.training import state as train_state
from colorgan.training.state import GANState

CONFIG_FILE, NETWORKS_FILE = "config.json", "networks.json"
_SHARED_SECONDS = 30  # until a network's file system shows all hosts a new file


def check(config: ConfigDict, workdir: epath.Path) -> None:
    """Refuses the folder of a run of another config that has trained already, and a bucket that cannot be used.

    Before any data is fetched. Raises Unreachable if the bucket does not answer.
    """
    try:
        check_bucket(workdir)
    except OSError as error:
        raise UserError(f"cannot use the run's folder: {error}") from error
    try:
        with bucket_errors(workdir):
            before = json.loads((workdir / CONFIG_FILE).read_text())
            has_trained = bool((workdir / METRICS_FILE).read_bytes())
    except (OSError, ValueError):  # no run yet
        return
    if has_trained:
        refuse(config_lib.changes(before, config_lib.to_plain(config))[0])


def refuse(differences: list[str]) -> None:
    """Raises UserError if there are `differences` that a run cannot go on with."""
    if differences:
        raise UserError(
            f"this run's folder holds a run of another config, which cannot go on with {'; '.join(differences)}; "
            "change that back, or start a new run with --workdir=DIR"
        )


@contextlib.contextmanager
def held(workdir: epath.Path) -> Iterator[None]:
    """Makes the folder, and keeps other runs out of it until the end.

    Raises:
      UserError: it cannot be written, or not all processes see it.
      Stopped: a run is at work in it.
    """
    with contextlib.ExitStack() as stack:
        _create(workdir)
        if jax.process_index() == 0 and not is_remote(workdir):
            log_file = stack.enter_context(open(workdir / LOG_FILE, "ab"))
            try:
                fcntl.flock(log_file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process, however that ends
            except BlockingIOError as error:  # on a network, a lost host's lock too, for a minute or two
                raise Stopped(f"another run is at work in {workdir}: --workdir=DIR names another folder") from error
            except OSError:  # a file system without locks
                pass
        yield


def _create(workdir: epath.Path) -> None:
    if jax.process_index() == 0:
        with folder_errors():
            with bucket_errors(workdir):
                workdir.mkdir(parents=True, exist_ok=True)
            AppendFile(workdir / LOG_FILE).close()
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("the run's folder is made")
        if not np.all(multihost_utils.process_allgather(_appears(workdir / LOG_FILE))):
            raise UserError(f"the run's folder, {workdir}, must be where all processes see it, such as a gs:// bucket")


def _appears(path: epath.Path) -> np.ndarray:
    for _ in range(_SHARED_SECONDS):
        if path.exists():
            return np.asarray(True)
        time.sleep(1)
    return np.asarray(False)


def describe(workdir: epath.Path, config: dict[str, Any], state: GANState) -> None:
    """Writes config.json and networks.json, or raises UserError."""
    sizes = {
        "num_generator_values": train_state.num_values(state.generator.variables),
        "num_critic_values": train_state.num_values(state.critic.variables),
    }
    with folder_errors():
        for name, values in ((CONFIG_FILE, config), (NETWORKS_FILE, sizes)):
            write_whole(workdir / name, (json.dumps(values, indent=2) + "\n").encode())
