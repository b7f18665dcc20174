"""Runs of earlier versions keep working: see tests/old_runs/README.md."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import read_lines, run_command
from etils import epath
from PIL import Image

from colorgan import config as config_lib
from colorgan import config_file
from colorgan.configs import default
from colorgan.errors import UserError
from colorgan.inference import load_run
from colorgan.run import migrations

OLD_RUNS = Path(__file__).parent / "old_runs"
EVALUATED = json.loads((OLD_RUNS / "evaluated.json").read_text())
# What these runs were trained with and today's defaults are not.
FLAGS = {
    "2026-11-22": {
        "model.max_width": 8,
        "model.output": "rgb",
        "model.critic": "dense",
        "loss.palette_weight": 0.0,
        "loss.histogram_weight": 0.0,
        "optimizer.schedule": "constant",
        "best_metric": "validation/psnr",
        "log_every_steps": 3,
        "num_samples": 1,
    },
    "2026-11-23": {"model.max_width": 16, "optimizer.schedule": "constant", "log_every_steps": 1, "num_samples": 2},
}
SHARED = {
    "seed": 3,
    "image_size": 32,
    "batch_size": 8,
    "data.train": "procedural:24",
    "num_checkpoints": 1,
    "data.validation": "procedural:12",
    "data.load_size": 36,
    "model.width": 4,
}
STEPS_OF_TWO_EPOCHS, STEPS_OF_THREE_EPOCHS = 6, 9


@pytest.fixture(params=FLAGS)
def old_run(request, tmp_path):
    return shutil.copytree(OLD_RUNS / request.param, tmp_path / request.param)


def _evaluate(workdir):
    done = run_command("colorgan.evaluate", f"--workdir={workdir}", "--data=procedural:12")
    return json.loads(done.stdout.splitlines()[-1])


def test_colorize_evaluate_and_export(old_run, tmp_path):
    result = _evaluate(old_run)
    assert result["step"] == STEPS_OF_TWO_EPOCHS
    for name, value in EVALUATED[old_run.name].items():
        assert result["prediction"][name] == pytest.approx(value, rel=2e-3), name
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)).save(tmp_path / "gray.png")
    arguments = (f"--workdir={old_run}", f"--output={tmp_path / 'colored'}", str(tmp_path / "gray.png"))
    run_command("colorgan.colorize", *arguments)
    with Image.open(tmp_path / "colored" / "gray.png") as colored:
        assert colored.size == (30, 20)
    done = run_command("colorgan.export", f"--workdir={old_run}", f"--output={tmp_path / 'old.stablehlo'}")
    assert json.loads(done.stdout.splitlines()[-1])["difference"]["max"] < 0.5


def test_resume(old_run):
    flags = [f"--config.{key}={value}" for key, value in (SHARED | FLAGS[old_run.name]).items()]
    before = read_lines(old_run)
    done = run_command("colorgan.main", "--config=default", f"--workdir={old_run}", *flags, "--config.num_epochs=3")
    assert f"resuming from step {STEPS_OF_TWO_EPOCHS}" in done.stdout
    lines = read_lines(old_run)
    assert lines[: len(before)] == before
    assert lines[-1]["step"] == STEPS_OF_THREE_EPOCHS
    # The next epoch of a run that has the parameters, the optimizers' moments and the averages that were saved.
    assert lines[-1]["train/generator/l1"] == pytest.approx(before[-1]["train/generator/l1"], rel=0.3)
    config = json.loads((old_run / "config.json").read_text())
    assert config["format_version"] == migrations.FORMAT_VERSION
    assert _evaluate(old_run)["step"] in (STEPS_OF_TWO_EPOCHS, STEPS_OF_THREE_EPOCHS)


def test_its_config_file_is_its_config(old_run):
    """With it a run resumes although the shipped config is another one today."""
    config = config_file.load(config_file.find(str(old_run / "config.json")), ["--config.num_epochs=3"])
    config_lib.check_config(config)
    expected = default.get_config()
    expected.update_from_flattened_dict(SHARED | FLAGS[old_run.name] | {"num_epochs": 3})
    fixed, _ = config_lib.changes(expected.to_dict(), config.to_dict())
    assert not fixed
    saved = migrations.migrate_config(json.loads((old_run / "config.json").read_text()))
    assert config_lib.changes(saved, config_lib.to_plain(config)) == ([], ["num_epochs: 2 -> 3"])


@pytest.mark.parametrize(("num_queries", "is_used"), [(0, True), (64, False)])
def test_a_key_that_was_removed(tmp_path, num_queries, is_used):
    workdir = shutil.copytree(OLD_RUNS / "2026-11-23", tmp_path / "run")
    saved = json.loads((workdir / "config.json").read_text())
    saved["model"]["num_color_queries"] = num_queries
    (workdir / "config.json").write_text(json.dumps(saved))
    if is_used:
        assert load_run.load_run(epath.Path(workdir), "latest").step == STEPS_OF_TWO_EPOCHS
    else:
        with pytest.raises(UserError, match="of another version of colorgan"):
            load_run.load_run(epath.Path(workdir), "latest")


def test_a_difference_from_an_old_run_is_refused_by_name(tmp_path):
    workdir = shutil.copytree(OLD_RUNS / "2026-11-22", tmp_path / "run")
    flags = [f"--config.{key}={value}" for key, value in (SHARED | FLAGS["2026-11-22"]).items()]
    done = run_command(
        "colorgan.main",
        "--config=default",
        f"--workdir={workdir}",
        *flags,
        "--config.model.critic=patch",
        check=False,
    )
    assert done.returncode == 1
    assert "model.critic: 'dense' -> 'patch'" in done.stderr


def test_every_key_without_a_value_before_is_in_the_oldest_run():
    """A new config key needs an entry in `migrations.VALUES_BEFORE`, to resume old runs; losses need none."""
    oldest = json.loads((OLD_RUNS / "2026-11-22" / "config.json").read_text())
    migrated = config_lib.flatten(migrations.migrate_config(oldest))
    known = config_lib.flatten(config_lib.to_plain(default.get_config()))
    losses = {"loss.palette_weight", "loss.histogram_weight", "loss.feature_weight"}
    assert known.keys() - migrated.keys() == losses
    assert migrated.keys() <= known.keys()


def test_renamed_keys_and_modules_are_migrated(tmp_path, monkeypatch):
    """As if a later version called `best_metric` and the module `to_color` by other names."""
    monkeypatch.setattr(migrations, "RENAMED_KEYS", {2: {"best": "precision"}, 3: {"best_metric": "rank_by"}})
    migrated = migrations.migrate_config({"best": "float32", "best_metric": "x", "model": {"width": 4}})
    assert (migrated["precision"], migrated["rank_by"], migrated["model"]["width"]) == ("float32", "x", 4)
    assert "best_metric" not in migrated
    monkeypatch.undo()

    workdir = epath.Path(shutil.copytree(OLD_RUNS / "2026-11-22", tmp_path / "run"))
    before = load_run.load_run(workdir, "best").variables  # `to_rgb` became `to_color` in format 1
    assert "to_color" in before["params"]
    monkeypatch.setattr(migrations, "RENAMED_MODULES", migrations.RENAMED_MODULES | {2: {"to_color": "head"}})
    after = migrations.to_current(before, None, 1)
    assert "to_color" not in after["params"]
    monkeypatch.setattr(load_run, "abstract_variables", lambda *arguments: after)
    restored = load_run.load_run(workdir, "best").variables
    np.testing.assert_array_equal(restored["params"]["head"]["kernel"], before["params"]["to_color"]["kernel"])


def test_a_newer_format_is_refused(tmp_path):
    workdir = shutil.copytree(OLD_RUNS / "2026-11-23", tmp_path / "run")
    config = json.loads((workdir / "config.json").read_text())
    (workdir / "config.json").write_text(json.dumps({"format_version": migrations.FORMAT_VERSION + 1} | config))
    with pytest.raises(UserError, match="newer version of colorgan .*pip install --upgrade colorgan"):
        load_run.load_run(epath.Path(workdir), "best")
