"""A run's folder: who may use it, and what it says of itself."""

import json
from pathlib import Path

from ml_collections import ConfigDict

from colorgan import config as config_lib
from colorgan import train_state
from colorgan.errors import UserError
from colorgan.monitor import LOG_FILE, METRICS_FILE
from colorgan.train_state import GANState

CONFIG_FILE, NETWORKS_FILE = "config.json", "networks.json"


def check(config: ConfigDict, workdir: Path) -> None:
    """Refuses the folder of a run of another config that has trained already; before any data is fetched."""
    try:
        before = json.loads((workdir / CONFIG_FILE).read_text())
        has_trained = (workdir / METRICS_FILE).stat().st_size > 0
    except (OSError, ValueError):  # no run yet
        return
    if has_trained:
        refuse(config_lib.changes(before, config_lib.to_plain(config))[0])


def refuse(differences: list[str]) -> None:
    """Raises UserError if there are `differences` that a run cannot go on with."""
    if differences:
        raise UserError(
            f"this run's folder holds a run of another config, which cannot go on with {'; '.join(differences)}; "
            "change that back, or start a new run with --workdir=DIR"
        )


def create(workdir: Path) -> None:
    """Makes the folder, or raises UserError if it cannot be written."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / LOG_FILE).open("a").close()
    except OSError as error:
        raise UserError(f"cannot write the run's folder: {error}; choose another with --workdir=DIR") from error


def describe(workdir: Path, config: ConfigDict, state: GANState) -> None:
    """Writes config.json and networks.json."""
    sizes = {
        "num_generator_values": train_state.num_values(state.generator.variables),
        "num_critic_values": train_state.num_values(state.critic.variables),
    }
    (workdir / CONFIG_FILE).write_text(json.dumps(config_lib.to_plain(config), indent=2) + "\n")
    (workdir / NETWORKS_FILE).write_text(json.dumps(sizes, indent=2) + "\n")
