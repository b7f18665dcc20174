import pytest

from colorgan.training import optimizer


def test_constant():
    schedule = optimizer.create_schedule("constant", 3e-4, 100)
    assert float(schedule(0)) == float(schedule(1000)) == pytest.approx(3e-4)


def test_cosine_decays_to_zero_at_the_end():
    schedule = optimizer.create_schedule("cosine", 3e-4, 100)
    assert [float(schedule(step)) for step in (0, 50, 100, 200)] == pytest.approx([3e-4, 1.5e-4, 0, 0], abs=1e-10)
