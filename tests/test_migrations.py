"""Migrations of variables and training states. Whole runs of earlier versions: test_old_runs.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from colorgan.configs import default
from colorgan.run import migrations
from colorgan.training import build
from colorgan.training.state import create_state

# Biases that format version 2 had and version 3 has not, of the baseline's networks at 32 px.
GENERATOR_BIASES = {f"encoder_{n}/bias" for n in (1, 2, 3)} | {f"decoder_{n}/bias" for n in (0, 1, 2, 3)}
CRITIC_BIASES = {"Convolution_1/bias", "Convolution_2/bias", "Convolution_3/bias", "Dense_0/bias"}


def _paths(tree):
    return set(traverse_util.flatten_dict(tree, sep="/"))


@pytest.fixture(scope="module")
def states():
    """Abstract states of the baseline's networks, and of those of configs/pretrained.py with the patch critic."""

    def abstract(encoder, critic):
        config = default.get_config()
        config.image_size, config.model.width, config.model.max_width = 32, 4, 8
        config.model.encoder, config.model.critic = encoder, critic
        gan = build.create_gan(config, "cpu")
        return jax.eval_shape(lambda: create_state(gan, 0, None))

    return {"baseline": abstract("unet", "dense"), "pretrained": abstract("efficientnet_lite0", "patch")}


@pytest.mark.parametrize(("network", "biases"), [("generator", GENERATOR_BIASES), ("critic", CRITIC_BIASES)])
def test_biases_before_batch_norm(states, network, biases):
    state = getattr(states["baseline"], network)
    saved = migrations.to_saved(state, 2)
    assert _paths(saved.params) - _paths(state.params) == biases
    assert _paths(saved.opt_state[0].mu) - _paths(state.opt_state[0].mu) == biases
    restored = jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), saved)
    current = migrations.to_current(restored, state, 2)
    assert jax.tree.map(jnp.shape, current) == jax.tree.map(jnp.shape, state)
    means = {path: mean for path, mean in traverse_util.flatten_dict(current.batch_stats).items() if path[-1] == "mean"}
    assert len(means) == len(biases)
    assert all((mean == 0).all() for mean in means.values())  # 1 - 1


def test_running_means_lose_the_biases(states):
    """So a run whose biases are not zero, since rounding moved them, colors as before."""
    rng = np.random.default_rng(0)
    abstract = states["baseline"].generator_ema
    saved = migrations.to_saved(abstract, 2)
    restored = jax.tree.map(lambda x: rng.uniform(0.5, 1.0, x.shape).astype(x.dtype), saved)
    current = migrations.to_current(restored, abstract, 2)
    for norm, module in (("encoder_norms_0", "encoder_1"), ("decoder_norms_3", "decoder_3")):
        before, after = (variables["batch_stats"][norm]["BatchNorm_0"] for variables in (restored, current))
        np.testing.assert_array_equal(after["mean"], before["mean"] - restored["params"][module]["bias"])
        np.testing.assert_array_equal(after["var"], before["var"])


def test_other_networks_stay_as_they_are(states):
    """Among them those with spectral norm, whose names of statistics have slashes in them."""
    for network in states["pretrained"].networks().values():
        saved = migrations.to_saved(network, 2)
        assert jax.tree.map(jnp.shape, saved) == jax.tree.map(jnp.shape, network)
        assert jax.tree.map(jnp.shape, migrations.to_current(saved, network, 2)) == jax.tree.map(jnp.shape, network)
