"""Published peaks of accelerators: upper limits of the speed of a program."""

import dataclasses

from colorgan.errors import UserError
from colorgan.profiling.operations import Operation

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class DevicePeaks:
    """Peaks of one device: a TPU chip or a GPU.

    Attributes:
      flop_per_second: of dense bfloat16 matrix products with float32 sums.
      bytes_per_second: bandwidth of the main memory.
      memory_bytes: size of the main memory.
    """

    flop_per_second: float
    bytes_per_second: float
    memory_bytes: int

    def roofline_seconds(self, flop: float, num_bytes: float) -> float:
        """Returns the shortest time, in seconds, for `flop` operations that read and write `num_bytes`.

        The roofline model of Williams et al. 2009 (doi:10.1145/1498765.1498785): arithmetic and memory traffic overlap
        completely, so that the slower of the two determines the time.
        """
        return max(flop / self.flop_per_second, num_bytes / self.bytes_per_second)

    def estimate_seconds(self, operation: Operation) -> float:
        """The same for one operation, in seconds."""
        return self.roofline_seconds(operation.flop, operation.num_bytes)


# https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/a100/pdf/nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf
_A100_40 = DevicePeaks(312e12, 1555e9, 40 * GIB)
_A100_80 = DevicePeaks(312e12, 2039e9, 80 * GIB)
_A100_80_PCIE = DevicePeaks(312e12, 1935e9, 80 * GIB)
# https://www.nvidia.com/en-us/data-center/h100/ (half of the number given there, which is with sparsity)
_H100_SXM = DevicePeaks(989e12, 3350e9, 80 * GIB)
# https://www.nvidia.com/en-us/data-center/h200/ (likewise; the 141 GB are decimal)
_H200 = DevicePeaks(989e12, 4800e9, 141 * 10**9)
# https://resources.nvidia.com/en-us-data-center-overview/l4-gpu-datasheet (half of the number with sparsity)
_L4 = DevicePeaks(121e12, 300e9, 24 * GIB)
# https://cloud.google.com/tpu/docs/v4
_V4 = DevicePeaks(275e12, 1228e9, 32 * GIB)
# https://cloud.google.com/tpu/docs/v5e
_V5E = DevicePeaks(197e12, 819e9, 16 * GIB)
# https://cloud.google.com/tpu/docs/v5p
_V5P = DevicePeaks(459e12, 2765e9, 95 * GIB)
# https://cloud.google.com/tpu/docs/v6e
_V6E = DevicePeaks(918e12, 1640e9, 32 * GIB)

# By `jax.Device.device_kind`. Releases of the TPU runtime differ in the names.
PEAKS = {
    "NVIDIA A100-SXM4-40GB": _A100_40,
    "NVIDIA A100-PCIE-40GB": _A100_40,
    "NVIDIA A100-SXM4-80GB": _A100_80,
    "NVIDIA A100 80GB PCIe": _A100_80_PCIE,
    "NVIDIA H100 80GB HBM3": _H100_SXM,
    "NVIDIA H200": _H200,
    "NVIDIA L4": _L4,
    "TPU v4": _V4,
    "TPU v5 lite": _V5E,
    "TPU v5e": _V5E,
    "TPU v5": _V5P,
    "TPU v5p": _V5P,
    "TPU v6 lite": _V6E,
    "TPU v6e": _V6E,
}


def peaks_of(device_kind: str) -> DevicePeaks:
    """Returns the peaks of a device.

    Args:
      device_kind: a `jax.Device.device_kind`.

    Raises:
      UserError: the device is not in the table.
    """
    if device_kind not in PEAKS:
        raise UserError(
            f"the peaks of {device_kind!r} are not known; colorgan/profiling/device_peaks.py lists {', '.join(PEAKS)}"
        )
    return PEAKS[device_kind]
