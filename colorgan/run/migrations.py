"""Runs of earlier versions: what their config keys and parameters are called today, and what missing keys mean.

A run folder carries a format version, in config.json and in each checkpoint. Every change of a key or of a parameter's
path is an entry here, and tests/old_runs holds runs that have to keep working.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
from flax import traverse_util

from colorgan.errors import refuse_newer

Path = tuple[str, ...]

# 0: until 2026-11-22, no number, and config.model has no output. 1: until 2026-11-23, no number. 2: until 2026-11-27,
# with biases before BatchNorm. 3: without.
FORMAT_VERSION = 3
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
    "model.hints": False,
    "optimizer.weight_decay": 0.0,
    "loss.adversarial_weight": 1.0,
    "init_from": "",
    "per_device_batch_size": 0,
}
# {format version: {old name: new name}}: applied to runs of earlier versions.
RENAMED_KEYS: dict[int, dict[str, str]] = {}
# The same for the path of a module in a network, such as "decoder_0/convolution", with its submodules.
RENAMED_MODULES: dict[int, dict[str, str]] = {1: {"to_rgb": "to_color"}}
# Until format version 2 the modules before these BatchNorms had a bias: {name: (name of the BatchNorm, its number minus
# the module's)}.
_NORMS_AFTER_BIAS = {
    "encoder": ("encoder_norms", -1),
    "decoder": ("decoder_norms", 0),
    "Convolution": ("BatchNorm", -1),
    "Dense": ("BatchNorm", 3),
}
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
    if version < 3:
        abstract = _map_flat(_with_biases, abstract)
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
    return _without_biases(restored) if version < 3 else restored


def _since(renamed: Mapping[int, dict[str, str]], version: int) -> list[dict[str, str]]:
    return [names for number, names in sorted(renamed.items()) if number > version]


def _map_flat(fn: Callable[[dict[Path, Any]], dict[Path, Any]], tree: Any) -> Any:
    """`fn` of every outermost dict of `tree` as {path: leaf}: variables, parameters, statistics, or Adam's moments."""

    def change(node: Any) -> Any:
        if not isinstance(node, dict):
            return node
        return traverse_util.unflatten_dict(fn(traverse_util.flatten_dict(node, keep_empty_nodes=True)))

    return jax.tree.map(change, tree, is_leaf=lambda node: isinstance(node, dict))


def _rename_modules(tree: Any, names: Mapping[str, str]) -> Any:
    return _map_flat(lambda flat: {_renamed(path, names): leaf for path, leaf in flat.items()}, tree)


def _renamed(path: Path, names: Mapping[str, str]) -> Path:
    if path[0] in ("params", "batch_stats"):
        return path[:1] + _renamed(path[1:], names)
    for old, new in names.items():
        modules = tuple(old.split("/"))
        if path[: len(modules)] == modules:
            return (*new.split("/"), *path[len(modules) :])
    return path


def _cancelled_biases(flat: Mapping[Path, Any]) -> Iterator[tuple[Path, Path]]:
    """The path of each bias that the BatchNorm after it cancels, and of that BatchNorm without its collection."""
    for *collection, module, leaf in (path for path in flat if len(path) > 1):
        name, _, number = module.rpartition("_")
        if leaf == "kernel" and collection in ([], ["params"]) and name in _NORMS_AFTER_BIAS:
            norm, difference = _NORMS_AFTER_BIAS[name]
            norm_path = (f"{norm}_{int(number) + difference}", "BatchNorm_0")
            if (*collection, *norm_path, "bias") in flat:
                yield (*collection, module, "bias"), norm_path


def _with_biases(flat: dict[Path, Any]) -> dict[Path, Any]:
    """Adds the cancelled biases to abstract parameters. They have the shapes of the BatchNorms' biases."""
    return flat | {bias: flat[(*bias[:-2], *norm, "bias")] for bias, norm in _cancelled_biases(flat)}


def _without_biases(network: Any) -> Any:
    """Subtracts the cancelled biases from the running means: the outputs stay the same."""

    def drop(flat: dict[Path, Any]) -> dict[Path, Any]:
        for bias, norm in list(_cancelled_biases(flat)):
            value, mean = flat.pop(bias, 0), ("batch_stats", *norm, "mean")
            if mean in flat:
                flat[mean] = flat[mean] - value
        return flat

    if not hasattr(network, "opt_state"):
        return _map_flat(drop, network)
    variables = _map_flat(drop, network.variables)
    return network.replace(**variables, opt_state=_map_flat(drop, network.opt_state))
