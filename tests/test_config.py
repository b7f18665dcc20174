"""Checks of configs, and changes of a run's config."""

import ml_collections
import pytest

from colorgan import config as config_lib
from colorgan.configs import baseline, default, gpu, pretrained, tpu
from colorgan.errors import UserError
from colorgan.training.loop import train

CONFIGS = {"default": default, "baseline": baseline, "gpu": gpu, "tpu": tpu, "pretrained": pretrained}


@pytest.mark.parametrize("name", CONFIGS)
def test_shipped_configs_are_valid_and_have_the_same_keys(name):
    config = CONFIGS[name].get_config()
    config_lib.check_config(config)
    assert config_lib.flatten(config.to_dict()).keys() == config_lib.flatten(default.get_config().to_dict()).keys()


def test_long_runs_are_those_of_the_baseline():
    for module in (baseline, gpu, tpu):
        config = module.get_config()
        assert (config.num_epochs, config.image_size) == (150, 128)
        assert config.data.train.startswith("tfds:")
        widths = (config.model.width, config.model.max_width)
        assert widths == ((64, 512) if module is baseline else (64, 256))
    assert gpu.get_config().precision == tpu.get_config().precision == "bfloat16"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("image_size", 96, "config.image_size is 96 but must be a power of two"),
        ("image_size", 16, "power of two"),
        ("platform", "cuda", "cpu, gpu, tpu or empty"),
        ("precision", "float16", "float32, bfloat16"),
        ("batch_size", 0, "config.batch_size is 0 but must be at least 1"),
        ("num_epochs", 0, "at least 1"),
        ("seed", -1, "from 0"),
        ("data.load_size", 32, r"at least image_size \(64\)"),
        ("data.num_workers", -2, "-1 or more"),
        ("data.cache", "host", "none, device, auto"),
        ("compiler_options", ("xla_option",), "XLA options with their values"),
        ("data.max_bad_fraction", 1.5, "from 0 to 1"),
        ("data.train", "photos", "unknown data source 'photos'"),
        ("data.validation", "folder", "unknown data source"),
        ("model.max_width", 8, "at least model.width"),
        ("optimizer.beta1", 1.0, "from 0 to below 1"),
        ("optimizer.critic_learning_rate", 0.0, "above 0"),
        ("ema_decay", 1.0, "from 0 to below 1"),
        ("best_metric", "train/loss", "one of validation/score, validation/psnr"),
        ("early_stop", -1, "0 or more"),
        ("optimizer.schedule", "linear", "one of constant, cosine"),
        ("sample_epochs", (0, 10), "epochs of at least 1"),
        ("profile_steps", (3,), "empty or two steps"),
        ("profile_steps", (5, 3), "empty or two steps"),
    ],
)
def test_an_invalid_value_is_reported_in_one_sentence(key, value, message):
    config = default.get_config()
    config.update_from_flattened_dict({key: value})
    with pytest.raises(UserError, match=message) as caught:
        config_lib.check_config(config)
    assert "\n" not in str(caught.value)


def test_misspelled_and_missing_keys_of_a_config_file_are_reported():
    config = default.get_config()
    with pytest.raises(AttributeError, match="num_epoch"):
        config.num_epoch = 99
    with config.unlocked():
        config.num_epoch = 99
    with pytest.raises(UserError, match="unknown keys: num_epoch; did you mean num_epochs"):
        config_lib.check_config(config)
    with pytest.raises(UserError, match="lacks keys: batch_size, .*data.train"):
        config_lib.check_config(ml_collections.ConfigDict({"num_epochs": 3}))


def test_batch_size_must_be_divisible_by_the_number_of_devices():
    config = default.get_config()
    config_lib.set_batch_size(config, 8)
    assert config.batch_size == 16
    config.batch_size = 12
    with pytest.raises(UserError, match="batch_size is 12, which 8 devices cannot share evenly"):
        config_lib.set_batch_size(config, 8)


