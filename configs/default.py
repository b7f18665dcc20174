"""Small networks and images made on the spot: trains on two CPU cores in about two minutes.

The complete list of keys. The other configs say only what differs; what is said here of model, loss and optimizer is
the recipe that benchmarks/LADDER.md came to.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()

    # One number from which every random choice follows: initial values, order, crops, flips, dropout.
    config.seed = 0
    # Side of the square images in pixels: 32, 64, 128, 256 or 512. The generator's depth follows from it.
    config.image_size = 64
    # Images a step, over all devices of all hosts.
    config.batch_size = 16
    config.num_epochs = 8
    # "cpu", "gpu" or "tpu"; empty takes the best that is there.
    config.platform = ""
    # What the networks compute in: "float32" or "bfloat16". Parameters, losses and updates are float32 always.
    config.precision = "float32"

    # Whether a GPU computes the same bits every time, as CPUs and TPUs do anyway; costs some speed there.
    config.deterministic = False
    # How many steps in a row may have a loss or gradient that is not finite; they change nothing but the step number.
    # With 0 the first ends the run.
    config.skip_nonfinite_steps = 0

    # Options for XLA's compilation of the training step, such as ("xla_gpu_enable_latency_hiding_scheduler=true",).
    config.compiler_options = ()

    config.data = ml_collections.ConfigDict()
    # procedural:COUNT, folder:PATH, array_record:GLOB or tfds:NAME/SPLIT.
    config.data.train = "procedural:2000"
    config.data.validation = "procedural:128"
    # Training images are brought to this size on the host, then cropped at random to image_size on the device.
    config.data.load_size = 68
    # Processes that decode; 0 decodes in threads of the trainer itself.
    config.data.num_workers = 0
    # Decoding threads in each of them; one is the fastest where there are workers, since threads wait for each other.
    config.data.num_threads = 2
    # "none" decodes every image anew in every epoch; "device" keeps them all, decoded, in each device's memory
    # (images x load_size x load_size x 3 bytes), and the input costs nothing. Same batches.
    config.data.cache = "none"
    # Unreadable records are replaced and counted; more than this share of them ends the run.
    config.data.max_bad_fraction = 0.01

    config.model = ml_collections.ConfigDict()
    # Channels of the first layer; each layer doubles them, up to max_width.
    config.model.width = 16
    config.model.max_width = 128
    # What the generator makes: "rgb", or "chroma", colours over the input's own luma.
    config.model.output = "chroma"
    # What the critic judges: "dense", the image as a whole, or "patch", every part of it, with spectral norm.
    config.model.critic = "patch"

    config.loss = ml_collections.ConfigDict()
    # Weight of the generator's L1 distance to the real image, beside an adversarial loss of weight 1.
    config.loss.l1_weight = 100.0
    # Weight of the distance between the colours of all made images and those of the true ones; against brown.
    config.loss.palette_weight = 100.0
    # Weight of the share of colours in which the two differ: 0 to 1. Brings rare and neighbouring colours apart.
    config.loss.histogram_weight = 2.0

    config.optimizer = ml_collections.ConfigDict()
    # "constant" or "cosine", which falls to nothing at the end of num_epochs.
    config.optimizer.schedule = "cosine"
    # Adam's learning rates and moment decays.
    config.optimizer.generator_learning_rate = 1e-3
    config.optimizer.critic_learning_rate = 2e-4
    config.optimizer.beta1 = 0.5
    config.optimizer.beta2 = 0.999

    # Decay a step of the generator's moving average, which is what evaluates and colours.
    config.ema_decay = 0.99

    # A line of figures every so many steps, and at the end of every epoch.
    config.log_every_steps = 25
    # Validation figures and a checkpoint every so many epochs, and at the end.
    config.checkpoint_every_epochs = 1
    # How many of the newest checkpoints are kept, beside the best.
    config.num_checkpoints = 2
    # The validation figure, higher is better, whose best checkpoint is kept.
    config.best_metric = "validation/score"
    # Validations in a row without a better one that end the run; 0: it goes to num_epochs.
    config.early_stop = 0
    # Epochs after which a grid of samples is drawn; the last epoch always has one.
    config.sample_epochs = (1, *range(10, 151, 10))
    # Rows of a grid: validation images, evenly spaced.
    config.num_samples = 6
    # (first, last) step of a jax.profiler trace; empty records none.
    config.profile_steps = ()
    return config.lock()  # a misspelt key is an error
