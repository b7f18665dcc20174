"""Loading of a config: `--config=FILE_OR_NAME` and the overrides `--config.KEY=VALUE`."""

import contextlib
import difflib
import importlib.util
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from colorgan.errors import UserError, reason

_SHIPPED_FOLDER = Path(__file__).with_name("configs")
_TEMPLATE = "change and return colorgan.configs.default.get_config() in it"
_OVERRIDE = re.compile(r"--?(no)?config\.")


def shipped_names() -> list[str]:
    """Returns the names of the configs in colorgan/configs."""
    return sorted(path.stem for path in _SHIPPED_FOLDER.glob("*.py") if path.stem != "__init__")


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Splits command line arguments into overrides of the config and all others.

    Args:
      arguments: the arguments, without the name of the program.

    Returns:
      The overrides, those in the form "--config.KEY VALUE" as "--config.KEY=VALUE", and the other arguments.
    """
    overrides, others, waiting = list[str](), list[str](), list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if not _OVERRIDE.match(argument):
            others.append(argument)
        elif "=" not in argument and waiting and not waiting[0].startswith("--"):
            overrides.append(f"{argument}={waiting.pop(0)}")
        else:
            overrides.append(argument)
    return overrides, others


def find(name: str) -> Path:
    """Returns the path of a config file.

    Args:
      name: path of a Python file or of the config.json of a run, or the name of a shipped config.

    Raises:
      UserError: there is no such file.
    """
    shipped = ", ".join(shipped_names())
    if name in shipped_names():
        return _SHIPPED_FOLDER / f"{name}.py"
    path = Path(os.path.expanduser(name))
    if not path.is_file():
        raise UserError(f"there is no config file {name} and no shipped config of that name: {shipped}")
    if path.suffix not in (".py", ".json"):
        raise UserError(
            f"--config={name} must be a Python file, the config.json of a run, or one of the shipped configs: {shipped}"
        )
    return path


def load(path: Path, overrides: Sequence[str] = (), argument: str | None = None) -> ConfigDict:
    """Loads a config file and changes the values that the overrides name.

    Args:
      path: a Python file with a function `get_config`, which returns a ConfigDict. Modules of the current folder can
        be imported by it, as in `from configs import default` in a checkout. Or the config.json of a run.
      overrides: from `split_overrides`.
      argument: argument for `get_config`; None calls it without one.

    Returns:
      The config, locked. If the overrides set `data.train` alone, `data.validation` is empty, unless the file has
      validation images of the user's own.

    Raises:
      UserError: the file does not run or has no `get_config`, or an override does not fit the config.
    """
    config = _of_run(path) if path.suffix == ".json" else _of_program(path, argument)
    _override(config, overrides)
    keys = {_key(override) for override in overrides}
    if "data.train" in keys and "data.validation" not in keys:
        _hold_out_validation(config)
    return config


def _of_run(path: Path) -> ConfigDict:
    """The config of a run of this or an earlier version, with the keys of today."""
    from colorgan.configs import default
    from colorgan.run import migrations

    config = default.get_config()
    config.loss = dict.fromkeys(config.loss, 0.0)  # of a loss that the run does not know
    try:
        flat = flatten(migrations.migrate_config(json.loads(path.read_text())))
        config.update_from_flattened_dict(
            {key: tuple(value) if isinstance(value, list) else value for key, value in flat.items()}
        )
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        key = _unknown_key(error)
        what = _describe_unknown(key) if key else reason(error)
        raise UserError(f"{path} is not the config.json of a run: {what}") from error
    return config


def _of_program(path: Path, argument: str | None) -> ConfigDict:
    spec = importlib.util.spec_from_file_location("colorgan_config_file", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        with _importable_current_folder():
            spec.loader.exec_module(module)
            get_config = getattr(module, "get_config", None)
            if get_config is not None:
                config = get_config() if argument is None else get_config(argument)
    except Exception as error:  # the file is a program, which can raise anything
        if key := _unknown_key(error):
            raise UserError(f"the config file {path}: {_describe_unknown(key)}") from error
        raise UserError(f"the config file {path} fails: {type(error).__name__}: {reason(error)}") from error
    if get_config is None:
        raise UserError(f"the config file {path} has no function get_config(); {_TEMPLATE}")
    if not isinstance(config, ConfigDict):
        raise UserError(f"get_config() of {path} returns a {type(config).__name__}, not a ConfigDict; {_TEMPLATE}")
    return config


def nearest_key(name: str, config: ConfigDict) -> str | None:
    """Returns the key of `config` that is nearest to `name`, with or without the sections before it, if one is near."""
    keys = {name: key for key in flatten(config.to_dict()) for name in (key.rpartition(".")[2], key)}
    nearest = difflib.get_close_matches(name, keys, n=1)
    return keys[nearest[0]] if nearest else None


def _unknown_key(error: Exception) -> str | None:
    """The key that a config does not have, if `error` is that of ml_collections, whose text has the whole config."""
    if not isinstance(error, AttributeError | KeyError):
        return None
    text: Any = error
    while isinstance(text, BaseException):  # an AttributeError of a KeyError of the text
        text = text.args[0] if text.args else ""
    read = r"^\W*(\w+)\W+Did you mean" + (r"|^'(\w+)'$" if isinstance(error, AttributeError) else "")
    found = re.search(rf'Key "(\w+)" does not exist|{read}', str(text))
    return next(filter(None, found.groups())) if found else None


def _describe_unknown(key: str) -> str:
    from colorgan.configs import default

    nearest = nearest_key(key, default.get_config())
    return f"there is no key {key}; " + (f"did you mean {nearest}?" if nearest else "configs/default.py lists the keys")


def describe_keys() -> str:
    """Every key of a config with its default and its comment in configs/default.py, as text for --help."""
    lines, comment, keys = list[str](), list[str](), list[str]()
    for line in [*(_SHIPPED_FOLDER / "default.py").read_text().splitlines(), "    return"]:
        text = line.strip()
        key = re.match(r"config\.(\S+) = (?!ml_collections)(.*)", text)
        if key:
            keys.append(f"--config.{key[1]}={key[2]}")
        elif keys:  # the comment stands before its keys
            lines += keys + [f"    {line}" for line in comment]
            comment, keys = [], []
        if text.startswith("# "):
            comment.append(text.removeprefix("# "))
    return "\n".join(lines)


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one with dotted keys, and lists for tuples."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat


def _key(override: str) -> str:
    return override.partition("=")[0].partition(".")[2]


def _hold_out_validation(config: ConfigDict) -> None:
    """Empties `data.validation` if it is synthetic or a public dataset, which says little about other images."""
    from colorgan.data import sources  # not at the top: --help does without

    validation = flatten(config.to_dict()).get("data.validation", "")
    if validation and not sources.is_own(validation):
        config.data.validation = ""


def _override(config: ConfigDict, overrides: Sequence[str]) -> None:
    # ml_collections knows the type of each key and how to parse it, but only as an absl flag: these are not global.
    values, arguments = flags.FlagValues(), ["colorgan", *overrides]
    try:
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=arguments)
        values(arguments)
    except (AttributeError, LookupError) as error:
        keys = flatten(config.to_dict())
        for override in overrides:
            key = _key(override)
            if key.partition("[")[0] not in keys:
                nearest = nearest_key(key, config)
                hint = f"; did you mean --config.{nearest}?" if nearest else ", configs/default.py lists the keys"
                raise UserError(f"--config.{key}: the config has no key {key}{hint}") from error
        raise UserError(f"cannot use a --config.KEY flag: {reason(error)}") from error
    except flags.Error as error:  # names the flag
        raise UserError(" ".join(str(error).split())) from error
    except (TypeError, ValueError) as error:
        raise UserError(f"cannot use a --config.KEY flag: {reason(error)}") from error


@contextlib.contextmanager
def _importable_current_folder() -> Iterator[None]:
    """Within it, modules of the current folder can be imported, after all others.

    `python -m` puts the folder on sys.path, the `colorgan` script does not.
    """
    before = list(sys.path)
    sys.path.append(os.getcwd())
    try:
        yield
    finally:
        sys.path[:] = before
