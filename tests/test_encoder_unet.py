"""The generator around an encoder: its shapes, its training step, and a run from pretrained weights."""

import functools
import importlib.util
import json
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import TINY, create_step_fn, read_lines, run_command, run_steps, tiny_flags
from etils import epath
from safetensors.numpy import save_file

from colorgan import color, sharding
from colorgan.config import check_config
from colorgan.configs import default
from colorgan.data.synthetic import scenes
from colorgan.errors import UserError
from colorgan.inference import load_exported, load_run
from colorgan.models import build as models
from colorgan.models.build import ENCODERS
from colorgan.models.encoders import weights
from colorgan.models.generator import predict
from colorgan.run.checkpoints import Checkpoints
from colorgan.training import build, initial_values, loop
from colorgan.training import state as train_state

ENCODER_KEYS = {"model.encoder": "tiny", "model.encoder_rate": 0.25, "optimizer.weight_decay": 0.1}


def _networks(encoder="tiny", image_size=32, **keys):
    defaults: dict[str, Any] = {"width": 4, "max_width": 16, "output": "chroma", "critic": "patch", "platform": "cpu"}
    keys = defaults | keys
    return models.create_networks(image_size, **keys, precision="float32", encoder=encoder)


@pytest.mark.parametrize("name", ENCODERS)
def test_latent_is_one_vector_and_skips_are_the_features(name):
    generator, _ = _networks(name, image_size=96, width=64, max_width=256)
    gray = jnp.zeros((2, 96, 96, 1))
    variables = jax.eval_shape(generator.init, jax.random.key(0), gray)
    latent, skips = jax.eval_shape(lambda v, x: generator.apply(v, x, method="encode"), variables, gray)
    assert latent.shape == (2, 1, 512)
    encoder = ENCODERS[name]()
    assert [skip.shape for skip in skips] == [
        (2, 96 // stride, 96 // stride, channels)
        for stride, channels in zip(encoder.strides, encoder.channels, strict=True)
    ]
    rgb = jax.eval_shape(generator.apply, variables, gray)
    assert (rgb.shape, rgb.dtype) == ((2, 96, 96, 3), jnp.float32)
    blocks = [variables["params"][f"decoder_{n}"]["SpatialConvolution_1"]["kernel"].shape[-1] for n in range(4)]
    assert blocks == [256, 128, 64, 32]


@pytest.fixture(scope="module")
def variables():
    generator, _ = _networks()
    return jax.jit(generator.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 1)))


def test_the_latent_vector_reaches_all_pixels_and_luma_is_kept(variables):
    generator, _ = _networks()
    gray = jax.random.uniform(jax.random.key(1), (2, 32, 32, 1), minval=-1, maxval=1)
    latent, skips = generator.apply(variables, gray, method="encode")
    decode = functools.partial(generator.apply, variables, skips=skips, method="decode")
    moved = jnp.abs(decode(latent=latent) - decode(latent=latent + 1)).max(axis=(0, 3))
    assert float(moved.min()) > 0
    np.testing.assert_allclose(color.luma(generator.apply(variables, gray)), gray, atol=1e-5)


def test_platforms_share_parameters_and_results(variables):
    gray = jax.random.uniform(jax.random.key(1), (2, 32, 32, 1), minval=-1, maxval=1)
    results = []
    for platform in ("cpu", "gpu"):
        generator, _ = _networks(platform=platform)
        apply = functools.partial(generator.apply, training=True, mutable=["batch_stats"])
        loss = jax.jit(jax.value_and_grad(lambda v, a=apply: (a(v, gray)[0] ** 2).mean()))
        results.append(loss(variables))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=2e-3, atol=1e-5), *results)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.encoder": "resnet"}, "config.model.encoder is 'resnet' but must be one of unet, efficientnet_lite0"),
        ({"image_size": 48}, "config.image_size is 48 but must be a multiple of 32"),
        ({"model.encoder": "unet", "image_size": 96}, "config.image_size is 96 but must be a power of two"),
        (
            {"model.encoder": "unet", "model.encoder_weights": "imagenet"},
            "must be '' where config.model.encoder is 'unet'",
        ),
        ({"model.encoder": "unet", "model.encoder_rate": 0.2}, "must be 1.0 where config.model.encoder is 'unet'"),
        ({"model.freeze_encoder_norm": True}, "must be False for random initial values"),
    ],
)
def test_invalid_keys_are_reported(changes, message):
    config = _config(**changes)

    def create():
        check_config(config)
        build.create_gan(config, "cpu")

    with pytest.raises(UserError, match=message):
        create()


