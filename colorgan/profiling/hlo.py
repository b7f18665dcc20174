"""The text of an optimized XLA program, parsed into computations of instructions."""

import collections
import dataclasses
import functools
import math
import re
from collections.abc import Iterator

_MAX_STEPS = 4  # back to an operation with a name
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = ")
_ARRAY = re.compile(r"\b(pred|bf16|[sufc]\d+\w*)\[([\d,]*)\](\{[^}]*\})?")
_NAME = re.compile(r"%([\w.\-]+)")
_ATTRIBUTE = re.compile(r'\b(calls|to_apply|body|dim_labels|custom_call_target|op_name)=("[^"]*"|[^ ,}]+)')
_LOCATION = re.compile(r"^(\d+) \{file_name_id=(\d+) function_name_id=\d+ line=(\d+)")
_FRAME = re.compile(r"^(\d+) \{file_location_id=(\d+)")
_FILE = re.compile(r'^(\d+) "(.*)"$')


@dataclasses.dataclass(frozen=True)
class Shape:
    """An array's type and dimensions.

    Attributes:
      dtype: as in HLO, such as "bf16".
      dimensions: sizes.
      is_on_chip: whether it is in the own memory of a TPU core.
    """

    dtype: str
    dimensions: tuple[int, ...]
    is_on_chip: bool

    @property
    def num_elements(self) -> int:
        """The product of the dimensions."""
        return math.prod(self.dimensions)

    @property
    def size_bytes(self) -> int:
        """Its size, without padding."""
        bits = 8 if self.dtype == "pred" else int(re.findall(r"\d+", self.dtype)[0])
        return self.num_elements * bits // 8

    @property
    def num_bytes(self) -> int:
        """Bytes in main memory."""
        return 0 if self.is_on_chip else self.size_bytes


@dataclasses.dataclass(frozen=True)
class Instruction:
    """A line of a computation.

    Attributes:
      name: without "%".
      opcode: such as "fusion".
      shapes: of the result; several for a tuple.
      operands: names.
      attributes: "calls", "to_apply", "body", "dim_labels", "custom_call_target", "op_name", as far as there are any.
      text: the whole line.
    """

    name: str
    opcode: str
    shapes: tuple[Shape, ...]
    operands: tuple[str, ...]
    attributes: dict[str, str]
    text: str

    @property
    def num_elements(self) -> int:
        """Elements of the largest array of the result."""
        return max((shape.num_elements for shape in self.shapes), default=0)

    @property
    def num_bytes(self) -> int:
        """Bytes of the result in main memory."""
        return sum(shape.num_bytes for shape in self.shapes)


Computation = dict[str, Instruction]  # in the order of the program; the last one is the result


class Program:
    """The text of an HLO module, parsed.

    Attributes:
      computations: by name, in the order of the text.
      entry: the name of the computation that the program consists of.
    """

    computations: dict[str, Computation]
    entry: str

    def __init__(self, hlo: str) -> None:
        self.computations = {}
        self.entry = ""
        current: Computation | None = None
        for line in hlo.splitlines():
            if current is None:
                if header := _COMPUTATION.match(line):
                    current = self.computations[header[2]] = {}
                    if header[1]:
                        self.entry = header[2]
            elif line.startswith("}"):
                current = None
            elif instruction := _parse(line):
                current[instruction.name] = instruction
        self._sources = _sources(hlo)

    def source(self, instruction: Instruction) -> str:
        """File and line that an instruction comes from; empty if not known."""
        frame = re.search(r"stack_frame_id=(\d+)", instruction.text)
        return self._sources.get(frame[1], "") if frame else _source_of(instruction.text)


def origin(instruction: Instruction, computation: Computation) -> str:
    """The place in the traced program that an instruction comes from; if it has lost its own, that of its operands."""
    for _ in range(_MAX_STEPS):
        if name := instruction.attributes.get("op_name"):
            return name
        operand = next((name for name in instruction.operands if name in computation), None)
        if operand is None:
            break
        instruction = computation[operand]
    return ""


def _parse(line: str) -> Instruction | None:
    if not (start := _INSTRUCTION.match(line)):
        return None
    shape, rest = _split_balanced(line[start.end() :])
    opcode, _, rest = rest.strip().partition("(")
    operands, rest = _split_balanced("(" + rest)
    attributes = {name: value.strip('"') for name, value in _ATTRIBUTE.findall(rest)}
    shapes = tuple(
        Shape(dtype, tuple(int(size) for size in dimensions.split(",") if size), "S(" in layout)
        for dtype, dimensions, layout in _ARRAY.findall(shape)
    )
    return Instruction(start[1], opcode, shapes, tuple(_NAME.findall(operands)), attributes, line)


def _split_balanced(text: str) -> tuple[str, str]:
    """The part up to the matching parenthesis if `text` begins with one, or up to the first space, and the rest."""
    if not text.startswith("("):
        first, _, rest = text.partition(" ")
        return first, rest
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return text[: position + 1], text[position + 1 :]
    return text, ""


def _source_of(text: str) -> str:
    found = re.search(r'source_file="([^"]*)" source_line=(\d+)', text)
    return f"{_short_path(found[1])}:{found[2]}" if found else ""


def _sources(hlo: str) -> dict[str, str]:
    """File and line by the number of a stack frame, from the tables at the beginning of a program."""
    header = hlo.split("\n%", 1)[0].split("\nENTRY", 1)[0]
    sections: dict[str, list[str]] = collections.defaultdict(list)
    section = ""
    for line in header.splitlines():
        if line in ("FileNames", "FunctionNames", "FileLocations", "StackFrames"):
            section = line
        else:
            sections[section].append(line)
    match = functools.partial(_matches, sections)
    files = {number: _short_path(path) for number, path in match("FileNames", _FILE)}
    locations = {number: f"{files.get(file, '')}:{line}" for number, file, line in match("FileLocations", _LOCATION)}
    return {number: locations.get(location, "") for number, location in match("StackFrames", _FRAME)}


def _matches(sections: dict[str, list[str]], name: str, pattern: re.Pattern[str]) -> Iterator[tuple[str, ...]]:
    return (found.groups() for found in map(pattern.match, sections[name]) if found)


def _short_path(path: str) -> str:
    """From the package on: "flax/linen/linear.py"."""
    for folder in ("/site-packages/", "/colorgan/colorgan/"):
        path = path.rpartition(folder)[2]
    return "/".join(path.split("/")[-3:])
