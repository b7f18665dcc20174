import optax
import pytest

from colorgan.training import optimizer


def test_constant():
    schedule = optimizer.SCHEDULES["constant"]
    assert float(schedule(3e-4, 0, 100)) == float(schedule(3e-4, 1000, 100)) == pytest.approx(3e-4)


def test_cosine_decays_to_zero_at_the_end():
    rates = [float(optimizer.SCHEDULES["cosine"](3e-4, step, 100)) for step in (0, 50, 100, 200)]
    assert rates == pytest.approx([3e-4, 1.5e-4, 0, 0], abs=1e-10)


def test_cosine_is_that_of_optax():
    reference = optax.cosine_decay_schedule(3e-4, 70)
    rates = [(float(optimizer.cosine(3e-4, step, 70)), float(reference(step))) for step in range(0, 90, 7)]
    assert [rate for rate, _ in rates] == pytest.approx([rate for _, rate in rates], rel=1e-6, abs=1e-10)
