"""Start and end of every command: flags, signals, messages and exit codes."""

import argparse
import difflib
import faulthandler
import io
import logging
import os
import shlex
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import jax

from colorgan import config_file, library_patches
from colorgan.configs import default
from colorgan.errors import Stopped, StoppedTogether, UserError, flush_stdout, printable
from colorgan.run.preemption import EXIT_TRY_AGAIN, leave_at_once

EXIT_ERROR, EXIT_USAGE = 1, 2


class _Parser(argparse.ArgumentParser):
    """Reports misuse in one sentence, with an example."""

    def error(self, message: str) -> NoReturn:
        _exit(f"{message}; {self.epilog}; --help lists the flags", EXIT_USAGE)


def create_parser(command: str, description: str | None, example: str) -> argparse.ArgumentParser:
    """Returns a parser for `colorgan COMMAND`, without flags.

    Args:
      command: the name of the command.
      description: text for --help.
      example: arguments of the command, for --help and messages.
    """
    return _Parser(
        f"colorgan {command}",
        description=description,
        epilog=f"for example: colorgan {command} {example}".rstrip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_config_flag(parser: argparse.ArgumentParser, lists_keys: bool = False) -> None:
    """Adds --config, and with it --config.KEY=VALUE; with `lists_keys`, --help has all keys."""
    names = ", ".join(config_file.shipped_names())
    parser.add_argument(
        "--config", metavar="FILE_OR_NAME", help=f"a config file, the config.json of a run, or one of {names}"
    )
    # For --help alone: `run` takes these flags out before argparse sees them.
    key_help = f"sets a key of the config; {'listed below' if lists_keys else 'colorgan train --help lists them'}"
    parser.add_argument("--config.KEY", metavar="VALUE", default=argparse.SUPPRESS, help=key_help)
    if lists_keys:
        parser.add_argument_group(
            "keys of the config, with the values of --config=default", config_file.describe_keys()
        )


def program(name: str) -> str:
    """How a shell that need not have activated this environment starts a program of it, quoted."""
    path = Path(sys.executable).with_name(name)
    if not path.exists() or (found := shutil.which(name)) and os.path.samefile(found, path):
        return name
    folder = Path.cwd()
    return shlex.quote(str(path.relative_to(folder) if path.is_relative_to(folder) else path))


def between(low: float, high: float) -> Callable[[str], float]:
    """A type for argparse: a number from `low` to `high`."""

    def number(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not from {low:g} to {high:g}")
        return value

    return number


def counts(text: str) -> tuple[int, ...]:
    """A type for argparse: numbers of 0 or more, such as "0,1,10"."""
    if not all(part.isdecimal() for part in text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as 0,1,10")
    return tuple(int(part) for part in text.split(","))


def run(main: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser) -> None:
    """Parses the command line and calls `main`. A `UserError` becomes one line on stderr and exit code 1.

    Args:
      main: called with the arguments. If there is a --config flag, their `config` is the ConfigDict with all
        --config.KEY=VALUE applied, and `config_name` is the name of its file without suffix.
      parser: from `create_parser`, with the flags of the command.
    """
    overrides, others = config_file.split_overrides(sys.argv[1:])
    try:
        arguments, unknown = parser.parse_known_args(others)
    except SystemExit:  # after --help
        flush_stdout()
        raise
    except BrokenPipeError as error:  # of --help, by the argparse of Python 3.11.2
        flush_stdout()
        raise SystemExit(0) from error
    has_config = "config" in arguments
    if not has_config:
        unknown = [*overrides, *unknown]
    if unknown:
        flags = [flag for flag in parser._option_string_actions if flag.startswith("--")]
        _exit(_describe_unknown(unknown[0], has_config, flags), EXIT_USAGE)
    if not has_config:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
        _call(lambda: main(arguments))
        return
    if arguments.config is None:
        names = ", ".join(config_file.shipped_names())
        _exit(f"--config is missing, as in --config=default; the shipped configs are {names}", EXIT_USAGE)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave_at_once)  # until training installs its own handlers
    _call(lambda: main(_with_config(arguments, overrides)))


def _with_config(arguments: argparse.Namespace, overrides: Sequence[str]) -> argparse.Namespace:
    name, colon, argument = arguments.config.partition(":")
    path = config_file.find(name)
    config = config_file.load(path, overrides, argument if colon else None)
    return argparse.Namespace(**(vars(arguments) | {"config": config, "config_name": path.stem}))


def _describe_unknown(argument: str, has_config: bool, flags: Sequence[str] = ()) -> str:
    name, equals, value = argument.partition("=")
    message = f"{name!r} is not a flag of this command; --help lists the flags"
    if near := difflib.get_close_matches(name, flags, 1, 0.75):
        return f"{message}; did you mean {near[0]}{equals}{value}?"
    if not has_config:
        return message
    nearest = config_file.nearest_key(name.lstrip("-"), default.get_config()) if name.startswith("-") else None
    if nearest:
        message = f"{message}; did you mean --config.{nearest}{equals}{value}?"
        return f"{message} Config keys are set as --config.KEY=VALUE"
    return f"{message}; config keys are set as --config.KEY=VALUE"


def _call(main: Callable[[], None]) -> None:
    library_patches.silence_libraries()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text; stderr does this anyway
    faulthandler.enable()  # prints a traceback when a library crashes the process
    logging.basicConfig(format="%(message)s", force=True)  # absl and others have installed their own
    logging.getLogger("colorgan").setLevel(logging.INFO)
    try:
        main()
        flush_stdout()
    except BrokenPipeError:
        flush_stdout()
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


def _exit(message: str, code: int, at_once: bool = False) -> NoReturn:
    """Prints a message and ends the process.

    Args:
      message: one sentence.
      code: the exit code.
      at_once: skips Python's normal exit, which can crash while XLA's threads are running, and waits minutes for
        other processes of the run that have ended.
    """
    flush_stdout()
    print(f"colorgan: {printable(message)}", file=sys.stderr, flush=True)
    if at_once:
        os._exit(code)
    sys.exit(code)
