"""Everything Orbax: what is saved, what is kept, what comes back, and whether it is what was saved."""

import contextlib
import json
import logging
import re
import threading
import time
import zlib
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers

from colorgan import sharding
from colorgan.errors import Stopped, StoppedTogether, UserError
from colorgan.run.checksums import checksums
from colorgan.run.preemption import means_lost_process
from colorgan.run.storage import bucket_errors, is_remote
from colorgan.training.state import GANState, Variables

log = logging.getLogger(__name__)

_CLOSE_SECONDS = 30
FOLDER, DAMAGED_FOLDER = "checkpoints", "damaged"
# One Orbax item for each, so that colouring reads the average alone, an eighth of the whole.
_NETWORKS = ("generator", "critic", "generator_ema")
_META = "meta"

Restored = TypeVar("Restored")


class DamagedCheckpoint(UserError):
    """A checkpoint is not, or not wholly, what was saved."""


class _Manager(ocp.CheckpointManager):
    """Orbax's, which begins also where the figures of a checkpoint cannot be read; such a one is no best."""

    def metrics(self, step: int) -> dict[str, float] | None:
        try:
            return super().metrics(step)
        except Exception as error:  # of any kind, for a damaged file
            if is_remote(self.directory) and _is_unreachable(error):
                raise
            log.warning("the figures of checkpoint %d cannot be read: it is not taken for the best", step)
            return None


