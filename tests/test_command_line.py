"""Misuse gets one sentence and an exit code, never a traceback."""

import pytest
from conftest import run_command

DEFAULT = "--config=configs/default.py"


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        ("main", [], "--config is missing"),
        ("main", ["--config=configs/none.py"], "there is no config file configs/none.py"),
        ("main", ["--config=tests/conftest.py"], "get_config"),
        ("main", [DEFAULT, "--config.colour=1"], "names what is not there: colour\n"),
        ("main", [DEFAULT, "--config.model.widht=1"], "there: widht; did you mean width instead of widht?\n"),
        ("main", [DEFAULT, "--config.seed=one"], "colorgan: flag --config.seed=one: invalid literal"),
        ("main", [DEFAULT, "--data=folder:x"], "flag 'data'; config keys are set as --config.KEY=VALUE"),
        ("main", [DEFAULT, "train"], "'train' is no flag"),
        ("main", [DEFAULT, "--config.image_size=65"], "must be a power of two"),
        ("main", [DEFAULT, "--config.data.train=folder:/no/such"], "there is no folder '/no/such'"),
        ("main", [DEFAULT, "--config.batch_size=64", "--config.data.train=procedural:9"], "holds only 9 images"),
        ("main", [DEFAULT, "--workdir=README.md"], "cannot write the run's folder"),
        ("main", ["--config=configs/tpu.py"], "config.platform is 'tpu' but JAX finds no such device here"),
        ("evaluate", ["--workdir=/no/such", "--data=procedural:4"], "/no/such is not the folder of a run"),
        ("evaluate", ["--workdir=runs"], "--data"),
        ("colorize", ["--workdir=/no/such", "--output=/tmp/x", "README.md"], "/no/such is not the folder of a run"),
        ("colorize", ["--workdir=/no/such", "--output=/tmp/x", "nothing.jpg"], "there is no file or folder"),
        ("prepare", ["--source=folder:/no/such", "--output=/tmp/x", "--num_shards=1"], "there is no folder"),
        ("prepare", ["--source=zip:x", "--output=/tmp/x", "--num_shards=1"], "unknown data source"),
    ],
)
def test_misuse(module, arguments, message):
    done = run_command(f"colorgan.{module}", *arguments, check=False)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize("module", ["main", "prepare", "evaluate", "colorize"])
def test_help(module):
    done = run_command(f"colorgan.{module}", "--help", check=False)
    assert done.returncode == 0
    assert f"colorgan.{module}" in done.stdout
    assert "Traceback" not in done.stderr
