"""Runs the commands of docs/tour.md."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import COMMAND_ENVIRONMENT, ROOT, tiny_flags

COMMANDS = re.findall(r"^```sh\n(.*?)\n```$", (ROOT / "docs" / "tour.md").read_text(), re.MULTILINE | re.DOTALL)
INSTALL, TRAIN, USE, SERVE = COMMANDS[:3], COMMANDS[3], COMMANDS[4:8], COMMANDS[8:]


def test_there_are_ten_commands():
    assert len(COMMANDS) == 10


def _start(command: str, folder: Path) -> subprocess.Popen:
    """Starts a command line in a shell where the environment is activated."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    if shutil.which("colorgan", path=path) is None:  # colorgan is on PYTHONPATH, but not installed
        shim = folder / "bin" / "colorgan"
        shim.parent.mkdir(exist_ok=True)
        shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m colorgan "$@"\n')
        shim.chmod(0o755)
    path = f"{folder / 'bin'}:{path}"
    environment = COMMAND_ENVIRONMENT | {"PATH": path, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _run(command: str, folder: Path, seconds: int = 200) -> None:
    with _start(command, folder) as process:
        output = process.communicate(timeout=seconds)[0]
    assert process.returncode == 0, command + output


def test_commands_after_the_installation(tmp_path):
    _run(" ".join([TRAIN, *(f"'{flag}'" for flag in tiny_flags())]), tmp_path)
    for command in USE:
        _run(command, tmp_path)
    assert len(list((tmp_path / "colored").iterdir())) == 128
    assert [path.name for path in (tmp_path / "stronger").iterdir()] == ["000000.png"]
    for command in SERVE:
        served = command.split(" && ")[-1]  # without its pip install, which needs a network
        with _start(f"exec {served}", tmp_path) as server:
            assert server.stdout is not None
            output = ""
            for line in server.stdout or ():
                output += line
                if re.search(r"http://\S+:\d+|colorgan: .*pip install", line):  # the second if Gradio is not installed
                    break
            else:
                pytest.fail(served + output)
            server.terminate()


@pytest.mark.slow
def test_installation_commands(tmp_path):
    """Installs from a clone of this checkout; pip downloads packages."""
    *_, page = COMMANDS
    checks = [".venv/bin/colorgan --help", "python -c 'import colorgan.main'"]
    commands = [*INSTALL, *checks, page.partition(" && ")[0], "python -c 'import gradio'"]
    _run(" && ".join(commands).replace("URL", f"'file://{ROOT}'"), tmp_path, seconds=390)
