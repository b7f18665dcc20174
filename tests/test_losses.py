import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from colorgan import color, losses

ZEROS = jnp.zeros(4)
CE = "cross_entropy"


def test_critic_that_knows_nothing():
    assert float(losses.critic_loss(CE, ZEROS, ZEROS)) == pytest.approx(2 * math.log(2))


def test_critic_loss_has_no_floor():
    # The seed's ended in a sigmoid and could not fall below 1.0064.
    assert float(losses.critic_loss(CE, ZEROS + 20, ZEROS - 20)) < 1e-6


def test_each_side_is_judged_in_its_own_direction():
    assert float(losses.critic_loss(CE, ZEROS + 2, ZEROS)) < float(losses.critic_loss(CE, ZEROS - 2, ZEROS))
    assert float(losses.critic_loss(CE, ZEROS, ZEROS - 2)) < float(losses.critic_loss(CE, ZEROS, ZEROS + 2))
    assert float(losses.generator_adversarial_loss(CE, ZEROS + 2)) == pytest.approx(math.log1p(math.exp(-2)), rel=1e-5)


def test_l1():
    real = jnp.ones((1, 2, 2, 3))
    assert float(losses.l1_loss(real, -real)) == 2
    assert float(losses.l1_loss(real, real)) == 0


def test_hinge():
    real, fake = jnp.array([[2.0, 0.5]]), jnp.array([[-3.0, 0.5]])
    assert float(losses.critic_loss("hinge", real, fake)) == pytest.approx((0 + 0.5 + 0 + 1.5) / 2)
    assert float(losses.generator_adversarial_loss("hinge", fake)) == pytest.approx(1.25)


def test_chroma_weight_makes_vivid_pixels_count_more():
    """A gray pixel and a pure blue one (Cb 1, Cr -0.1626, length 1.0131), each off by its own amount."""
    real = jnp.array([[[[0.5, 0.5, 0.5], [-1.0, -1.0, 1.0]]]])
    fake = real + jnp.array([0.1, 0.3])[:, None]
    assert float(losses.l1_loss(real, fake)) == pytest.approx(0.2)
    weight = 1 + 4 * 1.0131
    expected = (0.1 + weight * 0.3) / (1 + weight)
    assert float(losses.l1_loss(real, fake, chroma_weight=4.0)) == pytest.approx(expected, rel=1e-4)
    assert float(losses.l1_loss(real, real, chroma_weight=4.0)) == 0


def test_palette_loss_looks_at_how_frequent_colors_are_not_where_they_are():
    rng = np.random.default_rng(0)
    chroma = rng.uniform(-0.2, 0.2, (2, 8, 8, 2)).astype(np.float32)
    real = color.chroma_to_rgb(jnp.zeros((2, 8, 8, 1)), jnp.asarray(chroma))
    elsewhere = real[::-1, ::-1, :, :]
    assert float(losses.palette_loss(real, elsewhere)) < 1e-6
    assert float(losses.l1_loss(real, elsewhere)) > 0.1
    # Half as vivid: against SciPy's distance of each direction's projections.
    pale = color.chroma_to_rgb(jnp.zeros((2, 8, 8, 1)), jnp.asarray(chroma / 2))
    angles = np.arange(8) * np.pi / 8
    projections = [(np.cos(a) * chroma[..., 0] + np.sin(a) * chroma[..., 1]).ravel() for a in angles]
    expected = np.mean([scipy.stats.wasserstein_distance(p, p / 2) for p in projections])
    assert float(losses.palette_loss(real, pale)) == pytest.approx(expected, rel=1e-4)


def test_palette_loss_makes_colors_vivid():
    """Its gradient makes pale colours of the right hue stronger, and leaves the luma to others."""
    real = color.chroma_to_rgb(jnp.zeros((1, 4, 4, 1)), jnp.tile(jnp.array([0.3, -0.2]), (1, 4, 4, 1)))

    def loss(scale):
        return losses.palette_loss(real, scale * real)

    assert float(jax.grad(loss)(0.5)) < -0.05
    assert float(jax.grad(loss)(1.5)) > 0.05
