"""The training step: what it computes, on which devices, and that it learns."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from conftest import TINY, create_step_fn, run_steps
from jax.extend.core import jaxprs_in_params

from colorgan import color, sharding
from colorgan.configs import default
from colorgan.data import degradation
from colorgan.data.synthetic import scenes
from colorgan.errors import UserError
from colorgan.evaluation import metrics, steps
from colorgan.models.generator import predict
from colorgan.training import build
from colorgan.training import state as train_state
from colorgan.training.losses import adversarial as adversarial_losses
from colorgan.training.losses.pixel import l1_loss
from colorgan.training.samples import sample_step
from colorgan.training.step import crop_and_flip


@pytest.fixture(scope="module")
def images():
    return np.stack([scenes.create_image(n, 36) for n in range(8)])


@pytest.fixture(scope="module")
def on_one_device(tiny_config, tiny_gan):
    mesh = sharding.create_mesh(jax.devices()[:1])
    create = functools.partial(train_state.create_state, tiny_gan, tiny_config.seed, sharding.replicated(mesh))
    return mesh, create, create_step_fn(tiny_config, tiny_gan, mesh)


def _first_rng(purpose):
    """The key of a purpose in the first step of the seed 3."""
    return jax.random.fold_in(train_state.random_stream(jax.random.key(3), purpose), 0)


def test_an_option_that_xla_does_not_know_is_reported(tiny_config, tiny_gan):
    config = ml_collections.ConfigDict(tiny_config.to_dict())
    config.compiler_options = ("xla_no_such_option=1",)
    mesh = sharding.create_mesh(jax.devices()[:1])
    state = train_state.abstract_state(tiny_gan, sharding.replicated(mesh))
    with pytest.raises(UserError, match=r"config.compiler_options: .*xla_no_such_option"):
        build.compile_train_step(config, tiny_gan, mesh, state)


def test_runs_that_differ_in_numbers_alone_share_one_program(tiny_config):
    """The seed, the number of steps, rates and weights are arguments; a loss of weight 0 is left out of the program."""
    mesh = sharding.create_mesh(jax.devices()[:1])
    images = jax.ShapeDtypeStruct((8, 36, 36, 3), np.uint8)

    def program(num_steps=100, **changes):
        config = ml_collections.ConfigDict(tiny_config.to_dict())
        config.update_from_flattened_dict({"data.degrade": 0.2, "loss.palette_weight": 1.0} | changes)
        gan = build.create_gan(config, "cpu")
        state = train_state.abstract_state(gan, sharding.replicated(mesh))
        step_fn = build.create_train_step(config, gan, mesh)
        return step_fn.lower(state, images, build.create_hyperparameters(config, num_steps)).as_text()

    numbers = {"seed": 7, "num_epochs": 9, "data.degrade": 0.7, "ema_decay": 0.99}
    numbers |= {"loss.l1_weight": 5.0, "loss.palette_weight": 2.0, "loss.adversarial_weight": 0.5}
    numbers |= {f"optimizer.{name}_learning_rate": 1e-5 for name in ("generator", "critic")}
    assert program() == program(num_steps=200, **numbers)
    assert program() != program(**{"loss.palette_weight": 0.0})
    assert program() != program(**{"data.degrade": 0.0})


def _equations(jaxpr):
    """Every equation of a jaxpr and of those in it, each with the one that it is in."""
    for equation in jaxpr.eqns:
        yield equation, jaxpr
        for inner in jaxprs_in_params(equation.params):
            yield from _equations(inner)


def _producers(variable, jaxpr):
    """The names of the operations that compute a value, as far as each has one input, from the last one back."""
    names = []
    while found := [equation for equation in jaxpr.eqns if variable in equation.outvars]:
        names.append(found[0].primitive.name)
        variable = found[0].invars[0]
    return names


@pytest.mark.parametrize("changes", [{}, {"model.encoder": "tiny", "model.encoder_weights": ""}])
def test_the_step_for_gpus_has_no_forward_convolution_of_zeros_and_no_long_sum_in_bfloat16(changes):
    """A reversed kernel makes it cuDNN's backward convolution; without one XLA fills the input with zeros."""
    config = default.get_config()
    config.update_from_flattened_dict(TINY | {"precision": "bfloat16"} | changes)
    gan = build.create_gan(config, "gpu")
    mesh = sharding.create_mesh(jax.devices()[:1])
    state = train_state.abstract_state(gan, sharding.replicated(mesh))
    images = jax.ShapeDtypeStruct((32, 36, 36, 3), np.uint8)
    step_fn = build.create_train_step(config, gan, mesh)
    traced = jax.make_jaxpr(step_fn)(state, images, build.create_hyperparameters(config, 10))
    num_dilated = 0
    for equation, jaxpr in _equations(traced.jaxpr):
        if equation.primitive.name == "conv_general_dilated" and set(equation.params["lhs_dilation"]) != {1}:
            assert "rev" in _producers(equation.invars[1], jaxpr), equation
            num_dilated += 1
        if equation.primitive.name == "reduce_sum" and equation.invars[0].aval.dtype == jnp.bfloat16:
            assert math.prod(equation.invars[0].aval.shape[axis] for axis in equation.params["axes"]) <= 4096, equation
    assert num_dilated > 0