def _config(**changes):
    config = default.get_config()
    config.update_from_flattened_dict(TINY | ENCODER_KEYS | changes)
    return config


@pytest.fixture(scope="module")
def images():
    return np.stack([scenes.create_image(n, 36) for n in range(8)])


def _step(config, num_devices=1):
    gan = build.create_gan(config, "cpu")
    mesh = sharding.create_mesh(jax.devices()[:num_devices])
    state = train_state.create_state(gan, config.seed, train_state.state_shardings(gan, mesh))
    return mesh, state, create_step_fn(config, gan, mesh)


def test_the_encoder_has_its_own_rate_and_kernels_decay(images):
    config = _config()
    mesh, state, step_fn = _step(config)
    before = jax.device_get(state.generator.params)
    after, history = run_steps(mesh, state, step_fn, images, 1)
    moved = jax.tree.map(lambda a, b: b - a, before, after.generator.params)
    rate = config.optimizer.generator_learning_rate
    for module, values in moved.items():
        factor = 0.25 if module == "encoder" else 1.0
        old = before[module]
        kernels = [
            (np.abs(step + factor * rate * 0.1 * value).max(), np.abs(step).max(), value.ndim > 1)
            for step, value in zip(jax.tree.leaves(values), jax.tree.leaves(old), strict=True)
        ]
        # Adam's first step is the rate itself; without the decay, kernels move by that.
        steps = [without if is_kernel else whole for without, whole, is_kernel in kernels]
        assert max(steps) == pytest.approx(factor * rate, rel=2e-2), module
    assert history[0]["train/generator/learning_rate"] == pytest.approx(rate)


def test_eight_devices_compute_what_one_does(images, monkeypatch):
    monkeypatch.setattr(build, "FEATURE_ENCODER", "tiny")
    config = _config(**{"loss.feature_weight": 5.0})
    histories = []
    for num_devices in (1, 8):
        mesh, state, step_fn = _step(config, num_devices)
        before = jax.device_get(state)
        after, history = run_steps(mesh, state, step_fn, images, 3)
        histories.append(history)
        jax.tree.map(np.testing.assert_array_equal, after.feature_encoder, before.feature_encoder)
    for alone, together in zip(*histories, strict=True):
        assert together == pytest.approx(alone, rel=1e-2, abs=1e-5)
    losses = {name: histories[0][0][f"train/generator/{name}"] for name in ("adversarial", "l1", "feature")}
    assert losses["feature"] > 0
    weighted = sum(config.loss[f"{name}_weight"] * value for name, value in losses.items())
    for name in ("palette", "histogram"):
        weighted += config.loss[f"{name}_weight"] * histories[0][0][f"train/generator/{name}"]
    assert histories[0][0]["train/generator/loss"] == pytest.approx(weighted, rel=1e-5)


def test_the_feature_loss_needs_its_weights_only_at_the_start_of_a_run(photographs, tmp_path, monkeypatch):
    encoder = ENCODERS["tiny"]()
    variables = jax.jit(encoder.init)(jax.random.key(7), jnp.zeros((1, 32, 32, 3)))
    monkeypatch.setattr(build, "FEATURE_ENCODER", "tiny")
    monkeypatch.setattr(weights, "find", lambda name, source: None)
    monkeypatch.setattr(weights, "load", lambda name, source, num_channels: jax.device_get(variables))
    folder = f"folder:{photographs}"
    changes = {"loss.feature_weight": 5.0, "loss.adversarial_weight": 0.0, "model.encoder_weights": ""}
    changes |= {"data.train": folder, "data.validation": folder}
    for num_epochs in (1, 2):
        config = _config(**changes, num_epochs=num_epochs)
        loop.train(config, epath.Path(tmp_path))
        monkeypatch.setattr(weights, "load", None)  # a run that resumes does not call it
    values = [line["train/generator/feature"] for line in read_lines(tmp_path)]
    assert len(values) == 3  # steps of 8 of 12 images
    with Checkpoints(epath.Path(tmp_path), "validation/score") as checkpoints:
        (step, *_) = checkpoints.steps()
        saved = checkpoints.restore(step, {"feature_encoder": variables})["feature_encoder"]
    jax.tree.map(np.testing.assert_array_equal, dict(saved), dict(variables))


