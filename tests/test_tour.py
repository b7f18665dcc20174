"""docs/tour.md, command by command."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import COMMAND_ENVIRONMENT, ROOT, tiny_flags

COMMANDS = re.findall(r"^```sh\n(.*?)\n```$", (ROOT / "docs" / "tour.md").read_text(), re.MULTILINE | re.DOTALL)
INSTALLS, TRAINS, USES, SERVES = COMMANDS[:3], COMMANDS[3], COMMANDS[4:8], COMMANDS[8:]


def test_there_are_ten():
    assert len(COMMANDS) == 10


def _start(command: str, folder: Path) -> subprocess.Popen:
    """A command line, as a shell in which the environment is activated takes it."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
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
        said = process.communicate(timeout=seconds)[0]
    assert process.returncode == 0, command + said


def test_commands_from_training_on(tmp_path):
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    _run(" ".join([TRAINS, *(f"'{flag}'" for flag in tiny_flags())]), tmp_path)
    for command in USES:
        _run(command, tmp_path)
    assert len(list((tmp_path / "colored").iterdir())) == 128
    assert [path.name for path in (tmp_path / "stronger").iterdir()] == ["000000.png"]
    for command in SERVES:
        served = command.split(" && ")[-1]  # after its pip install, which wants a network
        with _start(f"exec {served}", tmp_path) as server:
            said = ""
            for line in server.stdout:
                said += line
                if re.search(r"http://\S+:\d+|colorgan: .*pip install -e", line):  # what is not installed is told
                    break
            else:
                pytest.fail(served + said)
            server.terminate()


@pytest.mark.slow
def test_commands_that_install(tmp_path):
    """Literally, from a clone of this checkout: pip fetches packages."""
    *_, page = COMMANDS
    commands = [*INSTALLS, "python -c 'import colorgan.main'", page.partition(" && ")[0], "python -c 'import gradio'"]
    _run(" && ".join(commands).replace("URL", f"'file://{ROOT}'"), tmp_path, seconds=390)