class Checkpoints:
    """The checkpoints of one run: a context manager that ends with everything on disk.

    Saving is asynchronous: it copies the state off the device and returns; the state may be donated at once. A
    checkpoint that cannot be written (a full disk) is told, and the ones before it stay.
    """

    def __init__(self, workdir: epath.Path, best_metric: str, num_to_keep: int | None = None) -> None:
        """Keeps the newest `num_to_keep` and the one with the highest `best_metric`; None only reads.

        Raises:
          UserError: the folder cannot be written.
        """

        def rank(metrics: dict[str, float]) -> float:
            return metrics[best_metric]

        folder = epath.Path(workdir) / FOLDER
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
            with bucket_errors(self._folder), _without_warnings():
                options = ocp.CheckpointManagerOptions(best_fn=rank, create=False, **keep)
                self._manager = _Manager(self._folder, options=options)
        except OSError as error:
            raise UserError(f"cannot look for checkpoints in {self._folder}: {error}") from error
        self._saves = num_to_keep is not None
        self._saving: int | None = None  # the step whose save was begun last
        self._failure = ""  # why the last save did not come to its end

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Waits for a save that is under way; if this process fails alone, the others may not come to end theirs.
        closing = threading.Thread(target=self._close, daemon=True)
        closing.start()
        is_alone = jax.process_count() == 1 or error is None or isinstance(error, StoppedTogether)
        closing.join(None if is_alone else _CLOSE_SECONDS)

    def steps(self, which: str = "latest") -> list[int]:
        """The steps there are, from the newest to the oldest; with "best" the best ahead of them."""
        newest_first = sorted(self._manager.all_steps(), reverse=True)
        best = self._manager.best_step() if which == "best" else None
        return newest_first if best is None else [best, *(step for step in newest_first if step != best)]

    def first_good(self, steps: list[int], restore: Callable[[int], Restored]) -> tuple[int, Restored] | None:
        """The first of `steps` that is not damaged, the same in all processes, and what `restore` makes of it.

        Damaged ones ahead of it are told and, where this run saves, moved to the folder "damaged", out of its way.

        Args:
          steps: of checkpoints.
          restore: reads one by `restore_meta` and its like.

        Returns:
          None if there are no `steps`.

        Raises:
          DamagedCheckpoint: all are damaged.
          UserError: not all processes see the same `steps`.
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
            # What is bad for one process is bad for all.
            if sharding.same_everywhere(bool(problem)) and not problem:
                for number, told in damaged.items():
                    aside = f", and it is moved to {DAMAGED_FOLDER}/" if self._saves else ""
                    log.warning("%s%s; going back to the one of step %d", told, aside, step)
                    self._set_aside(number, told)
                if damaged:
                    multihost_utils.sync_global_devices("damaged checkpoints are set aside")
                    self._manager.reload()
                return step, restored
            damaged[step] = problem or f"checkpoint {self._folder / str(step)} is damaged, as another process sees it"
        if damaged:
            newest = next(iter(damaged.values()))
            others = f", and so are the other {len(damaged) - 1}" if len(damaged) > 1 else ""
            raise DamagedCheckpoint(
                f"{newest}{others}; there is no good one to go back to, and nothing was deleted: "
                "copy a good one there, or start a new run with --workdir=DIR"
            )
        return None

    def save(self, step: int, state: GANState, meta: dict[str, Any], metrics: dict[str, float] | None) -> None:
        """Begins to save `state` under `step`, once the save before has ended.

        Args:
          step: that of the state.
          state: on the devices.
          meta: JSON values; what a run needs to know before it goes on.
          metrics: figures of this state, `best_metric` among them; None if it was not validated, it is no best then.

        Raises:
          UserError: several processes train, and a save has failed.
        """
        self._wait()
        networks = {name: getattr(state, name) for name in _NETWORKS}
        described = {"meta": meta, "metrics": metrics, "checksums": checksums(networks)}
        items = {name: ocp.args.StandardSave(network) for name, network in networks.items()}
        items[_META] = ocp.args.JsonSave(described | {"checksum": _checksum_of_json(described)})
        self._saving, self._failure = step, ""
        with self._telling_failures():
            self._manager.save(step, args=ocp.args.Composite(**items), metrics=metrics)

    def finish(self) -> None:
        """Waits until what was saved is on disk. Raises UserError if the last save failed."""
        self._wait()
        if self._failure:
            raise UserError(f"{self._failure}; once that is mended, the same command goes on from the one before")

    def restore_meta(self, step: int) -> dict[str, Any]:
        """What `save` was given as `meta`. Raises DamagedCheckpoint."""
        return self._described(step)["meta"]

    def restore(self, step: int, abstract: GANState) -> GANState:
        """The state saved under `step`, onto the devices that `abstract` says. Raises DamagedCheckpoint."""
        restored = self._networks(step, {name: getattr(abstract, name) for name in _NETWORKS})
        count = jax.make_array_from_callback((), abstract.step.sharding, lambda _: np.asarray(step, np.int32))
        return GANState(count, *(restored[name] for name in _NETWORKS))

    def restore_generator(self, step: int, abstract: Variables) -> Variables:
        """The generator's moving average of `step` alone. Raises DamagedCheckpoint."""
        return self._networks(step, {"generator_ema": abstract})["generator_ema"]

    def _described(self, step: int) -> dict[str, Any]:
        described = self._read(step, {_META: ocp.args.JsonRestore()})[_META]
        if not isinstance(described, dict) or described.pop("checksum", None) != _checksum_of_json(described):
            raise self._damage(step, "the checksum of its description differs")
        if described["metrics"] != self._manager.metrics(step):
            raise self._damage(step, "its figures differ from those under its checksum")
        return described

    def _networks(self, step: int, abstract: dict[str, Any]) -> dict[str, Any]:
        saved = self._described(step)["checksums"]
        items = {name: ocp.args.StandardRestore(network) for name, network in abstract.items()}
        read = self._read(step, items)
        restored = {name: read[name] for name in abstract}
        for name, number in checksums(restored).items():
            if saved.get(name) != number:
                raise self._damage(step, f"the checksum of {name} differs")
        return restored

    def _read(self, step: int, items: dict[str, Any]) -> Any:
        try:
            with contextlib.closing(_create_reader()) as reader:
                return reader.restore(self._folder / str(step), args=ocp.args.Composite(**items))
        except Exception as error:  # Orbax raises of every kind, bare Exception among them, for damaged files
            if is_remote(self._folder) and _is_unreachable(error):
                raise Stopped(f"cannot read {self._folder / str(step)}: {_reason(error)}; try again later") from error
            raise self._damage(step, f"no checksum can be taken: {_reason(error)}") from error

    def _damage(self, step: int, what: str) -> DamagedCheckpoint:
        return DamagedCheckpoint(f"checkpoint {self._folder / str(step)} is damaged ({what})")

    def _set_aside(self, step: int, told: str) -> None:
        """Moves a damaged checkpoint away: a run that comes by this step again saves it anew."""
        if jax.process_index() == 0 and self._saves:
            folder = self._folder.with_name(DAMAGED_FOLDER)
            folder.mkdir(exist_ok=True)
            if is_remote(folder):  # which is there, to move something into it, only once a file is in it
                (folder / f"{step}.txt").write_text(told + "\n")
            (folder / str(step)).rmtree(missing_ok=True)
            (self._folder / str(step)).rename(folder / str(step))

    def _close(self) -> None:
        with contextlib.suppress(Exception), self._telling_failures():
            self._manager.close()

    def _wait(self) -> None:
        with self._telling_failures():
            self._manager.wait_until_finished()

    @contextlib.contextmanager
    def _telling_failures(self) -> Any:
        try:
            yield
        except Exception as error:  # of TensorStore, Orbax or the file system
            before = self._failure
            self._failure = f"checkpoint {self._folder / str(self._saving)} cannot be written: {_reason(error)}"
            self._remove_scratch()
            if jax.process_count() > 1:  # the others wait for this save: none can go on
                if means_lost_process(error):
                    raise
                raise UserError(self._failure) from error
            with contextlib.suppress(Exception):  # of a folder that cannot be read either, just now
                self._manager.reload()  # it has forgotten those that it would have deleted after this save
            if self._failure != before:
                log.warning("%s; the ones before it stay", self._failure)

    def _remove_scratch(self) -> None:
        """Frees what a failed save took of the disk; a part of it may be at work still."""
        if is_remote(self._folder):
            return  # nothing is full, and no other name is used; the next start of the run clears it
        for _ in range(20):
            scratch = list(self._folder.glob("*.orbax-checkpoint-tmp"))
            if not scratch:
                break
            with contextlib.suppress(OSError):
                for folder in scratch:
                    folder.rmtree()
            time.sleep(0.1)


