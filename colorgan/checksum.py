"""A number for each array, by which a checkpoint that came back is known to be the one that was saved.

Computed where the arrays lie, so that nothing has to leave the device for it; whole numbers only, so that it is the
same on every kind and number of devices.
"""

from typing import Any

import jax
import jax.numpy as jnp


def checksums(tree: Any) -> dict[str, int]:
    """The checksum of every array of `tree`, from 0 to 2**32 - 1, by its path, such as "params/latent/bias"."""
    leaves = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in _leaves(tree)}
    return {name: int(value) for name, value in jax.device_get(_sums(leaves)).items()}


def _leaves(tree: Any) -> list[tuple[Any, jax.Array]]:
    return jax.tree_util.tree_leaves_with_path(tree)


@jax.jit
def _sums(leaves: dict[str, jax.Array]) -> dict[str, jax.Array]:
    return {name: _weighted_sum(leaf) for name, leaf in leaves.items()}


def _weighted_sum(array: jax.Array) -> jax.Array:
    """The sum, modulo 2**32, of an array's bits times 1, 3, 5, ...

    Odd weights are invertible modulo 2**32, so a change of any one value changes the sum; different ones tell
    values that changed places, and several changes cancel once in about 2**32 times.
    """
    words = jax.lax.bitcast_convert_type(array, jnp.uint32)  # the state holds 32-bit values alone
    weights = 2 * jax.lax.iota(jnp.uint32, words.size).reshape(words.shape) + 1
    return (words * weights).sum(dtype=jnp.uint32)
