"""The training loop."""

import contextlib
import dataclasses
import functools
import json
import logging
from typing import Any

import jax
import numpy as np
from clu import parameter_overview
from etils import epath
from ml_collections import ConfigDict

from colorgan import config as config_lib
from colorgan import sharding
from colorgan.data import check
from colorgan.errors import StoppedTogether
from colorgan.evaluation import metrics, steps
from colorgan.models.build import num_values
from colorgan.models.generator import predict
from colorgan.reporting import report_page, validation_record
from colorgan.run import compile_progress, migrations, run_log
from colorgan.run import workdir as workdir_lib
from colorgan.run.checkpoints import METRICS_VERSION, Checkpoints
from colorgan.run.metric_writer import MetricWriter
from colorgan.run.pending_metrics import PendingMetrics, check_finite
from colorgan.run.preemption import StopSignals
from colorgan.run.timing import Profiler, SideCosts, StepTimer
from colorgan.training import build, initial_values
from colorgan.training.batches import ValidationBatches
from colorgan.training.early_stopping import EarlyStopping
from colorgan.training.epochs import Epochs
from colorgan.training.samples import Sampler
from colorgan.training.state import GANState, abstract_state, create_state, state_shardings

log = logging.getLogger(__name__)


def train(config: ConfigDict, workdir: epath.Path) -> None:
    """Trains `config` in `workdir` to the end, from the last checkpoint if there is one.

    Raises:
      Stopped: the run was stopped by a signal and its state is saved, or the folder is not available at the moment.
      UserError: the config, the data or the folder cannot be used, or a metric is not finite.
    """
    mesh = sharding.create_mesh()
    before = workdir_lib.config_if_trained(workdir)
    config_lib.set_batch_size(config, mesh.size, before)
    config_lib.set_validation(config, before)
    if before:
        workdir_lib.refuse_changes(config_lib.changes(before, config_lib.to_plain(config))[0], workdir)
    else:
        initial_values.check_source(config)
    is_split = before and not config.data.validation
    names_before = workdir_lib.read_held_out(workdir) if is_split else None
    image_sets = build.open_images(config, names_before, with_results=before is not None)
    with contextlib.ExitStack() as stack:
        stack.enter_context(workdir_lib.locked(workdir))
        stack.enter_context(run_log.logging_to(workdir, jax.process_index() == 0))
        checkpoints = stack.enter_context(Checkpoints(workdir, config.best_metric, config.num_checkpoints))
        trainer = Trainer(config, workdir, mesh, image_sets, checkpoints)
        if trainer.is_complete:
            key = "config.num_epochs" if trainer.step >= trainer.num_steps else "config.early_stop (or set it to 0)"
            message = "the run is complete, steps done: %d of %d; increase %s to continue"
            log.info(message, trainer.step, trainer.num_steps, key)
            return
        trainer.open(stack)
        # Until here a signal ends the process at once, with nothing to save; from here on, after a step.
        stop = stack.enter_context(StopSignals())
        for epoch in range(trainer.epochs.finished(trainer.step) + 1, config.num_epochs + 1):
            is_stopping = trainer.train_epoch(epoch, stop)
            trainer.end_epoch(epoch, is_stopping)
            if trainer.early_stopping.is_due:
                log.info("validations in a row without a better %s: %d", config.best_metric, config.early_stop)
                break
            if is_stopping and trainer.step < trainer.num_steps:
                checkpoints.finish()
                trainer.write_report()  # after the checkpoint, since the machine may be lost at any moment
                raise StoppedTogether(
                    f"stopped at step {trainer.step} of {trainer.num_steps}; the same command resumes from there"
                )
        checkpoints.finish()
        trainer.finish()
        log.info("the run is complete after step %d: %s", trainer.step, trainer.early_stopping.best)


