"""Cost of a compiled program on one device: operations, memory traffic, memory, and exchanges with other devices."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import jax

_KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "collective-broadcast")
# `%name = shape kind(operands), ..., metadata={op_name="..."}`; the shape of several arrays is (shape, shape, ...).
_INSTRUCTION = re.compile(rf"^\s*(?:ROOT )?%?\S+ = (.*?) ({'|'.join(_KINDS)})(-start)?\(.*$", re.MULTILINE)
_ARRAY = re.compile(r"\b(pred|bf16|[sufc]\d+\w*)\[([\d,]*)\]")
_OP_NAME = re.compile(r'op_name="([^"]*)"')


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

        If so, it consists of vectors only and comes from a module of that name. All others count as gradients of
        parameters. This includes the few scalars of losses, which XLA combines with gradients.
        """
        return "BatchNorm" in self.op_name and self.largest_rank <= 1


@dataclasses.dataclass(frozen=True)
class ProgramCost:
    """Cost of one run of a program on one device.

    Attributes:
      flop: floating point operations; a multiplication and an addition are two.
      bytes_accessed: XLA's count of the bytes that all operations read and write, without caches. On TPU an array that
        is copied to the core's own memory before its use is counted again, for the copy and for the use.
      argument_bytes: memory of the arguments.
      output_bytes: memory of the outputs, without those that take the memory of a donated argument.
      temporary_bytes: memory of everything between.
      collectives: the exchanges, in the order of the program.
    """

    flop: float
    bytes_accessed: float
    argument_bytes: int
    output_bytes: int
    temporary_bytes: int
    collectives: tuple[Collective, ...]

    @property
    def memory_bytes(self) -> int:
        """The memory that the program needs, without its code."""
        return self.argument_bytes + self.output_bytes + self.temporary_bytes


def program_cost(compiled: jax.stages.Compiled) -> ProgramCost:
    """Returns the cost of `compiled` by XLA's analysis."""
    costs: Any = compiled.cost_analysis()
    memory: Any = compiled.memory_analysis()
    return ProgramCost(
        flop=costs["flops"],
        bytes_accessed=costs["bytes accessed"],
        argument_bytes=memory.argument_size_in_bytes,
        output_bytes=memory.output_size_in_bytes - memory.alias_size_in_bytes,
        temporary_bytes=memory.temp_size_in_bytes,
        collectives=find_collectives(compiled.as_text() or ""),
    )


def find_collectives(hlo: str) -> tuple[Collective, ...]:
    """Returns the exchanges in the text of an HLO module. An asynchronous one has a start, which counts, and an end."""
    found = []
    for match in _INSTRUCTION.finditer(hlo):
        shape, kind, is_start = match.groups()
        arrays = [_array(dtype, dimensions) for dtype, dimensions in _ARRAY.findall(shape)]
        if is_start and kind != "all-reduce":
            arrays = [array for array in arrays if array[1] > 0]  # not the counters
            arrays = arrays[len(arrays) // 2 :]  # operands come first, then results
        op_name = _OP_NAME.search(match.group())
        found.append(
            Collective(
                kind=kind,
                num_bytes=sum(num_bytes for num_bytes, _ in arrays),
                op_name=op_name[1] if op_name else "",
                largest_rank=max((rank for _, rank in arrays), default=0),
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


def _array(dtype: str, dimensions: str) -> tuple[int, int]:
    """Returns bytes and rank of an array from its HLO text, such as "bf16" and "128,3"."""
    sizes = [int(size) for size in dimensions.split(",") if size]
    bits = 8 if dtype == "pred" else int(re.findall(r"\d+", dtype)[0])
    elements = 1
    for size in sizes:
        elements *= size
    return elements * bits // 8, len(sizes)
