"""The operations of an optimized XLA program and the cost of each by its shapes.

XLA's own analysis counts calls of cuDNN and cuBLAS as nothing (https://github.com/jax-ml/jax/issues/22249), and gives
totals only. Here an operation is what a GPU launches, or a TPU runs, as one: a fusion, a convolution, a copy. It costs
the bytes that it reads from main memory and writes to it, without caches, and floating point operations, of which a
multiplication and an addition are two. Arrays in a TPU core's own memory cost nothing.
"""

import collections
import dataclasses
import math
import re
from collections.abc import Iterator

import numpy as np

from colorgan.profiling.hlo import Computation, Instruction, Program, origin

_SLICES = frozenset(("slice", "dynamic-slice", "gather"))
# They launch nothing.
_FREE = frozenset(
    ("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id", "replica-id")
    + ("opt-barrier", "async-update", "async-done", "copy-done", "slice-done", "all-reduce-done", "all-gather-done")
    + ("collective-permute-done",)
)
# They are what the computations that they name launch.
_CALLS = frozenset(("while", "call", "async-start"))
# Without arithmetic; all others, but for those with a rule of their own, have one operation per element of the result.
_MOVES = _SLICES | frozenset(
    ("broadcast", "reshape", "transpose", "dynamic-update-slice", "pad", "concatenate", "copy", "iota", "reverse")
    + ("convert", "rng-bit-generator", "custom-call", "fusion", "call", "while", "sort", "conditional")
    + ("copy-start", "slice-start", "all-gather", "all-gather-start", "collective-permute-start")
)
_CALLED = ("body", "to_apply", "calls")  # the attributes that name computations
_TRIP_COUNT = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_DOT_DIMENSIONS = re.compile(r'(?:lhs_contracting_dims=\{([\d,]*)\}|"lhs_contracting_dimensions":\[([^\]]*)\])')
_WINDOW = re.compile(r"\b(stride|pad|lhs_dilate|rhs_dilate)=([\dx_\-]+)")
_PARAMETER = re.compile(r" parameter\((\d+)\)")


@dataclasses.dataclass(frozen=True)
class Operation:
    """One launch, and its cost.

    Attributes:
      name: of its instruction.
      kind: its opcode, or the target of a custom call, such as "__cudnn$convForward".
      flop: floating point operations.
      num_bytes: read and written.
      op_name: the place in the traced program that it comes from.
      source: file and line that it comes from; empty if not known.
    """

    name: str
    kind: str
    flop: float
    num_bytes: int
    op_name: str
    source: str

    @property
    def is_library_call(self) -> bool:
        """Whether it is a function of cuDNN or cuBLAS."""
        return self.kind.startswith(("__cudnn$", "__cublas$"))


def operations(program: Program) -> list[Operation]:
    """The operations of an optimized program in its order. The body of a loop counts as often as it is known to run."""
    return list(_operations(program, program.entry))


def _operations(program: Program, name: str) -> Iterator[Operation]:
    """Those of a computation, in its order."""
    computation = program.computations[name]
    for instruction in computation.values():
        if instruction.opcode in _CALLS:
            called = next(instruction.attributes[name] for name in _CALLED if name in instruction.attributes)
            trips = _TRIP_COUNT.search(instruction.text)
            for _ in range(int(trips[1]) if trips else 1):
                yield from _operations(program, called.lstrip("%"))
        elif instruction.opcode not in _FREE:
            yield _operation(instruction, computation, program)


def _operation(instruction: Instruction, computation: Computation, program: Program) -> Operation:
    fused = program.computations.get(instruction.attributes.get("calls", "").lstrip("%"))
    operands = [computation[name] for name in instruction.operands if name in computation]
    if fused is None:
        flop = _flop(instruction, computation)
        num_bytes = instruction.num_bytes
        if instruction.opcode != "copy-start":  # its result has its operand in it
            num_bytes += sum(operand.num_bytes for operand in operands)
        if instruction.opcode in _SLICES:
            num_bytes = 2 * instruction.num_bytes
        elif instruction.opcode == "slice-start":  # its result is its operand and the slice
            whole, part = instruction.shapes[:2]
            num_bytes = part.num_bytes + (0 if whole.is_on_chip else part.size_bytes)
    else:
        flop = sum(_flop(part, fused) for part in fused.values())
        num_bytes = _fusion_bytes(instruction, operands, fused)
    return Operation(
        name=instruction.name,
        kind=instruction.attributes.get("custom_call_target", instruction.opcode),
        flop=flop,
        num_bytes=num_bytes,
        op_name=origin(instruction, computation),
        source=program.source(instruction),
    )