def test_it_learns(on_one_device, images):
    mesh, create, step_fn = on_one_device
    state, history = run_steps(mesh, create(), step_fn, images, 80)
    assert int(state.step) == 80
    first, last = (np.mean([step["train/generator/l1"] for step in part]) for part in (history[:5], history[-5:]))
    assert last < 0.6 * first
    critic = [step["train/critic/probability_real"] - step["train/critic/probability_fake"] for step in history]
    assert np.mean(critic[-5:]) > 0.1  # it can tell them apart
    assert all(step["train/generator/learning_rate"] == pytest.approx(1e-3) for step in history)
    assert all(step["train/critic/learning_rate"] == pytest.approx(5e-4) for step in history)


def test_each_network_has_its_optimizer(on_one_device, images):
    mesh, create, step_fn = on_one_device
    before = jax.device_get(create())
    state, _ = run_steps(mesh, create(), step_fn, images, 1)
    for name, rate in (("generator", 1e-3), ("critic", 5e-4)):
        old, new = getattr(before, name), jax.device_get(getattr(state, name))
        moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), old.params, new.params)
        assert max(jax.tree.leaves(moved)) == pytest.approx(rate, rel=1e-2)  # Adam's first step is the rate itself
        adam = new.opt_state[0]
        for mean, square in zip(jax.tree.leaves(adam.mu), jax.tree.leaves(adam.nu), strict=True):
            large = np.abs(mean) > 1e-4
            np.testing.assert_allclose(square[large], 0.01 * (mean[large] / 0.5) ** 2, rtol=1e-3)


def test_a_step_is_deterministic_and_another_step_differs(on_one_device, images):
    mesh, create, step_fn = on_one_device
    first, history = run_steps(mesh, create(), step_fn, images, 2)
    second, again = run_steps(mesh, create(), step_fn, images, 2)
    assert history == again
    jax.tree.map(np.testing.assert_array_equal, first, second)
    later = create().replace(step=jnp.int32(7))  # other crops, flips and dropout
    _, elsewhere = run_steps(mesh, jax.device_put(later, sharding.replicated(mesh)), step_fn, images, 1)
    assert elsewhere[0]["train/generator/l1"] != history[0]["train/generator/l1"]


def test_the_state_is_donated(on_one_device, images):
    mesh, create, step_fn = on_one_device
    state = create()
    step_fn(state, sharding.to_global(mesh, images))
    assert all(x.is_deleted() for x in jax.tree.leaves(state.generator.params))


