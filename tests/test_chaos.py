"""A run that is killed and resumed is equal to an uninterrupted run."""

import shutil

import chaos
from conftest import COMMAND_ENVIRONMENT


def test_killed_run_is_equal_to_uninterrupted_run(tmp_path, monkeypatch):
    """Three kills; `make chaos` does 28."""
    monkeypatch.setattr(chaos, "ENVIRONMENT", COMMAND_ENVIRONMENT)
    chaos.make_images(tmp_path / "train", chaos.STEPS_PER_EPOCH * chaos.BATCH_SIZE, seed=1)
    chaos.make_images(tmp_path / "validation", chaos.NUM_VALIDATION, seed=2)
    num_epochs = 6
    chaos.run(chaos.command(tmp_path, tmp_path / "uninterrupted", num_epochs))
    kills = chaos.run_with_kills(tmp_path, tmp_path / "killed", num_epochs, num_kills=3, seed=0)
    assert len(kills) == 3
    assert any(kill.in_save for kill in kills)
    assert kills[-1].checkpoint >= 2 * chaos.STEPS_PER_EPOCH  # each start resumed from the one before
    assert len(chaos.train_lines(tmp_path / "killed")) == num_epochs * chaos.STEPS_PER_EPOCH
    assert chaos.differences(tmp_path / "uninterrupted", tmp_path / "killed") == []


def test_differences_are_found(finished_run, tmp_path):
    """The comparison above can fail."""
    workdir = shutil.copytree(finished_run, tmp_path / "run")
    assert chaos.differences(finished_run, workdir) == []
    metrics = (workdir / "metrics.jsonl").read_text().splitlines(keepends=True)
    (workdir / "metrics.jsonl").write_text("".join([*metrics[:2], metrics[1], *metrics[3:]]))
    shutil.rmtree(workdir / "checkpoints" / "6" / "critic")
    shutil.copytree(workdir / "checkpoints" / "3" / "critic", workdir / "checkpoints" / "6" / "critic")
    found = chaos.differences(finished_run, workdir)
    assert "line 3" in found
    assert any(name.startswith("critic['opt_state']") for name in found)
    assert any(name.startswith("critic['params']") for name in found)
