"""The command line: names, flags, configs. Misuse gets one sentence and an exit code, never a traceback."""

import argparse
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import COMMAND_ENVIRONMENT, ROOT, run_command
from etils import epath

from colorgan import __main__ as entry
from colorgan import command_line, config_file, main
from colorgan.__main__ import COMMANDS
from colorgan.configs import default
from colorgan.errors import UserError
from colorgan.version import __version__

DEFAULT = "--config=default"


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        ("main", [], "--config is missing, as in --config=default; the shipped configs are baseline, default, gpu"),
        ("main", ["--config=configs/none.py"], "there is no config file configs/none.py"),
        ("main", ["--config=broken.py"], "the config file broken.py fails: ZeroDivisionError: division by zero\n"),
        ("main", [DEFAULT, "--config.model.widht=1"], "has no key model.widht; did you mean --config.model.width?\n"),
        ("main", [DEFAULT, "--config.seed=one"], "colorgan: flag --config.seed=one: invalid literal"),
        (
            "main",
            [DEFAULT, "--num_epochs=3"],
            "'--num_epochs' is not a flag of this command; --help lists the flags; did",
        ),
        ("main", [DEFAULT, "train"], "'train' is not a flag of this command; --help lists the flags; config keys"),
        ("main", ["--config.image_size=65", DEFAULT], "config.image_size is 65 but must be a power of two"),
        ("main", [DEFAULT, "--config.data.train=folder:/no/such"], "there is no folder '/no/such'"),
        (
            "main",
            [DEFAULT, "--config.data.train=folder:x", "--config.data.validation=procedural:128"],
            "validation uses procedural:128, not your images: set",
        ),
        (
            "main",
            [DEFAULT, "--config.batch_size=64", "--config.data.train=procedural:9"],
            "config.batch_size is 64, more than the training images in procedural:9: 8 (1 more for validation); "
            "set a smaller one, or add images\n",
        ),
        ("main", [DEFAULT, "--workdir=empty.py"], "cannot write empty.py"),
        ("main", ["--config=tpu"], "config.platform is 'tpu' but JAX finds no such device here"),
        ("benchmark", [DEFAULT], "the following arguments are required: {step,input,loop}"),
        ("benchmark", ["train", DEFAULT], "invalid choice: 'train'"),
        ("evaluate", ["--workdir=/no/such", "--data=procedural:4"], "/no/such is not the folder of a run"),
        ("evaluate", ["--workdir=runs"], "--data"),
        ("evaluate", ["--workdir=runs", "--data=procedural:4", "--sizes=own"], "'--sizes' is not a flag"),
        ("evaluate", ["--workdir=runs", "--data=procedural:4", "--config.seed", "1"], "'--config.seed' is not a flag"),
        ("colorize", ["--workdir=/no/such", "--output=x", "empty.py"], "/no/such is not the folder of a run"),
        ("colorize", ["--workdir=/no/such", "--output=x", "nothing.jpg"], "there is no file or folder"),
        ("export", ["--workdir=runs", "--output=gs://bucket/a.onnx"], "gs://bucket/a.onnx is not on a disk of this"),
        ("prepare", ["--source=folder:/no/such", "--output=x", "--num_shards=1"], "there is no folder"),
        ("prepare", ["--source=zip:x", "--output=x", "--num_shards=1"], "unknown data source"),
    ],
)
def test_misuse(tmp_path, module, arguments, message):
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "empty.py").write_text("")
    done = run_command(f"colorgan.{module}", *arguments, check=False, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        ("--num_epochs=3", "did you mean --config.num_epochs=3? Config keys are set as --config.KEY=VALUE"),
        ("--num_wokers", "did you mean --config.data.num_workers? Config keys"),
        ("--optimizer.beta3", "did you mean --config.optimizer.beta"),
        ("--data=folder:x", "lists the flags; config keys are set as --config.KEY=VALUE"),
        ("seed", "lists the flags; config keys are set as --config.KEY=VALUE"),
    ],
)
def test_an_unknown_flag_that_is_a_key_of_the_config(argument, hint):
    assert hint in command_line._describe_unknown(argument, has_config=True)
    assert command_line._describe_unknown(argument, has_config=False).endswith("; --help lists the flags")


def test_every_command_has_help_and_a_name():
    for name, (module, _) in COMMANDS.items():
        done = run_command("colorgan", name, "--help", check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"usage: colorgan {name} ")
        assert (ROOT / "colorgan" / f"{module}.py").is_file()


PATHS = {
    "main": ["--workdir=~/x"],
    "evaluate": ["--data=folder:x", "--workdir=~/x", "--output=~/x", "--save_images=~/x"],
    "colorize": ["--model=~/x", "--output=~/x", "~/x"],
    "prepare": ["--source=folder:x", "--num_shards=1", "--output=~/x"],
    "export": ["--workdir=~/x", "--output=~/x"],
    "page": ["--model=~/x"],
}


