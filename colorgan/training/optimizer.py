"""Optax optimizers and learning rate schedules."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

Schedule = Callable[[ArrayLike, ArrayLike, ArrayLike], jax.Array]  # first rate, step and number of steps to rate


def constant(learning_rate: ArrayLike, step: ArrayLike, num_steps: ArrayLike) -> jax.Array:
    """`learning_rate` in every step, as in the baseline."""
    return jnp.asarray(learning_rate)


def cosine(learning_rate: ArrayLike, step: ArrayLike, num_steps: ArrayLike) -> jax.Array:
    """From `learning_rate` to 0 at `num_steps` (Loshchilov and Hutter 2017, arXiv:1608.03983, without restarts).

    As `optax.cosine_decay_schedule`, whose number of steps cannot be an argument of a compiled program.
    """
    return jnp.asarray(learning_rate) * (0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(step, num_steps) / num_steps)))


# By the value of config.optimizer.schedule.
SCHEDULES: dict[str, Schedule] = {"constant": constant, "cosine": cosine}


def create_optimizer(
    beta1: float, beta2: float, weight_decay: float = 0.0, rates: Mapping[str, float] | None = None
) -> optax.GradientTransformation:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980) with Keras' epsilon 1e-7, as in the baseline, at learning rate 1.

    `train_step` multiplies by the rate of the run's own step, since Optax does not count skipped steps.

    Args:
      beta1: decay of the first moment.
      beta2: decay of the second moment.
      weight_decay: of kernels, decoupled from the gradient (AdamW, Loshchilov and Hutter 2019, arXiv:1711.05101).
      rates: factors of the learning rate by module; 1 for all others.
    """
    steps = [optax.adam(1.0, b1=beta1, b2=beta2, eps=1e-7)]
    if weight_decay:
        steps = [optax.adamw(1.0, b1=beta1, b2=beta2, eps=1e-7, weight_decay=weight_decay, mask=_are_kernels)]
    for module, rate in (rates or {}).items():
        if rate != 1:
            steps.append(optax.masked(optax.scale(rate), functools.partial(_are_in, module=module)))
    return optax.chain(*steps) if len(steps) > 1 else steps[0]


def _are_kernels(params: optax.Params) -> Any:
    return jax.tree.map(lambda value: value.ndim > 1, params)


def _are_in(params: optax.Params, module: str) -> Any:
    return {name: jax.tree.map(lambda _, name=name: name == module, values) for name, values in params.items()}