def test_frozen_statistics_stay_and_without_adversarial_loss_no_critic_is_trained(images):
    config = _config(**{"model.freeze_encoder_norm": True, "loss.adversarial_weight": 0.0})
    mesh, state, step_fn = _step(config)
    before = jax.device_get(state)
    after, history = run_steps(mesh, state, step_fn, images, 2)
    statistics = after.generator.batch_stats
    jax.tree.map(np.testing.assert_array_equal, statistics["encoder"], before.generator.batch_stats["encoder"])
    assert np.abs(statistics["decoder_0"]["BatchNorm_0"]["BatchNorm_0"]["mean"]).max() > 0
    jax.tree.map(np.testing.assert_array_equal, after.critic, before.critic)
    assert not any("critic" in name or "adversarial" in name for name in history[0])
    weighted = (
        config.loss[f"{name}_weight"] * history[0][f"train/generator/{name}"] for name in ("l1", "palette", "histogram")
    )
    assert history[0]["train/generator/loss"] == pytest.approx(sum(weighted), rel=1e-5)


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    """Random weights of `tiny` with the names and the layout of PyTorch."""
    rng = np.random.default_rng(0)
    arrays, inputs = {}, 3
    for n, channels in enumerate(ENCODERS["tiny"]().channels):
        arrays[f"conv.{n}.weight"] = rng.normal(0, 0.3, (channels, inputs, 3, 3)).astype(np.float32)
        for name, value in (("weight", 1.2), ("bias", 0.1), ("running_mean", 0.2), ("running_var", 0.7)):
            arrays[f"bn.{n}.{name}"] = np.full(channels, value, np.float32)
        inputs = channels
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(arrays, path)
    return path


def test_training_begins_with_the_weights(weights_file):
    config = _config(**{"model.encoder_weights": str(weights_file)})
    gan = build.create_gan(config, "cpu")
    initial = initial_values.load(config, gan, sharding.create_mesh())
    loaded = weights.load("tiny", str(weights_file))
    placement = sharding.replicated(sharding.create_mesh())
    random, state = (train_state.create_state(gan, 3, placement, values) for values in ({}, initial))
    for variables in (state.generator.variables, state.generator_ema):
        for collection in ("params", "batch_stats"):
            jax.tree.map(np.testing.assert_array_equal, variables[collection]["encoder"], loaded[collection])
    assert float(state.generator.batch_stats["encoder"]["bn_0"]["BatchNorm_0"]["var"][0]) == np.float32(0.7)
    np.testing.assert_array_equal(*(s.generator.params["latent"]["kernel"] for s in (random, state)))


def test_a_run_from_weights_needs_them_only_at_its_start(weights_file, photographs, tmp_path):
    path = shutil.copy(weights_file, tmp_path)
    keys = {key.replace(".", "__"): value for key, value in ENCODER_KEYS.items()} | {"model__encoder_weights": path}
    train = functools.partial(run_command, "colorgan.main", "--config=default")
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    train(f"--workdir={whole}", *tiny_flags(**keys))
    train(f"--workdir={resumed}", *tiny_flags(num_epochs=1, **keys))
    (tmp_path / "tiny.safetensors").unlink()
    keys["model__encoder_weights"] = "elsewhere.safetensors"
    assert "resuming from step 3" in train(f"--workdir={resumed}", *tiny_flags(**keys)).stdout
    losses = [[line["train/generator/loss"] for line in read_lines(folder)] for folder in (whole, resumed)]
    assert losses[0] == losses[1]
    run_command("colorgan.evaluate", f"--workdir={whole}", f"--data=folder:{photographs}")
    run_command("colorgan.colorize", f"--workdir={whole}", f"--output={tmp_path}/colored", str(photographs))
    exported = tmp_path / "model.stablehlo"
    done = run_command("colorgan.export", f"--workdir={whole}", f"--output={exported}", "--checkpoint=latest")
    assert json.loads(done.stdout.splitlines()[-1])["difference"]["max"] < 0.01
    if importlib.util.find_spec("jax2onnx"):
        flags = (f"--workdir={whole}", f"--output={tmp_path}/model.onnx", "--checkpoint=latest", "--format=onnx")
        done = run_command("colorgan.export", *flags)
        assert json.loads(done.stdout.splitlines()[-1])["difference"]["max"] < 0.01
    run = load_run.load_run(whole, "latest")
    gray = np.random.default_rng(1).uniform(-1, 1, (3, 32, 32, 1)).astype(np.float32)
    live = jax.jit(functools.partial(predict, run.generator))(run.variables, gray)
    np.testing.assert_allclose(load_exported.load(exported).predict(gray), live, atol=1e-4)


def test_missing_weights_end_a_run_in_one_sentence(tmp_path):
    flags = tiny_flags(model__encoder="tiny", model__encoder_weights="imagenet")
    done = run_command("colorgan.main", "--config=default", f"--workdir={tmp_path}/run", *flags, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "no package has weights of tiny" in done.stderr
