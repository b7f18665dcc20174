"""Runs of earlier versions: what their config keys and parameters are called today, and what missing keys mean.

A run folder carries a format version, in config.json and in each checkpoint. Every change of a key or of a parameter's
path is an entry here, and tests/old_runs holds runs that have to keep working.
"""

from collections.abc import Mapping
from typing import Any

import jax
from flax import traverse_util

from colorgan.errors import refuse_newer

# 0: until 2026-11-22, no number, and config.model has no output. 1: until 2026-11-23, no number. 2: numbered.
FORMAT_VERSION = 2
VERSION_KEY = "format_version"

# The value of each key in runs that were trained before the key existed: what the code did then. A new key of
# configs/default.py needs an entry. Weights of losses need none: `config.changes` compares a missing one as 0.
VALUES_BEFORE: dict[str, Any] = {
    "deterministic": False,
    "skip_nonfinite_steps": 0,
    "compiler_options": [],
    "data.cache": "none",
    "data.degrade": 0.0,
    "model.output": "rgb",
    "model.critic": "dense",
    "optimizer.schedule": "constant",
    "early_stop": 0,
    "model.encoder": "unet",
    "model.encoder_weights": "",
    "model.encoder_rate": 1.0,
    "model.freeze_encoder_norm": False,
    "optimizer.weight_decay": 0.0,
    "loss.adversarial_weight": 1.0,
    "init_from": "",
    "per_device_batch_size": 0,
}
# {format version: {old name: new name}}: applied to runs of earlier versions.
RENAMED_KEYS: dict[int, dict[str, str]] = {}
# The same for the path of a module in a network, such as "decoder_0/convolution", with its submodules.
RENAMED_MODULES: dict[int, dict[str, str]] = {1: {"to_rgb": "to_color"}}
# Keys that do not exist any more, with the value that means what today's code does. Runs with another are refused.
REMOVED_KEYS: dict[str, Any] = {"model.num_color_queries": 0}


def migrate_config(saved: Mapping[str, Any]) -> dict[str, Any]:
    """A run's config.json as a nested dict with today's keys.

    Raises:
      UserError: a newer version of colorgan wrote it.
    """
    config = {key: value for key, value in saved.items() if key != VERSION_KEY}
    version = config_version(saved)
    flat = traverse_util.flatten_dict(config, keep_empty_nodes=True, sep=".")
    for names in _since(RENAMED_KEYS, version):
        flat = {names.get(key, key): value for key, value in flat.items()}
    flat = {key: value for key, value in flat.items() if key not in REMOVED_KEYS or value != REMOVED_KEYS[key]}
    flat |= {key: value for key, value in VALUES_BEFORE.items() if key not in flat}
    return traverse_util.unflatten_dict(flat, sep=".")


def with_format_version(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config as it is saved: with the format version."""
    return {VERSION_KEY: FORMAT_VERSION, **config}


def config_version(saved: Mapping[str, Any]) -> int:
    """The format version of a run, from its saved config. Raises UserError if it is newer than this code."""
    version = saved.get(VERSION_KEY, 1 if "output" in saved.get("model", {}) else 0)
    refuse_newer("the run", version, FORMAT_VERSION)
    return version


def to_saved(abstract: Any, version: int) -> Any:
    """The pytree of a network as format `version` saved it.

    Args:
      abstract: shapes and types as of today: variables, or a state with `params`, `batch_stats` and `opt_state`.
      version: of the run.
    """
    for names in reversed(_since(RENAMED_MODULES, version)):
        abstract = _rename_modules(abstract, {new: old for old, new in names.items()})
    if version < 1 and hasattr(abstract, "opt_state"):  # the schedule had a count of its own, equal to Adam's
        adam, _ = abstract.opt_state
        abstract = abstract.replace(opt_state=(adam, {"count": adam.count}))
    return abstract


def to_current(restored: Any, abstract: Any, version: int) -> Any:
    """The inverse of `to_saved`: the pytree of a restored network as of today.

    Args:
      restored: arrays in the structure of `to_saved(abstract, version)`.
      abstract: see `to_saved`.
      version: of the run.
    """
    if version < 1 and hasattr(restored, "opt_state"):
        restored = restored.replace(opt_state=(restored.opt_state[0], abstract.opt_state[1]))
    for names in _since(RENAMED_MODULES, version):
        restored = _rename_modules(restored, names)
    return restored


def _since(renamed: Mapping[int, dict[str, str]], version: int) -> list[dict[str, str]]:
    return [names for number, names in sorted(renamed.items()) if number > version]


def _rename_modules(tree: Any, names: Mapping[str, str]) -> Any:
    """Renames keys in every outermost dict of `tree`: parameters, statistics, or Adam's moments of them."""

    def rename(node: Any) -> Any:
        if not isinstance(node, dict):
            return node
        flat = traverse_util.flatten_dict(node, sep="/")
        return traverse_util.unflatten_dict({_renamed(path, names): leaf for path, leaf in flat.items()}, sep="/")

    return jax.tree.map(rename, tree, is_leaf=lambda node: isinstance(node, dict))


def _renamed(path: str, names: Mapping[str, str]) -> str:
    collection, separator, inner = path.partition("/")
    if collection in ("params", "batch_stats"):
        return collection + separator + _renamed(inner, names)
    for old, new in names.items():
        if path == old or path.startswith(old + "/"):
            return new + path[len(old) :]
    return path
