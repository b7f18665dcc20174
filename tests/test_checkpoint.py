"""What is saved comes back, and the right ones are kept."""

import jax
import numpy as np
import pytest

from colorgan import sharding, train_state
from colorgan.checkpoint import Checkpoints
from colorgan.errors import UserError

METRIC = "validation/psnr"


@pytest.fixture(scope="module")
def state(tiny_gan):
    return train_state.create_state(tiny_gan, 3, sharding.replicated(sharding.create_mesh(jax.devices()[:1])))


def _steps(workdir):
    return sorted(int(path.name) for path in (workdir / "checkpoints").iterdir())


def test_a_state_comes_back_to_the_bit_on_any_devices(tiny_gan, state, tmp_path):
    state = state.replace(step=jax.numpy.int32(7))
    with Checkpoints(tmp_path, METRIC, 2) as checkpoints:
        assert checkpoints.choose_step("latest") is None
        checkpoints.save(7, state, {"epoch": 1}, {METRIC: 20.0})
    everywhere = sharding.replicated(sharding.create_mesh())
    with Checkpoints(tmp_path, METRIC, 2) as checkpoints:
        assert checkpoints.restore_meta(7) == {"epoch": 1}
        restored = checkpoints.restore(7, train_state.abstract_state(tiny_gan, everywhere))
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, restored, state)
    assert all(x.sharding == everywhere for x in jax.tree.leaves(restored))


def test_the_generator_comes_back_alone(tiny_gan, state, tmp_path):
    with Checkpoints(tmp_path, METRIC, 2) as checkpoints:
        checkpoints.save(1, state, {}, {METRIC: 20.0})
    abstract = train_state.abstract_variables(tiny_gan.generator, sharding.replicated(sharding.create_mesh()))
    with Checkpoints(tmp_path, METRIC) as checkpoints:
        restored = checkpoints.restore_generator(1, abstract)
    jax.tree.map(np.testing.assert_array_equal, restored, state.generator_ema)


def test_the_newest_and_the_best_are_kept_also_over_a_restart(state, tmp_path):
    for scores in ({1: 20.0, 2: 25.0, 3: 21.0}, {4: 22.0, 5: 23.0}):
        with Checkpoints(tmp_path, METRIC, 2) as checkpoints:
            for step, score in scores.items():
                checkpoints.save(step, state, {}, {METRIC: score})
    assert _steps(tmp_path) == [2, 4, 5]
    with Checkpoints(tmp_path, METRIC) as checkpoints:
        assert checkpoints.choose_step("best") == 2
        assert checkpoints.choose_step("latest") == 5


def test_a_state_that_was_not_validated_is_kept_while_it_is_new(state, tmp_path):
    with Checkpoints(tmp_path, METRIC, 2) as checkpoints:
        checkpoints.save(1, state, {}, {METRIC: 20.0})
        checkpoints.save(2, state, {}, None)
        assert checkpoints.choose_step("best") == 1
        for step in (3, 4):
            checkpoints.save(step, state, {}, {METRIC: 10.0})
    assert _steps(tmp_path) == [1, 3, 4]


def test_a_folder_without_checkpoints_has_none_and_is_not_touched(tmp_path):
    with Checkpoints(tmp_path, METRIC) as checkpoints:
        assert checkpoints.choose_step("latest") is None
        assert checkpoints.choose_step("best") is None
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "checkpoints").write_text("a file")
    with pytest.raises(UserError, match="cannot keep checkpoints"):
        Checkpoints(tmp_path, METRIC, 2)