class Trainer:
    """The state of a run, and the work of an epoch.

    Attributes:
      state: on the devices.
      step: the number of finished steps.
      num_steps: of the whole run.
      epochs: where they end.
      early_stopping: with what it has seen.
    """

    def __init__(
        self,
        config: ConfigDict,
        workdir: epath.Path,
        mesh: jax.sharding.Mesh,
        image_sets: build.ImageSets,
        checkpoints: Checkpoints,
    ) -> None:
        """Restores the newest good checkpoint, or creates a new state. Writes config.json and networks.json."""
        self._config, self._workdir, self._mesh, self._checkpoints = config, workdir, mesh, checkpoints
        self._image_sets = image_sets
        self._plain_config = config_lib.to_plain(config)
        self._gan = build.create_gan(config, sharding.platform_of(mesh))
        self.state, self.step, meta = self._restore_or_create()
        image_sets = self._image_sets
        self.epochs = Epochs(len(image_sets.train), config.batch_size)
        self.num_steps = self.epochs.last_step(config.num_epochs)
        validated_on = f"{len(image_sets.validation)} of {image_sets.validation_name}"
        counted = meta.get("early_stop", {})
        self.early_stopping = EarlyStopping(config.early_stop, config.best_metric, validated_on, counted)
        self._pending = PendingMetrics(config.skip_nonfinite_steps, meta.get("skipped", {}))
        self._timer, self._costs = StepTimer(config.batch_size), SideCosts()
        if jax.process_index() == 0:
            networks = {"generator": self.state.generator, "critic": self.state.critic}
            sizes = {f"num_{name}_values": num_values(network.variables) for name, network in networks.items()}
            # A complete run keeps the config that it was trained with.
            saved = migrations.migrate_config(meta["config"]) if self.is_complete else self._plain_config
            workdir_lib.write_description(workdir, saved, sizes, image_sets.held_out)

    def _restore_or_create(self) -> tuple[GANState, int, dict[str, Any]]:
        """The state, its step, and the metadata of the checkpoint, which is empty for a new run."""
        shardings = state_shardings(self._gan, self._mesh)

        def restore(step: int) -> tuple[GANState, dict[str, Any], list[str]]:
            meta = self._checkpoints.restore_meta(step)
            fixed, free = config_lib.changes(migrations.migrate_config(meta["config"]), self._plain_config)
            workdir_lib.refuse_changes(fixed, self._workdir)
            networks = self._checkpoints.restore(step, abstract_state(self._gan, shardings).networks())
            return GANState(sharding.replicate(self._mesh, np.asarray(step, np.int32)), **networks), meta, free

        found = self._checkpoints.first_good(self._checkpoints.steps(), restore)
        if found is None:
            self._leave_out_results()
            initial = initial_values.load(self._config, self._gan, self._mesh)
            return create_state(self._gan, self._config.seed, shardings, initial), 0, {}
        step, (state, meta, changes) = found
        if meta["num_images"] != len(self._image_sets.train):
            self._leave_out_results()
        if meta["num_images"] != (num_images := len(self._image_sets.train)):
            difference = f"number of training images: {meta['num_images']} -> {num_images}"
            workdir_lib.refuse_changes([difference], self._workdir)
        log.info("resuming from step %d", step)
        for change in changes:
            log.info("changed since the checkpoint: %s", change)
        return state, step, meta

    def _leave_out_results(self) -> None:
        """Results of `colorgan colorize` are images only in runs of earlier versions that were started with them."""
        if self._image_sets.open_without_results:
            self._image_sets = self._image_sets.open_without_results()

    @property
    def is_complete(self) -> bool:
        """Whether there is nothing left to train."""
        return self.step >= self.num_steps or self.early_stopping.is_due

    def open(self, stack: contextlib.ExitStack) -> None:
        """Compiles the step, and opens what the run reads from and writes to; `stack` closes it."""
        config, mesh = self._config, self._mesh
        train, validation = self._image_sets.train, self._image_sets.validation
        if self._image_sets.held_out:
            num_all = len(train) + len(validation)
            log.info("held out for validation: %d of %d images of %s", len(validation), num_all, config.data.train)
        message = "training images: %d, epochs: %d, batch size: %d, steps done: %d of %d, %s devices: %d"
        sizes = (len(train), config.num_epochs, config.batch_size, self.step, self.num_steps)
        log.info(message, *sizes, sharding.platform_of(mesh), mesh.size)
        if jax.process_index() == 0:
            sources = train.source, validation.source
            for problem in check.check_images(*sources, config.image_size, bool(config.init_from)):
                log.warning(problem)
        loading = build.create_loading(config)
        # One short pass: starting workers would take longer.
        num_threads = max(loading.num_threads, loading.num_workers)
        validation_loading = dataclasses.replace(loading, num_workers=0, num_threads=num_threads)
        self._validation_batches = ValidationBatches(validation, config.batch_size, validation_loading, mesh)
        self._sum_step_fn = steps.create_sum_step(functools.partial(predict, self._gan.generator), mesh)
        self._gather = sharding.jit(lambda tree: tree, mesh, ("any",), "replicated")
        self._sampler = Sampler(self._gan, mesh, validation, config.num_samples)
        self._batches = build.create_train_batches(config, train, self.step, mesh)
        stack.callback(self._batches.close)
        program, is_first = build.describe_program(config, self._gan), jax.process_index() == 0
        with compile_progress.compiling(program, self.step, self.num_steps, is_first):
            self._train_step_fn = build.compile_train_step(config, self._gan, mesh, self.state)
        self._hyperparameters = sharding.replicate(mesh, build.create_hyperparameters(config, self.num_steps))
        self._writer = MetricWriter(self._workdir, self.step, self.num_steps, jax.process_index() == 0)
        stack.callback(self._writer.close)
        self._writer.start_session(config_lib.hyperparameters(self._plain_config))
        self._writer.write_text("config", json.dumps(self._plain_config, indent=2), self.step)
        self._writer.write_text("networks", _overview(self.state), self.step)
        self._profiler = Profiler(self._workdir / workdir_lib.TENSORBOARD_FOLDER, config.profile_steps)
        stack.callback(self._profiler.close)
        self._timer.restart()

    def train_epoch(self, epoch: int, stop: StopSignals) -> bool:
        """Trains to the end of `epoch`, or until a signal asks to stop. Returns whether one did."""
        description = f"epoch {epoch}/{self._config.num_epochs}"
        for step in range(self.step + 1, self.epochs.last_step(epoch) + 1):
            with self._profiler.step(step):
                with self._timer.waiting():
                    images = next(self._batches)
                self.state, step_metrics = self._train_step_fn(self.state, images, self._hyperparameters)
            self.step = step
            self._profiler.after_step(step, step_metrics)
            self._pending.add(step, step_metrics)
            # No wait for the device: these are metrics of steps that have finished.
            is_due = (step - 1) % self._config.log_every_steps == 0
            finished = self._pending.take(before=step) if is_due else {}
            with self._costs.of("logging"):
                self._writer.progress(step, description)
                if finished:
                    self._writer.write(step - 1, finished | self._run_metrics(step - 1))
            if stop.requested():
                return True
        return False

    def end_epoch(self, epoch: int, is_stopping: bool) -> None:
        """Validates, draws samples, logs and saves, as far as each is due after `epoch` or when the run is stopping."""
        step_metrics = self._pending.take() | self._run_metrics(self.step)
        is_last = epoch == self._config.num_epochs
        is_finished = self.step == self.epochs.last_step(epoch)
        is_due = is_finished and (epoch % self._config.checkpoint_every_epochs == 0 or is_last)
        validation = self._validate(epoch) if is_due else {}
        if is_finished:
            if epoch in self._config.sample_epochs or is_last or self.early_stopping.is_due:
                with self._costs.of("sampling"):
                    self._writer.write_samples(epoch, self.step, self._sampler.draw(self.state))
            self._writer.write(self.step, step_metrics | validation | self._costs.read())
            best = "" if self.early_stopping.is_last_best else self.early_stopping.best
            self._writer.log_epoch(epoch, self._config.num_epochs, step_metrics | validation, best)
        elif self.step % self._config.log_every_steps == 0:
            self._writer.write(self.step, step_metrics)
        if is_stopping or is_due:
            self._save(validation)
        if is_due and not is_stopping:
            with self._costs.of("logging"):
                self.write_report()
        self._timer.restart()

    def write_report(self) -> None:
        """Writes report.html, of what is logged so far."""
        if jax.process_index() == 0:
            report_page.write_report(self._workdir)

    def finish(self) -> None:
        """Marks the run as complete."""
        self._writer.end_session()
        self.write_report()

    def _validate(self, epoch: int) -> dict[str, float]:
        """The validation metrics of the moving average, which `early_stopping` sees too."""
        with self._costs.of("validation"):
            average = self._gather(self.state.generator_ema)
            evaluation = steps.evaluate(self._sum_step_fn, average, self._validation_batches)
        steps.warn_about_gray(evaluation.rows, self._image_sets.validation_name)
        validation = steps.validation_metrics(evaluation.rows, evaluation.num_images)
        check_finite(self.step, validation)
        self.early_stopping.add(epoch, validation)
        with self._costs.of("sampling"):
            self._record_validation(evaluation)
        return validation

    def _record_validation(self, evaluation: steps.Evaluation) -> None:
        """Writes what the report shows of a validation. All processes call it."""
        name_fn = self._image_sets.validation.source.name
        shown = validation_record.best_and_worst(evaluation, self._sampler.num_samples)
        if not shown:
            return
        captions = validation_record.captions(evaluation, shown, name_fn)
        images = self._sampler.draw_images(self.state, list(shown), captions)
        if jax.process_index() == 0:
            record = validation_record.describe(evaluation, name_fn, self.step)
            validation_record.write(self._workdir, record, images)

    def _save(self, validation: dict[str, float]) -> None:
        with self._costs.of("checkpoint"):  # logged at the end of the next epoch: metrics are saved first
            self._writer.sync()
            meta = {
                "config": migrations.with_format_version(self._plain_config),
                "num_images": len(self._image_sets.train),
                "skipped": self._pending.skipped,
                "early_stop": self.early_stopping.saved,
            }
            ranked = validation | {METRICS_VERSION: metrics.VERSION} if validation else None
            self._checkpoints.save(self.step, self.state.networks(), meta, ranked)

    def _run_metrics(self, step: int) -> dict[str, float]:
        return self.epochs.metrics(step) | self._timer.read() | self._batches.metrics()


def _overview(state: GANState) -> str:
    """The tables of parameters of both networks."""
    tables = [
        f"{name}\n{parameter_overview.get_parameter_overview(network.params, include_stats=False)}"
        for name, network in (("generator", state.generator), ("critic", state.critic))
    ]
    return "\n\n".join(tables)
