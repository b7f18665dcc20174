"""One step: what it computes, where it runs, and that it learns."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from colorgan import color, losses, sharding, train_state, train_step
from colorgan.data import procedural

OPTIONS = {"seed": 0, "l1_weight": 100.0, "ema_decay": 0.9}


@pytest.fixture(scope="module")
def images():
    return np.stack([procedural.create_image(n, 36) for n in range(8)])


def _jitted(gan, mesh):
    everywhere, data = sharding.replicated(mesh), sharding.batch_sharding(mesh)
    step = functools.partial(train_step.train_step, gan=gan, **OPTIONS)
    return jax.jit(step, in_shardings=(everywhere, data), out_shardings=everywhere, donate_argnums=0)


@pytest.fixture(scope="module")
def on_one_device(tiny_gan):
    mesh = sharding.create_mesh(jax.devices()[:1])
    create = functools.partial(train_state.create_state, tiny_gan, 0, sharding.replicated(mesh))
    return mesh, create, _jitted(tiny_gan, mesh)


def _run(mesh, state, step_fn, images, num_steps):
    history = []
    for _ in range(num_steps):
        state, metrics = step_fn(state, sharding.to_global(mesh, images))
        history.append({name: float(value) for name, value in metrics.items()})
    return state, history


def test_it_learns(on_one_device, images):
    mesh, create, step_fn = on_one_device
    state, history = _run(mesh, create(), step_fn, images, 60)
    assert int(state.step) == 60
    first, last = (np.mean([step["train/generator/l1"] for step in part]) for part in (history[:5], history[-5:]))
    assert last < 0.5 * first
    critic = [step["train/critic/probability_real"] - step["train/critic/probability_fake"] for step in history]
    assert np.mean(critic[-5:]) > 0.1  # it has come to tell them apart
    assert all(step["train/generator/learning_rate"] == pytest.approx(1e-3) for step in history)


def test_the_same_step_is_the_same_to_the_bit_and_another_is_not(on_one_device, images):
    mesh, create, step_fn = on_one_device
    first, history = _run(mesh, create(), step_fn, images, 2)
    second, again = _run(mesh, create(), step_fn, images, 2)
    assert history == again
    jax.tree.map(np.testing.assert_array_equal, first, second)
    later = create().replace(step=jnp.int32(7))  # other crops, flips and dropout
    _, elsewhere = _run(mesh, jax.device_put(later, sharding.replicated(mesh)), step_fn, images, 1)
    assert elsewhere[0]["train/generator/l1"] != history[0]["train/generator/l1"]


def test_the_state_is_donated(on_one_device, images):
    mesh, create, step_fn = on_one_device
    state = create()
    step_fn(state, sharding.to_global(mesh, images))
    assert all(x.is_deleted() for x in jax.tree.leaves(state.generator.params))


def test_eight_devices_compute_what_one_does(on_one_device, tiny_gan, images):
    mesh, create, step_fn = on_one_device
    _, alone = _run(mesh, create(), step_fn, images, 3)
    wide = sharding.create_mesh()
    assert wide.size == 8
    state = train_state.create_state(tiny_gan, 0, sharding.replicated(wide))
    state, together = _run(wide, state, _jitted(tiny_gan, wide), images, 3)
    assert len(jax.tree.leaves(state.generator.params)[0].sharding.device_set) == 8
    for step_alone, step_together in zip(alone, together, strict=True):
        assert step_together == pytest.approx(step_alone, rel=2e-3, abs=1e-5)


def test_the_metrics_are_the_losses(on_one_device, tiny_gan, images):
    """Written out once more by hand, from the state before the step."""
    mesh, create, step_fn = on_one_device
    state = create()
    augment_rng, dropout_rng = jax.random.split(jax.random.fold_in(jax.random.key(0), 0))
    real = color.to_signed(train_step._crop_and_flip(images, 32, augment_rng))
    gray = color.luma(real)

    @jax.jit
    def by_hand(state):
        fake, _ = tiny_gan.generator.apply(
            state.generator.variables, gray, True, mutable=["batch_stats"], rngs={"dropout": dropout_rng}
        )
        on_real, _ = tiny_gan.critic.apply(state.critic.variables, gray, real, True, mutable=["batch_stats"])
        on_fake, _ = tiny_gan.critic.apply(state.critic.variables, gray, fake, True, mutable=["batch_stats"])
        l1, adversarial = losses.l1_loss(real, fake), losses.generator_adversarial_loss(on_fake)
        return {
            "train/generator/loss": adversarial + 100 * l1,
            "train/generator/l1": l1,
            "train/generator/adversarial": adversarial,
            "train/critic/loss": losses.critic_loss(on_real, on_fake),
            "train/critic/probability_real": jax.nn.sigmoid(on_real).mean(),
            "train/critic/probability_fake": jax.nn.sigmoid(on_fake).mean(),
        }

    expected = {name: float(value) for name, value in by_hand(state).items()}
    _, (metrics,) = _run(mesh, state, step_fn, images, 1)
    assert {name: metrics[name] for name in expected} == pytest.approx(expected, rel=1e-4)


def test_the_average_moves_with_parameters_and_statistics(on_one_device, images):
    mesh, create, step_fn = on_one_device
    before = jax.device_get(create().generator_ema)
    state, _ = _run(mesh, create(), step_fn, images, 1)
    decay = 1 / 10  # the ramp's first value
    expected = jax.tree.map(lambda a, v: decay * a + (1 - decay) * v, before, jax.device_get(state.generator.variables))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), state.generator_ema, expected)


def test_crops_and_flips_are_windows_of_the_image():
    # Every pixel tells its place, so a crop tells where it was taken.
    rows, columns = np.mgrid[:36, :36].astype(np.uint8)
    image = np.stack([rows, columns, np.zeros_like(rows)], axis=-1)
    batch = np.stack([image] * 64)
    cropped = np.asarray(train_step._crop_and_flip(batch, 32, jax.random.key(0)))
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


def test_evaluation_counts_what_the_mask_says(tiny_gan, images):
    mesh = sharding.create_mesh(jax.devices()[:1])
    variables = train_state.create_state(tiny_gan, 0, sharding.replicated(mesh)).generator_ema
    evaluate = jax.jit(functools.partial(train_step.eval_step, generator=tiny_gan.generator))
    small = images[:, 2:34, 2:34]
    whole = evaluate(variables, small, np.ones(8, bool))
    halves = [evaluate(variables, small, np.arange(8) // 4 == half) for half in (0, 1)]
    assert float(whole["count"]) == 8
    for name, value in whole.items():
        assert float(value) == pytest.approx(sum(float(half[name]) for half in halves), rel=1e-5)
    # The gray image keeps the luma and has no colour, so it is near the truth in structure.
    assert float(whole["gray_ssim"]) / 8 > 0.7
    assert float(whole["gray_psnr"]) > float(whole["psnr"])
