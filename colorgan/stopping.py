"""Ending a run when it is told to, between two steps."""

import os
import signal
from types import FrameType, TracebackType
from typing import Self

import jax
from jax.experimental import multihost_utils

SIGNALS = (signal.SIGINT, signal.SIGTERM)
EXIT_TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: stopped, and the same command goes on


class Stopped(Exception):
    """The run has saved its state and ends before it is complete; the text says how to go on."""


class StopSignals:
    """Notes Ctrl-C and SIGTERM, for the loop to see after its step; the second one ends the process at once.

    A context manager. An exception raised from a signal would land anywhere, in the middle of a step or a save too.
    Of several processes each may get the signal at another step; there jax.distributed, which notes SIGTERM itself,
    finds the step at which all of them stop.
    """

    def __init__(self) -> None:
        self._requested = False

    def __enter__(self) -> Self:
        numbers = SIGNALS if jax.process_count() == 1 else ()
        self._before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def requested(self, step: int) -> bool:
        """Whether the run should end after `step`; the same in all processes. Ask it after every step."""
        if jax.process_count() == 1:
            return self._requested
        return multihost_utils.reached_preemption_sync_point(step)

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
