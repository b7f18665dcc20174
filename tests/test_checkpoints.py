"""Checkpoints are restored as they were saved, damaged ones are skipped, and the right ones are kept."""

import contextlib
import gc
import logging
import shutil
import threading
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from conftest import run_command, tiny_flags
from etils import epath

from colorgan import sharding
from colorgan.errors import Stopped, UserError
from colorgan.models.build import abstract_variables
from colorgan.run import checkpoints as checkpoints_lib
from colorgan.run import workdir as workdir_lib
from colorgan.run.checkpoints import Checkpoints
from colorgan.training import state as train_state

METRIC = "validation/psnr"


@pytest.fixture(scope="module")
def state(tiny_gan):
    return train_state.create_state(tiny_gan, 3, sharding.replicated(sharding.create_mesh(jax.devices()[:1])))


def _steps(workdir):
    return sorted(int(path.name) for path in (workdir / "checkpoints").iterdir())


def test_a_state_is_restored_exactly_on_any_devices(tiny_gan, state, tmp_path):
    with Checkpoints(tmp_path, METRIC, 2) as checkpoints:
        assert checkpoints.steps() == []
        checkpoints.save(7, state.networks(), {"epoch": 1}, {METRIC: 20.0})
    everywhere = sharding.replicated(sharding.create_mesh())
    with Checkpoints(tmp_path, METRIC, 2) as checkpoints:
        assert checkpoints.restore_meta(7) == {"epoch": 1}
        restored = checkpoints.restore(7, train_state.abstract_state(tiny_gan, everywhere).networks())
    assert str(jax.tree.structure(restored)) == str(jax.tree.structure(state.networks()))
    jax.tree.map(np.testing.assert_array_equal, restored, state.networks())
    assert all(x.sharding == everywhere for x in jax.tree.leaves(restored))


@pytest.mark.parametrize("num_devices", [1, 8])
def test_training_goes_on_while_a_checkpoint_is_transferred(tiny_gan, tmp_path, monkeypatch, num_devices):
    """The next step gets the buffers of the state before any of it has been read."""
    monkeypatch.setattr(sharding, "_MIN_SPREAD", 64)
    shardings = train_state.state_shardings(tiny_gan, sharding.create_mesh(jax.devices()[:num_devices]))
    state = train_state.create_state(tiny_gan, 3, shardings)
    wanted = jax.tree.map(np.array, state.networks())
    placed = [x.sharding for x in jax.tree.leaves(state.networks())]
    step_fn = jax.jit(lambda tree: jax.tree.map(lambda x: x + 1, tree), donate_argnums=0)
    is_trained, copies = threading.Event(), dict[str, list[jax.Array]]()
    transfer = ocp.StandardCheckpointHandler.async_save

    async def transfer_late(self, directory, args):
        assert is_trained.wait(10)
        copies[directory.name] = jax.tree.leaves(args.item)
        return await transfer(self, directory, args=args)

    monkeypatch.setattr(ocp.StandardCheckpointHandler, "async_save", transfer_late)
    with Checkpoints(tmp_path, METRIC, 2) as checkpoints:
        checkpoints.save(1, state.networks(), {"epoch": 1}, {METRIC: 20.0})
        jax.block_until_ready(step_fn(step_fn(state)))
        assert not copies
        is_trained.set()
        checkpoints.finish()
        assert [x.sharding for _, network in sorted(copies.items()) for x in network] == placed
        assert all(x.is_deleted() for x in jax.tree.leaves(copies))  # the devices have their memory back
        restored = checkpoints.restore(1, train_state.abstract_state(tiny_gan, shardings).networks())
    jax.tree.map(np.testing.assert_array_equal, restored, wanted)


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ValueError])
def test_the_end_of_a_run_waits_for_the_transfer(state, tmp_path, monkeypatch, error):
    transfer = ocp.StandardCheckpointHandler.async_save

    async def transfer_slowly(self, directory, args):
        time.sleep(0.3)
        return await transfer(self, directory, args=args)

    monkeypatch.setattr(ocp.StandardCheckpointHandler, "async_save", transfer_slowly)
    with pytest.raises(error) if error else contextlib.nullcontext(), Checkpoints(tmp_path, METRIC, 2) as checkpoints:
        checkpoints.save(1, state.networks(), {}, {METRIC: 20.0})
        if error:
            raise error
    assert _steps(tmp_path) == [1]