@pytest.mark.parametrize("module", PATHS)
def test_paths_of_flags_may_begin_with_the_home_folder(module):
    parser = importlib.import_module(f"colorgan.{module}")._parser()
    values = vars(parser.parse_args(PATHS[module])).values()
    given = [str(value[0] if isinstance(value, list) else value) for value in values if "x" in str(value)]
    paths = [path for path in given if path != "folder:x"]
    assert paths == [str(Path.home() / "x")] * sum("~" in argument for argument in PATHS[module])


def _parser_of(module):
    return importlib.import_module(f"colorgan.{module}")._parser()


def test_help_of_training_has_every_key_with_its_comment_and_default():
    text = _parser_of("main").format_help()
    config = default.get_config()
    entries = dict(re.findall(r"^  --config\.(\S+)=(.*)$", text, re.MULTILINE))
    assert entries.keys() == config_file.flatten(config.to_dict()).keys()
    for key, value in config_file.flatten(config.to_dict()).items():
        given = eval(entries[key])
        assert (list(given) if isinstance(given, tuple) else given) == value
    for comment in re.findall(r"^    # (.*)$", (ROOT / "configs" / "default.py").read_text(), re.MULTILINE):
        assert f"\n      {comment}\n" in text
    assert re.search(
        "beta1=0.5\n  --config.optimizer.beta2=0.999\n      Learning rates and moment decays of Adam.\n", text
    )


@pytest.mark.parametrize("module", [module for module, _ in COMMANDS.values()])
def test_help_shows_every_default(module):
    for action in _parser_of(module)._actions:
        if action.option_strings and action.default not in (None, False, argparse.SUPPRESS):
            assert "default" in (action.help or ""), action.option_strings


