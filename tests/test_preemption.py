"""Signals stop a run after the step, or at once."""

import os
import signal

import pytest

from colorgan.errors import Stopped
from colorgan.run import preemption


@pytest.fixture
def hangups():
    """SIGHUP is not ignored, also if the tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    "numbers", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM), (signal.SIGHUP,) * 2]
)
def test_the_first_signal_is_recorded_and_the_second_ends_at_once(monkeypatch, capfd, numbers, hangups):
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    before = [signal.getsignal(number) for number in preemption.SIGNALS]
    with preemption.StopSignals() as stop:
        assert not stop.requested()
        signal.raise_signal(numbers[0])
        assert stop.requested()
        assert codes == []
        assert "stopping after this step; press again to stop at once" in capfd.readouterr().err
        signal.raise_signal(numbers[1])
        assert codes == [75]
    assert [signal.getsignal(number) for number in preemption.SIGNALS] == before


def test_only_errors_caused_by_other_processes_mean_a_lost_process(monkeypatch):
    gone = RuntimeError("UNKNOWN: Gloo AllGather failed: Connection closed by peer [127.0.0.1]:6534")
    assert not preemption.means_lost_process(gone)  # there is no other process
    monkeypatch.setattr(preemption.jax.distributed, "is_initialized", lambda: True)
    assert preemption.means_lost_process(gone)
    assert preemption.means_lost_process(RuntimeError("UNAVAILABLE: Task 1 heartbeat timeout"))
    assert not preemption.means_lost_process(RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 5 bytes"))
    assert not preemption.means_lost_process(Stopped("the Connection was fine"))


def test_nohup_is_respected(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with preemption.StopSignals() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.requested()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_several_processes_count_from_their_first_step(monkeypatch):
    """JAX assigns a notice before the first call to step 1, whatever the step of the run is."""
    asked: list[int] = []

    def is_stop_at_two(number: int) -> bool:
        asked.append(number)
        return number == 2

    monkeypatch.setattr(preemption.jax, "process_count", lambda: 2)
    monkeypatch.setattr(preemption.multihost_utils, "reached_preemption_sync_point", is_stop_at_two)
    with preemption.StopSignals() as stop:
        assert [stop.requested(), stop.requested()] == [False, True]
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    assert asked == [1, 2]