def test_a_transfer_that_fails_is_reported(state, tmp_path, monkeypatch):
    with Checkpoints(tmp_path, METRIC, 2) as checkpoints:
        checkpoints.save(1, state.networks(), {}, {METRIC: 20.0})
        checkpoints.finish()

        async def fail(*_, **__):
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 9G")

        monkeypatch.setattr(ocp.StandardCheckpointHandler, "async_save", fail)
        checkpoints.save(2, state.networks(), {}, {METRIC: 21.0})
        with pytest.raises(UserError, match="checkpoints/2 cannot be written: .*RESOURCE_EXHAUSTED: 9G"):
            checkpoints.finish()
    assert _steps(tmp_path) == [1]


def test_the_average_is_restored_alone(tiny_gan, state, tmp_path):
    with Checkpoints(tmp_path, METRIC, 2) as checkpoints:
        checkpoints.save(1, state.networks(), {}, {METRIC: 20.0})
    abstract = abstract_variables(tiny_gan.generator, sharding.replicated(sharding.create_mesh()))
    with Checkpoints(tmp_path, METRIC) as checkpoints:
        restored = checkpoints.restore(1, {"generator_ema": abstract})["generator_ema"]
    jax.tree.map(np.testing.assert_array_equal, restored, state.generator_ema)


def test_the_newest_and_the_best_are_kept_across_restarts(state, tmp_path):
    for scores in ({1: 20.0, 2: 25.0, 3: 21.0}, {4: 22.0, 5: 23.0}):
        with Checkpoints(tmp_path, METRIC, 2) as checkpoints:
            for step, score in scores.items():
                checkpoints.save(step, state.networks(), {}, {METRIC: score})
    assert _steps(tmp_path) == [2, 4, 5]
    with Checkpoints(tmp_path, METRIC) as checkpoints:
        assert checkpoints.steps("best") == [2, 5, 4]
        assert checkpoints.steps() == [5, 4, 2]


def test_a_state_that_was_not_validated_is_kept_while_it_is_new(state, tmp_path):
    with Checkpoints(tmp_path, METRIC, 2) as checkpoints:
        checkpoints.save(1, state.networks(), {}, {METRIC: 20.0})
        checkpoints.save(2, state.networks(), {}, None)
        assert checkpoints.steps("best")[0] == 1
        for step in (3, 4):
            checkpoints.save(step, state.networks(), {}, {METRIC: 10.0})
    assert _steps(tmp_path) == [1, 3, 4]


def test_a_folder_without_checkpoints_has_none_and_is_not_touched(tmp_path):
    with Checkpoints(tmp_path, METRIC) as checkpoints:
        assert checkpoints.steps() == checkpoints.steps("best") == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_created_is_reported(tmp_path):
    (tmp_path / "checkpoints").write_text("a file")
    with pytest.raises(UserError, match="cannot keep checkpoints"):
        Checkpoints(tmp_path, METRIC, 2)