@pytest.mark.parametrize("module", [module for module, _ in COMMANDS.values()])
def test_misuse_of_every_command_is_one_sentence_with_an_example(module, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x", "--no_such=1"])
    for arguments in (["--checkpoint=none", "--topology"], ["--workdr=1"]):
        monkeypatch.setattr(sys, "argv", ["x", *arguments])
        with pytest.raises(SystemExit) as stopped:
            command_line.run(lambda arguments: None, _parser_of(module))
        assert stopped.value.code == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "--help lists the flags" in said
        is_argparse = "is not a flag" not in said
        assert ("for example: colorgan " in said) == is_argparse


def test_a_misspelt_flag(capsys):
    flags = ["--workdir", "--config", "--process_id"]
    assert command_line._describe_unknown("--workdr=x", True, flags).endswith("; did you mean --workdir=x?")
    assert "did you mean --config.num_epochs=3?" in command_line._describe_unknown("--num_epochs=3", True, flags)


def test_next_commands_can_be_pasted_into_the_shell_that_started_the_run(tmp_path, monkeypatch):
    """It need not have activated the environment, and paths have spaces and quotes."""
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    for name in ("python", "colorgan", "tensorboard"):
        (folder / name).write_text(f'#!/bin/sh\necho {name}; for value in "$@"; do echo "$value"; done\n')
        (folder / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    for path, start in (("/usr/bin:/bin", ".venv/bin/colorgan "), (f"{folder}:/usr/bin:/bin", "colorgan ")):
        monkeypatch.setenv("PATH", path)
        text = main._next_commands(epath.Path("my runs/it's $HOME"), "folder:a b/*")
        commands = [line for line in text.partition("Next:")[2].splitlines() if line.startswith("  ")]
        assert [line.startswith(f"  {start}") for line in commands] == [True, False, True]
        done = subprocess.run(["sh", "-c", "\n".join(commands)], capture_output=True, text=True)
        workdir = "--workdir=my runs/it's $HOME"
        assert done.stdout.splitlines() == [
            *("colorgan", "evaluate", workdir, "--data=folder:a b/*"),
            *("tensorboard", "--logdir_spec=it's $HOME:my runs/it's $HOME"),
            *("colorgan", "colorize", workdir, "--output=colored"),
        ]
        assert not done.stderr


def test_tensorboard_names_runs_by_their_folder():
    assert "tensorboard --logdir=my/runs\n" in main._next_commands(epath.Path("my/runs/mine"), "validation")
    alone = main._next_commands(epath.Path("photos/mine"), "validation")  # the other folder may be large
    assert "tensorboard --logdir_spec=mine:photos/mine\n" in alone
    bucket = main._next_commands(epath.Path("gs://bucket/mine"), "validation")
    assert "tensorboard --logdir_spec=mine:gs://bucket/mine\n" in bucket
    separators = main._next_commands(epath.Path("photos/a,b"), "validation")
    assert "tensorboard --logdir=photos/a,b\n" in separators


def test_tensorboard_shows_the_name_of_a_run_in_any_folder(tmp_path):
    from tensorboard.backend.event_processing.data_ingester import _parse_event_files_spec
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboardX import SummaryWriter

    for workdir in (tmp_path / "mine", tmp_path / "runs" / "mine"):
        with SummaryWriter(str(workdir / "tensorboard")) as writer:
            writer.add_scalar("loss", 1.0, 1)
        flag, _, value = main._tensorboard_flag(epath.Path(workdir)).partition("=")
        folders = _parse_event_files_spec(value) if flag == "--logdir_spec" else {value: None}
        runs = EventMultiplexer()
        for folder, name in folders.items():
            runs.AddRunsFromDirectory(folder, name)
        runs.Reload()
        assert list(runs.Runs()) == ["mine/tensorboard"]


def test_the_end_of_a_run_names_three_pictures(tmp_path):
    def pictures():
        text = main._next_commands(epath.Path(tmp_path), "validation").partition("\n\nNext:")[0]
        return [line.strip() for line in text.partition("Worth opening:\n")[2].splitlines()]

    assert pictures() == []
    paths = [*("samples/epoch_0001.png", "samples/epoch_0010.png"), "evaluation/contact_sheet.png", "report.html"]
    first, last, sheet, report = (str(tmp_path / path) for path in paths)
    for path, expected in (
        (first, [first]),
        (last, [last, first]),
        (sheet, [last, sheet, first]),
        (report, [report, last, sheet]),
    ):
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).touch()
        assert pictures() == expected


def test_programs_that_are_not_installed_have_no_path(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert command_line.program("colorgan") == "colorgan"


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


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["colorize", "--help"]])
def test_output_that_nobody_reads_is_no_error(arguments, unbuffered):
    reader, writer = os.pipe()
    os.close(reader)  # as after `| head -1`
    command = [sys.executable, "-m", "colorgan", *arguments]
    environment = COMMAND_ENVIRONMENT | {"PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(command, env=environment, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_named_train_silently_does_nothing():
    done = run_command("colorgan.train", check=False)
    assert done.returncode != 0
    assert "No module named colorgan.train" in done.stderr


def test_a_name_and_its_file_are_the_same_config():
    named = config_file.load(config_file.find("gpu"), ["--config.batch_size=6"])
    assert named == config_file.load(ROOT / "configs" / "gpu.py", ["--config.batch_size=6"])
    assert named.batch_size == 6
    with pytest.raises(AttributeError, match="widht"):
        named.model.widht = 3


def test_values_of_every_type_can_be_set():
    flags = ["--config.deterministic", "--config.seed=-1", "--config.ema_decay=0.5", "--config.data.cache=device"]
    config = config_file.load(config_file.find("default"), [*flags, "--config.profile_steps=(1, 2)"])
    values = (config.deterministic, config.seed, config.ema_decay, config.data.cache, config.profile_steps)
    assert values == (True, -1, 0.5, "device", (1, 2))
    assert config_file.load(config_file.find("default"), ["--noconfig.deterministic"]).deterministic is False


def test_training_images_alone_are_split(tmp_path):
    """In every shipped config, whose validation images would say nothing about them."""
    photographs, validation = "--config.data.train=folder:x", "--config.data.validation="
    for name in config_file.shipped_names():
        path = config_file.find(name)
        assert config_file.load(path).data.validation != ""
        assert config_file.load(path, ["--config.seed=1"]).data.validation != ""
        assert config_file.load(path, [photographs]).data.validation == ""
        assert config_file.load(path, [f"{validation}tfds:a/b", photographs]).data.validation == "tfds:a/b"
        assert config_file.load(path, [photographs, validation]).data.validation == ""
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from colorgan.configs import default\n\n\ndef get_config():\n    config = default.get_config()\n"
        "    config.data.validation = 'folder:mine'\n    return config\n"
    )
    assert config_file.load(mine, [photographs]).data.validation == "folder:mine"


