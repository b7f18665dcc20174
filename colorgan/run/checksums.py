"""Checksums of arrays, which show whether a restored checkpoint is the one that was saved.

They are computed on the device, so that no array has to be copied, and with integers only, so that they are the same
on every kind and number of devices.
"""

from typing import Any

import jax
import jax.numpy as jnp


def checksums(tree: Any) -> dict[str, int]:
    """The checksum of every array of `tree`, from 0 to 2**32 - 1, by its path, such as "params/latent/bias"."""
    paths = jax.tree_util.tree_leaves_with_path(tree)
    leaves = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in paths}
    return {name: int(value) for name, value in jax.device_get(_sums(leaves)).items()}


@jax.jit
def _sums(leaves: dict[str, jax.Array]) -> dict[str, jax.Array]:
    return {name: _mixed_sum(leaf) for name, leaf in leaves.items()}


def _mixed_sum(array: jax.Array) -> jax.Array:
    """The sum, modulo 2**32, of the values of an array, each mixed with its position by MurmurHash3's finalizer.

    https://github.com/aappleby/smhasher, fmix32. It is invertible, so a change of any single value changes the sum;
    several changes, also of signs or positions only, cancel with a probability of about 2**-32.
    """
    words = jax.lax.bitcast_convert_type(array, jnp.uint32)  # the state only holds 32-bit values
    position = jax.lax.iota(jnp.uint32, words.size).reshape(words.shape)
    mixed = words + position * jnp.uint32(0x9E3779B9)
    mixed = (mixed ^ (mixed >> 16)) * jnp.uint32(0x85EBCA6B)
    mixed = (mixed ^ (mixed >> 13)) * jnp.uint32(0xC2B2AE35)
    return (mixed ^ (mixed >> 16)).sum(dtype=jnp.uint32)
