"""Which network the page uses, in one line."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from etils import epath

from colorgan.errors import Unreachable
from colorgan.run import workdir as workdir_lib
from colorgan.run.storage import bucket_errors


def describe_network(workdir: epath.Path | None, model: Path | None, description: Mapping[str, Any]) -> str:
    """The name of the network; and its checkpoint, step, epoch and score as far as they are known.

    Args:
      workdir: the run's folder, if it is that of a run.
      model: the file, if it is an exported one. Without both it is the network that ships.
      description: `Colorizer.description`.
    """
    step = description.get("step")
    if workdir:
        metrics = _metrics_of_step(workdir, step)
        name = f"Run {workdir.name or workdir}"
    elif model:
        metrics, name = {}, f"File {model.name}"
    else:
        return "The network that ships with colorgan, for research, education and personal use"
    parts = [name]
    if checkpoint := description.get("checkpoint"):
        parts.append(f"{checkpoint} checkpoint")
    if step:
        parts.append(f"step {step:,}")
    if "train/epoch" in metrics:
        parts.append(f"epoch {metrics['train/epoch']:.4g}")
    if "validation/score" in metrics:
        parts.append(f"score {metrics['validation/score']:.3f}")
    return ", ".join(parts)


def _metrics_of_step(workdir: epath.Path, step: int | None) -> dict[str, Any]:
    """What a run has logged for a step; empty if nothing can be read."""
    with contextlib.suppress(OSError, Unreachable), bucket_errors(workdir):
        for line in reversed((workdir / workdir_lib.METRICS_FILE).read_text().splitlines()):
            with contextlib.suppress(ValueError, AttributeError):  # a line that is damaged
                if (metrics := json.loads(line)).get("step") == step:
                    return metrics
    return {}


def read_report(workdir: epath.Path | None) -> bytes | None:
    """The report of a run, HTML; None if there is none, or it cannot be read."""
    if workdir:
        with contextlib.suppress(OSError, Unreachable), bucket_errors(workdir):
            return (workdir / workdir_lib.REPORT_FILE).read_bytes()
    return None
