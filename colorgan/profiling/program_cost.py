"""What a compiled program costs one device: operations, memory traffic, memory, and what it says to other devices."""

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
      kind: as HLO calls it, "all-reduce" for one.
      num_bytes: of its result on one device.
      op_name: the place in the program that it comes from; of combined ones, that of the first.
      largest_rank: dimensions of that of its arrays which has the most.
    """

    kind: str
    num_bytes: int
    op_name: str
    largest_rank: int

    @property
    def is_batch_norm(self) -> bool:
        """Whether it sums BatchNorm's statistics, or their gradients, over the global batch.

        Such a one carries vectors alone and comes from a module of that name. All others are taken to carry
        gradients of parameters: also the few scalars of losses, which XLA combines with those.
        """
        return "BatchNorm" in self.op_name and self.largest_rank <= 1


@dataclasses.dataclass(frozen=True)
class ProgramCost:
    """Of one run of a program on one device.

    Attributes:
      flop: floating point operations, a multiplication and an addition being two.
      bytes_accessed: XLA's count of what all operations read and write, before any cache. On TPU an array that is
        copied to the core's own memory before its use is counted there again, for the copy and for the use.
      argument_bytes, output_bytes, temporary_bytes: memory; an output that takes the place of a donated argument is
        counted with the arguments.
      collectives: in the order of the program.
    """

    flop: float
    bytes_accessed: float
    argument_bytes: int
    output_bytes: int
    temporary_bytes: int
    collectives: tuple[Collective, ...]

    @property
    def memory_bytes(self) -> int:
        """The memory that it needs, the program's own code apart."""
        return self.argument_bytes + self.output_bytes + self.temporary_bytes


def program_cost(compiled: jax.stages.Compiled) -> ProgramCost:
    """What XLA's compiler says of `compiled`."""
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
    """The exchanges in the text of an HLO module; of an asynchronous one the start counts and the end does not."""
    found = []
    for match in _INSTRUCTION.finditer(hlo):
        shape, kind, is_start = match.groups()
        arrays = [_array(dtype, dimensions) for dtype, dimensions in _ARRAY.findall(shape)]
        if is_start and kind != "all-reduce":
            arrays = [array for array in arrays if array[1] > 0]  # without counters
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
    """Number and bytes, those that carry gradients and those of BatchNorm apart."""
    groups = {
        "gradients": [c for c in collectives if not c.is_batch_norm],
        "batch_norm": [c for c in collectives if c.is_batch_norm],
    }
    return {
        name: {"number": len(group), "bytes": sum(collective.num_bytes for collective in group)}
        for name, group in groups.items()
    }


def _array(dtype: str, dimensions: str) -> tuple[int, int]:
    """Bytes and rank of an array as HLO writes it: "bf16" and "128,3"."""
    sizes = [int(size) for size in dimensions.split(",") if size]
    bits = 8 if dtype == "pred" else int(re.findall(r"\d+", dtype)[0])
    elements = 1
    for size in sizes:
        elements *= size
    return elements * bits // 8, len(sizes)