@pytest.fixture(scope="module")
def two_saved(state, tmp_path_factory):
    """A run's folder with checkpoints 3 and 6, which differ."""
    workdir = tmp_path_factory.mktemp("two_saved")
    with Checkpoints(workdir, METRIC, 2) as checkpoints:
        for step, score in ((3, 20.0), (6, 21.0)):
            moved = jax.tree.map(lambda x, step=step: x + step, state)
            checkpoints.save(step, moved.networks(), {"epoch": step // 3}, {METRIC: score})
    return workdir


@pytest.fixture
def failing_orbax():
    """Orbax leaves exceptions in threads and tasks beside the one that it raises."""
    yield
    gc.collect()


may_fail = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)


def _first_good(workdir, gan, num_to_keep=2):
    """Step, meta and networks of the checkpoint from which a run resumes."""
    abstract = train_state.abstract_state(gan, sharding.replicated(sharding.create_mesh())).networks()
    with Checkpoints(workdir, METRIC, num_to_keep) as checkpoints:
        found = checkpoints.first_good(
            checkpoints.steps(),
            lambda step: (checkpoints.restore_meta(step), checkpoints.restore(step, abstract)),
        )
        assert found is not None
        step, restored = found
        return step, *restored


def _flip(path, place):
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 0x10
    path.write_bytes(data)


DAMAGES = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "emptied": lambda path: path.write_bytes(b""),
    "deleted": lambda path: path.unlink(),
    "flipped in the middle": lambda path: _flip(path, path.stat().st_size // 2),
    "flipped near the end": lambda path: _flip(path, -3),
}


@may_fail
@pytest.mark.usefixtures("failing_orbax")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_never_used(two_saved, state, tiny_gan, tmp_path, caplog, damage):
    """Damages each file of the newest checkpoint: what is restored is what was saved, then or before."""
    files = sorted(path for path in (two_saved / "checkpoints" / "6").rglob("*") if path.is_file())
    # Not all, which would take long: one of every other name, different for each damage, and the two largest.
    number = list(DAMAGES).index(damage)
    by_name = {path.name if len(path.name) < 30 else "data": path for path in files[number:]}
    chosen = {*list(by_name.values())[number % 2 :: 2], *sorted(files, key=lambda path: path.stat().st_size)[-2:]}
    num_fallen_back = 0
    for path in sorted(chosen):
        workdir = shutil.copytree(two_saved, tmp_path / "run", dirs_exist_ok=False)
        DAMAGES[damage](workdir / path.relative_to(two_saved))
        caplog.clear()
        with caplog.at_level(logging.WARNING, "colorgan"):
            step, meta, restored = _first_good(workdir, tiny_gan)
        assert meta == {"epoch": step // 3}
        jax.tree.map(lambda got, was, n=step: np.testing.assert_array_equal(got, was + n), restored, state.networks())
        if step == 3:
            num_fallen_back += 1
            (said,) = [record.getMessage() for record in caplog.records if "is damaged" in record.getMessage()]
            assert "checkpoints/6 is damaged" in said
            assert "checksum" in said or "it cannot be read" in said
            assert "using the checkpoint of step 3" in said
            assert _steps(workdir) == [3]
            assert [path.name for path in (workdir / "damaged").iterdir()] == ["6"]
        shutil.rmtree(workdir)
    assert num_fallen_back >= 3  # the largest files hold values


def test_without_a_good_checkpoint_nothing_is_deleted(two_saved, tiny_gan, tmp_path):
    workdir = shutil.copytree(two_saved, tmp_path / "run")
    for step in ("3", "6"):
        (workdir / "checkpoints" / step / "meta" / "metadata").write_text("{}")
    before = sorted(workdir.rglob("*"))
    with pytest.raises(UserError, match=r"checkpoints/6 is damaged .*checksum.* other 1; .* nothing was deleted"):
        _first_good(workdir, tiny_gan)
    assert sorted(workdir.rglob("*")) == before


def test_reading_does_not_move_a_damaged_checkpoint(two_saved, tiny_gan, tmp_path):
    workdir = shutil.copytree(two_saved, tmp_path / "run")
    (workdir / "checkpoints" / "6" / "meta" / "metadata").write_text("{}")
    assert _first_good(workdir, tiny_gan, num_to_keep=None)[0] == 3
    assert _steps(workdir) == [3, 6]


def test_changed_metrics_are_damage_too(two_saved, tiny_gan, tmp_path, caplog):
    """Otherwise they would determine the best checkpoint."""
    workdir = shutil.copytree(two_saved, tmp_path / "run")
    path = workdir / "checkpoints" / "6" / "metrics" / "metrics"
    path.write_text(path.read_text().replace("21.0", "91.0"))
    assert _first_good(workdir, tiny_gan)[0] == 3
    assert "its metrics differ from those under its checksum" in caplog.text


def _unchanged(workdir):
    return _steps(workdir) == [3, 6] and not (workdir / "damaged").exists()


ACCESS_ERRORS = {
    "permission": (PermissionError(13, "Permission denied", "6/x"), UserError, r"Permission denied: 6/x\); allow it"),
    "disk": (OSError(5, "Input/output error"), Stopped, r"at the moment \(Input/output error\); try again"),
    "stale": (ValueError("UNKNOWN: no file [os_error_code='116']"), Stopped, r"at the moment \(Stale file handle\)"),
    "device": (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 9G"), UserError, "too little memory .*: end other prog"),
    "host": (MemoryError(), UserError, r"too little memory to restore .*MemoryError"),
}


@pytest.mark.parametrize("place", ["read", "checksums"])
@pytest.mark.parametrize("name", ACCESS_ERRORS)
def test_an_error_of_access_or_memory_is_no_damage(two_saved, tiny_gan, monkeypatch, name, place):
    error, kind, message = ACCESS_ERRORS[name]

    def fail(*_):
        try:
            raise error
        except Exception as cause:
            raise ValueError("as Orbax wraps it") from cause

    monkeypatch.setattr(checkpoints_lib, "_create_reader" if place == "read" else "checksums", fail)
    with pytest.raises(kind, match=message) as caught:
        _first_good(two_saved, tiny_gan)
    assert not isinstance(caught.value, checkpoints_lib.DamagedCheckpoint)
    assert _unchanged(two_saved)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="reads a file of Linux that answers with EIO")
@may_fail
@pytest.mark.usefixtures("failing_orbax")
@pytest.mark.parametrize("pattern", ["meta/metadata", "metrics/metrics", "generator/d/*", "generator/manifest.ocdbt"])
def test_a_disk_that_does_not_answer_is_no_damage(two_saved, tiny_gan, tmp_path, pattern):
    workdir = shutil.copytree(two_saved, tmp_path / "run")
    path = next((workdir / "checkpoints" / "6").glob(pattern))
    path.unlink()
    path.symlink_to("/proc/self/mem")
    with pytest.raises(Stopped, match="Input/output error"):
        _first_good(workdir, tiny_gan)
    assert _unchanged(workdir)


def _files(workdir):
    return {path: path.read_bytes() for path in (workdir / "checkpoints").rglob("*") if path.is_file()}


def test_files_without_permission_are_no_damage(finished_run, tmp_path):
    workdir = shutil.copytree(finished_run, tmp_path / "run")
    before = _files(workdir)
    largest = max(before, key=lambda path: path.stat().st_size * (path.parts[-5:-4] != ("3",)))
    for path in (largest, workdir / "checkpoints" / "3" / "metrics"):  # the second is read to find the best
        mode = path.stat().st_mode
        path.chmod(0)
        command = ("colorgan.main", "--config=default", f"--workdir={workdir}", *tiny_flags())
        done = run_command(*command, check=False, obeys_permissions=True)
        path.chmod(mode)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert f"cannot be read (Permission denied: {path}); allow it, as with chmod -R u+rwX" in done.stderr
        assert _files(workdir) == before


def test_a_run_that_may_not_be_read_is_not_taken_for_none(tmp_path, monkeypatch):
    workdir = epath.Path(tmp_path)
    (workdir / "config.json").mkdir()

    def refuse(*_):
        raise PermissionError(13, "Permission denied", "config.json")

    monkeypatch.setattr(type(workdir), "read_text", refuse)
    with pytest.raises(UserError, match="cannot read the config of the run in .*Permission denied"):
        workdir_lib.read_config(workdir)
    with pytest.raises(UserError, match="cannot use the run's folder: .*Permission denied"):
        workdir_lib.config_if_trained(workdir)


def test_runs_near_a_folder_that_is_none_are_named(tmp_path):
    runs = epath.Path(tmp_path / "runs")
    for name in ("b", "a"):
        (runs / name / "checkpoints").mkdir(parents=True)
        (runs / name / "config.json").write_text("{}")
    for workdir, end in (
        (runs, f"inside it are the runs {runs}/a, {runs}/b"),
        (runs / "a" / "checkpoints", f"the run is {runs}/a"),
        (runs / "c", f"beside it are the runs {runs}/a, {runs}/b"),
    ):
        with pytest.raises(UserError, match=f"is not the folder of a run: it has no config.json; {end}$"):
            workdir_lib.read_config(workdir)
    with pytest.raises(UserError, match=r"it has no config\.json$"):
        workdir_lib.read_config(epath.Path(tmp_path / "elsewhere" / "run"))
