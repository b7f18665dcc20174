"""`colorgan COMMAND`, also `python -m colorgan COMMAND`."""

import contextlib
import difflib
import os
import runpy
import sys

from colorgan.errors import flush_stdout
from colorgan.version import __version__

# The module of each command, and what it does.
COMMANDS = {
    "train": ("main", "train a run, or resume it"),
    "evaluate": ("evaluate", "measure how well a run colors a set of images"),
    "colorize": ("colorize", "color photographs and videos"),
    "prepare": ("prepare", "write a set of images as shards, which load faster"),
    "export": ("export", "write a run's generator to one file"),
    "report": ("report", "draw the report of a run, or of several side by side"),
    "page": ("page", "color photographs in the browser"),
    "benchmark": ("benchmark", "measure the speed of training and of its parts"),
    "compile-ahead": ("compile_ahead", "compile the training step for absent GPUs or TPUs, and print its cost"),
}


def main() -> None:
    """Runs a command exactly as `python -m colorgan.MODULE` does.

    `runpy` also makes the module `__main__` for data workers, which import it again.
    """
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("--help", "-h", "help"):
        _print(_usage())
        sys.exit(0 if len(sys.argv) > 1 else 2)
    if name in ("--version", "-V"):
        _print(f"colorgan {__version__}")
        return
    name = name.replace("_", "-")
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"; did you mean {close[0]}?" if close else f": use one of {', '.join(COMMANDS)}"
        print(f"colorgan: {sys.argv[1]!r} is not a command{hint}", file=sys.stderr)
        sys.exit(2)
    module, _ = COMMANDS[name]
    sys.argv = [f"colorgan {name}", *sys.argv[2:]]
    try:
        runpy.run_module(f"colorgan.{module}", run_name="__main__", alter_sys=True)
    except KeyboardInterrupt:  # while libraries are loaded: later, the command itself answers
        print("colorgan: interrupted", file=sys.stderr)
        sys.exit(os.EX_TEMPFAIL)


def _print(text: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # as after `| head`, where stdout has no buffer
        print(text)
    flush_stdout()


def _usage() -> str:
    lines = [f"  {name:15}{text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        ["usage: colorgan COMMAND [FLAGS]", "", "Turns gray photographs into color.", "", *lines, ""]
        + ["colorgan COMMAND --help lists the flags of a command; colorgan --version prints the version."]
    )


if __name__ == "__main__":
    main()