def test_an_argument_for_the_config_file(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import ml_collections\n\n\n"
        "def get_config(size='small'):\n    return ml_collections.ConfigDict({'size': size})\n"
    )
    assert config_file.load(tmp_path / "mine.py").size == "small"
    assert config_file.load(tmp_path / "mine.py", argument="large").size == "large"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "gpus",
            "there is no config file gpus and no shipped config of that name: baseline, default, gpu, pretrained, tpu",
        ),
        (
            "notes.txt",
            "--config=notes.txt must be a Python file, the config.json of a run, or one of the shipped configs: "
            "baseline, default",
        ),
        ("list.json", "list.json is not the config.json of a run: "),
        ("other.json", "other.json is not the config.json of a run: there is no key colour; configs/default.py lists"),
        ("unreadable.py", "the config file unreadable.py fails: FileNotFoundError: [Errno 2]"),
        ("wrong.py", "the config file wrong.py fails: SyntaxError: "),
        ("empty.py", "the config file empty.py has no function get_config()"),
        (
            "dict.py",
            "get_config() of dict.py returns a dict, not a ConfigDict; change and return colorgan.configs.defa",
        ),
        ("misspelt.py", "the config file misspelt.py: there is no key num_epoch; did you mean num_epochs?"),
        ("section.py", "the config file section.py: there is no key widht; did you mean model.width?"),
        ("read.py", "the config file read.py: there is no key trian; did you mean data.train?"),
        ("read_other.py", "the config file read_other.py fails: KeyError: "),
        ("own.py", "the config file own.py fails: KeyError: 'mine'"),
        ("other_key.py", "the config file other_key.py: there is no key qqqq; configs/default.py lists the keys"),
    ],
)
def test_errors_of_config_files(tmp_path, monkeypatch, name, message):
    (tmp_path / "unreadable.py").write_text("def get_config():\n    open('/no/such')\n")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "wrong.py").write_text("def")
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "other.json").write_text('{"format_version": 2, "colour": 1}')
    (tmp_path / "empty.py").write_text("")
    for file, line in (
        ("misspelt", "config.update({'num_epoch': 3})"),
        ("section", "config.model.widht = 3"),
        ("read", "config.data.trian"),
        ("read_other", "config['qqqq']"),
        ("own", "{}['mine']"),
        ("other_key", "config.qqqq = 3"),
    ):
        start = "from colorgan.configs import default\n\ndef get_config():\n    config = default.get_config()\n"
        (tmp_path / f"{file}.py").write_text(f"{start}    {line}\n")
    (tmp_path / "dict.py").write_text("def get_config():\n    return {}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        config_file.load(config_file.find(name))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("--config.colour=1", "--config.colour: the config has no key colour, configs/default.py lists the keys"),
        ("--config.widht=1", "has no key widht; did you mean --config.model.width?"),
        ("--config.seed.x=1", "--config.seed.x: the config has no key seed.x"),
        ("--config.seed", "Missing value for flag --config.seed"),
        ("--config.model=3", "flag --config.model=3: Failed to parse"),
        ("--noconfig.seed", "noconfig.seed"),
        ("--config.sample_epochs[99]=1", "cannot use a --config.KEY flag: tuple index out of range"),
    ],
)
def test_errors_of_overrides(override, message):
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        config_file.load(config_file.find("default"), ["--config.batch_size=3", override])
    assert "\n" not in str(caught.value)


def test_loading_a_config_leaves_sys_path_as_it_was(tmp_path):
    (tmp_path / "mine.py").write_text("import sys\nsys.path.append('x')\n1 / 0\n")
    before = list(sys.path)
    with pytest.raises(UserError, match="ZeroDivisionError"):
        config_file.load(tmp_path / "mine.py")
    assert sys.path == before


@pytest.mark.parametrize(
    ("arguments", "overrides", "others"),
    [
        (["--config=a", "--config.b=c d", "e"], ["--config.b=c d"], ["--config=a", "e"]),
        (["--config", "a", "--config.b", "c", "--d", "e"], ["--config.b=c"], ["--config", "a", "--d", "e"]),
        (["--config.b", "-1", "c"], ["--config.b=-1"], ["c"]),
        (["--config.b", "--config=a", "--noconfig.c"], ["--config.b", "--noconfig.c"], ["--config=a"]),
        (["--configuration=a", "--d=--config.b"], [], ["--configuration=a", "--d=--config.b"]),
    ],
)
def test_overrides_are_separated_from_other_flags(arguments, overrides, others):
    assert config_file.split_overrides(arguments) == (overrides, others)


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


def test_an_interruption_while_libraries_are_loaded(monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("runpy.run_module", interrupt)
    monkeypatch.setattr("sys.argv", ["colorgan", "colorize", "a.jpg"])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert (ended.value.code, capsys.readouterr().err) == (75, "colorgan: interrupted\n")


def test_no_test_uses_the_home_folder():
    assert Path(os.environ["XDG_CACHE_HOME"]).is_relative_to(Path.home())
    assert Path.home().name.startswith("colorgan-tests-home-")


@pytest.mark.parametrize("page", ["photographs", "troubleshooting", "video"])
def test_tests_that_the_documentation_names_exist(page):
    tests = "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    names = re.findall(r"`(test_\w+)`", (ROOT / "docs" / f"{page}.md").read_text())
    assert len(names) > 20
    assert [name for name in names if f"def {name}(" not in tests] == []
