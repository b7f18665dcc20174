"""The cost of the operations in an HLO text, on a made-up program whose numbers are known."""

import pytest

from colorgan.profiling import benchmarks, compile_ahead
from colorgan.profiling import operations as operations_lib
from colorgan.profiling.device_peaks import DevicePeaks
from colorgan.profiling.hlo import Program
from colorgan.profiling.program_cost import ProgramCost

PROGRAM = """HloModule step, is_scheduled=true, entry_computation_layout={(f32[8]{0})->f32[8]{0}}

FileNames
1 "/usr/lib/python3.11/site-packages/flax/linen/linear.py"
2 "/home/me/colorgan/colorgan/training/step.py"

FunctionNames
1 "train_step"

FileLocations
1 {file_name_id=2 function_name_id=1 line=42 end_line=42 column=4 end_column=95}
2 {file_name_id=1 function_name_id=1 line=7 end_line=7 column=4 end_column=95}

StackFrames
1 {file_location_id=1 parent_frame_id=1}
2 {file_location_id=2 parent_frame_id=1}

%sum (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %add.1 = f32[] add(%a, %b)
}

%fused_scale (p0: f32[64,32], p1: f32[32]) -> f32[64,32] {
  %p0 = f32[64,32]{1,0} parameter(0)
  %p1 = f32[32]{0} parameter(1)
  %broadcast.1 = f32[64,32]{1,0} broadcast(%p1), dimensions={1}
  ROOT %multiply.1 = f32[64,32]{1,0} multiply(%p0, %broadcast.1)
}

%fused_slice (q0: f32[1000,32], q1: s32[]) -> f32[10,32] {
  %q0 = f32[1000,32]{1,0} parameter(0)
  %q1 = s32[] parameter(1)
  %zero = s32[] constant(0)
  ROOT %dynamic-slice.1 = f32[10,32]{1,0} dynamic-slice(%q0, %q1, %zero), dynamic_slice_sizes={10,32}
}

%fused_update (r0: f32[1000,32], r1: f32[10,32], r2: s32[]) -> f32[1000,32] {
  %r0 = f32[1000,32]{1,0} parameter(0)
  %r1 = f32[10,32]{1,0} parameter(1)
  %r2 = s32[] parameter(2)
  %none = s32[] constant(0)
  ROOT %dynamic-update-slice.1 = f32[1000,32]{1,0} dynamic-update-slice(%r0, %r1, %r2, %none)
}

%body (s0: f32[64,32]) -> f32[64,32] {
  %s0 = f32[64,32]{1,0} parameter(0)
  ROOT %negate.1 = f32[64,32]{1,0} negate(%s0)
}

%condition (t0: f32[64,32]) -> pred[] {
  %t0 = f32[64,32]{1,0} parameter(0)
  ROOT %true = pred[] constant(true)
}

ENTRY %main (x: bf16[4,8,8,16], k: bf16[32,3,3,16]) -> f32[64,32] {
  %x = bf16[4,8,8,16]{3,2,1,0} parameter(0)
  %k = bf16[32,3,3,16]{3,2,1,0} parameter(1)
  %d = f32[64,32]{1,0} parameter(2)
  %w = f32[32]{0} parameter(3)
  %t = f32[1000,32]{1,0} parameter(4)
  %n = s32[] parameter(5)
  %conv = (bf16[4,8,8,32]{3,2,1,0}, u8[0]{0}) custom-call(%x, %k), window={size=3x3 pad=1_1x1_1}, \
dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convForward", \
metadata={op_name="jit(train_step)/conv" stack_frame_id=2}
  %y = bf16[4,8,8,32]{3,2,1,0} get-tuple-element(%conv), index=0
  %conv-input = (bf16[4,8,8,16]{3,2,1,0}, u8[0]{0}) custom-call(%y, %k), window={size=3x3 pad=1_1x1_1}, \
dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convBackwardInput"
  %conv-filter = (bf16[32,3,3,16]{3,2,1,0}, u8[0]{0}) custom-call(%x, %y), window={size=3x3 pad=1_1x1_1}, \
dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convBackwardFilter"
  %gemm = (f32[64,16]{1,0}, s8[64]{0}) custom-call(%d, %d2), custom_call_target="__cublas$gemm", \
backend_config={"gemm_backend_config":{"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"]}}}
  %scale = f32[64,32]{1,0} fusion(%d, %w), kind=kLoop, calls=%fused_scale, \
metadata={op_name="jit(train_step)/mul" stack_frame_id=1}
  %slice = f32[10,32]{1,0} fusion(%t, %n), kind=kLoop, calls=%fused_slice
  %update = f32[1000,32]{1,0} fusion(%t, %slice, %n), kind=kLoop, calls=%fused_update
  %loop = f32[64,32]{1,0} while(%scale), condition=%condition, body=%body, \
backend_config={"known_trip_count":{"n":"5"}}
  %near = f32[64,32]{1,0:T(8,128)S(1)} copy(%loop)
  %nowhere = f32[64,32]{1,0:T(8,128)S(1)} negate(%near)
  %part-start = ((f32[64,32]{1,0}), f32[8,32]{1,0:S(1)}, s32[]{:S(2)}) slice-start(%loop), slice={[0:8], [0:32]}
  %part = f32[8,32]{1,0:S(1)} slice-done(%part-start)
  ROOT %result = f32[64,32]{1,0} copy(%nowhere)
}
"""
CONV_FLOP = 2 * (4 * 8 * 8 * 32) * (3 * 3 * 16)
CONV_BYTES = 2 * (4 * 8 * 8 * 16 + 32 * 3 * 3 * 16 + 4 * 8 * 8 * 32)
DENSE = 4 * 64 * 32  # bytes of f32[64,32]


