"""Exceptions that end a command, text for messages, and the end of output."""

import os
import sys


class UserError(Exception):
    """Something that the user can fix (a path, a value, a file). Commands print it as one sentence and exit with 1."""


class Stopped(Exception):
    """The run ends before it is complete. The same command resumes it from the last checkpoint; exit code 75."""


class StoppedTogether(Stopped):
    """The state is saved, and all processes stopped after the same step."""


class LostProcess(Stopped):
    """Another process of the run has ended, and this one cannot continue alone."""


class Unreachable(Stopped):
    """A bucket does not answer or is too busy. A later attempt may succeed."""


def refuse_newer(what: str, version: int, known: int) -> None:
    """Raises UserError if the format `version` of `what`, a run or a file, is newer than `known`, the last one read."""
    if version > known:
        raise UserError(
            f"{what} was written by a newer version of colorgan (format {version}, this one reads up to {known}): "
            "pip install --upgrade colorgan"
        )


def reason(error: BaseException) -> str:
    """The message of another library's error in one line, or its type where it has no message."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def printable(text: str) -> str:
    """`text` with control characters, line breaks and bytes that are not UTF-8 written as escapes."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def flush_stdout() -> None:
    """Flushes stdout, also if its reader has ended, as after `| head`: Python would set an exit code for that."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
