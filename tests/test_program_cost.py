"""The cost of a compiled program, and the exchanges in its HLO text."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from colorgan import sharding
from colorgan.profiling import hlo, program_cost

HLO = """
HloModule step
%add (a: f32[], b: f32[]) -> f32[] { ROOT %sum = f32[] add(%a, %b) }
ENTRY %main {
  %all-reduce.1 = (f32[128]{0:T(128)S(1)}, f32[128]{0:T(128)}) all-reduce(%a, %b), replica_groups={}, to_apply=%add, \
metadata={op_name="jit(train_step)/jvp(Generator)/encoder_norms_0/BatchNorm_0/reduce_sum"}
  %all-reduce.2 = (bf16[]{:T(256)}, bf16[4,4,64,128]{3,2,1,0:T(8,128)(2,1)}, /*index=5*/f32[64]{0}) all-reduce(%c, \
%d, /*index=5*/%e), to_apply=%add, metadata={op_name="jit(train_step)/transpose(jvp(Critic))/Dense_1/reduce_sum"}
  %get-tuple-element.9 = bf16[]{:T(256)} get-tuple-element(%all-reduce.2), index=0
  %all-reduce-start.3 = f32[65536,100]{0,1} all-reduce-start(%f), to_apply=%add
  %all-reduce-done.3 = f32[65536,100]{0,1} all-reduce-done(%all-reduce-start.3)
  %collective-permute-start = (f32[8,2]{1,0}, f32[8,2]{1,0}, u32[], u32[]) collective-permute-start(%g), channel_id=1
  %all-gather.1 = bf16[8,2]{1,0} all-gather(%h), dimensions={0}, frontend_attributes={chain_id="7"}
  %all-gather.2 = bf16[8,2]{1,0} all-gather(%h), dimensions={0}, frontend_attributes={chain_id="7"}
  %all-gather.3 = bf16[8,2]{1,0} all-gather(%i), dimensions={0}, frontend_attributes={chain_id="8"}
  ROOT %collective-permute-done = f32[8,2]{1,0} collective-permute-done(%collective-permute-start)
}
"""


def test_combined_and_asynchronous_exchanges_count_once():
    found = program_cost.find_collectives(hlo.Program(HLO))
    kinds = ["all-reduce", "all-reduce", "all-reduce", "collective-permute", "all-gather", "all-gather"]
    assert [c.kind for c in found] == kinds
    assert [c.num_bytes for c in found] == [1024, 2 + 2 * 16 * 64 * 128 + 256, 4 * 6553600, 64, 32, 32]


def test_gradients_and_batch_norm_are_distinguished():
    groups = program_cost.describe_collectives(program_cost.find_collectives(hlo.Program(HLO)))
    assert groups["batch_norm"] == {"number": 1, "bytes": 1024}
    assert groups["gradients"]["number"] == 5


def test_cost_of_a_matrix_product():
    a, b = jax.ShapeDtypeStruct((64, 32), np.float32), jax.ShapeDtypeStruct((32, 16), np.float32)
    cost = program_cost.program_cost(jax.jit(jnp.matmul).lower(a, b).compile(), "cpu")
    assert cost.flop == pytest.approx(2 * 64 * 32 * 16, rel=0.01)
    assert cost.bytes_accessed == pytest.approx(4 * (64 * 32 + 32 * 16 + 64 * 16), rel=0.01)
    assert cost.argument_bytes == 4 * (64 * 32 + 32 * 16)
    assert cost.output_bytes == 4 * 64 * 16
    assert cost.memory_bytes >= cost.argument_bytes + cost.output_bytes
    assert cost.collectives == ()


def test_a_donated_argument_is_counted_once():
    x = jax.ShapeDtypeStruct((1024,), np.float32)
    cost = program_cost.program_cost(jax.jit(lambda x: x + 1, donate_argnums=0).lower(x).compile(), "cpu")
    assert (cost.argument_bytes, cost.output_bytes) == (4096, 0)


def test_a_sum_over_devices_is_found():
    mesh = sharding.create_mesh()
    over_devices = functools.partial(jax.shard_map, mesh=mesh, in_specs=PartitionSpec(sharding.DATA_AXIS))

    @jax.jit
    @functools.partial(over_devices, out_specs=PartitionSpec())
    def total(x):
        return jax.lax.psum(x, sharding.DATA_AXIS)

    x = jax.ShapeDtypeStruct((8, 5), np.float32, sharding=sharding.batch_sharding(mesh))
    (found,) = program_cost.program_cost(total.lower(x).compile(), "cpu").collectives
    assert (found.kind, found.num_bytes, found.is_batch_norm) == ("all-reduce", 20, False)
