import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from colorgan import color
from colorgan.errors import UserError
from colorgan.models.build import ENCODERS
from colorgan.training import losses
from colorgan.training.losses import adversarial
from colorgan.training.losses.feature import feature_loss

ZEROS = jnp.zeros(4)


def test_critic_that_cannot_tell_them_apart():
    assert float(adversarial.critic_loss(ZEROS, ZEROS)) == pytest.approx(2 * math.log(2))


def test_critic_loss_has_no_floor():
    # The original's ended in a sigmoid and could not fall below 1.0064.
    assert float(adversarial.critic_loss(ZEROS + 20, ZEROS - 20)) < 1e-6


def test_real_and_fake_logits_have_opposite_directions():
    assert float(adversarial.critic_loss(ZEROS + 2, ZEROS)) < float(adversarial.critic_loss(ZEROS - 2, ZEROS))
    assert float(adversarial.critic_loss(ZEROS, ZEROS - 2)) < float(adversarial.critic_loss(ZEROS, ZEROS + 2))
    assert float(adversarial.generator_adversarial_loss(ZEROS + 2)) == pytest.approx(math.log1p(math.exp(-2)), rel=1e-5)


def test_l1():
    real = jnp.ones((1, 2, 2, 3))
    assert float(losses.l1_loss(real, -real)) == 2
    assert float(losses.l1_loss(real, real)) == 0


def test_palette_loss_depends_on_frequencies_of_colors_not_on_positions():
    rng = np.random.default_rng(0)
    chroma = rng.uniform(-0.2, 0.2, (2, 8, 8, 2)).astype(np.float32)
    real = color.chroma_to_rgb(jnp.zeros((2, 8, 8, 1)), jnp.asarray(chroma))
    elsewhere = real[::-1, ::-1, :, :]
    assert float(losses.palette_loss(real, elsewhere)) < 1e-6
    assert float(losses.l1_loss(real, elsewhere)) > 0.1
    # Half the chroma, compared with SciPy's distance of the projections.
    pale = color.chroma_to_rgb(jnp.zeros((2, 8, 8, 1)), jnp.asarray(chroma / 2))
    angles = np.arange(8) * np.pi / 8
    projections = [(np.cos(a) * chroma[..., 0] + np.sin(a) * chroma[..., 1]).ravel() for a in angles]
    expected = np.mean([scipy.stats.wasserstein_distance(p, p / 2) for p in projections])
    assert float(losses.palette_loss(real, pale)) == pytest.approx(expected, rel=1e-4)


def test_histogram_loss_counts_different_colors_at_any_position():
    """With colors in the centers of bins it is the total variation of plain histograms."""
    rng = np.random.default_rng(0)
    bins = rng.integers(-5, 6, (2, 2, 4, 4, 2))
    real, fake = (color.chroma_to_rgb(jnp.zeros((2, 4, 4, 1)), jnp.float32(0.04 * chosen)) for chosen in bins)
    edges = np.linspace(-5.5, 5.5, 12)
    counted = [np.histogram2d(a, b, bins=[edges, edges])[0] for a, b in (chosen.reshape(-1, 2).T for chosen in bins)]
    expected = np.abs(counted[0] - counted[1]).sum() / 2 / 32
    assert 0.5 < expected < 1
    assert float(losses.histogram_loss(real, fake)) == pytest.approx(expected, rel=1e-4)
    assert float(losses.histogram_loss(real, real[::-1, ::-1])) < 1e-5
    # Values beyond the last bin count in it.
    vivid, gone = (jnp.tile(jnp.array(rgb), (2, 4, 4, 1)) for rgb in ([1.0, -1.0, -1.0], [-1.0, -1.0, -1.0]))
    assert float(losses.histogram_loss(vivid, gone)) == pytest.approx(1)


def test_histogram_loss_is_differentiable_between_bins():
    def loss(scale):
        real = color.chroma_to_rgb(jnp.zeros((1, 4, 4, 1)), jnp.tile(jnp.array([0.08, -0.04]), (1, 4, 4, 1)))
        return losses.histogram_loss(real, scale * real)

    assert float(loss(0.75)) == pytest.approx(1 - 0.5 * 0.75, rel=1e-4)  # half a bin away in Cb, a quarter in Cr
    assert float(jax.grad(loss)(0.75)) < -1


@pytest.mark.parametrize(("batch_size", "num_parts"), [(63, 1), (96, 1), (97, 1), (130, 2), (200, 2), (256, 4)])
@pytest.mark.parametrize("loss", [losses.palette_loss, losses.histogram_loss])
def test_palettes_are_of_64_images_or_a_few_more(loss, batch_size, num_parts):
    real, fake = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (2, batch_size, 1, 1, 3)).astype(np.float32))
    loss_fn = jax.jit(loss)
    parts = map(loss_fn, jnp.split(real, num_parts), jnp.split(fake, num_parts))
    assert float(loss_fn(real, fake)) == pytest.approx(float(sum(parts)) / num_parts, rel=1e-5)


def test_palette_loss_makes_colors_vivid():
    """Its gradient increases pale colors of the right hue, and does not depend on the luma."""
    real = color.chroma_to_rgb(jnp.zeros((1, 4, 4, 1)), jnp.tile(jnp.array([0.3, -0.2]), (1, 4, 4, 1)))

    @jax.jit
    @jax.grad
    def slopes(of):
        scale, brighter = of
        return losses.palette_loss(real, scale * real + brighter)

    assert slopes((0.5, 0.1))[0] < -0.05
    assert slopes((1.5, 0.1))[0] > 0.05
    assert abs(slopes((0.5, 0.1))[1]) < 1e-6


def test_feature_loss_is_zero_for_equal_images_and_has_a_limit():
    encoder = ENCODERS["tiny"]()
    real, other = jax.random.uniform(jax.random.key(0), (2, 3, 32, 32, 3), minval=-1, maxval=1)
    variables: Any = encoder.init(jax.random.key(1), real)
    loss = functools.partial(feature_loss, encoder, variables)
    assert float(loss(real, real)) == 0
    near, far = (float(loss(real, real + share * (other - real))) for share in (0.1, 1.0))
    assert 0 < near < far < 2  # features of a ReLU have angles of at most 90 degrees
    assert float(loss(real, other)) == pytest.approx(float(loss(other, real)), rel=1e-5)
    slope = jax.jit(jax.grad(lambda fake: loss(real, fake)))(other)
    assert np.isfinite(slope).all()
    assert float(loss(real, other - 0.1 * slope / jnp.abs(slope).max())) < far
    assert np.isfinite(jax.grad(lambda fake: loss(real, fake))(jnp.zeros_like(other))).all()


def test_weights_by_name():
    weights = {"adversarial_weight": 1.0, "l1_weight": 0.0, "palette_weight": 3.0, "histogram_weight": 0.0}
    assert losses.loss_weights(weights) == {"adversarial": 1.0, "l1": 0.0, "palette": 3.0}
    assert losses.loss_weights({"l1_weight": 1.0, "adversarial_weight": 0.0}) == {"l1": 1.0}
    names = "l1, palette, histogram, adversarial, feature"
    with pytest.raises(UserError, match=f"^config.loss.vgg_weight belongs to no loss; there are {names}$"):
        losses.loss_weights({"vgg_weight": 1.0})
