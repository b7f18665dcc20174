"""How the programs for PyTorch time a step."""

import argparse
import statistics
import time
from collections.abc import Callable

import torch


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=int, default=2, help="steps per repeat")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--warm_up", type=int, default=3)


def median_seconds(step: Callable[[], torch.Tensor], arguments: argparse.Namespace) -> float:
    """Seconds of one step, which returns a loss: the median over the repeats. Waits for the device once in each."""

    def run(num_steps: int) -> float:
        start = time.perf_counter()
        for _ in range(num_steps):
            loss = step()
        assert torch.isfinite(loss)  # waits
        return (time.perf_counter() - start) / num_steps

    run(arguments.warm_up)
    return statistics.median(run(arguments.steps) for _ in range(arguments.repeats))
