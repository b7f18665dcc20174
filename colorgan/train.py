"""The training loop: the story of a run."""

import contextlib
import dataclasses
import functools
import json
import logging
import math
from pathlib import Path

import jax
import numpy as np
from clu import parameter_overview
from jax.sharding import Mesh
from ml_collections import ConfigDict

from colorgan import (
    checkpoint,
    evaluate,
    feed,
    models,
    monitor,
    optimizer,
    run_folder,
    sample_grid,
    sharding,
    timing,
    train_state,
)
from colorgan import config as config_lib
from colorgan.data import pipeline, sources
from colorgan.errors import UserError
from colorgan.stopping import Stopped, StopSignals
from colorgan.train_state import GAN, GANState
from colorgan.train_step import train_step

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Epochs:
    """Where epochs end, in steps: after the step that draws the last of an epoch's images."""

    num_images: int
    batch_size: int

    def finished(self, step: int) -> int:
        """How many epochs are over after `step` steps."""
        return step * self.batch_size // self.num_images

    def last_step(self, epoch: int) -> int:
        """The step that ends `epoch`, counted from 1."""
        return math.ceil(epoch * self.num_images / self.batch_size)

    def figures(self, step: int) -> dict[str, float]:
        """How many times the run has seen every image."""
        return {"train/epoch": step * self.batch_size / self.num_images}


def train(config: ConfigDict, workdir: Path) -> None:
    """Trains `config` in `workdir` from its last checkpoint, or from the start, to the end.

    Raises:
      Stopped: a signal came; the state is saved.
      UserError: the config, the data or the folder cannot be used, or a figure is not finite.
    """
    mesh = sharding.create_mesh()
    config_lib.check_batch_size(config.batch_size, mesh.size)
    run_folder.check(config, workdir)
    is_first_process = jax.process_index() == 0
    train_images, validation_images = open_images(config)
    epochs = Epochs(len(train_images), config.batch_size)
    num_steps = epochs.last_step(config.num_epochs)
    run_folder.create(workdir)
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopSignals())
        stack.enter_context(monitor.logging_to(workdir, is_first_process))
        checkpoints = stack.enter_context(checkpoint.Checkpoints(workdir, config.best_metric, config.num_checkpoints))
        gan = create_gan(config, sharding.platform_of(mesh))
        state, step = _start_state(config, gan, mesh, checkpoints, len(train_images))
        if is_first_process:
            run_folder.describe(workdir, config, state)
        message = "%d training images, %d epochs of %d images a step, %d of %d steps done, on %d %s device(s)"
        sizes = (len(train_images), config.num_epochs, config.batch_size, step, num_steps, mesh.size)
        log.info(message, *sizes, sharding.platform_of(mesh))
        if step >= num_steps:
            log.info("the run is complete; a larger config.num_epochs goes on")
            return

        eval_step_fn = evaluate.create_eval_step(gan.generator, mesh)
        draw_samples = sample_grid.create_sampler(gan, mesh, validation_images, config.num_samples)
        loading = create_loading(config)
        # To start workers for one short pass would take longer than the pass.
        num_threads = max(loading.num_threads, loading.num_workers)
        in_threads = dataclasses.replace(loading, num_workers=0, num_threads=num_threads)
        batches = feed.create_batches(
            config.data.cache, train_images, config.batch_size, config.seed, step, loading, mesh
        )
        stack.callback(batches.close)
        log.info("compiling the training step")
        train_step_fn = compile_train_step(config, gan, mesh, state)
        watch = stack.enter_context(monitor.Monitor(workdir, step, num_steps, is_first_process))
        watch.write_text("config", json.dumps(config_lib.to_plain(config), indent=2), step)
        watch.write_text("networks", _overview(state), step)
        profiler = stack.enter_context(timing.Profiler(workdir / monitor.TENSORBOARD_FOLDER, config.profile_steps))
        pending = monitor.PendingFigures()
        meta = {"config": config_lib.to_plain(config), "num_images": len(train_images)}

        timer, costs = timing.StepTimer(config.batch_size), timing.SideCosts()
        for epoch in range(epochs.finished(step) + 1, config.num_epochs + 1):
            steps = range(step + 1, epochs.last_step(epoch) + 1)
            for step in steps:
                profiler.before_step(step)
                with timer.waiting():
                    images = next(batches)
                state, step_metrics = train_step_fn(state, images)
                profiler.after_step(step, step_metrics)
                pending.add(step, step_metrics)
                # The device is not waited for: these are figures of steps that are already past.
                wants_figures = (step - 1) % config.log_every_steps == 0
                figures = pending.take(before=step) if wants_figures else {}
                with costs.of("logging"):
                    watch.progress(step, f"epoch {epoch}/{config.num_epochs}")
                    if figures:
                        watch.write(step - 1, figures | epochs.figures(step - 1) | timer.read() | batches.figures())
                if stop.requested(step):
                    break

            figures = pending.take() | epochs.figures(step) | timer.read() | batches.figures()
            if step < epochs.last_step(epoch):
                if step % config.log_every_steps == 0:
                    watch.write(step, figures)
                watch.sync()
                checkpoints.save(step, state, meta, metrics=None)
                raise Stopped(f"stopped at step {step} of {num_steps}; the same command goes on from there")
            saves = epoch % config.checkpoint_every_epochs == 0 or epoch == config.num_epochs
            validation = {}
            if saves:
                with costs.of("validation"):
                    validation_batches = pipeline.ordered_batches(validation_images, config.batch_size, in_threads)
                    scores = evaluate.evaluate(eval_step_fn, state.generator_ema, validation_batches, mesh)
                validation = {f"validation/{name}": value for name, value in scores.items()}
                monitor.check_finite(step, validation)
            if epoch in config.sample_epochs or epoch == config.num_epochs:
                with costs.of("sampling"):
                    watch.write_samples(epoch, step, draw_samples(state))
            watch.write(step, figures | validation | costs.read())
            if saves:
                with costs.of("checkpoint"):  # told at the end of the next epoch: the figures are saved first
                    watch.sync()
                    checkpoints.save(step, state, meta, validation)
            watch.log_epoch(epoch, config.num_epochs, figures | validation)
            timer.restart()


