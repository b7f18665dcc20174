"""A run that starts from another run or from a file with weights."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import TINY, read_lines, run_command, tiny_flags
from etils import epath
from safetensors.numpy import save_file

from colorgan import sharding
from colorgan.configs import default
from colorgan.errors import UserError
from colorgan.inference import load_run
from colorgan.inference.colorizer import Colorizer
from colorgan.models.build import abstract_variables
from colorgan.models.generator import predict
from colorgan.models.hints import without_hints
from colorgan.run import weights_file
from colorgan.training import build, initial_values, loop
from colorgan.training.state import create_state


def _config(**changes):
    config = default.get_config()
    config.update_from_flattened_dict(TINY | {key.replace("__", "."): value for key, value in changes.items()})
    return config


def _load(config):
    mesh = sharding.create_mesh()
    gan = build.create_gan(config, "cpu")
    return gan, initial_values.load(config, gan, mesh), mesh


@pytest.fixture(scope="module")
def exported(finished_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "model.safetensors"
    flags = (f"--workdir={finished_run}", "--checkpoint=latest", "--format=safetensors", f"--output={path}")
    done = run_command("colorgan.export", *flags)
    return path, json.loads(done.stdout.splitlines()[-1])


def test_the_average_and_the_critic_of_a_run_are_taken_and_optimizers_start_anew(finished_run):
    config = _config(init_from=str(finished_run), seed=8)
    gan, initial, mesh = _load(config)
    assert initial.keys() == {"generator", "critic"}
    state = create_state(gan, config.seed, sharding.replicated(mesh), initial)
    average = load_run.load_run(finished_run, "best").variables
    for variables in (initial["generator"], state.generator.variables, state.generator_ema):
        jax.tree.map(np.testing.assert_array_equal, variables, average)
    jax.tree.map(np.testing.assert_array_equal, state.critic.variables, initial["critic"])
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(state.generator.opt_state))
    random = create_state(gan, config.seed, sharding.replicated(mesh))
    assert not np.array_equal(*(s.generator.params["bottleneck"]["kernel"] for s in (random, state)))


def test_a_file_of_weights_colors_like_its_run(finished_run, exported):
    path, description = exported
    assert description["difference"]["max"] < 0.01
    assert description["num_bytes"] == path.stat().st_size
    assert str(finished_run) not in path.read_bytes().decode("latin-1")
    photo = np.random.default_rng(0).integers(0, 256, (40, 30), np.uint8)
    ours, theirs = (
        model(photo) for model in (Colorizer.from_file(path), Colorizer.from_workdir(finished_run, "latest"))
    )
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    run = load_run.load_run(finished_run, "latest")
    variables, _ = weights_file.read(path)
    jax.tree.map(np.testing.assert_array_equal, variables, run.variables)
    expected = abstract_variables(run.generator, sharding.replicated(sharding.create_mesh()))
    jax.tree.map(lambda value, shape: np.testing.assert_equal(value.shape, shape.shape), variables, dict(expected))


def test_a_run_starts_from_a_file(exported, tmp_path):
    path, _ = exported

    def train(**changes):
        flags = tiny_flags(init_from=path, seed=8, **changes)
        return run_command("colorgan.main", "--config=default", f"--workdir={tmp_path}/run", *flags)

    done = train(num_epochs=1)
    assert f"initial values: generator of {path}" in done.stdout
    assert "the critic has random initial values" in done.stdout
    variables, _ = weights_file.read(path)
    _, initial, _ = _load(_config(init_from=str(path)))
    jax.tree.map(np.testing.assert_array_equal, initial["generator"], variables)
    path.rename(tmp_path / "moved")
    try:
        resumed = train()
    finally:
        (tmp_path / "moved").rename(path)
    assert "resuming from step 3" in resumed.stdout
    assert [line["step"] for line in read_lines(tmp_path / "run")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model__width": 8},
            r"the generator of .* does not fit: .*/mean has the shape \(8,\), but the network needs \(16,\)",
        ),
        ({"model__encoder": "tiny"}, r"does not fit: it has no batch_stats/decoder_0"),
        ({"init_from": "nowhere"}, "there is no run's folder and no file nowhere"),
    ],
)
def test_what_does_not_fit_is_named(finished_run, changes, message):
    with pytest.raises(UserError, match=message):
        _load(_config(**{"init_from": str(finished_run)} | changes))


def test_other_files_are_refused(exported, tmp_path):
    path, _ = exported
    for name in ("model.onnx", "model.stablehlo"):
        (tmp_path / name).write_bytes(b"program")
        with pytest.raises(UserError, match="StableHLO and ONNX files are programs, from which weights cannot be read"):
            _load(_config(init_from=str(tmp_path / name)))
    foreign = tmp_path / "foreign.safetensors"
    save_file({"x": np.zeros(3)}, foreign)
    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes(path.read_bytes()[:-9])
    newer = tmp_path / "newer.safetensors"
    variables, description = weights_file.read(path)
    weights_file.write(newer, variables, description | {"config": description["config"] | {"format_version": 99}})
    for file, message in (
        (foreign, "was not written by colorgan export"),
        (truncated, "cannot read .* as safetensors"),
        (newer, "newer version of colorgan"),
        (tmp_path / "missing.safetensors", "there is no run's folder and no file"),
    ):
        with pytest.raises(UserError, match=message):
            _load(_config(init_from=str(file)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init_from": "gone"}, "config.init_from: there is no run's folder and no file gone"),
        ({"model__encoder": "tiny", "model__encoder_weights": "gone.safetensors"}, "there is no file gone.safetensors"),
        ({"model__encoder": "tiny", "model__encoder_weights": "imagenet"}, "no package has weights of tiny"),
    ],
)
def test_missing_values_are_reported_before_data_is_loaded(changes, message, tmp_path):
    config = _config(**changes, data__train=f"folder:{tmp_path}/missing")
    with pytest.raises(UserError, match=message):
        loop.train(config, epath.Path(tmp_path / "run"))


def test_a_network_without_hints_starts_one_with_them(finished_run, exported):
    """It colors as the other one, with hints too until it is trained."""
    run = load_run.load_run(finished_run, "best")
    gray = jax.random.uniform(jax.random.key(0), (2, 32, 32, 1), minval=-0.8, maxval=0.8)
    planes = jnp.broadcast_to(jnp.array((0.2, -0.3, 1)), (2, 32, 32, 3))
    for source in (finished_run, exported[0]):
        config = _config(init_from=str(source), seed=8, model__hints=True)
        gan, initial, mesh = _load(config)
        assert gan.generator.takes_hints
        state = create_state(gan, config.seed, sharding.replicated(mesh), initial)
        for variables in (state.generator.variables, state.generator_ema):
            plain = without_hints(variables)
            assert len(jax.tree.leaves(plain)) < len(jax.tree.leaves(variables))
            jax.tree.map(np.testing.assert_array_equal, plain, initial["generator"])
    expected = jax.jit(functools.partial(predict, run.generator))(run.variables, gray)
    predict_fn = jax.jit(functools.partial(predict, gan.generator))
    first = create_state(gan, config.seed, sharding.replicated(mesh), _load(_config(init_from=str(finished_run)))[1])
    for inputs in ((gray,), (gray, planes)):
        np.testing.assert_allclose(predict_fn(first.generator_ema, *inputs), expected, atol=1e-5)


def test_a_network_with_hints_starts_one_with_or_without_them(exported, tmp_path):
    config = _config(model__hints=True)
    gan = build.create_gan(config, "cpu")
    _, description = weights_file.read(exported[0])
    gray = np.zeros((1, 32, 32, 1), np.float32)
    variables = jax.device_get(jax.jit(gan.generator.init)(jax.random.key(0), gray))
    variables = jax.tree.map(lambda value: value + np.float32(0.01), dict(variables))
    path = tmp_path / "hints.safetensors"
    model = description["config"]["model"] | {"hints": True}
    weights_file.write(path, variables, description | {"config": description["config"] | {"model": model}})
    _, with_hints, _ = _load(_config(init_from=str(path), model__hints=True))
    jax.tree.map(np.testing.assert_array_equal, with_hints["generator"], variables)
    _, without, _ = _load(_config(init_from=str(path)))
    jax.tree.map(np.testing.assert_array_equal, without["generator"], without_hints(variables))
    del variables["params"]["latent_hints"]
    weights_file.write(path, variables, description | {"config": description["config"] | {"model": model}})
    with pytest.raises(UserError, match="does not fit: it has no params/latent_hints"):
        _load(_config(init_from=str(path), model__hints=True))


def test_a_bucket_that_cannot_be_reached_is_one_sentence(monkeypatch):
    def fail(path):
        raise ImportError("no gcsfs")

    monkeypatch.setattr(type(epath.Path("gs://bucket/run")), "is_dir", fail)
    with pytest.raises(UserError, match=r"config.init_from: gs://bucket/run needs .*pip install 'colorgan\[gcs\]'"):
        initial_values.check_source(_config(init_from="gs://bucket/run"))


def test_processes_with_different_values_are_reported(exported, monkeypatch):
    monkeypatch.setattr(sharding, "same_everywhere", lambda checksum: False)
    with pytest.raises(UserError, match="the processes of this run read different initial values"):
        _load(_config(init_from=str(exported[0])))


def test_a_critic_that_is_not_needed_does_not_have_to_fit(finished_run):
    changes = {"init_from": str(finished_run), "model__critic": "dense"}
    with pytest.raises(UserError, match="the critic of .* does not fit"):
        _load(_config(**changes))
    _, initial, _ = _load(_config(**changes, loss__adversarial_weight=0.0))
    assert initial.keys() == {"generator"}


def test_a_file_that_cannot_be_written(exported, tmp_path):
    variables, description = weights_file.read(exported[0])
    with pytest.raises(OSError, match="No such file"):
        weights_file.write(tmp_path / "missing" / "model.safetensors", variables, description)


def test_a_run_of_another_image_size_fits_an_encoder(tmp_path):
    keys = {"model__encoder": "tiny", "num_epochs": 1}
    run_command("colorgan.main", "--config=default", f"--workdir={tmp_path}/small", *tiny_flags(**keys))
    config = _config(**keys, init_from=str(tmp_path / "small"), image_size=64, data__load_size=64)
    gan, initial, _ = _load(config)
    assert gan.generator.image_size == 64
    assert initial.keys() == {"generator", "critic"}
