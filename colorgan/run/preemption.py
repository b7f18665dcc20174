"""Ending a run when it is told to, between two steps."""

import os
import re
import signal
from types import FrameType, TracebackType
from typing import Self

import jax
from jax.experimental import multihost_utils

from colorgan.errors import Stopped, UserError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C, a notice, a terminal that is gone
EXIT_TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: stopped, and the same command goes on


def means_lost_process(error: Exception) -> bool:
    """Whether `error` came up because another process of the run is gone. JAX and Orbax raise several kinds."""
    signs = "Gloo|NCCL|[Bb]arrier|[Hh]eartbeat|UNAVAILABLE|coordination service|distributed service|Connection"
    is_told = isinstance(error, UserError | Stopped)
    return jax.distributed.is_initialized() and not is_told and re.search(signs, str(error)) is not None


def leave_at_once(number: int, frame: FrameType | None) -> None:
    """Handles a signal while there is nothing to save. An exception could vanish in a callback that it lands in."""
    del number, frame
    os.write(2, b"colorgan: interrupted with nothing to save; the same command goes on\n")
    os._exit(EXIT_TRY_AGAIN)


class StopSignals:
    """Notes Ctrl-C, SIGTERM and SIGHUP, for the loop to see after its step; the second one ends the process at once.

    A context manager. An exception raised from a signal would land anywhere, in the middle of a step or a save too.
    Of several processes each may get the signal at another step; there jax.distributed, which notes SIGTERM itself,
    finds the step at which all of them stop. (A second SIGTERM is then without effect until they have found it.)
    """

    def __init__(self) -> None:
        self._requested, self._num_asked = False, 0
        self._alone = jax.process_count() == 1

    def __enter__(self) -> Self:
        # Of several processes SIGTERM is left to jax.distributed, whose handler Python could not put back.
        numbers = [number for number in SIGNALS if self._alone or number != signal.SIGTERM]
        noted = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]  # nohup ignores one
        self._before = {number: signal.signal(number, self._note) for number in noted}
        return self

    def requested(self) -> bool:
        """Whether the run should end after this step; the same in all processes. Ask it after every step."""
        self._num_asked += 1  # a notice ahead of the first asking is for number 1, so steps must be counted from here
        if not self._alone and multihost_utils.reached_preemption_sync_point(self._num_asked):
            self._requested = True
            signal.signal(signal.SIGTERM, self._note)
            return True
        return self._alone and self._requested

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self._requested:
            os._exit(EXIT_TRY_AGAIN)
        self._requested = True
        # Not print(): a signal can arrive in the middle of one.
        os.write(2, b"\ncolorgan: stopping after this step; again to leave at once\n")
        if not self._alone:
            os.kill(os.getpid(), signal.SIGTERM)
