"""Cost of a compiled program on one device: operations, memory traffic, memory, and exchanges with other devices."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import jax

from colorgan.profiling import hlo
from colorgan.profiling.operations import Operation, operations

_KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "collective-broadcast")
_CHAIN = re.compile(r'chain_id="(\d+)"')
_MAX_BATCH_NORM_BYTES = 2**16  # XLA:GPU concatenates what it sums; gradients of kernels are larger


@dataclasses.dataclass(frozen=True)
class Collective:
    """One exchange between devices; several arrays combined into one exchange count once.

    Attributes:
      kind: its name in HLO, such as "all-reduce".
      num_bytes: size of its result on one device.
      op_name: the place in the program that it comes from; if several are combined, that of the first.
      largest_rank: the largest number of dimensions of its arrays.
    """

    kind: str
    num_bytes: int
    op_name: str
    largest_rank: int

    @property
    def is_batch_norm(self) -> bool:
        """Whether it sums BatchNorm's statistics, or their gradients, over the global batch.

        If so, it consists of short vectors and comes from a module of that name. All others count as gradients of
        parameters. This includes the few scalars of losses, which XLA combines with gradients.
        """
        is_short = self.largest_rank <= 1 and self.num_bytes <= _MAX_BATCH_NORM_BYTES
        return "BatchNorm" in self.op_name and is_short


@dataclasses.dataclass(frozen=True)
class ProgramCost:
    """Cost of one run of a program on one device.

    Attributes:
      flop: floating point operations; a multiplication and an addition are two.
      bytes_accessed: bytes that all operations read and write, without caches. On CPU and TPU it is XLA's count: on TPU
        an array that is copied to the core's own memory before its use is counted again, for the copy and for the use.
      argument_bytes: memory of the arguments.
      output_bytes: memory of the outputs, without those that take the memory of a donated argument.
      temporary_bytes: memory of everything between.
      collectives: the exchanges, in the order of the program.
      operations: what is launched, in the order of the program; of programs for CPUs none are listed.
    """

    flop: float
    bytes_accessed: float
    argument_bytes: int
    output_bytes: int
    temporary_bytes: int
    collectives: tuple[Collective, ...]
    operations: tuple[Operation, ...] = ()

    @property
    def memory_bytes(self) -> int:
        """The memory that the program needs, without its code."""
        return self.argument_bytes + self.output_bytes + self.temporary_bytes


def program_cost(compiled: jax.stages.Compiled, platform: str) -> ProgramCost:
    """Returns the cost of a program for "cpu", "gpu" or "tpu".

    By XLA's analysis, but on GPU by the sum over the operations: there XLA counts those of cuDNN and cuBLAS as nothing.
    """
    program = hlo.Program(compiled.as_text() or "")
    launched = () if platform == "cpu" else tuple(operations(program))
    costs: Any = {"flops": sum(operation.flop for operation in launched)}
    costs["bytes accessed"] = sum(operation.num_bytes for operation in launched)
    if platform != "gpu":
        costs = compiled.cost_analysis()
    memory: Any = compiled.memory_analysis()
    return ProgramCost(
        flop=costs["flops"],
        bytes_accessed=costs["bytes accessed"],
        argument_bytes=memory.argument_size_in_bytes,
        output_bytes=memory.output_size_in_bytes - memory.alias_size_in_bytes,
        temporary_bytes=memory.temp_size_in_bytes,
        collectives=find_collectives(program),
        operations=launched,
    )


def find_collectives(program: hlo.Program) -> tuple[Collective, ...]:
    """Returns the exchanges of an optimized program, in the order of its text.

    An asynchronous one has a start, which counts, and an end. Those that XLA:TPU computes piece by piece, fused into
    other operations, are repeated there with the same "chain_id" and count once.
    """
    found = []
    chains = set()
    for computation in program.computations.values():
        for instruction in computation.values():
            kind = instruction.opcode.removesuffix("-start")
            if kind not in _KINDS:
                continue
            if chain := _CHAIN.search(instruction.text):
                if chain[1] in chains:
                    continue
                chains.add(chain[1])
            shapes = instruction.shapes
            if kind != instruction.opcode and kind != "all-reduce":
                shapes = tuple(shape for shape in shapes if shape.dimensions)  # not the counters
                shapes = shapes[len(shapes) // 2 :]  # operands come first, then results
            found.append(
                Collective(
                    kind=kind,
                    num_bytes=sum(shape.size_bytes for shape in shapes),
                    op_name=hlo.origin(instruction, computation),
                    largest_rank=max((len(shape.dimensions) for shape in shapes), default=0),
                )
            )
    return tuple(found)


def describe_collectives(collectives: Sequence[Collective]) -> dict[str, dict[str, int]]:
    """Returns {"gradients": ..., "batch_norm": ...}, each with the "number" of exchanges and their "bytes"."""
    groups = {
        "gradients": [c for c in collectives if not c.is_batch_norm],
        "batch_norm": [c for c in collectives if c.is_batch_norm],
    }
    return {
        name: {"number": len(group), "bytes": sum(collective.num_bytes for collective in group)}
        for name, group in groups.items()
    }
