"""The command line: names, flags, configs. Misuse gets one sentence and an exit code, never a traceback."""

import shutil
from pathlib import Path

import pytest
from conftest import ROOT, run_command

from colorgan import command_line
from colorgan.__main__ import COMMANDS
from colorgan.version import __version__

DEFAULT = "--config=default"


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        ("main", [], "--config is missing"),
        ("main", ["--config=configs/none.py"], "there is no config file configs/none.py"),
        ("main", ["--config=gpus"], "no config of that name: baseline, default, gpu, tpu"),
        ("main", ["--config=broken.py"], "the config file fails: ZeroDivisionError: division by zero"),
        ("main", ["--config=empty.py"], "get_config"),
        ("main", ["--config=dict.py"], "get_config() returns a dict, not a ConfigDict"),
        ("main", [DEFAULT, "--config.colour=1"], "does not exist: colour\n"),
        ("main", [DEFAULT, "--config.model.widht=1"], "exist: widht; did you mean width instead of widht?\n"),
        ("main", [DEFAULT, "--config.seed=one"], "colorgan: flag --config.seed=one: invalid literal"),
        ("main", [DEFAULT, "--data=folder:x"], "'--data' is not a flag of this command"),
        ("main", [DEFAULT, "--num_epochs=3"], "a key of the config is set as --config.num_epochs=3"),
        ("main", [DEFAULT, "train"], "'train' is not a flag"),
        ("main", [DEFAULT, "--config.image_size=65"], "must be a power of two"),
        ("main", [DEFAULT, "--config.data.train=folder:/no/such"], "there is no folder '/no/such'"),
        ("main", [DEFAULT, "--config.batch_size=64", "--config.data.train=procedural:9"], "holds only 9 images"),
        ("main", [DEFAULT, "--workdir=empty.py"], "cannot write the run's folder"),
        ("main", ["--config=tpu"], "config.platform is 'tpu' but JAX finds no such device here"),
        ("benchmark", [DEFAULT], "the following arguments are required: part"),
        ("benchmark", ["train", DEFAULT], "invalid choice: 'train'"),
        ("evaluate", ["--workdir=/no/such", "--data=procedural:4"], "/no/such is not the folder of a run"),
        ("evaluate", ["--workdir=runs"], "--data"),
        ("evaluate", ["--workdir=runs", "--data=procedural:4", "--sizes=own"], "'--sizes' is not a flag"),
        ("colorize", ["--workdir=/no/such", "--output=x", "empty.py"], "/no/such is not the folder of a run"),
        ("colorize", ["--workdir=/no/such", "--output=x", "nothing.jpg"], "there is no file or folder"),
        ("prepare", ["--source=folder:/no/such", "--output=x", "--num_shards=1"], "there is no folder"),
        ("prepare", ["--source=zip:x", "--output=x", "--num_shards=1"], "unknown data source"),
    ],
)
def test_misuse(tmp_path, module, arguments, message):
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "dict.py").write_text("def get_config():\n    return {}\n")
    done = run_command(f"colorgan.{module}", *arguments, check=False, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_every_command_has_help_and_a_name():
    for name, (module, _) in COMMANDS.items():
        done = run_command("colorgan", name, "--help", check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"usage: colorgan {name} ")
        assert (ROOT / "colorgan" / f"{module}.py").is_file()


def test_commands_are_listed():
    done = run_command("colorgan", "--help")
    assert [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")] == list(COMMANDS)
    alone = run_command("colorgan", check=False)
    assert (alone.returncode, alone.stdout) == (2, done.stdout)
    assert run_command("colorgan", "--version").stdout == f"colorgan {__version__}\n"
    unknown = run_command("colorgan", "colorise", check=False)
    assert (unknown.returncode, unknown.stderr) == (
        2,
        "colorgan: 'colorise' is not a command; did you mean colorize?\n",
    )


def test_nothing_named_train_silently_does_nothing():
    done = run_command("colorgan.train", check=False)
    assert done.returncode != 0
    assert "No module named colorgan.train" in done.stderr


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")  # of ml_collections
def test_a_name_and_its_file_are_the_same_config():
    named = command_line.load_config(["--config=gpu", "--config.batch_size=6"])
    assert named == command_line.load_config([f"--config={ROOT}/configs/gpu.py", "--config.batch_size=6"])
    assert named[0] == "gpu"
    assert named[1].batch_size == 6


@pytest.mark.parametrize(
    ("argv", "config", "others"),
    [
        (["--config=a", "--config.b=c d", "e"], ["--config=a", "--config.b=c d"], ["e"]),
        (["--config", "a", "--config.b", "c", "--d", "e"], ["--config=a", "--config.b=c"], ["--d", "e"]),
        (["--config.deterministic", "--config=a"], ["--config.deterministic", "--config=a"], []),
        (["--configuration=a", "--d=--config"], [], ["--configuration=a", "--d=--config"]),
    ],
)
def test_config_flags_are_separated_from_others(argv, config, others):
    assert command_line._split(argv) == (config, others)


@pytest.mark.parametrize("module", ["colorgan", "colorgan.main"])
def test_a_config_of_a_checkout_imports_its_neighbors(tmp_path, module):
    """A user's file with `from configs import default`, run from the checkout."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "mine.py").write_text(
        "from configs import default\n\n\ndef get_config():\n    config = default.get_config()\n"
        "    config.image_size = 65\n    return config\n"
    )
    names = ["train"] if module == "colorgan" else []
    done = run_command(module, *names, "--config=mine.py", check=False, cwd=tmp_path)
    assert "config.image_size is 65" in done.stderr


def test_no_test_uses_the_home_folder():
    assert Path.home() != Path(shutil.os.path.expanduser("~root"))
    assert Path.home().name.startswith("colorgan-tests-home-")