def create_gan(config: ConfigDict, platform: str) -> GAN:
    """Networks and optimisers as `config` says, for "cpu", "gpu" or "tpu"."""
    generator, critic = models.create_networks(
        config.image_size, config.model.width, config.model.max_width, config.precision, platform
    )
    rates = config.optimizer
    schedules = [
        optimizer.create_schedule(rate) for rate in (rates.generator_learning_rate, rates.critic_learning_rate)
    ]
    optimizers = [optimizer.create_optimizer(schedule, rates.beta1, rates.beta2) for schedule in schedules]
    return GAN(generator, critic, *optimizers, *schedules)


def create_train_step(config: ConfigDict, gan: GAN, mesh: Mesh) -> jax.stages.Wrapped:
    """`train_step` of (state, global uint8 batch on `mesh`), jitted; donates the state."""
    everywhere = sharding.replicated(mesh)
    return jax.jit(
        functools.partial(
            train_step,
            gan=gan,
            seed=config.seed,
            l1_weight=config.loss.l1_weight,
            ema_decay=config.ema_decay,
        ),
        in_shardings=(everywhere, sharding.batch_sharding(mesh)),
        out_shardings=everywhere,
        donate_argnums=0,
        compiler_options=dict(option.split("=", 1) for option in config.compiler_options),
    )


def compile_train_step(config: ConfigDict, gan: GAN, mesh: Mesh, state: GANState) -> jax.stages.Compiled:
    """The jitted step, compiled for the devices of `mesh`; of `state` the shapes alone matter.

    Raises:
      UserError: XLA does not know one of `config.compiler_options`, or not its value.
    """
    size = config.data.load_size
    batch = jax.ShapeDtypeStruct((config.batch_size, size, size, 3), np.uint8, sharding=sharding.batch_sharding(mesh))
    try:
        return create_train_step(config, gan, mesh).lower(state, batch).compile()
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" in str(error) or "While setting option" in str(error):
            raise UserError(f"config.compiler_options: {error}") from error
        raise


def open_images(config: ConfigDict) -> tuple[pipeline.Images, pipeline.Images]:
    """Training and validation images; UserError if there are none, or fewer than a batch."""
    data = config.data
    train_source = sources.open_source(data.train, data.load_size, sources.TRAIN_SEED)
    validation_source = sources.open_source(data.validation, config.image_size, sources.VALIDATION_SEED)
    if len(train_source) < config.batch_size:
        raise UserError(
            f"config.batch_size is {config.batch_size} but {data.train} holds only {len(train_source)} images"
        )
    return (
        pipeline.Images(train_source, data.load_size, data.max_bad_fraction),
        pipeline.Images(validation_source, config.image_size, data.max_bad_fraction),
    )


def create_loading(config: ConfigDict) -> pipeline.Loading:
    """How this process loads its share, as `config` says."""
    data = config.data
    return pipeline.Loading(data.num_workers, data.num_threads, jax.process_index(), jax.process_count())


def _start_state(
    config: ConfigDict, gan: GAN, mesh: Mesh, checkpoints: checkpoint.Checkpoints, num_images: int
) -> tuple[GANState, int]:
    """The newest checkpoint's state, or a new one; and its step."""
    step = checkpoints.choose_step("latest")
    if step is None:
        return train_state.create_state(gan, config.seed, sharding.replicated(mesh)), 0
    meta = checkpoints.restore_meta(step)
    fixed, free = config_lib.changes(meta["config"], config_lib.to_plain(config))
    if meta["num_images"] != num_images:
        fixed.append(f"number of training images: {meta['num_images']} -> {num_images}")
    run_folder.refuse(fixed)
    log.info("going on from step %d", step)
    for change in free:
        log.info("changed since the checkpoint: %s", change)
    return checkpoints.restore(step, train_state.abstract_state(gan, sharding.replicated(mesh))), step


def _overview(state: GANState) -> str:
    tables = [
        f"{name}\n{parameter_overview.get_parameter_overview(network.params, include_stats=False)}"
        for name, network in (("generator", state.generator), ("critic", state.critic))
    ]
    return "\n\n".join(tables)
