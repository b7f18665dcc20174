"""A run's folder: its layout, the lock that keeps other runs out, and its description of the run.

No other module knows the names in it.
"""

import contextlib
import fcntl
import json
import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from etils import epath
from jax.experimental import multihost_utils

from colorgan.errors import Stopped, Unreachable, UserError
from colorgan.run import migrations
from colorgan.run.storage import bucket_errors, check_bucket, folder_errors, is_remote, write_whole

CONFIG_FILE, NETWORKS_FILE = "config.json", "networks.json"
HELD_OUT_FILE = "validation.json"
VALIDATION_FILE, BEST_AND_WORST_FILE = "validation/metrics.json", "validation/best_and_worst.png"
METRICS_FILE, LOG_FILE = "metrics.jsonl", "log.txt"
CHECKPOINTS_FOLDER, DAMAGED_FOLDER = "checkpoints", "damaged"
SAMPLES_FOLDER, TENSORBOARD_FOLDER, EVALUATION_FOLDER = "samples", "tensorboard", "evaluation"
REPORT_FILE, CONTACT_SHEET_FILE = "report.html", "contact_sheet.png"

log = logging.getLogger(__name__)

_NUM_PICTURES = 3  # that the end of a run names
_NUM_NAMED = 10  # runs in a message
_SHARED_SECONDS = 30  # until a network file system shows a new file on all hosts


def sample_file(epoch: int) -> str:
    """The path, in a run's folder, of the sample grid drawn after `epoch`."""
    return f"{SAMPLES_FOLDER}/epoch_{epoch:04d}.png"


def find_samples(workdir: epath.Path) -> dict[int, epath.Path]:
    """A run's sample grids by epoch, in order."""
    named = {path.stem.removeprefix("epoch_"): path for path in (workdir / SAMPLES_FOLDER).glob("epoch_*.png")}
    return dict(sorted((int(number), path) for number, path in named.items() if number.isdecimal()))


def find_pictures(workdir: epath.Path) -> list[epath.Path]:
    """Up to three files worth opening: the report, the newest sample grid, the contact sheet, the first sample grid."""
    with contextlib.suppress(OSError, Unreachable), bucket_errors(workdir):
        grids = list(find_samples(workdir).values())
        contact_sheet = workdir / EVALUATION_FOLDER / CONTACT_SHEET_FILE
        pictures = dict.fromkeys([workdir / REPORT_FILE, *grids[-1:], contact_sheet, *grids[:1]])
        return [path for path in pictures if path.exists()][:_NUM_PICTURES]
    return []


def read_config(workdir: epath.Path) -> dict[str, Any]:
    """The config of a run as a nested dict with today's keys.

    Raises:
      UserError: the folder holds no run, or config.json is damaged or was written by a newer version.
      Unreachable: the bucket does not answer.
    """
    path = workdir / CONFIG_FILE
    try:
        with bucket_errors(workdir):
            saved = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{workdir} is not the folder of a run: it has no {CONFIG_FILE}{_near(workdir)}") from error
    except NotADirectoryError as error:
        raise UserError(f"{workdir} is not the folder of a run: {error}") from error
    except OSError as error:
        raise UserError(f"cannot read the config of the run in {workdir}: {error}") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); the command that trained the run writes it again") from error
    if not isinstance(saved, dict):
        raise UserError(f"{path} is damaged (not a JSON object); the command that trained the run writes it again")
    return migrations.migrate_config(saved)


def _near(workdir: epath.Path) -> str:
    """Which runs are in `workdir`, around it or beside it, as the end of a message; "" if there is none."""
    if is_remote(workdir):  # each look would take a request
        return ""
    for where, folder, pattern in (
        ("inside it are the runs", workdir, "*/"),
        ("the run is", workdir.parent, ""),
        ("beside it are the runs", workdir.parent, "*/"),
    ):
        with contextlib.suppress(OSError):
            runs = sorted(str(path.parent) for path in folder.glob(pattern + CONFIG_FILE))
            if runs:
                more = f" and {len(runs) - _NUM_NAMED} more" if len(runs) > _NUM_NAMED else ""
                return f"; {where} {', '.join(runs[:_NUM_NAMED])}{more}"
    return ""