def test_the_metrics_are_the_losses(on_one_device, tiny_gan, images):
    """Computed again by hand, from the state before the step."""
    mesh, create, step_fn = on_one_device
    state = create()
    augment_rng, dropout_rng = jax.random.split(_first_rng("steps"))
    real = color.to_signed(crop_and_flip(images, 32, augment_rng))
    gray = color.luma(real)

    @jax.jit
    def by_hand(state):
        fake, generator_stats = tiny_gan.generator.apply(
            state.generator.variables, gray, True, 0.1, mutable=["batch_stats"], rngs={"dropout": dropout_rng}
        )
        judge = functools.partial(tiny_gan.critic.apply, training=True, momentum=0.1, mutable=["batch_stats"])
        on_fake, stats = judge(state.critic.variables, gray, fake)
        on_real, stats = judge({"params": state.critic.params, **stats}, gray, real)
        l1 = l1_loss(real, fake)
        adversarial = adversarial_losses.generator_adversarial_loss(on_fake)
        return {
            "train/generator/loss": adversarial + 30 * l1,
            "train/generator/l1": l1,
            "train/generator/adversarial": adversarial,
            "train/critic/loss": adversarial_losses.critic_loss(on_real, on_fake),
            "train/critic/probability_real": jax.nn.sigmoid(on_real).mean(),
            "train/critic/probability_fake": jax.nn.sigmoid(on_fake).mean(),
        }, (generator_stats["batch_stats"], stats["batch_stats"])

    expected, averages = by_hand(state)
    state, (step_metrics,) = run_steps(mesh, state, step_fn, images, 1)
    expected = {name: float(value) for name, value in expected.items()}
    assert {name: step_metrics[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    # The critic's running averages include the fake images, then the real ones; the first step has weight 0.9.
    assert_close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5)
    jax.tree.map(assert_close, (state.generator.batch_stats, state.critic.batch_stats), averages)


@pytest.mark.parametrize(("step", "decay"), [(0, 1 / 10), (1000, 0.9)])  # of the warm-up, and of the config
def test_the_average_follows_parameters_and_statistics(on_one_device, images, step, decay):
    mesh, create, step_fn = on_one_device
    before = jax.device_get(create().generator_ema)
    state = jax.device_put(create().replace(step=jnp.int32(step)), sharding.replicated(mesh))
    state, _ = run_steps(mesh, state, step_fn, images, 1)
    expected = jax.tree.map(lambda a, v: decay * a + (1 - decay) * v, before, jax.device_get(state.generator.variables))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), state.generator_ema, expected)


def test_a_step_that_is_not_finite_changes_nothing_if_it_may_be_skipped(tiny_config, tiny_gan, on_one_device, images):
    mesh, create, step_fn = on_one_device
    config = ml_collections.ConfigDict(tiny_config)
    config.skip_nonfinite_steps = 1
    skipping_fn = create_step_fn(config, tiny_gan, mesh)
    for network in ("generator", "critic"):
        state = create()
        broken = jax.tree.map(lambda x: x.at[(0,) * x.ndim].set(jnp.inf), getattr(state, network).params)
        state = state.replace(**{network: getattr(state, network).replace(params=broken)})
        before = jax.device_get(state)
        after, (step_metrics,) = run_steps(mesh, state, skipping_fn, images, 1)
        assert not all(np.isfinite(value) for value in step_metrics.values())
        jax.tree.map(np.testing.assert_array_equal, after.replace(step=0), before.replace(step=0))
        assert after.step == 1
    (plain, _), (skipping, _) = (run_steps(mesh, create(), fn, images, 2) for fn in (step_fn, skipping_fn))
    jax.tree.map(np.testing.assert_array_equal, skipping, plain)


def test_crops_and_flips_are_windows_of_the_image():
    # Every pixel holds its position, so a crop shows where it was taken.
    rows, columns = np.mgrid[:36, :36].astype(np.uint8)
    image = np.stack([rows, columns, np.zeros_like(rows)], axis=-1)
    batch = np.stack([image] * 64)
    cropped = np.asarray(crop_and_flip(jnp.asarray(batch), 32, jax.random.key(0)))
    assert cropped.shape == (64, 32, 32, 3)
    places, flips = set(), 0
    for crop in cropped:
        flipped = crop[0, 0, 1] > crop[0, 1, 1]
        flips += flipped
        crop = crop[:, ::-1] if flipped else crop
        top, left = crop[0, 0, :2]
        np.testing.assert_array_equal(crop, image[top : top + 32, left : left + 32])
        places.add((int(top), int(left)))
    assert places <= set(itertools.product(range(5), range(5)))
    assert len(places) > 15
    assert 20 <= flips <= 44


def test_images_of_the_right_size_are_only_flipped(images):
    small = images[:, :32, :32]
    flipped = np.asarray(crop_and_flip(small, 32, jax.random.key(0)))
    same = [np.array_equal(a, b) for a, b in zip(flipped, small, strict=True)]
    mirrored = [np.array_equal(a, b[:, ::-1]) for a, b in zip(flipped, small, strict=True)]
    assert same != mirrored
    assert all(a != b for a, b in zip(same, mirrored, strict=True))