def _flop(instruction: Instruction, computation: Computation) -> float:
    """Floating point operations of one instruction, without those of computations that it calls."""
    operands = [computation[name] for name in instruction.operands if name in computation]
    target = instruction.attributes.get("custom_call_target", "")
    if instruction.opcode == "convolution" or target.startswith("__cudnn$conv"):
        return _convolution_flop(instruction, operands, target)
    if (instruction.opcode == "dot" or target.startswith("__cublas$")) and operands:
        dimensions = operands[0].shapes[0].dimensions
        found = _DOT_DIMENSIONS.search(instruction.text)
        contracted = re.findall(r"\d+", (found[1] or found[2] or "") if found else "")
        return 2.0 * instruction.shapes[0].num_elements * math.prod(dimensions[int(n)] for n in contracted)
    if instruction.opcode in ("reduce", "reduce-window", "select-and-scatter", "scatter") and operands:
        return float(operands[0].num_elements)
    return 0.0 if instruction.opcode in _FREE | _MOVES else float(instruction.num_elements)


def _convolution_flop(instruction: Instruction, operands: list[Instruction], target: str) -> float:
    """Twice the products of a convolution, or of the convolution whose gradient it is: output x kernel / features.

    Products with padding and with the zeros of a dilated input are left out, as in XLA's analysis. For cuDNN's calls
    padding counts, since what cuDNN does with it is not known.
    """
    image, kernel, output = operands[0].shapes[0], operands[1].shapes[0], instruction.shapes[0]
    if target.endswith("BackwardInput"):
        image, output = output, image
    elif target.endswith("BackwardFilter"):
        kernel, output = output, kernel
    inputs, _, outputs = instruction.attributes.get("dim_labels", "b01f_01io->b01f").partition("->")
    features = output.dimensions[outputs.index("f")]
    products = output.num_elements * kernel.num_elements / max(features, 1)
    if not target:
        image_labels, kernel_labels = inputs.split("_")
        for axis in filter(str.isdigit, outputs):
            sizes = [
                shape.dimensions[labels.index(axis)]
                for shape, labels in ((image, image_labels), (kernel, kernel_labels), (output, outputs))
            ]
            products *= _share_of_image(instruction.text, int(axis), *sizes)
    return 2.0 * products


def _share_of_image(text: str, axis: int, num_image: int, num_kernel: int, num_output: int) -> float:
    """The share of the products along one spatial axis of a convolution that are with elements of its image."""
    window = {name: values.split("x")[axis] for name, values in _WINDOW.findall(text)}
    stride, dilation, kernel_dilation = (int(window.get(n, 1)) for n in ("stride", "lhs_dilate", "rhs_dilate"))
    before = int(window.get("pad", "0_0").split("_")[0])
    outputs, kernel = np.arange(num_output) * stride - before, np.arange(num_kernel) * kernel_dilation
    positions = outputs[:, None] + kernel
    is_image = (positions >= 0) & (positions <= (num_image - 1) * dilation) & (positions % dilation == 0)
    return float(is_image.mean())


def _fusion_bytes(fusion: Instruction, operands: list[Instruction], fused: Computation) -> int:
    """Of each operand the slices that are used, if nothing else is, and of the result the part that is updated."""
    users = collections.defaultdict(list)
    for part in fused.values():
        for name in part.operands:
            users[name].append(part)
    *_, root = fused.values()
    roots = [fused[name] for name in root.operands if name in fused] if root.opcode == "tuple" else [root]
    num_bytes = fusion.num_bytes
    for part in roots:
        if num_bytes and part.opcode == "dynamic-update-slice" and part.operands[1] in fused:
            num_bytes -= part.num_bytes - fused[part.operands[1]].num_bytes
    for part in fused.values():
        if found := _PARAMETER.search(part.text):
            num_bytes += min(operands[int(found[1])].num_bytes, _bytes_read(part, users))
    return num_bytes


def _bytes_read(part: Instruction, users: dict[str, list[Instruction]]) -> int:
    read = 0
    for user in users[part.name]:
        if user.opcode in _SLICES and user.operands[0] == part.name:
            read += user.num_bytes
        elif user.opcode == "bitcast":
            read += _bytes_read(user, users)
        elif user.opcode != "dynamic-update-slice" or user.operands[0] != part.name:
            return part.num_bytes
    return min(read, part.num_bytes)