def config_if_trained(workdir: epath.Path) -> dict[str, Any] | None:
    """The config of a run that has logged metrics; None if there is none yet. Call it before any data is downloaded.

    Raises:
      UserError: the bucket cannot be used, the run may not be read, or a newer version wrote it.
      Unreachable: the bucket does not answer.
    """
    try:
        check_bucket(workdir)
    except OSError as error:
        raise UserError(f"cannot use the run's folder: {error}") from error
    try:
        with bucket_errors(workdir):
            saved = json.loads((workdir / CONFIG_FILE).read_text())
            has_trained = bool((workdir / METRICS_FILE).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):  # no run yet
        return None
    except OSError as error:  # a run that may not be read
        raise UserError(f"cannot use the run's folder: {error}") from error
    return migrations.migrate_config(saved) if has_trained else None


def read_held_out(workdir: epath.Path) -> dict[int, str] | None:
    """Names, by index, of the training images that a run holds out; None, with a message, if the file cannot be read.

    Raises:
      Unreachable: the bucket does not answer.
    """
    try:
        with bucket_errors(workdir):
            names = json.loads((workdir / HELD_OUT_FILE).read_text())
        return {int(index): str(name) for index, name in names.items()}
    except (OSError, ValueError, AttributeError) as error:
        log.warning("%s cannot be read (%s): validation images are chosen again", workdir / HELD_OUT_FILE, error)
        return None


def refuse_changes(differences: list[str], workdir: epath.Path) -> None:
    """Raises UserError if there are `differences` with which the run in `workdir` cannot be resumed."""
    if differences:
        raise UserError(
            f"this folder holds a run of another config, which cannot be resumed with {'; '.join(differences)}; "
            "change that back, or start a new run with --workdir=DIR, from these networks with "
            f"--config.init_from={workdir}"
        )


@contextlib.contextmanager
def locked(workdir: epath.Path) -> Iterator[None]:
    """Creates the folder and keeps other runs out of it until the end.

    Raises:
      UserError: it cannot be written, or not all processes see it.
      Stopped: another run uses it.
    """
    with contextlib.ExitStack() as stack:
        _create(workdir)
        if jax.process_index() == 0 and not is_remote(workdir):
            with folder_errors(workdir):
                log_file = stack.enter_context(open(workdir / LOG_FILE, "ab"))
            try:
                fcntl.flock(log_file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # released when the process ends, however it ends
            except BlockingIOError as error:  # on a network also the lock of a lost host, for a minute or two
                raise Stopped(f"another run uses {workdir}; --workdir=DIR chooses another folder") from error
            except OSError:  # a file system without locks
                pass
        yield


def _create(workdir: epath.Path) -> None:
    if jax.process_index() == 0:
        with folder_errors(workdir):
            with bucket_errors(workdir):
                workdir.mkdir(parents=True, exist_ok=True)
                is_missing = not (workdir / LOG_FILE).exists()
            if is_missing:
                write_whole(workdir / LOG_FILE, b"")
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("the run's folder exists")
        if not np.all(multihost_utils.process_allgather(_appears(workdir / LOG_FILE))):
            raise UserError(f"the run's folder, {workdir}, must be visible to all processes, such as a gs:// bucket")


def _appears(path: epath.Path) -> np.ndarray:
    for _ in range(_SHARED_SECONDS):
        if path.exists():
            return np.asarray(True)
        time.sleep(1)
    return np.asarray(False)


def write_description(
    workdir: epath.Path,
    config: Mapping[str, Any],
    networks: Mapping[str, int],
    held_out: Mapping[int, str] | None = None,
) -> None:
    """Writes config.json, networks.json and, where images are held out, validation.json.

    Args:
      workdir: the run's folder.
      config: the run's.
      networks: their sizes.
      held_out: names, by index, of the training images that are held out for validation.

    Raises:
      UserError: a file cannot be written.
    """
    with folder_errors(workdir):
        if held_out is not None:
            write_whole(workdir / HELD_OUT_FILE, (json.dumps(held_out, indent=1) + "\n").encode())
        for name, values in ((CONFIG_FILE, migrations.with_format_version(config)), (NETWORKS_FILE, networks)):
            write_whole(workdir / name, (json.dumps(values, indent=2) + "\n").encode())
