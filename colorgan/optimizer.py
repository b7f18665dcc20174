"""Optax optimisers and their learning rates."""

import optax


def create_schedule(learning_rate: float) -> optax.Schedule:
    """Step to learning rate: constant, as in the seed."""
    return optax.constant_schedule(learning_rate)


def create_optimizer(schedule: optax.Schedule, beta1: float, beta2: float) -> optax.GradientTransformation:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980) with Keras' epsilon 1e-7, as the seed has it."""
    return optax.adam(schedule, b1=beta1, b2=beta2, eps=1e-7)
