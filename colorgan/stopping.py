"""Ending a run when it is told to, between two steps."""

import os
import re
import signal
from types import FrameType, TracebackType
from typing import Self

import jax
from jax.experimental import multihost_utils

from colorgan.errors import UserError

SIGNALS = (signal.SIGINT, signal.SIGTERM)
EXIT_TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: stopped, and the same command goes on


class Stopped(Exception):
    """The run has saved its state and ends before it is complete; the text says how to go on."""


class LostProcess(Stopped):
    """Another process of the run is gone, and this one cannot go on alone."""


def means_lost_process(error: Exception) -> bool:
    """Whether `error` came up because another process of the run is gone. JAX and Orbax raise several kinds."""
    signs = "Gloo|NCCL|[Bb]arrier|[Hh]eartbeat|UNAVAILABLE|coordination service|distributed service|Connection"
    is_told = isinstance(error, UserError | Stopped)
    return jax.process_count() > 1 and not is_told and re.search(signs, str(error)) is not None


class StopSignals:
    """Notes Ctrl-C and SIGTERM, for the loop to see after its step; the second one ends the process at once.

    A context manager. An exception raised from a signal would land anywhere, in the middle of a step or a save too.
    Of several processes each may get the signal at another step; there jax.distributed, which notes SIGTERM itself,
    finds the step at which all of them stop. (A second SIGTERM is then without effect until they have found it.)
    """

    def __init__(self) -> None:
        self._requested = False
        self._alone = jax.process_count() == 1

    def __enter__(self) -> Self:
        self._before = {number: signal.getsignal(number) for number in SIGNALS}
        for number in SIGNALS if self._alone else (signal.SIGINT,):
            signal.signal(number, self._note)
        return self

    def requested(self, step: int) -> bool:
        """Whether the run should end after `step`; the same in all processes. Ask it after every step."""
        if not self._alone and multihost_utils.reached_preemption_sync_point(step):
            self._requested = True
            signal.signal(signal.SIGTERM, self._note)
            return True
        return self._alone and self._requested

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            if handler is not None:  # None is jax.distributed's own, which Python cannot put back
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
