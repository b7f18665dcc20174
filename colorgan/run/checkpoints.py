"""Checkpoints with Orbax: which are kept, and whether what is restored is what was saved.

The arrays are the networks of `training.state.GANState`; the metadata is that of `training.loop.Trainer`.
"""

import contextlib
import json
import logging
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import jax
import orbax.checkpoint as ocp
from etils import epath
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers
from orbax.checkpoint.checkpoint_manager import METRIC_ITEM_NAME as METRICS_ITEM

from colorgan import library_patches, sharding
from colorgan.errors import Stopped, StoppedTogether, UserError
from colorgan.run import migrations
from colorgan.run.access_errors import (
    DAMAGE_ERRNOS,
    access_error,
    check_access,
    is_out_of_memory,
    is_unreachable,
    short_reason,
)
from colorgan.run.background_save import BackgroundHandler, copy_on_devices
from colorgan.run.checksums import checksums
from colorgan.run.preemption import means_lost_process
from colorgan.run.storage import bucket_errors, is_remote
from colorgan.run.workdir import CHECKPOINTS_FOLDER, DAMAGED_FOLDER

log = logging.getLogger(__name__)

_CLOSE_SECONDS = 30
_META = "meta"
METRICS_VERSION = "metrics_version"  # the key of `evaluation.metrics.VERSION` in a checkpoint's metrics

Restored = TypeVar("Restored")


class DamagedCheckpoint(UserError):
    """A checkpoint is not, or not completely, what was saved."""


class _Manager(ocp.CheckpointManager):
    """Orbax's manager, which also starts where the metrics of a checkpoint are damaged; it never ranks as best.

    Where they may not be read it raises OSError: the best checkpoint would be deleted as one without metrics.
    Orbax 0.12.8 raises in its constructor (`_get_metrics` handles only FileNotFoundError).
    """

    def metrics(self, step: int) -> dict[str, float] | None:
        try:
            metrics = super().metrics(step)
        except Exception as error:  # of any type, for a damaged file
            if is_remote(self.directory) and is_unreachable(error):
                raise
            check_access(self.directory / str(step) / METRICS_ITEM, error)
            log.warning("the metrics of checkpoint %d cannot be read: it is never chosen as best", step)
            return None
        if metrics is None:  # missing, or in a folder that cannot be searched
            check_access(self.directory / str(step) / METRICS_ITEM)
        return metrics


