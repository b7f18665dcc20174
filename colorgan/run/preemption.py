"""Stopping a run between two steps when it receives a signal."""

import os
import re
import signal
from types import FrameType, TracebackType
from typing import Self

import jax
from jax.experimental import multihost_utils

from colorgan.errors import Stopped, UserError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, a preemption notice, a closed terminal
EXIT_TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: stopped, and the same command resumes


def means_lost_process(error: Exception) -> bool:
    """Whether `error` was raised because another process of the run has ended. JAX and Orbax raise several types."""
    signs = "Gloo|NCCL|[Bb]arrier|[Hh]eartbeat|UNAVAILABLE|coordination service|distributed service|Connection"
    is_known = isinstance(error, UserError | Stopped)
    return jax.distributed.is_initialized() and not is_known and re.search(signs, str(error)) is not None


def leave_at_once(number: int, frame: FrameType | None) -> None:
    """Handles a signal while there is nothing to save. An exception could be lost in a callback."""
    del number, frame
    os.write(2, b"colorgan: interrupted with nothing to save; run the same command to start again\n")
    os._exit(EXIT_TRY_AGAIN)


class StopSignals:
    """Records Ctrl-C, SIGTERM and SIGHUP for the loop to check after each step; a second one ends the process at once.

    A context manager. (An exception from a signal handler could be raised anywhere, also in the middle of a save.)
    Several processes may get the signal at different steps: jax.distributed, which handles SIGTERM itself, then finds
    a step after which all of them stop. A second SIGTERM has no effect until it is found.
    """

    def __init__(self) -> None:
        self._requested, self._num_asked = False, 0
        self._alone = jax.process_count() == 1

    def __enter__(self) -> Self:
        # With several processes jax.distributed handles SIGTERM; Python could not restore its handler.
        numbers = [number for number in SIGNALS if self._alone or number != signal.SIGTERM]
        handled = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]  # nohup ignores one
        self._before = {number: signal.signal(number, self._record) for number in handled}
        return self

    def requested(self) -> bool:
        """Whether the run should stop after this step; the same in all processes. Call it after every step."""
        self._num_asked += 1  # a notice before the first call is for number 1, so steps must be counted from here
        if not self._alone and multihost_utils.reached_preemption_sync_point(self._num_asked):
            self._requested = True
            signal.signal(signal.SIGTERM, self._record)
            return True
        return self._alone and self._requested

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _record(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self._requested:
            os._exit(EXIT_TRY_AGAIN)
        self._requested = True
        # Not print(): a signal can arrive in the middle of one.
        os.write(2, b"\ncolorgan: stopping after this step; press again to stop at once\n")
        if not self._alone:
            os.kill(os.getpid(), signal.SIGTERM)
