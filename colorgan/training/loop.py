"""The training loop: the story of a run."""

import contextlib
import dataclasses
import json
import logging
from typing import Any

import jax
from clu import parameter_overview
from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from colorgan import config as config_lib
from colorgan import evaluate, sharding
from colorgan.data import pipeline
from colorgan.errors import StoppedTogether
from colorgan.evaluation import image_grid
from colorgan.run import metric_writer, timing
from colorgan.run import workdir as workdir_lib
from colorgan.run.checkpoints import Checkpoints
from colorgan.run.preemption import StopSignals
from colorgan.training import batches as feed
from colorgan.training import build
from colorgan.training import state as train_state
from colorgan.training.early_stopping import EarlyStop
from colorgan.training.epochs import Epochs
from colorgan.training.state import GAN, GANState

log = logging.getLogger(__name__)


def train(config: ConfigDict, workdir: epath.Path) -> None:
    """Trains `config` in `workdir` from its last checkpoint, or from the start, to the end.

    Raises:
      Stopped: a signal came and the state is saved, or the folder cannot be had right now.
      UserError: the config, the data or the folder cannot be used, or a figure is not finite.
    """
    mesh = sharding.create_mesh()
    config_lib.check_batch_size(config.batch_size, mesh.size)
    workdir_lib.check(config, workdir)
    is_first_process = jax.process_index() == 0
    train_images, validation_images = build.open_images(config)
    epochs = Epochs(len(train_images), config.batch_size)
    num_steps = epochs.last_step(config.num_epochs)
    with contextlib.ExitStack() as stack:
        stack.enter_context(workdir_lib.held(workdir))
        stack.enter_context(metric_writer.logging_to(workdir, is_first_process))
        checkpoints = stack.enter_context(Checkpoints(workdir, config.best_metric, config.num_checkpoints))
        gan = build.create_gan(config, sharding.platform_of(mesh), epochs)
        state, step, meta = _start_state(config, gan, mesh, checkpoints, len(train_images))
        described: dict[str, Any] = {"config": config_lib.to_plain(config), "num_images": len(train_images)}
        validated_on = f"{len(validation_images)} of {config.data.validation}"
        early_stop = EarlyStop(config.early_stop, config.best_metric, validated_on, meta.get("early_stop", {}))
        is_over = step >= num_steps or early_stop.is_due
        if is_first_process:  # a run that is over keeps the config that it was trained with
            workdir_lib.describe(workdir, (meta if is_over else described)["config"], state)
        if is_over:
            goes_on = "a larger config.num_epochs" if step >= num_steps else "a larger config.early_stop, or 0,"
            log.info("the run is complete: %d steps of %d are done; %s goes on", step, num_steps, goes_on)
            return
        message = "%d training images, %d epochs of %d images a step, %d of %d steps done, on %d %s device(s)"
        sizes = (len(train_images), config.num_epochs, config.batch_size, step, num_steps, mesh.size)
        log.info(message, *sizes, sharding.platform_of(mesh))

        sum_step_fn = evaluate.create_sum_step(gan.generator, mesh)
        draw_samples = image_grid.create_sampler(gan, mesh, validation_images, config.num_samples)
        loading = build.create_loading(config)
        # To start workers for one short pass would take longer than the pass.
        num_threads = max(loading.num_threads, loading.num_workers)
        in_threads = dataclasses.replace(loading, num_workers=0, num_threads=num_threads)
        batches = feed.create_batches(
            config.data.cache, train_images, config.batch_size, config.seed, step, loading, mesh
        )
        stack.callback(batches.close)
        log.info("compiling the training step")
        train_step_fn = build.compile_train_step(config, gan, mesh, state)
        watch = stack.enter_context(metric_writer.Monitor(workdir, step, num_steps, is_first_process))
        watch.write_text("config", json.dumps(described["config"], indent=2), step)
        watch.write_text("networks", _overview(state), step)
        profiler = stack.enter_context(
            timing.Profiler(workdir / metric_writer.TENSORBOARD_FOLDER, config.profile_steps)
        )
        pending = metric_writer.PendingFigures(config.skip_nonfinite_steps, meta.get("skipped", {}))

        # Until here a signal ends the run at once, with nothing to save; from here on, after its step.
        stop = stack.enter_context(StopSignals())
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
                is_stopping = stop.requested()
                if is_stopping:
                    break

            figures = pending.take() | epochs.figures(step) | timer.read() | batches.figures()
            validation = {}
            is_due = epoch % config.checkpoint_every_epochs == 0 or epoch == config.num_epochs
            if step == epochs.last_step(epoch):
                if is_due:
                    with costs.of("validation"):
                        validation_batches = pipeline.ordered_batches(validation_images, config.batch_size, in_threads)
                        rows, count = evaluate.evaluate(sum_step_fn, state.generator_ema, validation_batches, mesh)
                    evaluate.warn_of_gray(rows, config.data.validation)
                    validation = evaluate.flat_figures(rows, count)
                    metric_writer.check_finite(step, validation)
                    early_stop.add(epoch, validation)
                if epoch in config.sample_epochs or epoch == config.num_epochs or early_stop.is_due:
                    with costs.of("sampling"):
                        watch.write_samples(epoch, step, draw_samples(state))
                watch.write(step, figures | validation | costs.read())
                best = early_stop.best if early_stop.saved["num_since_best"] else ""
                watch.log_epoch(epoch, config.num_epochs, figures | validation, best)
            elif step % config.log_every_steps == 0:
                watch.write(step, figures)
            if is_stopping or (is_due and step == epochs.last_step(epoch)):
                with costs.of("checkpoint"):  # told at the end of the next epoch: the figures are saved first
                    watch.sync()
                    meta = described | {"skipped": pending.skipped, "early_stop": early_stop.saved}
                    checkpoints.save(step, state, meta, validation or None)
            if early_stop.is_due:
                log.info("%s was no better %d times in a row", config.best_metric, config.early_stop)
                break
            if is_stopping and step < num_steps:
                checkpoints.finish()
                raise StoppedTogether(f"stopped at step {step} of {num_steps}; the same command goes on from there")
            timer.restart()
        checkpoints.finish()
        log.info("the run is complete after %d steps: %s", step, early_stop.best)


def _start_state(
    config: ConfigDict, gan: GAN, mesh: Mesh, checkpoints: Checkpoints, num_images: int
) -> tuple[GANState, int, dict[str, Any]]:
    """The state of the newest good checkpoint, its step and what was saved with it; or those of a new run."""

    def restore(step: int) -> tuple[dict[str, Any], GANState]:
        meta = checkpoints.restore_meta(step)
        fixed, _ = config_lib.changes(meta["config"], config_lib.to_plain(config))
        if meta["num_images"] != num_images:
            fixed.append(f"number of training images: {meta['num_images']} -> {num_images}")
        workdir_lib.refuse(fixed)
        return meta, checkpoints.restore(step, train_state.abstract_state(gan, sharding.replicated(mesh)))

    found = checkpoints.first_good(checkpoints.steps(), restore)
    if found is None:
        return train_state.create_state(gan, config.seed, sharding.replicated(mesh)), 0, {}
    step, (meta, state) = found
    log.info("going on from step %d", step)
    for change in config_lib.changes(meta["config"], config_lib.to_plain(config))[1]:
        log.info("changed since the checkpoint: %s", change)
    return state, step, meta


def _overview(state: GANState) -> str:
    tables = [
        f"{name}\n{parameter_overview.get_parameter_overview(network.params, include_stats=False)}"
        for name, network in (("generator", state.generator), ("critic", state.critic))
    ]
    return "\n\n".join(tables)