class Checkpoints:
    """The checkpoints of one run; a context manager that ends when everything is on disk.

    Saving is asynchronous: it copies the state on the devices and returns; the state may be donated at once. The copy
    is in the memory of the devices until it has been transferred to the host, while training continues. A checkpoint
    that cannot be written (a full disk) is logged, and the ones before it are kept.
    """

    def __init__(self, workdir: epath.Path, best_metric: str, num_to_keep: int | None = None) -> None:
        """Keeps the newest `num_to_keep` and the one with the highest `best_metric`; None only reads.

        Raises:
          UserError: the folder cannot be read or, to keep checkpoints, be written.
          Stopped: the disk or the bucket does not answer.
        """

        def rank(metrics: dict[str, float]) -> tuple[float, float]:
            # Values of different versions are not comparable; a checkpoint may also have another metric only.
            return metrics.get(METRICS_VERSION, 1), metrics.get(best_metric, float("-inf"))

        folder = epath.Path(workdir) / CHECKPOINTS_FOLDER
        self._folder = folder if is_remote(folder) else folder.absolute()
        if num_to_keep is None:
            keep = {"read_only": True}
        else:
            latest = checkpoint_managers.LatestN(num_to_keep)
            best = checkpoint_managers.BestN(get_metric_fn=rank, n=1, keep_checkpoints_without_metrics=False)
            policy = checkpoint_managers.AnyPreservationPolicy([latest, best])
            keep = {"preservation_policy": policy, "cleanup_tmp_directories": True}
            try:
                with bucket_errors(self._folder):
                    self._folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UserError(f"cannot keep checkpoints in {self._folder}: {error}") from error
        # Without best_fn Orbax stores no metrics for the policy to read.
        try:
            with bucket_errors(self._folder), library_patches.orbax_without_warnings():
                options = ocp.CheckpointManagerOptions(best_fn=rank, create=False, **keep)
                handlers = ocp.handlers.DefaultCheckpointHandlerRegistry()
                handlers.add(None, ocp.args.StandardSave, BackgroundHandler())
                self._manager = _Manager(self._folder, options=options, handler_registry=handlers)
        except OSError as error:
            if is_remote(self._folder) or error.errno in DAMAGE_ERRNOS:
                raise UserError(f"cannot look for checkpoints in {self._folder}: {error}") from error
            raise access_error(self._folder, error) from error
        self._saves = num_to_keep is not None
        self._saving: int | None = None  # the step of the last save that was started
        self._failure = ""  # why the last save failed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Waits for a save in progress. If only this process fails, the others may never finish their part of it.
        closing = threading.Thread(target=self._close, daemon=True)
        closing.start()
        waits = jax.process_count() == 1 or error is None or isinstance(error, StoppedTogether)
        closing.join(None if waits else _CLOSE_SECONDS)

    def steps(self, which: str = "latest") -> list[int]:
        """The steps of all checkpoints, newest first; with "best" the best one comes before them."""
        newest_first = sorted(self._manager.all_steps(), reverse=True)
        best = self._manager.best_step() if which == "best" else None
        return newest_first if best is None else [best, *(step for step in newest_first if step != best)]

    def first_good(self, steps: list[int], restore: Callable[[int], Restored]) -> tuple[int, Restored] | None:
        """The first of `steps` that is not damaged, the same in all processes, and what `restore` returns for it.

        Damaged ones before it are logged and, in a run that saves, moved to the folder "damaged".

        Args:
          steps: of checkpoints.
          restore: reads one with `restore_meta` and `restore`.

        Returns:
          None if there are no `steps`.

        Raises:
          DamagedCheckpoint: all are damaged.
          UserError: the processes do not see the same `steps`.
        """
        if not sharding.same_everywhere(zlib.crc32(str(steps).encode())):
            raise UserError(f"not all processes see the same checkpoints in {self._folder}")
        damaged: dict[int, str] = {}
        for step in steps:
            try:
                restored = restore(step)
                problem = ""
            except DamagedCheckpoint as error:
                problem = str(error)
            # A checkpoint that is damaged for one process is skipped by all.
            if sharding.same_everywhere(bool(problem)) and not problem:
                for number, message in damaged.items():
                    moved = f"; it is moved to {DAMAGED_FOLDER}/" if self._saves else ""
                    log.warning("%s%s; using the checkpoint of step %d", message, moved, step)
                    self._set_aside(number, message)
                if damaged:
                    multihost_utils.sync_global_devices("damaged checkpoints are set aside")
                    self._manager.reload()
                return step, restored
            damaged[step] = problem or f"checkpoint {self._folder / str(step)} is damaged, as seen by another process"
        if damaged:
            newest = next(iter(damaged.values()))
            others = f", and so are the other {len(damaged) - 1}" if len(damaged) > 1 else ""
            raise DamagedCheckpoint(
                f"{newest}{others}; no good checkpoint is left, and nothing was deleted: "
                "copy a good one there, or start a new run with --workdir=DIR"
            )
        return None

    def save(
        self, step: int, networks: Mapping[str, Any], meta: Mapping[str, Any], metrics: dict[str, float] | None
    ) -> None:
        """Starts to save `networks` under `step`, after the previous save has ended.

        Args:
          step: of the state.
          networks: pytrees of arrays on the devices, by name. Each is an item of its own, and can be restored alone.
          meta: JSON values, "config" among them: the numbered config of the run.
          metrics: of this state, including `best_metric` and `METRICS_VERSION`; None if it was not validated, and is
            never chosen as best.

        Raises:
          UserError: several processes train, and a save has failed.
        """
        self._wait()
        description = {"meta": dict(meta), "metrics": metrics, "checksums": checksums(dict(networks))}
        self._saving, self._failure = step, ""
        with self._reporting_failures():
            items = {name: ocp.args.StandardSave(network) for name, network in copy_on_devices(dict(networks)).items()}
            items[_META] = ocp.args.JsonSave(description | {"checksum": _checksum_of_json(description)})
            self._manager.save(step, args=ocp.args.Composite(**items), metrics=metrics)

    def finish(self) -> None:
        """Waits until everything is on disk. Raises UserError if the last save failed."""
        self._wait()
        if self._failure:
            raise UserError(
                f"{self._failure}; once that is fixed, the same command resumes from the previous checkpoint"
            )

    def restore_meta(self, step: int) -> dict[str, Any]:
        """The `meta` of `save`. Raises DamagedCheckpoint."""
        return self._description(step)["meta"]

    def restore(self, step: int, abstract: Mapping[str, Any]) -> dict[str, Any]:
        """Some of the networks saved under `step`, by name.

        Args:
          step: of the checkpoint.
          abstract: the shapes, types and shardings to restore to, with today's names of modules.

        Raises:
          DamagedCheckpoint: it is not what was saved.
          UserError: a newer version of colorgan wrote it, it may not be read, or the devices have too little memory.
          Stopped: the disk or the bucket does not answer.
        """
        description = self._description(step)
        version = migrations.config_version(description["meta"].get("config", migrations.with_format_version({})))
        targets = {name: migrations.to_saved(network, version) for name, network in abstract.items()}
        read = self._read(step, {name: ocp.args.StandardRestore(target) for name, target in targets.items()})
        restored = {name: read[name] for name in targets}
        with self._reporting_access(step):
            numbers = checksums(restored)
        for name, number in numbers.items():
            if description["checksums"].get(name) != number:
                raise self._damage(step, f"the checksum of {name} differs")
        return {name: migrations.to_current(network, abstract[name], version) for name, network in restored.items()}

    def _description(self, step: int) -> dict[str, Any]:
        description = self._read(step, {_META: ocp.args.JsonRestore()})[_META]
        if not isinstance(description, dict) or description.pop("checksum", None) != _checksum_of_json(description):
            raise self._damage(step, "the checksum of its description differs")
        with self._reporting_access(step):
            metrics = self._manager.metrics(step)
        if description["metrics"] != metrics:
            raise self._damage(step, "its metrics differ from those under its checksum")
        return description

    def _read(self, step: int, items: dict[str, Any]) -> Any:
        try:
            with self._reporting_access(step), contextlib.closing(_create_reader()) as reader:
                return reader.restore(self._folder / str(step), args=ocp.args.Composite(**items))
        except (Stopped, UserError):
            raise
        except Exception as error:  # Orbax raises many types, bare Exception too, for damaged files
            raise self._damage(step, f"it cannot be read: {short_reason(error)}") from error

    @contextlib.contextmanager
    def _reporting_access(self, step: int) -> Iterator[None]:
        """Raises UserError or Stopped for errors that say nothing about the content of a checkpoint."""
        path = self._folder / str(step)
        try:
            yield
        except Exception as error:
            if is_remote(path):
                if is_unreachable(error):
                    raise Stopped(f"cannot read {path}: {short_reason(error)}; try again later") from error
                raise
            if is_out_of_memory(error):
                raise UserError(
                    f"there is too little memory to restore checkpoint {path} ({short_reason(error)}): end other "
                    "programs that use the device, or use a larger one"
                ) from error
            try:
                check_access(path, error)
            except OSError as failed:
                raise access_error(path, failed) from error
            raise

    def _damage(self, step: int, what: str) -> DamagedCheckpoint:
        return DamagedCheckpoint(f"checkpoint {self._folder / str(step)} is damaged ({what})")

    def _set_aside(self, step: int, message: str) -> None:
        """Moves a damaged checkpoint away, so that the run can save this step again."""
        if jax.process_index() == 0 and self._saves:
            folder = self._folder.with_name(DAMAGED_FOLDER)
            folder.mkdir(exist_ok=True)
            if is_remote(folder):  # a folder in a bucket exists only once a file is in it
                (folder / f"{step}.txt").write_text(message + "\n")
            (folder / str(step)).rmtree(missing_ok=True)
            (self._folder / str(step)).rename(folder / str(step))

    def _close(self) -> None:
        with contextlib.suppress(Exception), self._reporting_failures():
            self._manager.close()

    def _wait(self) -> None:
        with self._reporting_failures():
            self._manager.wait_until_finished()

    @contextlib.contextmanager
    def _reporting_failures(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of TensorStore, Orbax or the file system
            before = self._failure
            self._failure = f"checkpoint {self._folder / str(self._saving)} cannot be written: {short_reason(error)}"
            self._remove_scratch()
            if jax.process_count() > 1:  # the others wait for this save: none can continue
                if means_lost_process(error):
                    raise
                raise UserError(self._failure) from error
            with contextlib.suppress(Exception):  # the folder cannot be read either
                self._manager.reload()  # it has dropped those that it would have deleted after this save
            if self._failure != before:
                log.warning("%s; the ones before it are kept", self._failure)

    def _remove_scratch(self) -> None:
        """Frees the disk space of a failed save; parts of it may still be running."""
        if is_remote(self._folder):
            return  # no disk is full; the next start of the run clears it
        for _ in range(20):
            scratch = list(self._folder.glob("*.orbax-checkpoint-tmp"))
            if not scratch:
                break
            with contextlib.suppress(OSError):
                for folder in scratch:
                    folder.rmtree()
            time.sleep(0.1)


def _create_reader() -> ocp.Checkpointer:
    """Reads without the barriers of Orbax's manager, since a checkpoint may be unreadable for one process only."""
    alone = ocp.options.MultiprocessingOptions(
        primary_host=None,
        active_processes={jax.process_index()},
        barrier_sync_key_prefix=f"process {jax.process_index()}",
    )
    items = ocp.CompositeOptions(multiprocessing_options=alone)
    handler = ocp.CompositeCheckpointHandler(composite_options=items)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


def _checksum_of_json(values: Any) -> int:
    return zlib.crc32(json.dumps(values, sort_keys=True).encode())
