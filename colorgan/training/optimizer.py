"""Optax optimizers and learning rate schedules."""

import optax


def create_schedule(kind: str, learning_rate: float, num_steps: int) -> optax.Schedule:
    """A function from the step to the learning rate.

    "constant", as in the baseline, or "cosine": from `learning_rate` to 0 at `num_steps` (Loshchilov and Hutter 2017,
    arXiv:1608.03983, without restarts).
    """
    if kind == "cosine":
        return optax.cosine_decay_schedule(learning_rate, num_steps)
    return optax.constant_schedule(learning_rate)


def create_optimizer(beta1: float, beta2: float) -> optax.GradientTransformation:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980) with Keras' epsilon 1e-7, as in the baseline, at learning rate 1.

    `train_step` multiplies by the rate of the run's own step, since Optax does not count skipped steps.
    """
    return optax.adam(1.0, b1=beta1, b2=beta2, eps=1e-7)
