"""Checks of a config, and which keys a run may change when it resumes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from colorgan.config_file import flatten, nearest_key
from colorgan.configs import default
from colorgan.data import sources
from colorgan.errors import UserError
from colorgan.evaluation.metrics import METRICS

IMAGE_SIZES = (32, 64, 128, 256, 512)
PLATFORMS = ("", "cpu", "gpu", "tpu")
CHOICES = {
    "precision": ("float32", "bfloat16"),
    "data.cache": ("none", "device", "auto"),
    "optimizer.schedule": ("constant", "cosine"),
    "best_metric": (
        "validation/score",
        *(f"validation/{name}" for name, metric in METRICS.items() if metric.higher_is_better),
    ),
}

# Keys that determine the networks, their optimizers or the order of the data: a run resumes only with the same values.
# Data may move to another place; that the number of images is the same is checked separately.
FIXED_KEYS = (
    "seed",
    "image_size",
    "batch_size",
    "precision",
    "data.load_size",
    "data.degrade",
    "model",
    "loss",
    "optimizer",
    "ema_decay",
)
# Used when a run starts, and never again.
INITIAL_KEYS = ("init_from", "model.encoder_weights")


def check_config(config: ConfigDict) -> None:
    """Raises UserError, in one sentence, for the first value that is not valid.

    Names of networks and losses are checked by what builds them.
    """

    def check(is_valid: bool, key: str, need: str) -> None:
        if not is_valid:
            raise UserError(f"config.{key} is {flat[key]!r} but must be {need}")

    flat, known = (flatten(c.to_dict()) for c in (config, default.get_config()))
    if unknown := sorted(flat.keys() - known.keys()):
        nearest = nearest_key(unknown[0], default.get_config())
        hint = f"did you mean {nearest}?" if nearest else "configs/default.py lists all keys"
        raise UserError(f"the config has unknown keys: {', '.join(unknown)}; {hint}")
    if missing := sorted(known.keys() - flat.keys()):
        raise UserError(f"the config lacks keys: {', '.join(missing)}; configs/default.py lists all keys")
    if config.model.encoder == "unet":
        check(config.image_size in IMAGE_SIZES, "image_size", f"a power of two, one of {_list(IMAGE_SIZES)}")
        for key, value in (("encoder_weights", ""), ("encoder_rate", 1.0), ("freeze_encoder_norm", False)):
            need = f"{value!r} where config.model.encoder is 'unet'"
            check(config.model[key] == value, f"model.{key}", need)
    elif not (config.model.encoder_weights or config.init_from):
        check(not config.model.freeze_encoder_norm, "model.freeze_encoder_norm", "False for random initial values")
    check(config.image_size >= 32 and config.image_size % 32 == 0, "image_size", "a multiple of 32")
    check(config.platform in PLATFORMS, "platform", "cpu, gpu, tpu or empty")
    for key, choices in CHOICES.items():
        check(flat[key] in choices, key, f"one of {_list(choices)}")
    check(
        all(isinstance(option, str) and "=" in option for option in config.compiler_options),
        "compiler_options",
        'XLA options with their values, such as ("xla_gpu_enable_latency_hiding_scheduler=true",)',
    )
    check(0 <= config.seed < 2**32, "seed", "from 0 to 2**32 - 1")
    for key in (
        "batch_size",
        "num_epochs",
        "data.num_threads",
        "model.width",
        "log_every_steps",
        "checkpoint_every_epochs",
        "num_checkpoints",
        "num_samples",
    ):
        check(flat[key] >= 1, key, "at least 1")
    weights = (f"loss.{key}" for key in config.loss)
    for key in (
        "per_device_batch_size",
        "skip_nonfinite_steps",
        "early_stop",
        "model.encoder_rate",
        "optimizer.weight_decay",
        *weights,
    ):
        check(flat[key] >= 0, key, "0 or more")
    check(config.data.num_workers >= -1, "data.num_workers", "-1 or more")
    check(config.data.load_size >= config.image_size, "data.load_size", f"at least image_size ({config.image_size})")
    for key in ("data.max_bad_fraction", "data.degrade"):
        check(0 <= flat[key] <= 1, key, "from 0 to 1")
    check(config.model.max_width >= config.model.width, "model.max_width", "at least model.width")
    for key in ("generator_learning_rate", "critic_learning_rate"):
        check(config.optimizer[key] > 0, f"optimizer.{key}", "above 0")
    for key in ("optimizer.beta1", "optimizer.beta2", "ema_decay"):
        check(0 <= flat[key] < 1, key, "from 0 to below 1")
    check(_whole_numbers(config.sample_epochs), "sample_epochs", "epochs of at least 1, such as (1, 10, 20)")
    check(
        _whole_numbers(config.profile_steps)
        and len(config.profile_steps) in (0, 2)
        and list(config.profile_steps) == sorted(config.profile_steps),
        "profile_steps",
        "empty or two steps, the first and the last, such as (10, 20)",
    )
    sources.check_name(config.data.train)
    if config.data.validation:
        sources.check_name(config.data.validation)


def set_batch_size(config: ConfigDict, num_devices: int, before: Mapping[str, Any] | None = None) -> None:
    """Sets `config.batch_size` where `config.per_device_batch_size` determines it.

    Args:
      config: a valid config, which is changed.
      num_devices: devices that share the batch.
      before: the config of the run that is resumed, whose batch size stays, on any number of devices.

    Raises:
      UserError: the batch is not divisible by the number of devices.
    """
    if config.per_device_batch_size:
        config.batch_size = before["batch_size"] if before else config.per_device_batch_size * num_devices
    if config.batch_size % num_devices:
        raise UserError(
            f"config.batch_size is {config.batch_size}, which {num_devices} devices cannot share evenly; "
            f"use a multiple of {num_devices}"
        )


def set_validation(config: ConfigDict, before: Mapping[str, Any] | None) -> None:
    """Sets an empty `config.data.validation` to that of the run that is resumed, whose config is `before`."""
    if before and not config.data.validation:
        config.data.validation = before["data"]["validation"]


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The differences between two configs: those that prevent a run from resuming, and the others.

    Each is a text such as "batch_size: 16 -> 32". A loss that one of them does not have counts as one of weight 0.
    """
    flat_old, flat_new = flatten(old), flatten(new)
    for flat, other in ((flat_old, flat_new), (flat_new, flat_old)):  # a loss that does not exist has weight 0
        flat |= {key: 0.0 for key in other.keys() - flat.keys() if key.startswith("loss.")}
    fixed: list[str] = []
    free: list[str] = []
    for key in sorted(flat_old.keys() | flat_new.keys()):
        before, after = (repr(flat[key]) if key in flat else "no such key" for flat in (flat_old, flat_new))
        if before != after:
            is_fixed = key not in INITIAL_KEYS and _is_among(key, FIXED_KEYS)
            if key == "data.validation":  # with or without images of data.train
                is_fixed = not (flat_old.get(key) and flat_new.get(key))
            (fixed if is_fixed else free).append(f"{key}: {before} -> {after}")
    return fixed, free


def hyperparameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values, by dotted key, that tell a run from others and that stay the same when it resumes."""
    names = [*FIXED_KEYS, *INITIAL_KEYS, "data.train"]
    return {key: value for key, value in flatten(config).items() if _is_among(key, names)}


def to_plain(config: ConfigDict) -> dict[str, Any]:
    """The config as JSON returns it: dicts, lists, numbers and strings."""
    return json.loads(config.to_json_best_effort())


def _whole_numbers(values: Any) -> bool:
    return isinstance(values, tuple | list) and all(type(value) is int and value >= 1 for value in values)


def _is_among(key: str, names: Sequence[str]) -> bool:
    """Whether `names` has `key` or a group that it is in."""
    return any(f"{key}.".startswith(f"{name}.") for name in names)


def _list(values: tuple[Any, ...]) -> str:
    return ", ".join(map(str, values))
