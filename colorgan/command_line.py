"""How every command starts and ends: flags in, one sentence and an exit code out."""

import argparse
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jax
from absl import flags
from ml_collections import ConfigDict, config_flags

from colorgan import library_patches
from colorgan.errors import Stopped, StoppedTogether, UserError
from colorgan.run.preemption import EXIT_TRY_AGAIN, leave_at_once

EXIT_ERROR, EXIT_USAGE = 1, 2
_CONFIGS = Path(__file__).parent / "configs"


def create_parser(command: str, description: str | None) -> argparse.ArgumentParser:
    """The parser of `colorgan COMMAND`."""
    return argparse.ArgumentParser(
        f"colorgan {command}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_config_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --config, and with it --config.KEY=VALUE. `run` sets `config` and `config_name` of the arguments."""
    parser.add_argument(
        "--config",
        metavar="FILE_OR_NAME",
        help=f"a config file, or one of {', '.join(shipped_configs())}; --config.KEY=VALUE sets a key",
    )


def shipped_configs() -> list[str]:
    """The names of the configs in the package."""
    return sorted(path.stem for path in _CONFIGS.glob("[!_]*.py"))


def run(main: Callable[[argparse.Namespace], Any], parser: argparse.ArgumentParser) -> None:
    """Parses the command line and calls `main`; a `UserError` becomes one line on stderr and exit code 1."""
    has_config = any(action.dest == "config" for action in parser._actions)
    # ml_collections parses --config.KEY by the type of its value, as absl flags, which argparse cannot know.
    config_flag_values, others = _split(sys.argv[1:]) if has_config else ([], sys.argv[1:])
    arguments, unknown = parser.parse_known_args(others)
    if has_config:
        if not any(flag.startswith("--config=") for flag in config_flag_values):
            _exit(f"--config is missing, as in --config=default; there are {', '.join(shipped_configs())}", EXIT_USAGE)
        arguments.config_name, arguments.config = load_config(config_flag_values)
    if unknown:
        _exit(_describe_unknown(unknown[0], arguments.config if has_config else None), EXIT_USAGE)
    # With a config: until training handles them.
    handlers = {signal.SIGINT: leave_at_once, signal.SIGTERM: leave_at_once}
    for number, handler in handlers.items() if has_config else ((signal.SIGTERM, signal.default_int_handler),):
        signal.signal(number, handler)
    _guard(lambda: main(arguments))


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """--config and its keys, as --NAME=VALUE, and all other arguments."""
    config, others, rest = [], [], list(argv)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if name == "--config" or name.startswith("--config."):
            if not equals and rest and not rest[0].startswith("--"):
                equals, value = "=", rest.pop(0)
            config.append(name + equals + value)
        else:
            others.append(name + equals + value)
    return config, others


def load_config(config_flag_values: Sequence[str]) -> tuple[str, ConfigDict]:
    """The name of a config and the config, from --config=FILE_OR_NAME and --config.KEY=VALUE. Exits if it cannot."""
    resolved = [
        f"--config={_find_config(flag.removeprefix('--config='))}" if flag.startswith("--config=") else flag
        for flag in config_flag_values
    ]
    # So that a file in a checkout can say `from configs import default`, however colorgan was started.
    sys.path.append(os.getcwd())
    try:
        values = flags.FlagValues()
        config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=resolved)
        values(["colorgan", *resolved])
        config = values["config"].value
        if not isinstance(config, ConfigDict):
            raise TypeError(f"get_config() returns a {type(config).__name__}, not a ConfigDict")
        return Path(values["config"].config_filename).stem, config
    except (AttributeError, KeyError, flags.UnrecognizedFlagError) as error:
        name, _, hint = _text(error).replace("'", "").partition(" Did you mean ")
        hint = f"; did you mean {hint}" if hint else ""
        _exit(
            f"--config, or one of its --config.KEY flags, names something that does not exist: {name}{hint}", EXIT_ERROR
        )
    except flags.Error as error:
        _exit(str(error), EXIT_ERROR)
    except (TypeError, ValueError) as error:
        _exit(f"cannot use --config or one of its --config.KEY flags: {_text(error)}", EXIT_ERROR)
    except Exception as error:  # a config file is Python: any error is possible
        _exit(f"the config file fails: {type(error).__name__}: {_text(error)}", EXIT_ERROR)
    finally:
        sys.path.pop()


def _find_config(file_or_name: str) -> str:
    """The path of a config file; what follows a colon is passed to its get_config."""
    name, colon, argument = file_or_name.partition(":")
    path = Path(name)
    if not path.is_file() and name in shipped_configs():
        path = _CONFIGS / f"{name}.py"
    if not path.is_file():
        _exit(f"there is no config file {path}, and no config of that name: {', '.join(shipped_configs())}", EXIT_ERROR)
    if path.suffix != ".py":
        _exit(f"--config={path} must be a Python file, as configs/default.py is", EXIT_ERROR)
    return f"{path}{colon}{argument}"


def _describe_unknown(argument: str, config: ConfigDict | None) -> str:
    name, equals, value = argument.partition("=")
    message = f"{name!r} is not a flag of this command; --help lists them"
    if config is None:
        return message
    if config.get(name.removeprefix("--")) is not None:
        return f"{message}; a key of the config is set as --config.{name.removeprefix('--')}{equals}{value}"
    return f"{message}; config keys are set as --config.KEY=VALUE"


def _guard(main: Callable[[], Any]) -> None:
    library_patches.silence_libraries()
    logging.basicConfig(format="%(message)s", force=True)  # absl and others have installed their own
    logging.getLogger("colorgan").setLevel(logging.INFO)
    try:
        main()
        _flush_stdout()
    except BrokenPipeError:
        _flush_stdout()
    except UserError as error:
        _exit(str(error), EXIT_ERROR, at_once=jax.distributed.is_initialized())
    except StoppedTogether as stopped:
        _exit(str(stopped), EXIT_TRY_AGAIN)
    except Stopped as stopped:
        _exit(str(stopped), EXIT_TRY_AGAIN, at_once=jax.distributed.is_initialized())
    except KeyboardInterrupt:
        _exit("interrupted", EXIT_TRY_AGAIN, at_once=True)
    except Exception:
        if not jax.distributed.is_initialized():
            raise
        traceback.print_exc()
        _exit("unexpected error (traceback above)", EXIT_ERROR, at_once=True)


def _text(error: Exception) -> str:
    # ml_collections puts the repr of one error into the next, so quotes and line breaks are escaped.
    text = str(error).replace("\\n", " ").replace("\\", "")
    return " ".join(text.replace('"', "'").strip("'").split())


def _flush_stdout() -> None:
    """Flushes stdout, also if its reader has ended, as after `| head`: Python would set an exit code for that."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _exit(message: str, code: int, at_once: bool = False) -> NoReturn:
    """Ends the process, with an orderly exit or `at_once`.

    An orderly exit can crash while XLA's threads are running, and waits minutes for other processes that have ended.
    """
    _flush_stdout()
    print(f"colorgan: {message}", file=sys.stderr, flush=True)
    if at_once:
        os._exit(code)
    sys.exit(code)
