"""Everything Orbax: what is saved, what is kept, what comes back."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from colorgan.errors import UserError
from colorgan.train_state import GANState, Variables

FOLDER = "checkpoints"
# One Orbax item for each, so that colouring reads the average alone, an eighth of the whole.
_NETWORKS = ("generator", "critic", "generator_ema")
_META = "meta"


class Checkpoints:
    """The checkpoints of one run: a context manager that ends with everything on disk.

    Saving is asynchronous: it copies the state off the device and returns; the state may be donated at once.
    """

    def __init__(self, workdir: Path, best_metric: str, num_to_keep: int | None = None) -> None:
        """Keeps the newest `num_to_keep` and the one with the highest `best_metric`; None only reads.

        Raises:
          UserError: the folder cannot be written.
        """

        def rank(metrics: dict[str, float]) -> float:
            return metrics[best_metric]

        folder = (workdir / FOLDER).absolute()
        if num_to_keep is None:
            keep = {"read_only": True}
        else:
            latest = checkpoint_managers.LatestN(num_to_keep)
            best = checkpoint_managers.BestN(get_metric_fn=rank, n=1, keep_checkpoints_without_metrics=False)
            policy = checkpoint_managers.AnyPreservationPolicy([latest, best])
            keep = {"preservation_policy": policy, "cleanup_tmp_directories": True}
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UserError(f"cannot keep checkpoints in {folder}: {error}") from error
        # Without best_fn Orbax stores no metrics for the policy to read.
        options = ocp.CheckpointManagerOptions(best_fn=rank, create=False, **keep)
        self._manager = ocp.CheckpointManager(folder, options=options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._manager.close()  # waits for a save that is under way

    def choose_step(self, which: str) -> int | None:
        """The step of the "latest" or the "best" checkpoint; None if there is none yet."""
        return self._manager.latest_step() if which == "latest" else self._manager.best_step()

    def save(self, step: int, state: GANState, meta: dict[str, Any], metrics: dict[str, float] | None) -> None:
        """Begins to save `state` under `step`.

        Args:
          step: that of the state.
          state: on the devices.
          meta: JSON values; what a run needs to know before it goes on.
          metrics: figures of this state, `best_metric` among them; None if it was not validated, it is no best then.
        """
        items = {name: ocp.args.StandardSave(getattr(state, name)) for name in _NETWORKS}
        items[_META] = ocp.args.JsonSave(meta)
        self._manager.save(step, args=ocp.args.Composite(**items), metrics=metrics)

    def restore_meta(self, step: int) -> dict[str, Any]:
        """What `save` was given as `meta`."""
        return self._restore(step, {_META: ocp.args.JsonRestore()})[_META]

    def restore(self, step: int, abstract: GANState) -> GANState:
        """The state saved under `step`, onto the devices that `abstract` says."""
        items = {name: ocp.args.StandardRestore(getattr(abstract, name)) for name in _NETWORKS}
        restored = self._restore(step, items)
        count = jax.device_put(jnp.asarray(step, jnp.int32), abstract.step.sharding)
        return GANState(count, *(restored[name] for name in _NETWORKS))

    def restore_generator(self, step: int, abstract: Variables) -> Variables:
        """The generator's moving average of `step` alone."""
        return self._restore(step, {"generator_ema": ocp.args.StandardRestore(abstract)})["generator_ema"]

    def _restore(self, step: int, items: dict[str, Any]) -> Any:
        try:
            return self._manager.restore(step, args=ocp.args.Composite(**items))
        except Exception as error:  # Orbax raises of every kind, bare Exception among them, for damaged files
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise UserError(
                f"checkpoint {self._manager.directory / str(step)} cannot be read ({reason}); without its folder the "
                "run goes on from the one before"
            ) from error