def test_batch_size_for_each_device():
    """It wins over batch_size in a new run; a run that resumes keeps its own, if the devices can share it."""
    config = default.get_config()
    config.per_device_batch_size = 6
    config_lib.set_batch_size(config, 8)
    assert config.batch_size == 48
    config_lib.set_batch_size(config, 4, before={"batch_size": 48})
    assert config.batch_size == 48
    assert config_lib.changes({"batch_size": 48}, {"batch_size": config.batch_size}) == ([], [])
    with pytest.raises(UserError, match="48, which 5 devices cannot share"):
        config_lib.set_batch_size(config, 5, before={"batch_size": 48})


def test_a_run_that_resumes_keeps_its_validation_images():
    """Those of an earlier version, which did not hold out images of `data.train`, and its own split."""
    for before in ("procedural:128", ""):
        config = default.get_config()
        config.data.validation = ""
        config_lib.set_validation(config, {"data": {"validation": before}})
        assert config.data.validation == before
    config_lib.set_validation(config, None)
    assert config.data.validation == ""
    config.data.validation = "folder:other"
    config_lib.set_validation(config, {"data": {"validation": "procedural:128"}})
    assert config.data.validation == "folder:other"


def test_a_run_changes_to_or_from_held_out_images_only_when_it_starts():
    """They would be training images from then on."""
    held_out, folder, other = ({"data": {"validation": value}} for value in ("", "folder:x", "folder:y"))
    assert config_lib.changes(held_out, folder) == (["data.validation: '' -> 'folder:x'"], [])
    assert config_lib.changes(folder, held_out) == (["data.validation: 'folder:x' -> ''"], [])
    assert config_lib.changes(folder, other) == ([], ["data.validation: 'folder:x' -> 'folder:y'"])


def test_training_checks_the_batch_before_anything_else(tmp_path):
    config = default.get_config()
    config.batch_size = 12
    with pytest.raises(UserError, match="which 8 devices cannot share"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_changes_separates_keys_that_a_run_may_change():
    old, new = default.get_config(), default.get_config()
    new.num_epochs, new.model.width, new.optimizer.beta1, new.data.train = 99, 8, 0.9, "folder:elsewhere"
    fixed, free = config_lib.changes(config_lib.to_plain(old), config_lib.to_plain(new))
    assert fixed == ["model.width: 16 -> 8", "optimizer.beta1: 0.5 -> 0.9"]
    assert free == ["data.train: 'procedural:2000' -> 'folder:elsewhere'", "num_epochs: 8 -> 99"]
    assert config_lib.changes(config_lib.to_plain(old), config_lib.to_plain(old)) == ([], [])


def test_a_loss_that_does_not_exist_has_weight_0():
    """So a run resumes with a version that has a new loss, and with one that lacks a loss the run did not use."""
    without = {"loss": {"l1_weight": 100.0}}
    with_unused, with_used = ({"loss": {"l1_weight": 100.0, "other_weight": weight}} for weight in (0.0, 2.0))
    for old, new in ((without, with_unused), (with_unused, without)):
        assert config_lib.changes(old, new) == ([], [])
    assert config_lib.changes(without, with_used)[0] == ["loss.other_weight: 0.0 -> 2.0"]
    assert config_lib.changes(with_used, without)[0] == ["loss.other_weight: 2.0 -> 0.0"]


def test_every_key_is_fixed_except_those_that_do_not_affect_training():
    keys = config_lib.flatten(default.get_config().to_dict())
    fixed, _ = config_lib.changes(keys, dict.fromkeys(keys, "changed"))
    assert keys.keys() - {change.partition(":")[0] for change in fixed} == {
        *("num_epochs", "platform", "data.train", "data.validation"),
        *("data.num_workers", "data.num_threads", "data.max_bad_fraction"),
        *("log_every_steps", "checkpoint_every_epochs", "num_checkpoints", "best_metric", "early_stop"),
        *("sample_epochs", "num_samples", "profile_steps", "init_from", "model.encoder_weights"),
        *("data.cache", "compiler_options", "deterministic", "skip_nonfinite_steps", "per_device_batch_size"),
    }
