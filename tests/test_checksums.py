"""Any change of an array changes its checksum."""

import jax
import numpy as np
import pytest

from colorgan.run.checksums import checksums

RNG = np.random.default_rng(0)
ARRAYS = {"normal": RNG.normal(size=(64, 64)).astype("f4"), "constant": np.ones(300, "f4"), "zeros": np.zeros(5, "f4")}


def _flip(array, place, bit):
    words = array.copy().reshape(-1)
    words.view(np.uint32)[place] ^= np.uint32(1 << bit)
    return words.reshape(array.shape)


def _swap(array, one, other):
    values = array.copy().reshape(-1)
    values[[one, other]] = values[[other, one]]
    return values.reshape(array.shape)


NORMAL, CONSTANT = ARRAYS["normal"], ARRAYS["constant"]
CHANGES = {
    **{f"bit {bit}": (NORMAL, _flip(NORMAL, 77 * bit, bit)) for bit in range(32)},
    "two signs": (NORMAL, _flip(_flip(NORMAL, 3, 31), 900, 31)),
    "all signs": (NORMAL, -NORMAL),
    "all signs of a constant": (CONSTANT, -CONSTANT),
    "places": (NORMAL, _swap(NORMAL, 0, 4095)),
    "places 256 apart": (np.r_[CONSTANT[:256], 0.0].astype("f4"), np.r_[0.0, CONSTANT[:256]].astype("f4")),
    "sign of zero": (ARRAYS["zeros"], -ARRAYS["zeros"]),
    "a part set to zero": (NORMAL, np.where(np.arange(64) < 8, np.float32(0), NORMAL)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_changes_the_checksum(change):
    before, after = (checksums({"a": jax.numpy.asarray(array)})["a"] for array in CHANGES[change])
    assert before != after


def test_it_is_the_same_on_any_devices():
    tree = {"params": {"kernel": NORMAL}, "count": np.int32(7)}
    one = checksums(jax.device_put(tree, jax.devices()[0]))
    mesh = jax.sharding.Mesh(np.asarray(jax.devices()), ("data",))
    many = checksums(jax.device_put(tree, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())))
    assert one == many
    assert one.keys() == {"params/kernel", "count"}