@pytest.fixture(scope="module")
def operations():
    found: dict[str, list[operations_lib.Operation]] = {}
    for operation in operations_lib.operations(Program(PROGRAM)):
        found.setdefault(operation.name, []).append(operation)
    return found


@pytest.mark.parametrize(
    ("name", "flop", "num_bytes"),
    [
        ("conv", CONV_FLOP, CONV_BYTES),
        ("conv-input", CONV_FLOP, CONV_BYTES),
        ("conv-filter", CONV_FLOP, CONV_BYTES),
        ("gemm", 2 * 64 * 16 * 32, DENSE + 4 * 64 * 16 + 64),
        ("scale", 64 * 32, 2 * DENSE + 4 * 32),
        ("slice", 0, 2 * 4 * 10 * 32 + 4),  # of the table only what is read
        ("update", 0, 2 * 4 * 10 * 32 + 4),  # and only what is written
        ("near", 0, DENSE),  # to the own memory of a TPU core
        ("nowhere", 64 * 32, 0),
        ("part-start", 0, DENSE // 8),
        ("result", 0, DENSE),
    ],
)
def test_flop_and_bytes(operations, name, flop, num_bytes):
    (operation,) = operations[name]
    assert (operation.flop, operation.num_bytes) == (flop, num_bytes)


def test_a_loop_counts_as_often_as_it_runs(operations):
    assert [(operation.flop, operation.num_bytes) for operation in operations["negate.1"]] == [(64 * 32, 2 * DENSE)] * 5


@pytest.mark.parametrize(
    ("image", "window", "output", "num_products"),
    [
        (4, "size=4x4 pad=2_2x2_2 lhs_dilate=2x2", 8, 14),  # 1 + 6 x 2 + 1: every other position, without the padding
        (8, "size=3x3 pad=1_1x1_1", 8, 22),  # 2 + 6 x 3 + 2
        (8, "size=4x4 stride=2x2 pad=1_1x1_1", 4, 14),  # 3 + 4 + 4 + 3
        (8, "size=3x3 pad=2_2x2_2 rhs_dilate=2x2", 8, 20),  # 2 + 2 + 4 x 3 + 2 + 2
        (4, "size=4x4 pad=3_3x3_3 rhs_reversal=1x1", 7, 16),  # each with each: a product of matrices
    ],
)
def test_products_with_zeros_are_left_out(image, window, output, num_products):
    size = window[5]
    text = f"""
ENTRY %main {{
  %x = f32[1,{image},{image},8]{{3,2,1,0}} parameter(0)
  %k = f32[{size},{size},8,2]{{3,2,1,0}} parameter(1)
  ROOT %y = f32[1,{output},{output},2]{{3,2,1,0}} convolution(%x, %k), window={{{window}}}, dim_labels=b01f_01io->b01f
}}
"""
    (operation,) = operations_lib.operations(Program(text))
    assert operation.flop == 2 * num_products**2 * 8 * 2


def test_each_operation_knows_where_it_comes_from(operations):
    assert (operations["conv"][0].source, operations["conv"][0].op_name) == (
        "flax/linen/linear.py:7",
        "jit(train_step)/conv",
    )
    assert operations["scale"][0].source == "training/step.py:42"
    assert operations["slice"][0].source == ""
    assert operations["conv-input"][0].op_name == "jit(train_step)/conv"  # that of its operand
    assert [name for name, found in operations.items() if found[0].is_library_call] == [
        *("conv", "conv-input", "conv-filter", "gemm")
    ]


def test_what_launches_nothing_is_not_an_operation(operations):
    assert set(operations) == {
        *("conv", "conv-input", "conv-filter", "gemm", "scale", "slice", "update", "negate.1", "near", "nowhere"),
        *("part-start", "result"),
    }


PEAKS = DevicePeaks(flop_per_second=1e9, bytes_per_second=1e6, memory_bytes=10**9)


def test_both_rooflines_and_short_launches():
    """One operation is bound by arithmetic for 2 s, one by memory for 1 s, one takes a microsecond."""
    steps = [("product", 2e9, 10), ("copy", 1e3, 10**6), ("tiny", 0.0, 1)]
    costs = tuple(operations_lib.Operation(name, name, flop, num_bytes, "", "") for name, flop, num_bytes in steps)
    cost = ProgramCost(sum(c.flop for c in costs), sum(c.num_bytes for c in costs), 0, 0, 0, (), costs)
    roofline = compile_ahead.describe_roofline(cost, 4, PEAKS)
    assert roofline["roofline_step_seconds"] == pytest.approx(2.0, rel=1e-5)
    assert roofline["roofline_in_turn_step_seconds"] == pytest.approx(3.000001)
    assert roofline["roofline_in_turn_images_per_second_per_device"] == pytest.approx(4 / 3.000001)
    counted = compile_ahead.describe_operations(costs, PEAKS)
    assert counted == {
        "launches": 3,
        "library_calls": 0,
        "launches_under_2_microseconds": 1,
    }
    assert benchmarks.compare_with_peaks(cost, 6.0, PEAKS) == pytest.approx(
        {"share_of_peak": 1 / 3, "share_of_roofline": 1 / 3, "share_of_roofline_in_turn": 1 / 2}, rel=1e-5
    )
    ranked = compile_ahead.most_expensive(costs, 4, PEAKS, 2)
    assert [(entry["name"], entry["microseconds"]) for entry in ranked] == [("product", 2e6), ("copy", 1e6)]
