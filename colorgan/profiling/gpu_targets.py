"""Descriptions of GPUs, from which XLA compiles for them where there is none.

Sources: the table "Technical Specifications per Compute Capability" of NVIDIA's CUDA C++ Programming Guide
(https://docs.nvidia.com/cuda/cuda-c-programming-guide/), the white papers of the architectures Ampere, Hopper and Ada
for multiprocessors, clocks and caches, and for the memory of A100, H100 and H200 what XLA's own descriptions state
(https://github.com/openxla/xla, xla/backends/gpu/target_config/specs).
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class GPUTarget:
    """What XLA needs to know of a GPU.

    Attributes:
      device_kind: `jax.Device.device_kind`.
      capability: major and minor number of the compute capability.
      num_cores: multiprocessors.
      fpus_per_core: float32 units of each.
      threads_per_core: the maximum of each.
      shared_memory_per_core: bytes.
      l2_bytes: of the second cache.
      clock_ghz: the boost clock.
      bytes_per_second: bandwidth of the memory.
      memory_bytes: as the driver reports it.
    """

    device_kind: str
    capability: tuple[int, int]
    num_cores: int
    fpus_per_core: int
    threads_per_core: int
    shared_memory_per_core: int
    l2_bytes: int
    clock_ghz: float
    bytes_per_second: int
    memory_bytes: int


_HOPPER = ((9, 0), 132, 128, 2048, 228 * 1024, 50 * 2**20, 1.98)
# By the name in --topology.
TARGETS: dict[str, GPUTarget] = {
    "h100": GPUTarget("NVIDIA H100 80GB HBM3", *_HOPPER, 3_352_320_000_000, 84_929_347_584),
    "h200": GPUTarget("NVIDIA H200", *_HOPPER, 4_800_000_000_000, 151_397_597_184),
    "a100": GPUTarget(
        "NVIDIA A100-SXM4-80GB",
        *((8, 0), 108, 64, 2048, 164 * 1024, 40 * 2**20, 1.41),
        2_039_040_000_000,
        85_100_068_864,
    ),
    "l4": GPUTarget(
        "NVIDIA L4", *((8, 9), 58, 128, 1536, 100 * 1024, 48 * 2**20, 2.04), 300_096_000_000, 23_580_639_232
    ),
}


def describe(target: GPUTarget) -> str:
    """XLA's GpuTargetConfigProto as text."""
    major, minor = target.capability
    return f"""
gpu_device_info {{
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: {target.shared_memory_per_core - 1024}
  shared_memory_per_core: {target.shared_memory_per_core}
  threads_per_core_limit: {target.threads_per_core}
  core_count: {target.num_cores}
  fpus_per_core: {target.fpus_per_core}
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: {target.bytes_per_second}
  l2_cache_size: {target.l2_bytes}
  clock_rate_ghz: {target.clock_ghz}
  device_memory_size: {target.memory_bytes}
  cuda_compute_capability {{ major: {major} minor: {minor} }}
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 }}
runtime_version {{ major: 12 minor: 9 patch: 0 }}
device_description_str: "{target.device_kind}"
"""
