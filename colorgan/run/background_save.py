"""Saves that do not wait for the transfer of arrays to the host, with Orbax."""

from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint.future import CommitFutureAwaitingContractedSignals, Future


class BackgroundHandler(ocp.StandardCheckpointHandler):
    """Copies arrays to the host in the background, and deletes them once they are there.

    Save a copy of the state (`copy_on_devices`).

    Orbax's own handler (0.12.8) waits for the transfers (`transfer_arrays_to_host` in
    orbax/checkpoint/_src/serialization/replica_slices.py), since the next step may donate what it saves. This one
    leaves them to a thread of Orbax. What runs there is local to each device; the barriers between processes are where
    they were.
    """

    @classmethod
    def typestr(cls) -> str:
        """The name of Orbax's own handler: it is written into the checkpoint, whose format is the same."""
        return str(ocp.StandardCheckpointHandler.typestr())

    async def async_save(self, directory: epath.Path, args: ocp.args.StandardSave) -> list[Future]:
        """Returns at once; the futures end when everything is written."""
        return [CommitFutureAwaitingContractedSignals(self._save(directory, args), name="save_arrays")]

    async def _save(self, directory: epath.Path, args: ocp.args.StandardSave) -> None:
        writes = await super().async_save(directory, args=args)
        for array in jax.tree.leaves(args.item):
            array.delete()
        for write in writes:
            write.result()


def copy_on_devices(tree: Any) -> Any:
    """A copy of arrays on their devices, which the next step cannot donate; placed in the same way."""
    # `_copied` is not a lambda: jax.jit finds the compiled program by its function.
    return jax.jit(_copied, out_shardings=jax.tree.map(lambda x: x.sharding, tree))(tree)


def _copied(tree: Any) -> Any:
    return jax.tree.map(jnp.copy, tree)
