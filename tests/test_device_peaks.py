"""The table of published peaks, and the shortest time of a program."""

import pytest

from colorgan.errors import UserError
from colorgan.profiling import device_peaks


def test_the_slower_of_arithmetic_and_memory_determines_the_time():
    peaks = device_peaks.DevicePeaks(flop_per_second=100.0, bytes_per_second=10.0, memory_bytes=1)
    assert peaks.roofline_seconds(flop=200.0, num_bytes=5.0) == 2.0
    assert peaks.roofline_seconds(flop=200.0, num_bytes=50.0) == 5.0


def test_peaks_are_in_flop_and_bytes():
    v5e = device_peaks.peaks_of("TPU v5 lite")
    assert (v5e.flop_per_second, v5e.bytes_per_second, v5e.memory_bytes) == (197e12, 819e9, 16 * 2**30)
    for kind, peaks in device_peaks.PEAKS.items():
        # Published pairs are between 150 and 600 operations per byte; with a wrong unit they would not be.
        assert 150 < peaks.flop_per_second / peaks.bytes_per_second < 600, kind
        assert 16e9 <= peaks.memory_bytes <= 200e9, kind


def test_an_unknown_device_is_named():
    with pytest.raises(UserError, match=r"'Abacus 3000' are not known; .*TPU v5 lite"):
        device_peaks.peaks_of("Abacus 3000")