@contextlib.contextmanager
def _without_warnings() -> Any:
    """Orbax warns that what is opened for reading is not written."""
    orbax = logging.getLogger("absl")
    level = orbax.level
    orbax.setLevel(max(level, logging.ERROR))
    try:
        yield
    finally:
        orbax.setLevel(level)


def _create_reader() -> ocp.Checkpointer:
    """Reads without the barriers of Orbax's manager: what cannot be read may be so for one process alone."""
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


def _is_unreachable(error: BaseException | None) -> bool:
    """Whether a bucket did not answer or refused, which says nothing of what is in it."""
    while error:
        signs = "UNAVAILABLE|DEADLINE_EXCEEDED|PERMISSION_DENIED|UNAUTHENTICATED|RESOURCE_EXHAUSTED|ABORTED|CANCELLED"
        is_clients = type(error).__module__.partition(".")[0] in ("gcsfs", "aiohttp", "google", "requests")
        is_missing = isinstance(error, FileNotFoundError)
        if is_clients or (isinstance(error, OSError) and not is_missing) or re.match(signs, str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _reason(error: BaseException) -> str:
    """What went wrong, without TensorStore's long account of where."""
    error = error.__cause__ or error  # Orbax's own texts tell all but the reason
    line = next(iter(str(error).strip().splitlines()), type(error).__name__).partition(" [")[0]
    return line if len(line) < 200 else "..." + line[-200:]
