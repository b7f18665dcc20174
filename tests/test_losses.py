import math

import jax.numpy as jnp
import pytest

from colorgan import losses

ZEROS = jnp.zeros(4)


def test_critic_that_knows_nothing():
    assert float(losses.critic_loss(ZEROS, ZEROS)) == pytest.approx(2 * math.log(2))


def test_critic_loss_has_no_floor():
    # The seed's ended in a sigmoid and could not fall below 1.0064.
    assert float(losses.critic_loss(ZEROS + 20, ZEROS - 20)) < 1e-6


def test_each_side_is_judged_in_its_own_direction():
    assert float(losses.critic_loss(ZEROS + 2, ZEROS)) < float(losses.critic_loss(ZEROS - 2, ZEROS))
    assert float(losses.critic_loss(ZEROS, ZEROS - 2)) < float(losses.critic_loss(ZEROS, ZEROS + 2))
    assert float(losses.generator_adversarial_loss(ZEROS + 2)) == pytest.approx(math.log1p(math.exp(-2)), rel=1e-5)


def test_l1():
    real = jnp.ones((1, 2, 2, 3))
    assert float(losses.l1_loss(real, -real)) == 2
    assert float(losses.l1_loss(real, real)) == 0