def test_sample_shows_prediction_and_both_probabilities(tiny_gan, images):
    generator, critic = tiny_gan.generator, tiny_gan.critic
    state = train_state.create_state(tiny_gan, 1, sharding.replicated(sharding.create_mesh(jax.devices()[:1])))
    small = images[:, :32, :32]
    sample = jax.jit(functools.partial(sample_step, generator=generator, critic=critic))
    gray, fake, on_fake, on_real = sample(state.generator_ema, state.critic.variables, small)
    np.testing.assert_allclose(gray[..., 1], small @ np.array([0.299, 0.587, 0.114], np.float32), atol=0.6)
    luma = color.luma(color.to_signed(small))
    judge = jax.jit(critic.apply)
    predicted = jax.jit(generator.apply)(state.generator_ema, luma)
    np.testing.assert_allclose(fake, color.to_pixels(predicted), atol=1)
    np.testing.assert_allclose(on_fake, jax.nn.sigmoid(judge(state.critic.variables, luma, predicted)), atol=2e-6)
    true = judge(state.critic.variables, luma, color.to_signed(small))
    np.testing.assert_allclose(on_real, jax.nn.sigmoid(true), atol=2e-6)
    assert np.abs(on_real - on_fake).max() > 1e-5


def test_evaluation_sums_over_the_mask(tiny_gan, images):
    mesh = sharding.create_mesh(jax.devices()[:1])
    variables = train_state.create_state(tiny_gan, 0, sharding.replicated(mesh)).generator_ema
    evaluate = jax.jit(functools.partial(steps.sum_step, predict_fn=functools.partial(predict, tiny_gan.generator)))
    small = images[:, 2:34, 2:34]
    *whole, of_images = jax.device_get(evaluate(variables, small, np.ones(8, bool)))
    results = [evaluate(variables, small, np.arange(8) // 4 == half) for half in (0, 1)]
    for half, (_, _, of_half) in enumerate(results):
        for kind, values in of_half.items():
            for name, value in values.items():
                expected = np.where(np.arange(8) // 4 == half, of_images[kind][name], np.nan)
                np.testing.assert_allclose(value, expected, rtol=1e-5)
    halves = [result[:2] for result in results]
    whole = tuple(whole)
    assert float(whole[1]) == 8
    assert [float(count) for _, count in halves] == [4, 4]
    together = jax.tree.map(lambda a, b: np.asarray(a) + np.asarray(b), *halves)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), together, whole)

    gray = color.luma(color.to_signed(small))
    predicted = color.to_pixels(jax.jit(tiny_gan.generator.apply)(variables, gray))
    true = small.astype(np.float32)
    by_hand = metrics.compare(true, np.asarray(predicted), np.asarray(color.to_pixels(color.gray_to_rgb(gray))))
    for name, row, sums in zip(by_hand._fields, by_hand, whole[0], strict=True):
        # Pixels at the edge of a bin may differ by rounding.
        difference = np.abs(row.ab_histogram.sum(axis=0) - sums.ab_histogram).sum()
        assert difference <= 0.01 * 8 * 32 * 32
        for metric, values in row.values.items():
            assert float(sums.values[metric]) == pytest.approx(float(values.sum()), rel=1e-3), (name, metric)
    # The gray image keeps the luma and has no color, so its structure is close to that of the real image.
    gray_row, prediction_row = whole[0].gray.values, whole[0].prediction.values
    assert float(gray_row["ssim"]) / 8 > 0.7
    assert float(gray_row["psnr"]) > float(prediction_row["psnr"])


@pytest.fixture(scope="module")
def recipe():
    """The recipe of configs/default.py with tiny networks, on images of which half are degraded."""
    config = default.get_config()
    config.update_from_flattened_dict(TINY | {"optimizer.schedule": "cosine", "data.degrade": 0.5})
    return config, build.create_gan(config, "cpu")


def _on_devices(recipe, num_devices):
    config, gan = recipe
    mesh = sharding.create_mesh(jax.devices()[:num_devices])
    create = functools.partial(train_state.create_state, gan, config.seed, train_state.state_shardings(gan, mesh))
    return mesh, create, create_step_fn(config, gan, mesh)


@pytest.fixture(scope="module")
def recipe_on_one_device(recipe):
    return _on_devices(recipe, 1)


@pytest.fixture(scope="module")
def recipe_history(recipe_on_one_device, images):
    mesh, create, step_fn = recipe_on_one_device
    return run_steps(mesh, create(), step_fn, images, 4)[1]


@pytest.mark.parametrize("is_manual", [False, True])
def test_eight_devices_compute_what_one_does(recipe, recipe_history, images, monkeypatch, is_manual):
    """Each has an eighth of the parameters, of the moments and of the average, and updates it."""
    monkeypatch.setattr(sharding, "_MIN_SPREAD", 64)
    monkeypatch.setattr(sharding, "_is_manual", lambda mesh: is_manual)  # as for TPUs
    mesh, create, step_fn = _on_devices(recipe, 8)
    state, together = run_steps(mesh, create(), step_fn, images, 4)
    kernel = state.generator.params["encoder_2"]["kernel"]  # [4,4,8,16]
    moment = state.generator.opt_state[0].mu["encoder_2"]["kernel"]
    average = state.generator_ema["params"]["encoder_2"]["kernel"]
    assert kernel.shape == moment.shape == average.shape == (4, 4, 8, 16)
    shapes = [array.addressable_shards[0].data.shape for array in (kernel, moment, average)]
    assert shapes == [(4, 4, 1, 16)] * 3
    assert len(kernel.sharding.device_set) == 8
    for step_alone, step_together in zip(recipe_history, together, strict=True):
        assert step_together == pytest.approx(step_alone, rel=1e-2, abs=1e-5)


def test_degraded_images_are_input_and_target(recipe, recipe_on_one_device, recipe_history, images):
    """The loss of the first step, computed again by hand."""
    config, gan = recipe
    state = recipe_on_one_device[1]()
    augment_rng, dropout_rng = jax.random.split(_first_rng("steps"))

    @jax.jit
    def by_hand(share):
        clean = color.to_signed(crop_and_flip(images, 32, augment_rng))
        real = degradation.degrade_some(clean, _first_rng("degradation"), share)
        stochastic = {"mutable": ["batch_stats"], "rngs": {"dropout": dropout_rng}}
        fake, _ = gan.generator.apply(state.generator.variables, color.luma(real), True, 0.1, **stochastic)
        return l1_loss(real, fake)

    assert recipe_history[0]["train/generator/l1"] == pytest.approx(float(by_hand(0.5)), rel=1e-4)
    assert recipe_history[0]["train/generator/l1"] != pytest.approx(float(by_hand(0.0)), rel=1e-2)


def test_recipe_sums_its_losses_and_follows_its_schedule(recipe, recipe_history):
    config, _ = recipe
    for step, step_metrics in enumerate(recipe_history):
        step_metrics = {name.removeprefix("train/generator/"): value for name, value in step_metrics.items()}
        expected = step_metrics["adversarial"]
        for name in ("l1", "palette", "histogram"):
            expected += config.loss[f"{name}_weight"] * step_metrics[name]
        assert step_metrics["loss"] == pytest.approx(expected, rel=1e-5)
        rate = config.optimizer.generator_learning_rate * (1 + math.cos(math.pi * step / 2000)) / 2  # of two epochs
        assert step_metrics["learning_rate"] == pytest.approx(rate, rel=2e-7)


def test_learning_rate_follows_the_step_even_if_all_steps_before_were_skipped(recipe, recipe_on_one_device, images):
    mesh, create, step_fn = recipe_on_one_device
    state = jax.device_put(create().replace(step=jnp.int32(1000)), sharding.replicated(mesh))
    before = jax.device_get(state.generator.params)
    after, (step_metrics,) = run_steps(mesh, state, step_fn, images, 1)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), before, jax.device_get(after.generator.params))
    half = recipe[0].optimizer.generator_learning_rate / 2
    assert max(jax.tree.leaves(moved)) == pytest.approx(half, rel=1e-2)  # Adam's first step is the rate itself
    assert step_metrics["train/generator/learning_rate"] == pytest.approx(half)


def test_bfloat16_on_a_gpu_gives_nearly_the_same_losses(recipe_history, images):
    """XLA's own convolutions in bfloat16, as on a GPU, give nearly the same losses as Winograd's in float32."""
    config = default.get_config()
    config.update_from_flattened_dict(TINY | {"data.degrade": 0.5, "precision": "bfloat16"})
    mesh, create, step_fn = _on_devices((config, build.create_gan(config, "gpu")), 1)
    state, history = run_steps(mesh, create(), step_fn, images, 2)
    assert all(np.isfinite(value) for step_metrics in history for value in step_metrics.values())
    assert {str(x.dtype) for x in jax.tree.leaves(state)} == {"float32", "int32"}
    for name in ("generator/l1", "generator/palette", "generator/adversarial", "critic/loss"):
        assert history[0][f"train/{name}"] == pytest.approx(recipe_history[0][f"train/{name}"], rel=0.03), name
